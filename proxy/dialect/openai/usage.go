package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// readUsage reads the usage object at c into u, if there is one. The operations name the same counts differently;
// both names are read everywhere, since no object has both.
func readUsage(c *jsonscan.Cursor, u *dialect.Usage) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	var n dialect.Usage
	var total int64
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "prompt_tokens", "input_tokens":
			n.Input, n.Known = c.Count(), true
		case "completion_tokens", "output_tokens":
			n.Output, n.Known = c.Count(), true
		case "total_tokens":
			total = c.Count()
		case "prompt_cache_hit_tokens": // DeepSeek
			n.Cached = c.Count()
		case "prompt_tokens_details", "input_tokens_details":
			detail(c, "cached_tokens", &n.Cached)
		case "completion_tokens_details", "output_tokens_details":
			detail(c, "reasoning_tokens", &n.Reasoning)
		default:
			c.Skip()
		}
	}
	// xAI counts reasoning beside the completion, not within it; its total tells.
	if n.Reasoning > 0 && total == n.Input+n.Output+n.Reasoning {
		n.Output += n.Reasoning
	}
	n.Cached = min(n.Cached, n.Input)
	if n.Known {
		*u = n
	}
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
			*n = c.Count()
		} else {
			c.Skip()
		}
	}
}
