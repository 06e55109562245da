package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Whole implements dialect.Answers. All of the body is validated as JSON. A prompt that was blocked is answered, too.
func (Codec) Whole(op dialect.Op, body []byte) (u dialect.Usage, err error) {
	c := jsonscan.Cursor{B: body}
	found, failed := false, false
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "error":
			failed = !isNull(c.Skip()) || failed
		case "candidates", "embedding", "embeddings", "totalTokens", "total_tokens":
			found = answers(op, k, c.Peek()) && !idle(c.Skip()) || found
		case "promptFeedback", "prompt_feedback":
			found = readBlocked(&c) && op == dialect.OpGenerate || found
		case "usageMetadata", "usage_metadata":
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

// answers says that a member, whose value begins with ch, is what an operation is asked for.
func answers(op dialect.Op, name []byte, ch byte) bool {
	switch string(name) {
	case "candidates":
		return op == dialect.OpGenerate && ch == '['
	case "embedding":
		return op == dialect.OpEmbed && ch == '{'
	case "embeddings":
		return op == dialect.OpBatchEmbed && ch == '['
	}
	return op == dialect.OpCount && ch-'0' <= 9
}

// readBlocked reads a promptFeedback and reports whether the prompt was blocked.
func readBlocked(c *jsonscan.Cursor) (blocked bool) {
	if c.Peek() != '{' {
		c.Skip()
		return false
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		v := c.Skip()
		switch string(k) {
		case "blockReason", "block_reason":
			blocked = reasoned(v, "BLOCKED_REASON_UNSPECIFIED")
		}
	}
	return blocked
}

// reasoned says that a reason is told.
func reasoned(v []byte, unspecified string) bool {
	return isText(v) && string(v[1:len(v)-1]) != unspecified
}
