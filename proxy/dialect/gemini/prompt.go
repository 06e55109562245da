package gemini

import (
	"bytes"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

var _ dialect.Prompts = Codec{}

// speaker says whose words a content holds.
type speaker uint8

const (
	nobody speaker = iota // results of functions and nothing else
	user
	model
)

func speakerOf(word []byte) speaker {
	if string(word) == "model" || string(word) == "MODEL" {
		return model
	}
	return user
}

// turn is one content.
type turn struct {
	jsonedit.Extent
	speaker speaker
	parts   jsonedit.Extent // nowhere if it has none
	last    int             // the end of the last member's value
}

// prompt reads where in a body everything lies that is read or edited.
type prompt struct {
	jsonscan.Fields
	op dialect.Op
	found
	counted bool  // the request holds the one whose tokens are to be counted:
	inner   found // what is found in that
}

// found is what is found of one request.
type found struct {
	list, system, tools, config, temperature jsonedit.Extent
	limits                                   [2]jsonedit.Extent // under both names, in the order of the body
	at, last, configLast                     int                // where the object begins, and the end of its last member's value; the config's
	turns, toolCount                         int
	user                                     turn // the last of the user
	bytes                                    int  // of all texts, decoded
	images, json                             bool
}

// read walks over the body once.
func (r *prompt) read(body []byte) {
	r.B = body
	if r.members(); r.counted {
		r.found = r.inner
	}
}

// members walks over the request at the cursor.
func (r *prompt) members() {
	r.Peek()
	r.at = r.I
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		r.Peek()
		at := r.I
		to := r.member(k)
		if r.last = r.I; to != nil {
			*to = jsonedit.Extent{At: at, End: r.I}
		}
	}
}

// member passes the member k and returns where its place is to be noted, nil for nowhere.
func (r *prompt) member(k []byte) *jsonedit.Extent {
	if r.op == dialect.OpEmbed || r.op == dialect.OpBatchEmbed {
		if string(k) == "content" && r.op == dialect.OpEmbed || string(k) == "requests" && r.op == dialect.OpBatchEmbed {
			r.contents()
			return &r.list
		}
		r.Skip()
		return nil
	}
	switch string(k) {
	case "contents":
		r.contents()
		return &r.list
	case "systemInstruction", "system_instruction":
		r.turn()
		return &r.system
	case "tools":
		r.countTools()
		return &r.tools
	case "generationConfig", "generation_config":
		r.readConfig()
		return &r.config
	case "generateContentRequest", "generate_content_request":
		r.readCounted()
	default:
		r.Skip()
	}
	return nil
}

// readCounted reads the request whose tokens are to be counted, in place of whatever else the body says.
func (r *prompt) readCounted() {
	if r.op != dialect.OpCount || r.Peek() != '{' {
		r.Skip()
		return
	}
	inner := prompt{op: dialect.OpGenerate}
	inner.B, inner.I = r.B, r.I
	inner.members()
	r.counted, r.inner = true, inner.found
	r.Skip()
}

// each visits the elements of a list. The API takes a lone object for a list of one.
func (r *prompt) each(visit func()) {
	switch r.Peek() {
	case '{':
		visit()
	case '[':
		r.Enter('[')
		for ok := r.More(']', true); ok; ok = r.More(']', false) {
			visit()
		}
	default:
		r.Skip()
	}
}

// eachMember visits the members of an object; what is none is passed.
func (r *prompt) eachMember(visit func(k []byte)) {
	if r.Peek() != '{' {
		r.Skip()
		return
	}
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		visit(k)
	}
}

func (r *prompt) countTools() {
	r.toolCount = 0
	r.each(func() {
		r.eachMember(func(k []byte) {
			switch string(k) {
			case "functionDeclarations", "function_declarations":
				r.each(func() {
					r.Skip()
					r.toolCount++
				})
			default:
				r.Skip()
			}
		})
	})
}

func (r *prompt) readConfig() {
	r.configLast, r.limits = 0, [2]jsonedit.Extent{}
	r.eachMember(func(k []byte) {
		switch string(k) {
		case "maxOutputTokens", "max_output_tokens":
			r.limits[0] = r.limits[1]
			r.limits[1] = jsonedit.Value(&r.Cursor)
		case "temperature":
			r.temperature = jsonedit.Value(&r.Cursor)
		case "responseMimeType", "response_mime_type":
			r.json = string(r.Word()) == "application/json"
		default:
			r.Skip()
		}
		r.configLast = r.I
	})
}

// contents reads the contents, or what is to be embedded.
func (r *prompt) contents() {
	r.turns, r.user = 0, turn{}
	r.each(func() {
		t := r.element()
		if r.turns++; t.speaker == user {
			r.user = t
		}
	})
}

