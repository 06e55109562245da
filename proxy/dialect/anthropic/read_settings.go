package anthropic

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// source reads where an image or a document comes from.
func (r *reader) source(p *dialect.Part, v dialect.Raw) {
	kind := ""
	var word []byte
	var data, media, url, file, content dialect.Raw
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: v}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			word = f.Word()
			kind = sourceOf(word)
		case "data":
			data = f.Skip()
		case "media_type":
			media = f.Skip()
		case "url":
			url = f.Skip()
		case "file_id":
			file = f.Skip()
		case "content":
			content = f.Skip()
		default:
			r.unknown("messages.content.source.", k, f.Skip())
		}
	}
	if f.Bad {
		r.bad(r.path, "source", "must be an object")
		return
	}
	switch kind {
	case "base64":
		p.Data, p.Media = r.must(r.path, "source.data", data), r.text(r.path, "source.media_type", media)
	case "url":
		p.URL = r.must(r.path, "source.url", url)
	case "file":
		p.FileID = r.must(r.path, "source.file_id", file)
	case "text":
		p.Text = r.must(r.path, "source.data", data)
	case "content":
		p.Text = r.joined(content)
	default:
		r.refuse("messages.content.source: a source of the type", word)
	}
}

// sourceOf is the type of a source that the model has a word for, "" for any other.
func sourceOf(word []byte) string {
	for _, kind := range [...]string{"base64", "url", "file", "text", "content"} {
		if string(word) == kind {
			return kind
		}
	}
	return ""
}

// joined is the text of a document that is given in blocks, one a line.
func (r *reader) joined(v dialect.Raw) dialect.Written {
	if t := inside(v); t != nil {
		return t
	}
	c := r.chat
	from := len(c.Scratch)
	f, ok := r.list("messages.content.source.content", v)
	for ok = ok && f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
		var b block
		if b.read(r, &f); b.kind != textBlock {
			r.refuse("messages.content.source: within a document a block of the type", b.typed())
		}
		if len(c.Scratch) > from {
			c.Scratch = append(c.Scratch, `\n`...)
		}
		c.Scratch = append(c.Scratch, r.must(r.path, "source.content.text", b.text)...)
	}
	return c.Scratch[from:len(c.Scratch):len(c.Scratch)]
}

func (r *reader) tools(f *jsonscan.Fields) {
	r.chat.Tools = r.chat.Tools[:0]
	if f.Null() {
		return
	}
	if f.Peek() != '[' {
		f.Skip()
		r.bad("", "tools", "must be a list")
		return
	}
	f.Enter('[')
	for ok := f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
		r.tool(f)
	}
}

func (r *reader) tool(f *jsonscan.Fields) {
	var t dialect.Tool
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			if f.Null() {
				continue
			}
			if word := f.Word(); string(word) != "custom" {
				r.refuse("tools: a tool of the type", word)
			}
		case "name":
			t.Name = r.must("tools.", "name", f.Skip())
		case "description":
			t.Description = r.text("tools.", "description", f.Skip())
		case "input_schema":
			if t.Schema = given(f.Skip()); len(t.Schema) > 0 && t.Schema[0] != '{' {
				r.bad("tools.", "input_schema", "must be an object")
			}
		case "strict":
			t.Strict = given(f.Skip())
		case "cache_control":
			t.Cache = given(f.Skip())
		case "allowed_callers":
			if v := f.Skip(); string(v) != `["direct"]` {
				r.unknown("tools.", []byte("allowed_callers"), v)
			}
		case "eager_input_streaming", "defer_loading":
			r.unless("tools.", k, f, "false")
		default:
			r.unknown("tools.", k, f.Skip())
		}
	}
	if t.Name == nil {
		r.bad("tools.", "name", "must be a text")
	}
	r.chat.Tools = append(r.chat.Tools, t)
}

// unless tells of a member unless its value is its default.
func (r *reader) unless(path string, k []byte, f *jsonscan.Fields, value string) {
	if v := f.Skip(); string(v) != value {
		r.unknown(path, k, v)
	}
}

// object enters an object that may be null; ok is false where there is none.
func (r *reader) object(path string, v dialect.Raw) (f jsonscan.Fields, ok bool) {
	if isNull(v) {
		return f, false
	}
	f.B = v
	if f.Peek() != '{' {
		r.bad("", path, "must be an object")
		return f, false
	}
	f.Enter('{')
	return f, true
}

