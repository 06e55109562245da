package sim

import (
	"bytes"

	"github.com/cespare/xxhash/v2"
	"github.com/valyala/fastjson"
)

// prompt gathers what an ask is about while a dialect reads the request's messages. What is said counts and not
// how, so that the same conversation has the same hash and tokens in every dialect.
type prompt struct {
	hash   xxhash.Digest
	tokens int
	media  int // those of tokens that stand for something else than text
}

func (p *prompt) reset(op string) {
	p.hash.Reset()
	p.label(op)
}

// label adds text that sets prompts apart but costs no tokens.
func (p *prompt) label(s string) {
	_, _ = p.hash.WriteString(s)
	_, _ = p.hash.Write([]byte{0})
}

// add adds a piece of the prompt and counts it.
func (p *prompt) add(b []byte) {
	_, _ = p.hash.Write(b)
	_, _ = p.hash.Write([]byte{0})
	p.tokens += countTokens(b)
}

// call adds a tool call of an earlier turn.
func (p *prompt) call(name, args []byte) {
	p.label("call")
	p.add(name)
	p.add(args)
}

// offer adds the tools that may be called. Their schemas show in the calls themselves, and each dialect writes
// them in its own way: they only cost tokens.
func (p *prompt) offer(tools []tool) {
	for _, t := range tools {
		p.label(t.name)
		p.label(t.description)
		p.tokens += t.tokens()
	}
}

func (t *tool) tokens() int {
	n := countTokens(t.name) + countTokens(t.description)
	if t.schema != nil {
		n += countTokens(t.schema.MarshalTo(nil))
	}
	return n
}

// mediaPaths are where parts of messages hold what is no text, or its address.
var mediaPaths = [...][]string{
	{"image_url", "url"}, {"image_url"}, {"input_audio", "data"}, {"file", "file_data"}, {"file_data"},
	{"source", "data"}, {"source", "url"}, {"source", "file_id"}, {"inlineData", "data"}, {"inline_data", "data"},
	{"fileData", "fileUri"}, {"file_data", "file_uri"},
}

// attach adds a part of a message that is no text: an image, a document, a recording.
func (p *prompt) attach(part *fastjson.Value) {
	p.tokens += imageTokens
	p.media += imageTokens
	for _, path := range mediaPaths {
		data := part.GetStringBytes(path...)
		if data == nil {
			continue
		}
		if _, packed, ok := bytes.Cut(data, []byte(";base64,")); ok {
			data = packed
		}
		p.label(string(data))
		return
	}
	p.label(string(part.MarshalTo(nil)))
}
