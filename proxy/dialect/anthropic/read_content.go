package anthropic

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func (r *reader) messages(f *jsonscan.Fields) {
	c := r.chat
	c.Turns, c.Parts, c.Nested, r.callers = c.Turns[:0], c.Parts[:0], c.Nested[:0], 0
	if f.Peek() != '[' {
		f.Skip()
		r.bad("", "messages", "must be a list")
		return
	}
	f.Enter('[')
	for ok := f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
		r.message(f)
	}
}

func (r *reader) message(f *jsonscan.Fields) {
	role, known := dialect.User, false
	var content dialect.Raw
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "role":
			role, known = roleOf(f.Word())
		case "content":
			content = f.Skip()
		default:
			r.unknown("messages.", k, f.Skip())
		}
	}
	if !known {
		r.bad("messages.", "role", "must be user, assistant or system")
		return
	}
	if role == dialect.System && len(r.chat.Turns) == 0 {
		r.instructions("messages.content", content)
		return
	}
	r.begun = false
	if r.content(role, content); !r.begun && r.err == nil {
		r.begin(role)
	}
}

func roleOf(word []byte) (role dialect.Role, known bool) {
	switch string(word) {
	case "user":
		return dialect.User, true
	case "assistant":
		return dialect.Assistant, true
	case "system":
		return dialect.System, true
	}
	return 0, false
}

// begin begins a turn.
func (r *reader) begin(role dialect.Role) {
	c := r.chat
	c.Turns = append(c.Turns, dialect.Turn{Role: role, From: len(c.Parts), To: len(c.Parts)})
	if r.begun = true; role == dialect.Assistant {
		r.callers = len(c.Turns)
	}
}

// add adds a part to the turn of its message that has the role.
func (r *reader) add(role dialect.Role, p dialect.Part) {
	c := r.chat
	if !r.begun || c.Turns[len(c.Turns)-1].Role != role {
		r.begin(role)
	}
	c.Parts = append(c.Parts, p)
	c.Turns[len(c.Turns)-1].To = len(c.Parts)
}

// system reads the instructions of the request itself.
func (r *reader) system(v dialect.Raw) {
	r.chat.System = r.chat.System[:0]
	if !isNull(v) {
		r.instructions("system", v)
	}
}

func (r *reader) instructions(path string, v dialect.Raw) {
	if len(v) > 0 && v[0] == '"' {
		r.chat.System = append(r.chat.System, dialect.Part{Kind: dialect.PartText, Text: inside(v)})
		return
	}
	f, ok := r.list(path, v)
	for ok = ok && f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
		var b block
		if b.read(r, &f); b.kind != textBlock {
			r.refuse("the block of "+path, b.typed())
		}
		r.chat.System = append(r.chat.System, r.part(&b))
	}
}

// list enters the list that a content must be, if it is no text.
func (r *reader) list(path string, v dialect.Raw) (f jsonscan.Fields, ok bool) {
	if len(v) == 0 || v[0] != '[' {
		r.bad("", path, "must be a text or a list of blocks")
		return f, false
	}
	f.B = v
	f.Enter('[')
	return f, true
}

// content reads what a message says. Results of tools are a turn of their own.
func (r *reader) content(role dialect.Role, v dialect.Raw) {
	if len(v) > 0 && v[0] == '"' {
		r.add(role, dialect.Part{Kind: dialect.PartText, Text: inside(v)})
		return
	}
	f, ok := r.list("messages.content", v)
	for ok = ok && f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
		var b block
		b.read(r, &f)
		switch {
		case r.err != nil:
		case b.kind == resultBlock && role == dialect.User:
			r.add(dialect.Results, r.result(&b))
		case b.kind.fits(role):
			r.block(role, &b)
		default:
			r.refuse("messages.content: in this place a block of the type", b.typed())
		}
	}
}

// block adds what a block says to its turn. A hidden thought of Gemini's right behind a call is what AppendReply made
// of the call's signature.
func (r *reader) block(role dialect.Role, b *block) {
	p := r.part(b)
	if n := len(r.chat.Parts); r.begun && n > 0 && signs(&p, &r.chat.Parts[n-1]) {
		last := &r.chat.Parts[n-1]
		last.Signature, last.Signer = p.Signature, p.Signer
		return
	}
	r.add(role, p)
}

// blockKind is a type of block that the model has a word for.
type blockKind uint8

const (
	otherBlock blockKind = iota
	textBlock
	imageBlock
	documentBlock
	callBlock
	resultBlock
	thinkingBlock
	redactedBlock
)

func blockOf(word []byte) blockKind {
	switch string(word) {
	case "text":
		return textBlock
	case "image":
		return imageBlock
	case "document":
		return documentBlock
	case "tool_use":
		return callBlock
	case "tool_result":
		return resultBlock
	case "thinking":
		return thinkingBlock
	case "redacted_thinking":
		return redactedBlock
	}
	return otherBlock
}

// fits says that a block may stand in a turn of the role.
func (k blockKind) fits(role dialect.Role) bool {
	switch k {
	case textBlock:
		return true
	case imageBlock, documentBlock:
		return role != dialect.System
	case callBlock, thinkingBlock, redactedBlock:
		return role == dialect.Assistant
	}
	return false
}

