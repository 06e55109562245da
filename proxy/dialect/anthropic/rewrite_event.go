package anthropic

import (
	"github.com/wedge-proxy/wedge/internal/jsonedit"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// eventKind is a type of event that an edit has to do with.
type eventKind uint8

const (
	otherEvent eventKind = iota
	blockStart
	blockDelta
	blockStop
	messageDelta
	messageEnd
)

func eventKindOf(word []byte) eventKind {
	switch string(word) {
	case "content_block_start":
		return blockStart
	case "content_block_delta":
		return blockDelta
	case "content_block_stop":
		return blockStop
	case "message_delta":
		return messageDelta
	case "message_stop":
		return messageEnd
	}
	return otherEvent
}

// stopReasonAt is where endings has the reason itself.
const stopReasonAt = 0

// eventParts is where an event holds what an edit may change.
type eventParts struct {
	jsonscan.Fields
	kind            eventKind
	index           int64
	textual, cites  bool // the delta or the block is of text; the delta is a citation
	text, citations jsonedit.Extent
	ends            [3]jsonedit.Extent
	usage           dialect.Usage
}

// read reads the event; p.usage is what was known before. It is Bad afterwards if there is none.
func (p *eventParts) read(data, name []byte) {
	p.B, p.kind = data, eventKindOf(name)
	p.Enter('{')
	for k, ok := p.Key(true); ok; k, ok = p.Key(false) {
		switch string(k) {
		case "type":
			if p.Peek() == '"' {
				p.kind = eventKindOf(p.Word())
			} else {
				p.Skip()
			}
		case "index":
			p.index = p.Count()
		case "delta", "content_block":
			p.readDelta()
		case "message":
			p.readMessage()
		case "usage":
			readUsage(&p.Cursor, &p.usage)
		default:
			p.Skip()
		}
	}
	if !p.End() {
		p.Fail()
	}
}

// readDelta reads a block that begins, a piece of one, or the end of the message. What comes without a type counts as
// text.
func (p *eventParts) readDelta() {
	if p.Peek() != '{' {
		p.Skip()
		return
	}
	p.textual, p.cites = true, false
	p.Enter('{')
	for k, ok := p.Key(true); ok; k, ok = p.Key(false) {
		switch string(k) {
		case "type":
			word := p.Word()
			p.textual = string(word) == "text_delta" || string(word) == "text"
			p.cites = string(word) == "citations_delta"
		case "text":
			p.text = jsonedit.Value(&p.Cursor)
		case "citations":
			p.citations = jsonedit.Value(&p.Cursor)
		default:
			p.readEnd(k)
		}
	}
}

// readEnd passes the member k, and notes where it is if it tells why the message ended.
func (p *eventParts) readEnd(k []byte) {
	e := jsonedit.Value(&p.Cursor)
	for i, name := range endings {
		if string(k) == name {
			p.ends[i] = e
		}
	}
}

func (p *eventParts) readMessage() {
	if p.Peek() != '{' {
		p.Skip()
		return
	}
	p.Enter('{')
	for k, ok := p.Key(true); ok; k, ok = p.Key(false) {
		if string(k) == "usage" {
			readUsage(&p.Cursor, &p.usage)
		} else {
			p.Skip()
		}
	}
}
