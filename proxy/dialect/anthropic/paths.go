package anthropic

import (
	"time"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendPath implements dialect.Paths. The model and whether to stream stand in the body.
func (Codec) AppendPath(dst []byte, op dialect.Op, _ string, _ bool) []byte {
	switch op {
	case dialect.OpMessages:
		return append(dst, "/messages"...)
	case dialect.OpCountTokens:
		return append(dst, "/messages/count_tokens"...)
	}
	return dst
}

// Param implements dialect.Paths.
func (Codec) Param(op dialect.Op, key string, value dialect.Raw) (name string, out dialect.Raw) {
	switch key {
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		name, out = "max_tokens", value
	case "stop", "stop_sequences":
		name, out = "stop_sequences", asList(value)
	case "reasoning_effort":
		return effortParam(value)
	case "response_format":
		return formatParam(value)
	case "user", "safety_identifier":
		name, out = "metadata.user_id", value
	case "temperature":
		if name, out = key, value; above(value, 1) {
			out = []byte("1")
		}
	case "service_tier":
		if v := string(inside(value)); v == "auto" || v == "standard_only" {
			name, out = key, value
		}
	case "top_p", "top_k", "metadata":
		name, out = key, value
	case "frequency_penalty", "presence_penalty", "seed", "n", "logprobs", "top_logprobs", "logit_bias", "store",
		"parallel_tool_calls", "stream_options", "verbosity", "modalities", "audio", "prediction", "web_search_options",
		"prompt_cache_key", "prompt_cache_retention", "functions", "function_call", "reasoning", "text", "truncation":
	default:
		return key, value
	}
	if op == dialect.OpCountTokens { // it takes nothing that only the answer depends on
		return "", nil
	}
	return name, out
}

// asList is a text in a list, or what is a list already.
func asList(v dialect.Raw) dialect.Raw {
	if len(v) == 0 || v[0] != '"' {
		return v
	}
	return append(append([]byte{'['}, v...), ']')
}

func effortParam(v dialect.Raw) (string, dialect.Raw) {
	switch string(inside(v)) {
	case "none":
		return "thinking", []byte(`{"type":"disabled"}`)
	case "minimal":
		return "output_config.effort", []byte(`"low"`)
	}
	return "output_config.effort", v
}

// formatParam turns OpenAI's form of a schema into the API's. There is no word for JSON of any kind.
func formatParam(v dialect.Raw) (string, dialect.Raw) {
	format, _ := members(v)
	named, _ := members(format.get("json_schema"))
	schema := named.get("schema")
	if schema == nil {
		return "", nil
	}
	return "output_config.format", append(append([]byte(`{"type":"json_schema","schema":`), schema...), '}')
}

// AppendModel implements dialect.Paths. What a model can do, the node does not know.
func (Codec) AppendModel(dst []byte, name string, created int64) []byte {
	dst = appendQuoted(append(dst, `{"type":"model","id":`...), name)
	dst = appendQuoted(append(dst, `,"display_name":`...), name)
	dst = time.Unix(created, 0).UTC().AppendFormat(append(dst, `,"created_at":"`...), time.RFC3339)
	return append(dst, `","deprecated_at":null,"retires_at":null,"lifecycle":"active","line":null,"max_input_tokens":null,`+
		`"max_tokens":null,"capabilities":null}`...)
}

// AppendModels implements dialect.Paths. All models are on one page.
func (d Codec) AppendModels(dst []byte, names []string, created int64) []byte {
	dst = append(dst, `{"data":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.AppendModel(dst, name, created)
	}
	if len(names) == 0 {
		return append(dst, `],"has_more":false,"first_id":null,"last_id":null}`...)
	}
	dst = appendQuoted(append(dst, `],"has_more":false,"first_id":`...), names[0])
	return append(appendQuoted(append(dst, `,"last_id":`...), names[len(names)-1]), '}')
}

// AppendCount implements dialect.Paths.
func (Codec) AppendCount(dst []byte, _ dialect.Op, tokens int64) []byte {
	return append(appendNumber(dst, `{"input_tokens":`, tokens), '}')
}

// appendQuoted is jsonscan.AppendString for strings.
func appendQuoted(dst []byte, s string) []byte { return jsonscan.AppendString(dst, bytesx.Bytes(s)) }
