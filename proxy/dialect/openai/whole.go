// Package openai knows the wire form of the OpenAI API and of the servers that speak it: requests, whole and streamed
// answers of chat/completions, responses, completions and embeddings, and errors. It does no I/O.
package openai

import (
	"bytes"
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Codec reads, converts and writes the dialect. It holds nothing; its zero value is ready.
type Codec struct{}

var _ dialect.Codec = Codec{}

// Whole implements dialect.Answers. All of the body is validated as JSON.
func (Codec) Whole(op dialect.Op, body []byte) (u dialect.Usage, err error) {
	c := jsonscan.Cursor{B: body}
	w := whole{op: op}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		w.member(&c, k)
	}
	switch {
	case !c.End():
		return u, fmt.Errorf("%w: the body of the %s answer is not one complete JSON object", dialect.ErrMalformed, op)
	case w.failed:
		return u, fmt.Errorf("%w: %s", dialect.ErrProvider, op)
	case !w.found:
		return u, fmt.Errorf("%w: the body is JSON, but not a %s answer", dialect.ErrMalformed, op)
	}
	return w.usage, nil
}

// whole is what the members of a whole answer tell.
type whole struct {
	op     dialect.Op
	usage  dialect.Usage
	found  bool // what the operation promises is there
	failed bool
}

// member reads the top-level member k, on whose value c stands.
func (w *whole) member(c *jsonscan.Cursor, k []byte) {
	switch string(k) {
	case "error":
		w.failed = !isNull(c.Skip()) || w.failed
	case "usage":
		readUsage(c, &w.usage)
	case "choices":
		w.found = skipChoices(c) && (w.op == dialect.OpChat || w.op == dialect.OpCompletions) || w.found
	case "data":
		w.found = skipKind(c, '[') && w.op == dialect.OpEmbeddings || w.found
	case "output":
		w.found = skipKind(c, '[') && w.op == dialect.OpResponses || w.found
	case "object": // older vLLM answers an error as {"object":"error","message":…}
		w.failed = string(c.Skip()) == `"error"` || w.failed
	case "status":
		w.failed = string(c.Skip()) == `"failed"` && w.op == dialect.OpResponses || w.failed
	default:
		c.Skip()
	}
}

// skipKind passes a value and reports whether it begins with open.
func skipKind(c *jsonscan.Cursor, open byte) bool {
	v := c.Skip()
	return len(v) > 0 && v[0] == open
}

// skipChoices passes a value and reports whether it is a list with something in it: an answer without a choice says
// nothing, and is no answer to keep.
func skipChoices(c *jsonscan.Cursor) bool {
	v := c.Skip()
	return len(v) > 2 && v[0] == '[' && len(bytes.TrimSpace(v[1:len(v)-1])) > 0
}

func isNull(v []byte) bool { return len(v) > 0 && v[0] == 'n' }
