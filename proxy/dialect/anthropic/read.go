package anthropic

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Read implements dialect.Translator. Which model is asked, and whether to stream, is not part of what is asked.
func (Codec) Read(op dialect.Op, body []byte, c *dialect.Chat) error {
	c.Reset()
	if op != dialect.OpMessages && op != dialect.OpCountTokens {
		return noForm("request", op)
	}
	r := reader{chat: c, lost: &c.Unknown, path: "messages.content."}
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: body}}
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		r.member(&f, k)
	}
	if r.err == nil && !f.End() {
		return fmt.Errorf("%w: the body is not one complete JSON object", dialect.ErrMalformed)
	}
	if r.err == nil {
		r.markLast()
	}
	return r.err
}

func noForm(what string, op dialect.Op) error {
	return fmt.Errorf("the operation %s has no %s of Anthropic's dialect: %w", op, what, dialect.ErrInexpressible)
}

// reader reads one request. The first error stays.
type reader struct {
	chat  *dialect.Chat
	lost  *[]string // paths that nothing stands for; nil where nobody asks
	path  string    // of blocks, with a dot at its end
	err   error
	cache dialect.Raw // cache_control of the request itself

	begun   bool // a turn of the message that is being read has begun
	callers int  // the latest turn of the assistant, from 1; 0: none
}

func (r *reader) bad(path, name, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s%s %s", dialect.ErrMalformed, path, name, want)
	}
}

// refuse is for what only Anthropic itself can do.
func (r *reader) refuse(path string, what []byte) {
	if r.err == nil {
		r.err = fmt.Errorf("%s %q is known to Anthropic's API alone; leave it out or ask for a model that Anthropic serves: %w",
			path, string(what), dialect.ErrInexpressible) // a copy: what may lie in a Fields
	}
}

// unknownMost bounds how many members are told that nothing stands for.
const unknownMost = 64

// unknown tells of a member unless its value changes nothing.
func (r *reader) unknown(path string, k []byte, v dialect.Raw) {
	if r.lost == nil || idle(v) || len(*r.lost) >= unknownMost {
		return
	}
	for _, have := range *r.lost {
		if len(have) == len(path)+len(k) && have[:len(path)] == path && have[len(path):] == string(k) {
			return
		}
	}
	*r.lost = append(*r.lost, path+string(k))
}

// idle says that a value is null or empty.
func idle(v dialect.Raw) bool {
	switch {
	case len(v) == 0 || v[0] == 'n':
		return true
	case v[0] == '"':
		return len(v) == 2
	case v[0] == '[', v[0] == '{':
		return len(bytes.TrimSpace(v[1:len(v)-1])) == 0
	}
	return false
}

// member reads the top-level member k, on whose value f stands.
func (r *reader) member(f *jsonscan.Fields, k []byte) {
	c := r.chat
	switch string(k) {
	case "model", "stream":
		f.Skip()
	case "messages":
		r.messages(f)
	case "system":
		r.system(f.Skip())
	case "tools":
		r.tools(f)
	case "tool_choice":
		r.toolChoice(f.Skip())
	case "max_tokens":
		r.maxTokens(f.Skip())
	case "temperature":
		c.Temperature = r.number("temperature", f.Skip())
	case "top_p":
		c.TopP = r.number("top_p", f.Skip())
	case "top_k":
		c.TopK = r.number("top_k", f.Skip())
	case "stop_sequences":
		r.stops(f.Skip())
	case "thinking":
		r.thinking(f.Skip())
	case "output_config":
		r.outputConfig(f.Skip())
	case "output_format": // before it became output_config.format
		r.format("output_format", f.Skip())
	case "metadata":
		r.metadata(f.Skip())
	case "cache_control":
		r.cache = given(f.Skip())
	default:
		r.rest(string(k), f.Skip())
	}
}

// rest reads the members that the model has no word for. Some only Anthropic's own tools need.
func (r *reader) rest(k string, v dialect.Raw) {
	switch {
	case idle(v), k == "service_tier" && string(v) == `"auto"`, k == "speed" && string(v) == `"standard"`:
	case k == "mcp_servers", k == "container" && v[0] == '{':
		r.refuse("the member", []byte(k))
	default:
		r.unknown("", []byte(k), v)
	}
}

// given is a value that is not null.
func given(v dialect.Raw) dialect.Raw {
	if isNull(v) {
		return nil
	}
	return v
}

func (r *reader) number(path string, v dialect.Raw) dialect.Raw {
	if v = given(v); len(v) > 0 && v[0] != '-' && v[0]-'0' > 9 {
		r.bad("", path, "must be a number")
	}
	return v
}

// text is a member that must be a string; null is none.
func (r *reader) text(path, name string, v dialect.Raw) dialect.Written {
	if v = given(v); v == nil {
		return nil
	}
	if v[0] != '"' {
		r.bad(path, name, "must be a text")
		return nil
	}
	return inside(v)
}

// maxTokens reads the bound on the answer. A bound of 0 fills the provider's prompt cache and asks for no answer.
func (r *reader) maxTokens(v dialect.Raw) {
	c := jsonscan.Cursor{B: r.number("max_tokens", v)}
	if len(c.B) == 0 {
		return
	}
	if r.chat.MaxTokens = c.Count(); r.chat.MaxTokens == 0 {
		r.refuse("max_tokens", v)
	}
}

func (r *reader) stops(v dialect.Raw) {
	r.chat.Stop = r.chat.Stop[:0]
	if v = given(v); v == nil {
		return
	}
	if v[0] != '[' {
		r.bad("", "stop_sequences", "must be a list of texts")
		return
	}
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		r.chat.Stop = append(r.chat.Stop, r.text("", "stop_sequences", c.Skip()))
	}
	r.chat.Stop = slices.DeleteFunc(r.chat.Stop, func(s dialect.Written) bool { return s == nil })
}

// markLast puts the request's own cache_control where the API would: at the end of the prompt.
func (r *reader) markLast() {
	if r.cache == nil {
		return
	}
	parts := r.chat.Parts
	if len(parts) == 0 {
		parts = r.chat.System
	}
	for i := len(parts) - 1; i >= 0; i-- {
		switch p := &parts[i]; p.Kind {
		case dialect.PartThinking, dialect.PartHidden:
		default:
			if p.Cache == nil {
				p.Cache = r.cache
			}
			return
		}
	}
}
