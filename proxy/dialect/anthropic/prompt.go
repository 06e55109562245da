package anthropic

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

// asks says whether the operation's requests hold a prompt.
func asks(op dialect.Op) bool { return op == dialect.OpMessages || op == dialect.OpCountTokens }

// speaker says whose words a message holds.
type speaker uint8

const (
	tools speaker = iota // results of tools and nothing else; or nobody knows whose
	system
	user
	assistant
)

func speakerOf(word []byte) speaker {
	role, known := roleOf(word)
	switch {
	case !known:
		return tools
	case role == dialect.System:
		return system
	case role == dialect.Assistant:
		return assistant
	}
	return user
}

// turn is one message.
type turn struct {
	jsonedit.Extent
	speaker speaker
	text    jsonedit.Extent // its content, nowhere if it has none
}

// request is where in a body everything lies that is read or edited.
type request struct {
	jsonscan.Fields
	list, system, tools, limit, temperature jsonedit.Extent
	last                                    int // the end of the last member's value, 0 in an empty object

	turns, systems int
	user           turn // the last of the user
	toolCount      int
	bytes          int // of all texts, decoded
	images, json   bool
}

// read walks over the body once.
func (r *request) read(body []byte) {
	r.B = body
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
func (r *request) member(k []byte) *jsonedit.Extent {
	switch string(k) {
	case "messages":
		r.readList()
		return &r.list
	case "system":
		r.readContent()
		return &r.system
	case "tools":
		r.countTools()
		return &r.tools
	case "max_tokens":
		r.Skip()
		return &r.limit
	case "temperature":
		r.Skip()
		return &r.temperature
	case "output_config", "output_format":
		r.readFormat()
	default:
		r.Skip()
	}
	return nil
}

// enterList enters a list; what is none is passed.
func (r *request) enterList() bool {
	if r.Peek() != '[' {
		r.Skip()
		return false
	}
	r.Enter('[')
	return true
}

func (r *request) countTools() {
	r.toolCount = 0
	if !r.enterList() {
		return
	}
	for ok := r.More(']', true); ok; ok = r.More(']', false) {
		r.Skip()
		r.toolCount++
	}
}

// readFormat reads an output_config with a format, or a format.
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

func (r *request) readList() {
	r.turns, r.systems, r.user = 0, 0, turn{}
	if !r.enterList() {
		return
	}
	for ok := r.More(']', true); ok; ok = r.More(']', false) {
		t := r.readTurn()
		r.turns++
		switch t.speaker {
		case system:
			r.systems++
		case user:
			r.user = t
		}
	}
}

func (r *request) readTurn() (t turn) {
	r.Peek()
	if t.At = r.I; r.Peek() != '{' {
		r.Skip()
		t.End = r.I
		return t
	}
	results := false
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "role":
			t.speaker = speakerOf(r.Word())
		case "content":
			r.Peek()
			at := r.I
			results = r.readContent()
			t.text = jsonedit.Extent{At: at, End: r.I}
		default:
			r.Skip()
		}
	}
	if t.End = r.I; results && t.speaker == user {
		t.speaker = tools
	}
	return t
}

// eachTurn visits the messages again.
func (r *request) eachTurn(visit func(t turn)) {
	var again request
	again.B, again.I = r.B[:r.list.End], r.list.At
	if r.list.At == 0 || !again.enterList() {
		return
	}
	for ok := again.More(']', true); ok; ok = again.More(']', false) {
		visit(again.readTurn())
	}
}

// readContent passes a text or a list of blocks, measures the texts and looks for images. It reports whether all of it
// is results of tools.
func (r *request) readContent() (results bool) {
	if r.Peek() == '"' {
		r.bytes += r.Measure()
		return false
	}
	if !r.enterList() {
		return false
	}
	others := false
	for ok := r.More(']', true); ok; ok = r.More(']', false) {
		p := r.readPart()
		if p.kind == resultBlock {
			results = true
		} else {
			others = true
		}
	}
	return results && !others
}

// part is one block of a content.
type part struct {
	jsonedit.Extent
	kind blockKind
	text jsonedit.Extent // as a JSON string, nowhere in a block that is not text
}

