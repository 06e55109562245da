package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// AppendAnswer implements dialect.Prompts. The answer used no tokens; the dialect does not tell when it was made.
func (Codec) AppendAnswer(dst []byte, op dialect.Op, id, model string, _ int64, text []byte) ([]byte, error) {
	if op != dialect.OpMessages {
		return dst, fmt.Errorf("cannot answer a request of the operation %s with a text: %w", op, dialect.ErrNoPlace)
	}
	dst = appendMessageHead(dst, jsonscan.AppendText(nil, bytesx.Bytes(id)), jsonscan.AppendText(nil, bytesx.Bytes(model)))
	dst = jsonscan.AppendString(append(dst, `{"type":"text","text":`...), text)
	dst = appendEnding(append(dst, `,"citations":null}],`...), dialect.FinishStop, nil, nil, false)
	dst = appendUsage(append(dst, `,"container":null,"diagnostics":null,"usage":`...), &dialect.Usage{})
	return append(dst, '}'), nil
}
