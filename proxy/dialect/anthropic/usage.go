package anthropic

import (
	"strconv"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// readUsage reads the usage object at c, if there is one, over what u holds: an event repeats only the counts that
// changed. The dialect counts what the prompt cache gave and took beside input_tokens, not within.
func readUsage(c *jsonscan.Cursor, u *dialect.Usage) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	n := *u
	plain := n.Input - n.Cached - n.CacheWrite
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "input_tokens":
			n.Known = count(c, &plain) || n.Known
		case "output_tokens":
			n.Known = count(c, &n.Output) || n.Known
		case "cache_read_input_tokens":
			count(c, &n.Cached)
		case "cache_creation_input_tokens":
			count(c, &n.CacheWrite)
		case "cache_creation":
			detail(c, "ephemeral_1h_input_tokens", &n.CacheWriteHour)
		case "output_tokens_details":
			detail(c, "thinking_tokens", &n.Reasoning)
		default:
			c.Skip()
		}
	}
	n.Input = plain + n.Cached + n.CacheWrite
	n.CacheWriteHour = min(n.CacheWriteHour, n.CacheWrite)
	n.Reasoning = min(n.Reasoning, n.Output)
	if n.Known {
		*u = n
	}
}

// count reads a number into n; null, and what is no number, leaves it as it is.
func count(c *jsonscan.Cursor, n *int64) bool {
	if ch := c.Peek(); ch-'0' > 9 {
		c.Skip()
		return false
	}
	*n = c.Count()
	return true
}

// detail reads one count of the object at c into n.
func detail(c *jsonscan.Cursor, name string, n *int64) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		if string(k) == name {
			count(c, n)
		} else {
			c.Skip()
		}
	}
}

// appendUsage appends the usage object. Nobody knows the tier, the region and the speed of another dialect's provider.
func appendUsage(dst []byte, u *dialect.Usage) []byte {
	dst = appendNumber(dst, `{"input_tokens":`, max(u.Input-u.Cached-u.CacheWrite, 0))
	dst = appendNumber(dst, `,"cache_creation_input_tokens":`, u.CacheWrite)
	dst = appendNumber(dst, `,"cache_read_input_tokens":`, u.Cached)
	dst = appendNumber(dst, `,"cache_creation":{"ephemeral_5m_input_tokens":`, u.CacheWrite-u.CacheWriteHour)
	dst = appendNumber(dst, `,"ephemeral_1h_input_tokens":`, u.CacheWriteHour)
	dst = appendNumber(dst, `},"output_tokens":`, u.Output)
	dst = appendNumber(dst, `,"output_tokens_details":{"thinking_tokens":`, u.Reasoning)
	return append(dst, `},"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}`...)
}

func appendNumber(dst []byte, before string, n int64) []byte {
	return strconv.AppendInt(append(dst, before...), n, 10)
}
