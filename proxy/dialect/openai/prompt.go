package openai

import (
	"bytes"
	"math"
	"strconv"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// role is who speaks in a message.
type role uint8

const (
	nobody role = iota // an item that is no message
	system             // or developer
	user
	assistant
	tokens // a number where a text could be: the list is one prompt in tokens
)

func roleOf(word []byte) role {
	switch string(word) {
	case "system", "developer":
		return system
	case "user":
		return user
	case "assistant":
		return assistant
	}
	return nobody
}

// turn is one message, input item, prompt or input.
type turn struct {
	extent
	role role
	text extent // its content or output as a value, nowhere if it has neither
}

// request is where in a body everything lies that is read or edited.
type request struct {
	jsonscan.Fields
	op dialect.Op

	list         extent // the messages, the input or the prompt
	instructions extent
	limits       [2]extent // of output tokens, under the names in limitNames
	temperature  extent
	tools        extent
	last         int // the end of the last member's value, 0 in an empty object

	turns, systems int
	system, user   turn // the first of the system, the last of the user
	toolCount      int
	bytes          int // of all texts, decoded
	images, json   bool
}

// listNames are the members that hold what each operation asks.
var listNames = [...]string{
	dialect.OpOther: "", dialect.OpChat: "messages", dialect.OpResponses: "input", dialect.OpCompletions: "prompt", dialect.OpEmbeddings: "input",
}

// limitNames are the members that limit each operation's output. Where both are missing the first is added: models
// that reason refuse max_tokens, and of the known servers only Mistral's refuses max_completion_tokens.
var limitNames = [...][2]string{
	dialect.OpOther: {}, dialect.OpChat: {"max_completion_tokens", "max_tokens"}, dialect.OpResponses: {"max_output_tokens"},
	dialect.OpCompletions: {"max_tokens"}, dialect.OpEmbeddings: {},
}

// read walks over the body once.
func (r *request) read(op dialect.Op, body []byte) {
	r.op, r.B = op, body
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		r.Peek()
		at := r.I
		to := r.member(k)
		if r.last = r.I; to != nil {
			*to = extent{at, r.I}
		}
	}
}

// member passes the member k and returns where its place is to be noted, nil for nowhere.
func (r *request) member(k []byte) *extent {
	switch string(k) {
	case "messages", "input", "prompt":
		if string(k) == listNames[r.op] {
			r.readList()
			return &r.list
		}
	case "instructions":
		if r.op == dialect.OpResponses {
			r.readContent()
			return &r.instructions
		}
	case "max_completion_tokens", "max_tokens", "max_output_tokens":
		r.Skip()
		return r.limit(k)
	case "temperature":
		r.Skip()
		return &r.temperature
	case "tools", "functions":
		r.countTools()
		return &r.tools
	case "response_format", "text":
		if (string(k) == "text") == (r.op == dialect.OpResponses) {
			r.readFormat()
			return nil
		}
	}
	r.Skip()
	return nil
}

func (r *request) limit(k []byte) *extent {
	for i, name := range limitNames[r.op] {
		if string(k) == name {
			return &r.limits[i]
		}
	}
	return nil
}

func (r *request) countTools() {
	if r.Peek() != '[' {
		r.Skip()
		return
	}
	r.Enter('[')
	for ok := r.More(']', true); ok; ok = r.More(']', false) {
		r.Skip()
		r.toolCount++
	}
}

// readFormat reads a response_format, or a text with a format.
func (r *request) readFormat() {
	if r.Peek() != '{' {
		r.Skip()
		return
	}
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "type":
			r.json = bytes.HasPrefix(r.Word(), []byte("json"))
		case "format":
			r.readFormat()
		default:
			r.Skip()
		}
	}
}

// readList reads the messages, input items, prompts or inputs, or the one text that stands for them.
func (r *request) readList() {
	switch r.Peek() {
	case '"':
		r.note(r.readTurn())
	case '[':
		r.Enter('[')
		for ok := r.More(']', true); ok; ok = r.More(']', false) {
			r.note(r.readTurn())
		}
	default:
		r.Skip()
	}
}

func (r *request) note(t turn) {
	r.turns++
	switch t.role {
	case system:
		if r.systems++; r.systems == 1 {
			r.system = t
		}
	case user:
		r.user = t
	case tokens:
		r.turns = 1
	}
}

// turnAt reads the i-th turn again, which is known to be there.
func (r *request) turnAt(i int) (t turn) {
	if r.I = r.list.at; r.Peek() == '"' {
		return r.readTurn()
	}
	r.Enter('[')
	for k := range i + 1 {
		r.More(']', k == 0)
		t = r.readTurn()
	}
	return t
}

func (r *request) readTurn() (t turn) {
	switch ch := r.Peek(); {
	case ch == '"':
		at := r.I
		r.readContent()
		t.extent, t.role = extent{at, r.I}, user
		t.text = t.extent
		return t
	case ch != '{':
		at := r.I
		r.Skip()
		if t.extent = (extent{at, r.I}); ch != '[' && ch != 'n' {
			t.role = tokens
		}
		return t
	}
	t.at = r.I
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch {
		case string(k) == "role":
			t.role = roleOf(r.Word())
		case string(k) == "content", string(k) == "output" && r.op == dialect.OpResponses:
			r.Peek()
			at := r.I
			r.readContent()
			t.text = extent{at, r.I}
		default:
			r.Skip()
		}
	}
	t.end = r.I
	return t
}

