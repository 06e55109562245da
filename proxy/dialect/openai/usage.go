package openai

import (
	"math"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// readUsage reads the usage object at c into u, if there is one. The operations name the same counts differently;
// both names are read everywhere, since no object has both.
func readUsage(c *cursor, u *dialect.Usage) {
	if c.peek() != '{' {
		c.skip()
		return
	}
	var n dialect.Usage
	var total int64
	c.enter('{')
	for k, ok := c.key(true); ok; k, ok = c.key(false) {
		switch string(k) {
		case "prompt_tokens", "input_tokens":
			n.Input, n.Known = c.count(), true
		case "completion_tokens", "output_tokens":
			n.Output, n.Known = c.count(), true
		case "total_tokens":
			total = c.count()
		case "prompt_cache_hit_tokens": // DeepSeek
			n.Cached = c.count()
		case "prompt_tokens_details", "input_tokens_details":
			c.detail("cached_tokens", &n.Cached)
		case "completion_tokens_details", "output_tokens_details":
			c.detail("reasoning_tokens", &n.Reasoning)
		default:
			c.skip()
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
func (c *cursor) detail(name string, n *int64) {
	if c.peek() != '{' {
		c.skip()
		return
	}
	c.enter('{')
	for k, ok := c.key(true); ok; k, ok = c.key(false) {
		if string(k) == name {
			*n = c.count()
		} else {
			c.skip()
		}
	}
}

// count reads a number of tokens. What is no number, negative or beyond any answer counts as 0.
func (c *cursor) count() (n int64) {
	v := c.skip()
	if len(v) > 0 && len(v) <= 18 && digits(v, 0) == len(v) {
		for _, ch := range v {
			n = n*10 + int64(ch-'0')
		}
		return n
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || !(f > 0 && f < math.MaxInt64/4) {
		return 0
	}
	return int64(f)
}
