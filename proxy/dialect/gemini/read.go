package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Read implements dialect.Translator. Which model is asked is not part of what is asked. Calls without an id are
// numbered, and their results with them: other dialects know a call by nothing else.
func (Codec) Read(op dialect.Op, body []byte, c *dialect.Chat) error {
	c.Reset()
	if op != dialect.OpGenerate && op != dialect.OpCount {
		return noForm("request", op)
	}
	r := requestReader{reader: reader{lost: &c.Unknown, scratch: &c.Scratch}, chat: c, counts: op == dialect.OpCount}
	f := fields(body)
	r.request(&f)
	if r.err == nil && !f.End() {
		r.bad("the body", "one complete JSON object")
	}
	return r.err
}

// requestReader reads one request.
type requestReader struct {
	reader
	chat   *dialect.Chat
	counts bool // the request is to count tokens, and may hold another

	begun   bool // a turn of the content that is being read has begun
	role    dialect.Role
	calls   int // so far
	callers int // the latest turn of the model that holds calls, from 1; 0: none
}

func (r *requestReader) request(f *jsonscan.Fields) {
	f.Enter('{')
	for k, ok := f.Key(true); ok && r.err == nil; k, ok = f.Key(false) {
		r.member(f, k)
	}
}

// member reads the top-level member k, on whose value f stands.
func (r *requestReader) member(f *jsonscan.Fields, k []byte) {
	switch string(k) {
	case "contents":
		r.contents(f.Skip())
	case "systemInstruction", "system_instruction":
		r.system(f.Skip())
	case "tools":
		r.tools(f.Skip())
	case "toolConfig", "tool_config":
		r.toolConfig(f.Skip())
	case "generationConfig", "generation_config":
		r.config(f.Skip())
	case "model":
		f.Skip()
	case "generateContentRequest", "generate_content_request":
		if !r.counts {
			r.unknown("", k, f.Skip())
			return
		}
		if inner := given(f.Skip()); inner != nil {
			r.counts = false
			g := fields(inner)
			r.request(&g)
			if r.err == nil && g.Bad {
				r.bad("generateContentRequest", "an object")
			}
		}
	case "cachedContent", "cached_content", "continuationToken", "continuation_token":
		if v := f.Skip(); !idle(v) {
			r.refuse("", k)
		}
	case "serviceTier", "service_tier":
		r.unless("", k, f.Skip(), `"standard"`, `"STANDARD"`, `"SERVICE_TIER_UNSPECIFIED"`, `"unspecified"`)
	case "store":
		r.unless("", k, f.Skip(), "false")
	default:
		r.unknown("", k, f.Skip())
	}
}

// system reads the instructions, which have no role, whatever they say.
func (r *requestReader) system(v dialect.Raw) {
	r.chat.System = r.chat.System[:0]
	it := r.items("systemInstruction.parts", r.parts("systemInstruction", v))
	for it.next() && r.err == nil {
		var p rawPart
		p.read(&r.reader, &it.Fields, "systemInstruction.parts.")
		switch text := r.text("", "systemInstruction.parts.text", p.text); {
		case it.Bad:
			r.bad("systemInstruction.parts", "a list of parts")
		case !p.isText():
			r.refuse("systemInstruction.parts: a part that is no text", nil)
		case len(text) > 0:
			r.chat.System = append(r.chat.System, dialect.Part{Kind: dialect.PartText, Text: text})
		}
	}
}

// parts is the list of parts of a content, and r.role who says them.
func (r *requestReader) parts(path string, v dialect.Raw) (list dialect.Raw) {
	r.role = dialect.User
	f, ok := r.object(path, v)
	for k, ok := f.Key(ok); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "parts":
			list = f.Skip()
		case "role":
			r.role = r.speaker(path, f.Word())
		default:
			r.unknown(path+".", k, f.Skip())
		}
	}
	return list
}

// speaker reads a role, in upper case, too, as Google's own examples have it. What comes without one is the user's.
func (r *requestReader) speaker(path string, word []byte) dialect.Role {
	switch string(word) {
	case "user", "USER", "", "function", "FUNCTION", "tool":
		return dialect.User
	case "model", "MODEL":
		return dialect.Assistant
	case "system":
		return dialect.System
	}
	r.bad(path+".role", "user or model")
	return dialect.User
}

func (r *requestReader) contents(v dialect.Raw) {
	c := r.chat
	c.Turns, c.Parts, c.Nested, r.callers, r.calls = c.Turns[:0], c.Parts[:0], c.Nested[:0], 0, 0
	it := r.items("contents", v)
	for it.next() && r.err == nil {
		r.content(it.Skip())
	}
}

// content reads a content. What the model says in several is one turn: SDKs keep each piece of a stream as one.
func (r *requestReader) content(v dialect.Raw) {
	list := r.parts("contents", v)
	if r.role == dialect.System && r.err == nil {
		r.bad("contents.role", "user or model; instructions stand in systemInstruction")
	}
	n := len(r.chat.Turns)
	r.begun = n > 0 && r.role == dialect.Assistant && r.chat.Turns[n-1].Role == dialect.Assistant
	it := r.items("contents.parts", list)
	for it.next() && r.err == nil {
		var p rawPart
		p.read(&r.reader, &it.Fields, "contents.parts.")
		if it.Bad {
			r.bad("contents.parts", "a list of parts")
			return
		}
		r.part(&p)
	}
	if !r.begun && r.err == nil {
		r.begin(r.role)
	}
}

// begin begins a turn.
func (r *requestReader) begin(role dialect.Role) {
	c := r.chat
	c.Turns = append(c.Turns, dialect.Turn{Role: role, From: len(c.Parts), To: len(c.Parts)})
	r.begun = true
}

// add adds a part to the turn of its content that has the role: results of tools are a turn of their own.
func (r *requestReader) add(role dialect.Role, p dialect.Part) {
	c := r.chat
	if !r.begun || c.Turns[len(c.Turns)-1].Role != role {
		r.begin(role)
	}
	switch {
	case p.Kind == dialect.PartCall:
		r.callers = len(c.Turns)
	case p.Kind == dialect.PartThinking && p.Signature != nil && p.Signer != dialect.Gemini:
		r.join(&p)
	}
	c.Parts = append(c.Parts, p)
	c.Turns[len(c.Turns)-1].To = len(c.Parts)
}

// join puts the pieces of a thought together that another dialect's signature is of: it signs the whole.
func (r *requestReader) join(p *dialect.Part) {
	c := r.chat
	from := len(c.Parts)
	for from > c.Turns[len(c.Turns)-1].From && c.Parts[from-1].Kind == dialect.PartThinking && c.Parts[from-1].Signature == nil {
		from--
	}
	if from == len(c.Parts) {
		return
	}
	last := p.Text
	p.Text = r.put(func(dst []byte) []byte {
		for i := range c.Parts[from:] {
			dst = append(dst, c.Parts[from+i].Text...)
		}
		return append(dst, last...)
	})
	c.Parts = c.Parts[:from]
}