// element reads a content, or a request to embed one.
func (r *prompt) element() (t turn) {
	if r.op != dialect.OpBatchEmbed {
		return r.turn()
	}
	r.eachMember(func(k []byte) {
		if string(k) == "content" {
			t = r.turn()
		} else {
			r.Skip()
		}
	})
	return t
}

// turn reads a content.
func (r *prompt) turn() (t turn) {
	r.Peek()
	t.At, t.speaker = r.I, user
	results, others := false, false
	r.eachMember(func(k []byte) {
		switch string(k) {
		case "role":
			t.speaker = speakerOf(r.Word())
		case "parts":
			r.Peek()
			t.parts.At = r.I
			r.each(func() {
				if p := r.part(); p.kind == resultPart {
					results = true
				} else {
					others = true
				}
			})
			t.parts.End = r.I
		default:
			r.Skip()
		}
		t.last = r.I
	})
	if t.End = r.I; results && !others {
		t.speaker = nobody
	}
	return t
}

// part reads a part, measures its text, and looks for an image.
func (r *prompt) part() (p part) {
	p.read(&r.Fields)
	switch p.kind {
	case textPart:
		r.bytes += jsonscan.DecodedLen(p.text.Inside(r.B))
	case resultPart:
		r.result(p.value)
	case mediaPart:
		r.images = r.images || isImage(p.value.Of(r.B))
	}
	return p
}

// result measures what a function answered, and looks for images in it.
func (r *prompt) result(e jsonedit.Extent) {
	again := r.from(e)
	again.eachMember(func(k []byte) {
		switch string(k) {
		case "response":
			v := again.Skip()
			if _, only, ok := sole(v); ok && inside(only) != nil {
				r.bytes += jsonscan.DecodedLen(inside(only))
			} else {
				r.bytes += len(v)
			}
		case "parts":
			again.each(func() { again.part() })
		default:
			again.Skip()
		}
	})
	r.images = r.images || again.images
}

// isImage says that inline data, or data behind a URI, is an image.
func isImage(v []byte) bool {
	var kind, uri dialect.Written
	f := fields(v)
	if f.Peek() != '{' {
		return false
	}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "mimeType", "mime_type":
			return hasPrefix(f.Word(), "image/")
		case "fileUri", "file_uri":
			uri = inside(f.Skip())
		default:
			f.Skip()
		}
	}
	if uri != nil {
		kind = guess(uri)
	}
	return hasPrefix(kind, "image/")
}

// ReadPrompt implements dialect.Prompts. A content with nothing but results of functions is not the user's last word.
// TextBytes counts the texts of contents and instructions, and what functions answered.
func (Codec) ReadPrompt(op dialect.Op, body []byte, p *dialect.Prompt) {
	*p = dialect.Prompt{Scratch: p.Scratch[:0], Temperature: math.NaN()}
	if !asks(op) {
		return
	}
	r := prompt{op: op}
	r.read(body)
	p.Messages, p.Tools, p.TextBytes = r.turns, r.toolCount, r.bytes
	p.Images, p.JSONOutput = r.images, r.json
	for _, l := range r.limits {
		if l.IsSet(body) {
			p.MaxTokens = countOf(plainNumber(l.Of(body)))
		}
	}
	if t, err := strconv.ParseFloat(string(plainNumber(r.temperature.Of(body))), 64); err == nil {
		p.Temperature = t
	}
	if r.system.IsSet(body) || r.toolCount > 0 {
		var d xxhash.Digest
		d.Reset()
		_, _ = d.Write(r.system.Of(body))
		_, _ = d.Write(r.tools.Of(body))
		p.PrefixHash = d.Sum64()
	}
	texts := dialect.Texts{Scratch: p.Scratch}
	if r.system.IsSet(body) {
		again := r.from(r.system)
		r.gather(&texts, again.turn().parts)
	}
	p.System = texts.End()
	r.gather(&texts, r.user.parts)
	p.LastUser = texts.End()
	p.Scratch = texts.Scratch
}

// plainNumber is a number as written; the API takes it as a text, too.
func plainNumber(v []byte) []byte { return bytes.Trim(v, `"`) }

// asks says whether the operation's requests hold a prompt.
func asks(op dialect.Op) bool {
	switch op {
	case dialect.OpGenerate, dialect.OpCount, dialect.OpEmbed, dialect.OpBatchEmbed:
		return true
	}
	return false
}

// from is a reader of the value at e.
func (r *prompt) from(e jsonedit.Extent) prompt {
	again := prompt{op: r.op}
	again.B, again.I = r.B[:e.End], e.At
	return again
}

// gather adds the texts of the parts at list, if there are any.
func (r *prompt) gather(texts *dialect.Texts, list jsonedit.Extent) {
	if list.At == 0 {
		return
	}
	again := r.from(list)
	again.each(func() {
		if p := again.part(); p.kind == textPart {
			texts.Add(p.text.Inside(r.B))
		}
	})
}
