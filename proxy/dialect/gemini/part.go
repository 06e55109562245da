package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// partKind says what a part is to those who edit texts.
type partKind uint8

const (
	otherPart  partKind = iota // a thought, code, and what nobody knows yet
	textPart                   // a text that is no thought
	markPart                   // nothing but marks: to joined texts it is nothing
	mediaPart                  // inline data, or data behind a URI
	callPart                   // a call of a function
	resultPart                 // what a function answered
)

// part is where a part lies, and what of it an edit has to do with.
type part struct {
	jsonedit.Extent
	kind  partKind
	text  jsonedit.Extent // of a text, as a JSON string
	value jsonedit.Extent // of media and results
	bare  bool            // it has no member but its text
}

// read passes a part. What comes without data is a mark; a text that comes with data is one all the same, so that no
// form hides it.
func (p *part) read(f *jsonscan.Fields) {
	f.Peek()
	if p.At = f.I; f.Peek() != '{' {
		f.Skip()
		p.End = f.I
		return
	}
	p.kind, p.bare = markPart, true
	thought := false
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "text":
			p.text = jsonedit.Value(&f.Cursor)
			continue
		case "thought":
			f.Peek()
			thought = f.I < len(f.B) && f.B[f.I] == 't'
			f.Skip()
		case "thoughtSignature", "thought_signature", "partMetadata", "part_metadata":
			f.Skip()
		default:
			p.data(f, k)
		}
		p.bare = false
	}
	p.End = f.I
	switch {
	case thought:
		p.kind = otherPart
	case p.text.Inside(f.B) != nil:
		p.kind = textPart
	}
}

// data passes the member k, which says what the part is if it is not null.
func (p *part) data(f *jsonscan.Fields, k []byte) {
	kind := otherPart
	switch string(k) {
	case "inlineData", "inline_data", "fileData", "file_data":
		kind = mediaPart
	case "functionCall", "function_call":
		kind = callPart
	case "functionResponse", "function_response":
		kind = resultPart
	}
	if e := jsonedit.Value(&f.Cursor); e.IsSet(f.B) {
		p.kind, p.value = kind, e
	}
}
