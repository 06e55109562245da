package openai

import (
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// paths are where the operations are asked for.
var paths = [dialect.Ops]string{
	dialect.OpChat: "/chat/completions", dialect.OpResponses: "/responses", dialect.OpCompletions: "/completions",
	dialect.OpEmbeddings: "/embeddings",
}

// AppendPath implements dialect.Paths. The model and whether to stream stand in the body.
func (Codec) AppendPath(dst []byte, op dialect.Op, _ string, _ bool) []byte {
	return append(dst, paths[op]...)
}

// Param implements dialect.Paths. Catalogs name parameters as OpenAI does, so they stay; the names of the bound on an
// answer's length stand for one another.
func (Codec) Param(op dialect.Op, key string, value dialect.Raw) (name string, out dialect.Raw) {
	switch key {
	case "max_tokens", "max_completion_tokens", "max_output_tokens":
		return limitName(op, key), value
	}
	return key, value
}

// limitName is what an operation calls the bound on its answer's length; "" where it has none. For chat/completions the
// catalog says which of two names, as only it knows what the provider takes.
func limitName(op dialect.Op, key string) string {
	switch op {
	case dialect.OpEmbeddings:
		return ""
	case dialect.OpResponses:
		return "max_output_tokens"
	case dialect.OpChat:
		if key == "max_completion_tokens" {
			return key
		}
	}
	return "max_tokens"
}

// AppendModel implements dialect.Paths.
func (Codec) AppendModel(dst []byte, name string, created int64) []byte {
	dst = appendQuoted(append(dst, `{"id":`...), name)
	dst = strconv.AppendInt(append(dst, `,"object":"model","created":`...), created, 10)
	return append(dst, `,"owned_by":"wedge"}`...)
}

// AppendModels implements dialect.Paths.
func (d Codec) AppendModels(dst []byte, names []string, created int64) []byte {
	dst = append(dst, `{"object":"list","data":[`...)
	for i, name := range names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = d.AppendModel(dst, name, created)
	}
	return append(dst, "]}"...)
}

// AppendCount implements dialect.Paths in the form of responses/input_tokens, whatever the operation.
func (Codec) AppendCount(dst []byte, _ dialect.Op, tokens int64) []byte {
	dst = strconv.AppendInt(append(dst, `{"object":"response.input_tokens","input_tokens":`...), tokens, 10)
	return append(dst, '}')
}
