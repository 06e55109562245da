package openai

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// completionTokens is the bound on a completion whose request names none, as OpenAI documents it.
const completionTokens = 16

// readCompletions reads a request of completions: its prompt is what a user says.
func readCompletions(body []byte, c *dialect.Chat) error {
	r := requestReader{op: dialect.OpCompletions, c: c}
	if err := r.read(body); err != nil {
		return err
	}
	if c.MaxTokens == 0 {
		c.MaxTokens = completionTokens
	}
	return nil
}

// prompt reads a prompt: one text, or a list of just one.
func (r *requestReader) prompt(v []byte) error {
	if isArray(v) {
		c := jsonscan.Cursor{B: v}
		c.Enter('[')
		if !c.More(']', true) {
			return inexpressible("an empty list of prompts", "send one prompt")
		}
		v = c.Skip()
		if c.More(']', false) {
			return inexpressible("a list of prompts", "send each in a request of its own")
		}
	}
	if !isString(v) {
		return inexpressible("a prompt in tokens", "send it as a text")
	}
	c := r.c
	r.asked = true
	c.Parts = append(c.Parts[:0], dialect.Part{Kind: dialect.PartText, Text: inside(v)})
	c.Turns = append(c.Turns[:0], dialect.Turn{Role: dialect.User, To: 1})
	return nil
}

// completionOption reads what only completions have. What makes the answer another text is refused; best_of only makes
// it a better one.
func (r *requestReader) completionOption(k, v []byte) (understood bool, err error) {
	switch {
	case string(k) == "suffix" && !isHollow(v):
		return false, inexpressible("a suffix", "ask in the prompt for what goes between")
	case string(k) == "echo" && isTrue(v):
		return false, inexpressible("echo", "put the prompt before the completion yourself")
	case string(k) == "best_of":
		return countOf(v) == 1, nil
	}
	return true, nil
}
