package openai

import (
	"strconv"

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
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek and Moonshot
			n.Cached = c.Count()
		case "prompt_tokens_details", "input_tokens_details", "input_token_details": // the last is Realtime's
			inputDetails(c, &n)
		case "completion_tokens_details", "output_tokens_details", "output_token_details":
			outputDetails(c, &n)
		default:
			c.Skip()
		}
	}
	// xAI counts reasoning beside the completion, not within it; its total tells.
	if n.Reasoning > 0 && total == n.Input+n.Output+n.Reasoning {
		n.Output += n.Reasoning
	}
	n.Cached = min(n.Cached, n.Input)
	n.CacheWrite = min(n.CacheWrite, n.Input-n.Cached)
	n.AudioInput, n.ImageInput = min(n.AudioInput, n.Input), min(n.ImageInput, n.Input)
	n.AudioOutput, n.ImageOutput = min(n.AudioOutput, n.Output), min(n.ImageOutput, n.Output)
	if n.Known {
		*u = n
	}
}

// inputDetails reads what the tokens of the prompt were.
func inputDetails(c *jsonscan.Cursor, n *dialect.Usage) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "cached_tokens":
			n.Cached = c.Count()
		case "cache_write_tokens":
			n.CacheWrite = c.Count()
		case "audio_tokens":
			n.AudioInput = c.Count()
		case "image_tokens":
			n.ImageInput = c.Count()
		default:
			c.Skip()
		}
	}
}

// outputDetails reads what the tokens of the answer were.
func outputDetails(c *jsonscan.Cursor, n *dialect.Usage) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "reasoning_tokens":
			n.Reasoning = c.Count()
		case "audio_tokens":
			n.AudioOutput = c.Count()
		case "image_tokens":
			n.ImageOutput = c.Count()
		default:
			c.Skip()
		}
	}
}

// appendUsage appends the usage object of chat/completions and completions. Details that only some models have are
// there where they count something.
func appendUsage(dst []byte, u *dialect.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"prompt_tokens":`...), u.Input, 10)
	dst = strconv.AppendInt(append(dst, `,"completion_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), u.Input+u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"prompt_tokens_details":{"cached_tokens":`...), u.Cached, 10)
	dst = appendCount(dst, `,"cache_write_tokens":`, u.CacheWrite)
	dst = appendCount(dst, `,"audio_tokens":`, u.AudioInput)
	dst = appendCount(dst, `,"image_tokens":`, u.ImageInput)
	dst = strconv.AppendInt(append(dst, `},"completion_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = appendCount(dst, `,"audio_tokens":`, u.AudioOutput)
	dst = appendCount(dst, `,"image_tokens":`, u.ImageOutput)
	return append(dst, "}}"...)
}

// appendCount appends a member that counts something, if it does.
func appendCount(dst []byte, name string, n int64) []byte {
	if n == 0 {
		return dst
	}
	return strconv.AppendInt(append(dst, name...), n, 10)
}