// block is the members of a content block, as written.
type block struct {
	kind                      blockKind
	name                      [32]byte // of its type, for errors
	nameLen                   int
	text, signature, source   dialect.Raw
	id, tool, input, content  dialect.Raw
	title, failed, cache, ref dialect.Raw
}

// typed is the name of its type.
func (b *block) typed() []byte { return b.name[:b.nameLen] }

func (b *block) read(r *reader, f *jsonscan.Fields) {
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			word := f.Word()
			b.kind, b.nameLen = blockOf(word), copy(b.name[:], word)
		case "text", "thinking", "data":
			b.text = f.Skip()
		case "signature":
			b.signature = f.Skip()
		case "source":
			b.source = f.Skip()
		case "id":
			b.id = f.Skip()
		case "tool_use_id":
			b.ref = f.Skip()
		case "name":
			b.tool = f.Skip()
		case "input":
			b.input = f.Skip()
		case "content":
			b.content = f.Skip()
		case "title":
			b.title = f.Skip()
		case "is_error":
			b.failed = f.Skip()
		case "cache_control":
			b.cache = given(f.Skip())
		case "caller":
			if v := f.Skip(); !only(v, "type", "direct") {
				r.unknown(r.path, []byte("caller"), v)
			}
		case "citations":
			if v := f.Skip(); !only(v, "enabled", "") {
				r.unknown(r.path, []byte("citations"), v)
			}
		default:
			r.unknown(r.path, k, f.Skip())
		}
	}
	if f.Bad {
		r.bad("messages.", "content", "must be a list of blocks")
	}
}

// only says that an object has no member but one, with a text, or with false where text is empty.
func only(v dialect.Raw, name, text string) bool {
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: v}}
	f.Enter('{')
	good := true
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		good = good && string(k) == name
		if w := f.Skip(); text == "" {
			good = good && string(w) == "false"
		} else {
			good = good && string(inside(w)) == text
		}
	}
	return good && f.End()
}

// part is what a block says that is no result of a tool.
func (r *reader) part(b *block) (p dialect.Part) {
	p.Cache = b.cache
	switch b.kind {
	case textBlock:
		p.Kind, p.Text = dialect.PartText, r.must(r.path, "text", b.text)
	case imageBlock:
		p.Kind = dialect.PartImage
		r.source(&p, b.source)
	case documentBlock:
		p.Kind, p.Name = dialect.PartFile, r.text(r.path, "title", b.title)
		r.source(&p, b.source)
	case callBlock:
		p.Kind, p.ID, p.Name = dialect.PartCall, r.must(r.path, "id", b.id), r.must(r.path, "name", b.tool)
		if p.Args = given(b.input); len(p.Args) > 0 && p.Args[0] != '{' {
			r.bad(r.path, "input", "must be an object")
		}
	case thinkingBlock:
		p.Kind, p.Text = dialect.PartThinking, r.must(r.path, "thinking", b.text)
		if s := r.text(r.path, "signature", b.signature); len(s) > 0 {
			p.Signature, p.Signer = dialect.CutSignature(dialect.Anthropic, s)
		}
	case redactedBlock:
		p.Kind = dialect.PartHidden
		p.Signature, p.Signer = dialect.CutSignature(dialect.Anthropic, r.must(r.path, "data", b.text))
	default:
		r.refuse("messages.content: a block of the type", b.typed())
	}
	return p
}

// must is a text that has to be there.
func (r *reader) must(path, name string, v dialect.Raw) dialect.Written {
	t := r.text(path, name, v)
	if t == nil {
		r.bad(path, name, "must be a text")
	}
	return t
}

// result is what a tool answered.
func (r *reader) result(b *block) dialect.Part {
	c := r.chat
	p := dialect.Part{Kind: dialect.PartResult, ID: r.must(r.path, "tool_use_id", b.ref), Cache: b.cache}
	p.Name, p.Failed, p.From = r.callee(p.ID), string(b.failed) == "true", len(c.Nested)
	switch v := given(b.content); {
	case v == nil:
	case v[0] == '"':
		c.Nested = append(c.Nested, dialect.Part{Kind: dialect.PartText, Text: inside(v)})
	default:
		f, ok := r.list("messages.content.content", v)
		for ok = ok && f.More(']', true); ok && r.err == nil; ok = f.More(']', false) {
			var inner block
			inner.read(r, &f)
			if inner.kind != textBlock && inner.kind != imageBlock && inner.kind != documentBlock {
				r.refuse("messages.content: within the result of a tool a block of the type", inner.typed())
			}
			c.Nested = append(c.Nested, r.part(&inner))
		}
	}
	p.To = len(c.Nested)
	return p
}

// callsMost bounds the calls of one turn among which the one that a result answers is looked for.
const callsMost = 512

// callee is the name of the tool that the latest turn of the assistant called under an id; other dialects repeat it
// with the result.
func (r *reader) callee(id dialect.Written) dialect.Written {
	if r.callers == 0 {
		return nil
	}
	t := r.chat.Turns[r.callers-1]
	calls := r.chat.Parts[t.From:min(t.To, t.From+callsMost)]
	for i := range calls {
		if calls[i].Kind == dialect.PartCall && bytes.Equal(calls[i].ID, id) {
			return calls[i].Name
		}
	}
	return nil
}