// readPart passes a block. One without a type counts as text, so that no spelling hides a text.
func (r *request) readPart() (p part) {
	r.Peek()
	if p.At = r.I; r.Peek() != '{' {
		r.Skip()
		p.End = r.I
		return p
	}
	p.kind = textBlock
	before, text, within := r.bytes, 0, 0
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "type":
			p.kind = blockOf(r.Word())
		case "text":
			if r.Peek() != '"' {
				r.Skip()
				continue
			}
			at := r.I
			text = r.Measure()
			p.text = jsonedit.Extent{At: at, End: r.I}
		case "content": // of a result
			r.bytes = 0
			r.readContent()
			within = r.bytes
		case "source": // of a document
			r.bytes = 0
			r.readSource()
			within = r.bytes
		default:
			r.Skip()
		}
	}
	p.End, r.bytes = r.I, before
	switch p.kind {
	case textBlock:
		r.bytes += text
		return p
	case imageBlock:
		r.images = true
	case resultBlock, documentBlock:
		r.bytes += within
	}
	p.text = jsonedit.Extent{}
	return p
}

// readSource measures the texts of a document that are there in plain.
func (r *request) readSource() {
	if r.Peek() != '{' {
		r.Skip()
		return
	}
	plain, text := false, 0
	r.Enter('{')
	for k, ok := r.Key(true); ok; k, ok = r.Key(false) {
		switch string(k) {
		case "type":
			plain = string(r.Word()) == "text"
		case "data":
			if r.Peek() == '"' {
				text = r.Measure()
			} else {
				r.Skip()
			}
		case "content":
			r.readContent()
		default:
			r.Skip()
		}
	}
	if plain {
		r.bytes += text
	}
}

// ReadPrompt implements dialect.Prompts. A message of the user with nothing but results of tools is not the user's last
// word. TextBytes counts the texts of messages and instructions, of tools' results and of plain documents.
func (Codec) ReadPrompt(op dialect.Op, body []byte, p *dialect.Prompt) {
	*p = dialect.Prompt{Scratch: p.Scratch[:0], Temperature: math.NaN()}
	if !asks(op) {
		return
	}
	var r request
	r.read(body)
	p.Messages, p.Tools, p.TextBytes = r.turns, r.toolCount, r.bytes
	p.Images, p.JSONOutput = r.images, r.json
	if r.limit.At > 0 {
		c := jsonscan.Cursor{B: body[:r.limit.End], I: r.limit.At}
		p.MaxTokens = c.Count()
	}
	if r.temperature.IsSet(body) { // or the error would be allocated
		if t, err := strconv.ParseFloat(string(r.temperature.Of(body)), 64); err == nil {
			p.Temperature = t
		}
	}
	p.PrefixHash = r.prefixHash()
	texts := dialect.Texts{Scratch: p.Scratch}
	r.eachSystem(func(text jsonedit.Extent) { r.gather(&texts, text) })
	p.System = texts.End()
	r.gather(&texts, r.user.text)
	p.LastUser = texts.End()
	p.Scratch = texts.Scratch
}

// eachSystem visits the system texts: those of the request itself first, wherever they stand.
func (r *request) eachSystem(visit func(text jsonedit.Extent)) {
	if r.system.IsSet(r.B) {
		visit(r.system)
	}
	if r.systems > 0 {
		r.eachTurn(func(t turn) {
			if t.speaker == system {
				visit(t.text)
			}
		})
	}
}

// prefixHash is the hash of the system texts and the tools as written.
func (r *request) prefixHash() uint64 {
	if r.systems == 0 && !r.system.IsSet(r.B) && r.toolCount == 0 {
		return 0
	}
	var d xxhash.Digest
	d.Reset()
	r.eachSystem(func(text jsonedit.Extent) { _, _ = d.Write(text.Of(r.B)) })
	_, _ = d.Write(r.tools.Of(r.B))
	return d.Sum64()
}

// gather adds the texts of the content at text, if there is one.
func (r *request) gather(texts *dialect.Texts, text jsonedit.Extent) {
	if inside := text.Inside(r.B); inside != nil {
		texts.Add(inside)
		return
	}
	r.eachPart(text, func(p part) {
		if inside := p.text.Inside(r.B); inside != nil {
			texts.Add(inside)
		}
	})
}

// eachPart visits the blocks of the content at text, if that is a list.
func (r *request) eachPart(text jsonedit.Extent, visit func(p part)) {
	if text.At == 0 {
		return
	}
	var again request
	again.B, again.I = r.B[:text.End], text.At
	if !again.enterList() {
		return
	}
	for ok := again.More(']', true); ok; ok = again.More(']', false) {
		visit(again.readPart())
	}
}
