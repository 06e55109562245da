package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Whole implements dialect.Answers. All of the body is validated as JSON. Counting tokens uses none.
func (Codec) Whole(op dialect.Op, body []byte) (u dialect.Usage, err error) {
	c := jsonscan.Cursor{B: body}
	found, failed := false, false
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "type":
			failed = string(c.Skip()) == `"error"` || failed
		case "error":
			failed = !isNull(c.Skip()) || failed
		case "content":
			found = c.Peek() == '[' && op == dialect.OpMessages || found
			c.Skip()
		case "input_tokens":
			found = c.Peek()-'0' <= 9 && op == dialect.OpCountTokens || found
			c.Skip()
		case "usage":
			readUsage(&c, &u)
		default:
			c.Skip()
		}
	}
	switch {
	case !c.End():
		return dialect.Usage{}, fmt.Errorf("%w: the body of the %s answer is not one complete JSON object", dialect.ErrMalformed, op)
	case failed:
		return dialect.Usage{}, fmt.Errorf("%w: %s", dialect.ErrProvider, op)
	case !found:
		return dialect.Usage{}, fmt.Errorf("%w: the body is JSON, but not a %s answer", dialect.ErrMalformed, op)
	}
	return u, nil
}

func isNull(v []byte) bool { return len(v) > 0 && v[0] == 'n' }