// readContent passes a text or a list of parts, measures the texts and looks for images.
func (r *request) readContent() {
	switch r.Peek() {
	case '"':
		r.bytes += r.Measure()
	case '[':
		r.Enter('[')
		for ok := r.More(']', true); ok; ok = r.More(']', false) {
			if p := r.readPart(); p.text.at > 0 {
				r.bytes += p.bytes
			}
		}
	default:
		r.Skip()
	}
}

// part is one part of a message's content.
type part struct {
	extent
	text  extent // as a JSON string, nowhere in a part that is not text
	bytes int    // that it stands for
}

func (r *request) readPart() (p part) {
	switch r.Peek() {
	case '"':
		p.at = r.I
		p.bytes = r.Measure()
		p.end = r.I
		p.text = p.extent
		return p
	case '{':
	default:
		p.at = r.I
		r.Skip()
		p.end = r.I
		return p
	}
	other := false
	p.at = r.I
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "type":
			other = !r.readPartType()
		case "text":
			if r.Peek() != '"' {
				r.Skip()
				continue
			}
			at := r.I
			p.bytes = r.Measure()
			p.text = extent{at, r.I}
		case "image_url":
			r.images = true
			r.Skip()
		default:
			r.Skip()
		}
	}
	if p.end = r.I; other {
		p.text = extent{}
	}
	return p
}

// readPartType reports whether the type is one of text.
func (r *request) readPartType() bool {
	switch string(r.Word()) {
	case "text", "input_text", "output_text":
		return true
	case "image_url", "input_image", "image":
		r.images = true
	}
	return false
}

// ReadPrompt implements dialect.Prompts. TextBytes counts the texts of messages, items and instructions, not the
// tools.
func (Codec) ReadPrompt(op dialect.Op, body []byte, p *dialect.Prompt) {
	*p = dialect.Prompt{Scratch: p.Scratch[:0], Temperature: math.NaN()}
	var r request
	r.read(op, body)
	p.Messages, p.Tools, p.TextBytes = r.turns, r.toolCount, r.bytes
	p.Images, p.JSONOutput = r.images, r.json
	for _, l := range r.limits {
		if p.MaxTokens == 0 && l.at > 0 {
			c := jsonscan.Cursor{B: body[:l.end], I: l.at}
			p.MaxTokens = c.Count()
		}
	}
	if t, err := strconv.ParseFloat(string(body[r.temperature.at:r.temperature.end]), 64); err == nil {
		p.Temperature = t
	}
	if r.op == dialect.OpOther {
		return
	}
	p.PrefixHash = r.prefixHash()
	g := gather{scratch: p.Scratch}
	r.eachSystem(func(text extent) { r.gather(&g, text) })
	p.System = g.end()
	r.gather(&g, r.user.text)
	p.LastUser = g.end()
	p.Scratch = g.scratch
}

// eachSystem visits the system texts: the instructions first, wherever they stand.
func (r *request) eachSystem(visit func(text extent)) {
	if r.instructions.at > 0 {
		visit(r.instructions)
	}
	switch r.systems {
	case 0:
	case 1:
		visit(r.system.text)
	default:
		again := request{op: r.op}
		again.B, again.I = r.B, r.list.at
		again.Enter('[')
		for ok := again.More(']', true); ok; ok = again.More(']', false) {
			if t := again.readTurn(); t.role == system {
				visit(t.text)
			}
		}
	}
}

// prefixHash is the hash of the system texts and the tools as written.
func (r *request) prefixHash() uint64 {
	if r.systems == 0 && r.instructions.at == 0 && r.toolCount == 0 {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	r.eachSystem(func(text extent) { _, _ = d.Write(r.B[text.at:text.end]) })
	_, _ = d.Write(r.B[r.tools.at:r.tools.end])
	return d.Sum64()
}

// gather adds the texts of the content at text, if there is one.
func (r *request) gather(g *gather, text extent) {
	if text.at == 0 {
		return
	}
	again := request{op: r.op}
	again.B, again.I = r.B[:text.end], text.at
	switch again.Peek() {
	case '"':
		g.add(r.B[text.at+1 : text.end-1])
	case '[':
		again.Enter('[')
		for ok := again.More(']', true); ok; ok = again.More(']', false) {
			if p := again.readPart(); p.text.at > 0 {
				g.add(r.B[p.text.at+1 : p.text.end-1])
			}
		}
	}
}

// gather joins the pieces of a text by line feeds. One piece without escapes stays where it is.
type gather struct {
	scratch []byte
	start   int // of this text
	pieces  int
	one     []byte
}

func (g *gather) add(piece []byte) {
	if g.pieces++; g.pieces == 1 && bytes.IndexByte(piece, '\\') < 0 {
		g.one = piece
		return
	}
	if g.pieces > 1 {
		g.scratch = append(append(g.scratch, g.one...), '\n')
		g.one = nil
	}
	g.scratch = jsonscan.AppendDecoded(g.scratch, piece)
}

// end returns the text and begins the next one.
func (g *gather) end() []byte {
	text := g.one
	if text == nil && g.pieces > 0 {
		text = g.scratch[g.start:len(g.scratch):len(g.scratch)]
	}
	g.start, g.pieces, g.one = len(g.scratch), 0, nil
	return text
}
