package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// counts are the numbers of a usageMetadata, as the API tells them.
type counts struct {
	prompt, tools, cached, candidates, thoughts int64
}

// readUsage reads the usageMetadata at c, if there is one, in place of what u holds: each repeats all that is known. The
// API counts cached tokens within the prompt's, what tools added to the prompt beside them, and thoughts beside the
// candidates' tokens.
func readUsage(c *jsonscan.Cursor, u *dialect.Usage) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	var n counts
	var next dialect.Usage
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "promptTokenCount", "prompt_token_count":
			n.prompt, next.Known = c.Count(), true
		case "candidatesTokenCount", "candidates_token_count", "responseTokenCount": // the last is the Live API's
			n.candidates, next.Known = c.Count(), true
		case "thoughtsTokenCount", "thoughts_token_count":
			n.thoughts, next.Known = c.Count(), true
		case "toolUsePromptTokenCount", "tool_use_prompt_token_count":
			n.tools = c.Count()
		case "cachedContentTokenCount", "cached_content_token_count":
			n.cached = c.Count()
		case "promptTokensDetails", "prompt_tokens_details":
			readModalities(c, &next.AudioInput, &next.ImageInput)
		case "candidatesTokensDetails", "candidates_tokens_details", "responseTokensDetails":
			readModalities(c, &next.AudioOutput, &next.ImageOutput)
		default:
			c.Skip()
		}
	}
	if !next.Known {
		return
	}
	next.Input, next.Output = n.prompt+n.tools, n.candidates+n.thoughts
	next.Cached, next.Reasoning = min(n.cached, next.Input), n.thoughts
	*u = next
}

// readModalities reads how many tokens are sound and how many pictures.
func readModalities(c *jsonscan.Cursor, audio, image *int64) {
	if c.Peek() != '[' {
		c.Skip()
		return
	}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		var kind []byte
		var n int64
		c.Enter('{')
		for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
			switch string(k) {
			case "modality":
				kind = c.Skip()
			case "tokenCount", "token_count":
				n = c.Count()
			default:
				c.Skip()
			}
		}
		switch string(kind) {
		case `"AUDIO"`:
			*audio += n
		case `"IMAGE"`:
			*image += n
		}
	}
}

// appendUsage appends the usageMetadata. What was written to a cache has no word.
func appendUsage(dst []byte, u *dialect.Usage) []byte {
	dst = appendNumber(dst, `{"promptTokenCount":`, u.Input)
	dst = appendNumber(dst, `,"candidatesTokenCount":`, max(u.Output-u.Reasoning, 0))
	dst = appendNumber(dst, `,"totalTokenCount":`, u.Input+u.Output)
	if u.Cached > 0 {
		dst = appendNumber(dst, `,"cachedContentTokenCount":`, u.Cached)
	}
	if u.Reasoning > 0 {
		dst = appendNumber(dst, `,"thoughtsTokenCount":`, u.Reasoning)
	}
	dst = appendModalities(dst, `,"promptTokensDetails":[{"modality":"TEXT","tokenCount":`, u.Input, u.AudioInput, u.ImageInput)
	dst = appendModalities(dst, `,"candidatesTokensDetails":[{"modality":"TEXT","tokenCount":`, u.Output-u.Reasoning, u.AudioOutput, u.ImageOutput)
	return append(dst, '}')
}

// appendModalities appends how many tokens are what, unless all are text.
func appendModalities(dst []byte, before string, all, audio, image int64) []byte {
	if audio == 0 && image == 0 {
		return dst
	}
	dst = appendNumber(dst, before, max(all-audio-image, 0))
	if audio > 0 {
		dst = appendNumber(dst, `},{"modality":"AUDIO","tokenCount":`, audio)
	}
	if image > 0 {
		dst = appendNumber(dst, `},{"modality":"IMAGE","tokenCount":`, image)
	}
	return append(dst, "}]"...)
}
