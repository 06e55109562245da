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
	counted bool // found is of the request within, whose tokens are to be counted
	inner   int  // where that is
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

// read walks over the body, and then over the request in it whose tokens are to be counted: that is all that counts.
func (r *prompt) read(body []byte) {
	r.B = body
	if r.members(); r.inner > 0 {
		r.I, r.found, r.counted = r.inner, found{}, true
		r.members()
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
		if r.Peek() == '{' && r.op == dialect.OpCount {
			r.inner = r.I
		}
		r.Skip()
	default:
		r.Skip()
	}
	return nil
}

// walk is a walk over the elements of a list. The API takes a lone object for a list of one.
type walk struct{ lone, begun bool }

// elements begins a walk; what is no list is passed.
func (r *prompt) elements() (w walk) {
	switch r.Peek() {
	case '{':
		w.lone = true
	case '[':
		r.Enter('[')
	default:
		r.Skip()
		w.lone, w.begun = true, true
	}
	return w
}

// next steps to the next element.
func (r *prompt) next(w *walk) bool {
	first := !w.begun
	if w.begun = true; w.lone {
		return first
	}
	return r.More(']', first)
}

// object enters an object; what is none is passed.
func (r *prompt) object() bool {
	if r.Peek() != '{' {
		r.Skip()
		return false
	}
	r.Enter('{')
	return true
}

func (r *prompt) countTools() {
	r.toolCount = 0
	for l := r.elements(); r.next(&l); {
		for k, ok := r.firstKey(r.object()); ok; k, ok = r.Key(false) {
			if string(k) != "functionDeclarations" && string(k) != "function_declarations" {
				r.Skip()
				continue
			}
			for l := r.elements(); r.next(&l); {
				r.Skip()
				r.toolCount++
			}
		}
	}
}

// firstKey is Key for an object's first member, if there is an object.
func (r *prompt) firstKey(is bool) (k []byte, ok bool) {
	if !is {
		return nil, false
	}
	return r.Key(true)
}

func (r *prompt) readConfig() {
	r.configLast, r.limits = 0, [2]jsonedit.Extent{}
	for k, ok := r.firstKey(r.object()); ok; k, ok = r.Key(false) {
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
	}
}

// contents reads the contents, or what is to be embedded.
func (r *prompt) contents() {
	r.turns, r.user = 0, turn{}
	for l := r.elements(); r.next(&l); {
		t := r.element()
		if r.turns++; t.speaker == user {
			r.user = t
		}
	}
}

// element reads a content, or a request to embed one.
func (r *prompt) element() (t turn) {
	if r.op != dialect.OpBatchEmbed {
		return r.turn()
	}
	for k, ok := r.firstKey(r.object()); ok; k, ok = r.Key(false) {
		if string(k) == "content" {
			t = r.turn()
		} else {
			r.Skip()
		}
	}
	return t
}

// turn reads a content.
func (r *prompt) turn() (t turn) {
	r.Peek()
	t.At, t.speaker = r.I, user
	results := false
	for k, ok := r.firstKey(r.object()); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "role":
			t.speaker = speakerOf(r.Word())
		case "parts":
			r.Peek()
			t.parts.At = r.I
			results = r.readParts()
			t.parts.End = r.I
		default:
			r.Skip()
		}
		t.last = r.I
	}
	if t.End = r.I; results {
		t.speaker = nobody
	}
	return t
}

// readParts reads the parts of a content, and reports whether all of them are results of functions.
func (r *prompt) readParts() bool {
	results, others := false, false
	for l := r.elements(); r.next(&l); {
		if p := r.part(); p.kind == resultPart {
			results = true
		} else {
			others = true
		}
	}
	return results && !others
}

// part reads a part, measures its text, and looks for an image.
func (r *prompt) part() (p part) {
	p.read(&r.Fields)
	switch p.kind {
	case textPart:
		r.bytes += jsonscan.DecodedLen(p.text.Inside(r.B))
	case resultPart:
		again := r.from(p.value)
		again.readResult()
		r.bytes, r.images = r.bytes+again.bytes, r.images || again.images
	case mediaPart:
		r.images = r.images || isImage(p.value.Of(r.B))
	}
	return p
}

// readResult measures what a function answered, and looks for images in it.
func (r *prompt) readResult() {
	for k, ok := r.firstKey(r.object()); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "response":
			v := r.Skip()
			if _, only, ok := sole(v); ok && inside(only) != nil {
				r.bytes += jsonscan.DecodedLen(inside(only))
			} else {
				r.bytes += len(v)
			}
		case "parts":
			r.readParts()
		default:
			r.Skip()
		}
	}
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
	if r.temperature.IsSet(body) { // or the error would be allocated
		if t, err := strconv.ParseFloat(string(plainNumber(r.temperature.Of(body))), 64); err == nil {
			p.Temperature = t
		}
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
	for l := again.elements(); again.next(&l); {
		if p := again.part(); p.kind == textPart {
			texts.Add(p.text.Inside(r.B))
		}
	}
}
