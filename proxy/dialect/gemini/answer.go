package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendAnswer implements dialect.Prompts. The answer used no tokens; Gemini's API does not tell when it was made.
func (Codec) AppendAnswer(dst []byte, op dialect.Op, id, model string, _ int64, text []byte) ([]byte, error) {
	if op != dialect.OpGenerate {
		return dst, fmt.Errorf("cannot answer a request of the operation %s with a text: %w", op, dialect.ErrNoPlace)
	}
	dst = jsonscan.AppendString(append(dst, `{"candidates":[`+openParts+`{"text":`...), text)
	dst = append(dst, `}`+shutParts+`,"finishReason":"STOP","index":0}],"usageMetadata":`...)
	dst = appendUsage(dst, &dialect.Usage{})
	dst = appendQuoted(append(dst, `,"modelVersion":`...), model)
	return append(appendQuoted(append(dst, `,"responseId":`...), id), '}'), nil
}
