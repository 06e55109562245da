package gemini

import (
	"strings"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendPath implements dialect.Paths. A name that says what it is a name of keeps that.
func (Codec) AppendPath(dst []byte, op dialect.Op, model string, stream bool) []byte {
	dst = append(dst, '/')
	kind, name := "models/", strings.TrimPrefix(model, "models/")
	if rest, ok := strings.CutPrefix(model, "tunedModels/"); ok {
		kind, name = "tunedModels/", rest
	}
	dst = appendSegment(append(dst, kind...), name)
	switch {
	case op == dialect.OpGenerate && stream:
		return append(dst, ":streamGenerateContent?alt=sse"...)
	case op == dialect.OpGenerate:
		return append(dst, ":generateContent"...)
	case op == dialect.OpEmbed:
		return append(dst, ":embedContent"...)
	case op == dialect.OpBatchEmbed:
		return append(dst, ":batchEmbedContents"...)
	case op == dialect.OpCount:
		return append(dst, ":countTokens"...)
	}
	return dst
}

// appendSegment appends a name as one segment of a path (RFC 3986, §3.3).
func appendSegment(dst []byte, name string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(name) {
		ch := name[i]
		if ch-'0' <= 9 || ch|0x20-'a' < 26 || strings.IndexByte("-._~!$&'()*+,;=:@", ch) >= 0 {
			dst = append(dst, ch)
		} else {
			dst = append(dst, '%', hex[ch>>4], hex[ch&15])
		}
	}
	return dst
}

// configNames are what generationConfig calls parameters that have OpenAI's names.
var configNames = map[string]string{
	"max_tokens": "maxOutputTokens", "max_completion_tokens": "maxOutputTokens", "max_output_tokens": "maxOutputTokens",
	"temperature": "temperature", "top_p": "topP", "top_k": "topK", "seed": "seed", "n": "candidateCount",
	"frequency_penalty": "frequencyPenalty", "presence_penalty": "presencePenalty",
	"logprobs": "responseLogprobs", "top_logprobs": "logprobs", "stop": "stopSequences",
	"reasoning_effort": "thinkingConfig", "response_format": "responseMimeType",
}

// Param implements dialect.Paths. An effort becomes a level, which models before Gemini 3 do not take.
func (Codec) Param(op dialect.Op, key string, value dialect.Raw) (name string, out dialect.Raw) {
	if name := configNames[key]; name != "" {
		if out = configValue(name, value); op != dialect.OpGenerate || out == nil {
			return "", nil
		}
		return "generationConfig." + name, out
	}
	switch key {
	case "dimensions":
		if op == dialect.OpEmbed {
			return "outputDimensionality", value
		}
		return "", nil
	case "logit_bias", "user", "safety_identifier", "store", "metadata", "service_tier", "parallel_tool_calls", "stream_options",
		"verbosity", "modalities", "audio", "prediction", "web_search_options", "prompt_cache_key", "prompt_cache_retention",
		"functions", "function_call", "tool_choice", "reasoning", "text", "truncation", "thinking", "encoding_format":
		return "", nil
	}
	return key, value
}

// configValue is a value as the member of generationConfig has it; nil where it has no word.
func configValue(name string, v dialect.Raw) dialect.Raw {
	switch name {
	case "stopSequences":
		if isText(v) {
			return append(append([]byte{'['}, v...), ']')
		}
	case "thinkingConfig":
		return levelOf(wordOf(v))
	case "responseMimeType": // a schema would be a second member
		switch wordOf(memberOf(v, "type")) {
		case "text":
			return []byte(`"text/plain"`)
		case "json_object":
			return []byte(`"application/json"`)
		}
		return nil
	}
	return v
}

// levelOf is the thinkingConfig of an effort.
func levelOf(effort string) dialect.Raw {
	switch effort {
	case "none":
		return []byte(`{"thinkingBudget":0}`)
	case "minimal", "low", "medium", "high":
		return []byte(`{"thinkingLevel":"` + effort + `"}`)
	case "xhigh", "max":
		return []byte(`{"thinkingLevel":"high"}`)
	}
	return nil
}

// memberOf is the value of the last member of an object with that name; nil without one, and for every other value.
func memberOf(v []byte, name string) (found []byte) {
	if len(v) == 0 || v[0] != '{' {
		return nil
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if m := f.Skip(); string(k) == name {
			found = m
		}
	}
	return found
}

// AppendModel implements dialect.Paths. What a model can do, the node does not know; the API tells no date.
func (Codec) AppendModel(dst []byte, name string, _ int64) []byte {
	dst = appendQuoted(append(dst, `{"name":`...), "models/"+strings.TrimPrefix(name, "models/"))
	dst = appendQuoted(append(dst, `,"version":"001","displayName":`...), name)
	return append(dst, `,"supportedGenerationMethods":["generateContent","countTokens","embedContent","batchEmbedContents"]}`...)
}

// AppendModels implements dialect.Paths. All models are on one page.
func (d Codec) AppendModels(dst []byte, names []string, created int64) []byte {
	dst = append(dst, `{"models":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.AppendModel(dst, name, created)
	}
	return append(dst, "]}"...)
}

// AppendCount implements dialect.Paths.
func (Codec) AppendCount(dst []byte, _ dialect.Op, tokens int64) []byte {
	return append(appendNumber(dst, `{"totalTokens":`, tokens), '}')
}