func (r *reader) toolChoice(v dialect.Raw) {
	c := r.chat
	c.Choice, c.ChoiceName, c.Parallel = dialect.ChoiceUnsaid, nil, nil
	f, ok := r.object("tool_choice", v)
	if !ok {
		return
	}
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			c.Choice = choiceOf(f.Word())
		case "name":
			c.ChoiceName = r.text("tool_choice.", "name", f.Skip())
		case "disable_parallel_tool_use":
			if string(f.Skip()) == "true" {
				c.Parallel = []byte("false")
			}
		default:
			r.unknown("tool_choice.", k, f.Skip())
		}
	}
	switch {
	case c.Choice == dialect.ChoiceUnsaid:
		r.bad("tool_choice.", "type", "must be auto, any, tool or none")
	case c.Choice == dialect.ChoiceNamed && c.ChoiceName == nil:
		r.bad("tool_choice.", "name", "must be the name of a tool")
	case c.Choice != dialect.ChoiceNamed:
		c.ChoiceName = nil
	}
}

func choiceOf(word []byte) dialect.Choice {
	switch string(word) {
	case "auto":
		return dialect.ChoiceAuto
	case "any":
		return dialect.ChoiceAny
	case "tool":
		return dialect.ChoiceNamed
	case "none":
		return dialect.ChoiceNone
	}
	return dialect.ChoiceUnsaid
}

// thinking reads how the model is to think. Thoughts are shown unless the client says no: which models hide them on
// their own, the node does not know.
func (r *reader) thinking(v dialect.Raw) {
	c := r.chat
	c.Thinking, c.Budget, c.ShowThinking = dialect.ThinkingUnsaid, 0, false
	f, ok := r.object("thinking", v)
	if !ok {
		return
	}
	show := true
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			c.Thinking = r.thinkingOf(f.Word())
		case "budget_tokens":
			c.Budget = f.Count()
		case "display":
			show = string(f.Word()) != "omitted"
		default:
			r.unknown("thinking.", k, f.Skip())
		}
	}
	switch {
	case c.Thinking == dialect.ThinkingUnsaid:
		r.bad("thinking.", "type", "must be enabled, adaptive, between_tools or disabled")
	case c.Thinking == dialect.ThinkingBudget && c.Budget == 0:
		r.bad("thinking.", "budget_tokens", "must be a positive number of tokens")
	case c.Thinking != dialect.ThinkingBudget:
		c.Budget = 0
	}
	c.ShowThinking = show && c.Thinking != dialect.ThinkingOff
}

func (r *reader) thinkingOf(word []byte) dialect.Thinking {
	switch string(word) {
	case "enabled":
		return dialect.ThinkingBudget
	case "adaptive":
		return dialect.ThinkingAdaptive
	case "between_tools": // off, but for reports of its progress
		r.unknown("thinking.", []byte("type"), word)
		return dialect.ThinkingOff
	case "disabled":
		return dialect.ThinkingOff
	}
	return dialect.ThinkingUnsaid
}

func (r *reader) outputConfig(v dialect.Raw) {
	f, ok := r.object("output_config", v)
	if !ok {
		return
	}
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "effort":
			r.chat.Effort = r.text("output_config.", "effort", f.Skip())
		case "format":
			r.format("output_config.format", f.Skip())
		default:
			r.unknown("output_config.", k, f.Skip())
		}
	}
}

// format reads what the answer's text must be.
func (r *reader) format(path string, v dialect.Raw) {
	f, ok := r.object(path, v)
	if !ok {
		return
	}
	schema := dialect.Raw(nil)
	known := false
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			known = string(f.Word()) == "json_schema"
		case "schema":
			schema = given(f.Skip())
		default:
			r.unknown(path+".", k, f.Skip())
		}
	}
	switch {
	case !known:
		r.unknown("", []byte(path), v)
	case schema == nil:
		r.bad(path, ".schema", "must be a JSON schema")
	default:
		r.chat.Format, r.chat.Schema = dialect.FormatSchema, schema
	}
}

func (r *reader) metadata(v dialect.Raw) {
	r.chat.User = nil
	f, ok := r.object("metadata", v)
	if !ok {
		return
	}
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if string(k) == "user_id" {
			r.chat.User = r.text("metadata.", "user_id", f.Skip())
		} else {
			r.unknown("metadata.", k, f.Skip())
		}
	}
}
