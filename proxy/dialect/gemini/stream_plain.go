package gemini

import (
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Most events of a stream add one piece of text to one answer, and repeat what is known. They are read in one pass, and
// their usage only if nothing comes after it.

// plainEvent is what such an event tells.
type plainEvent struct {
	index   int
	text    dialect.Written
	thought bool
	usage   dialect.Raw
}

// plain tells an event that says no more than a piece of text; ok is false for every other, of which nothing is told.
func (r *reading) plain(data []byte, events []dialect.Event) (out []dialect.Event, ok bool) {
	var e plainEvent
	c := jsonscan.Cursor{B: data}
	if !r.begun || !e.read(&c) || !c.End() || len(e.text) == 0 {
		return events, false
	}
	if e.usage != nil {
		r.latest = append(r.latest[:0], e.usage...)
	}
	kind := dialect.EventText
	if e.thought {
		kind = dialect.EventThinking
	}
	r.answer(e.index)
	return append(events, dialect.Event{Kind: kind, Answer: e.index, Text: e.text}), true
}

func (e *plainEvent) read(c *jsonscan.Cursor) bool {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "candidates":
			c.Enter('[')
			if !c.More(']', true) || !e.readCandidate(c) || c.More(']', false) {
				return false
			}
		case "usageMetadata":
			e.usage = c.Skip()
		case "modelVersion", "responseId", "createTime":
			c.Skip()
		default:
			return false
		}
	}
	return true
}

func (e *plainEvent) readCandidate(c *jsonscan.Cursor) bool {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "index":
			e.index = int(min(c.Count(), most))
		case "content":
			if !e.readContent(c) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (e *plainEvent) readContent(c *jsonscan.Cursor) bool {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "role":
			c.Skip()
		case "parts":
			c.Enter('[')
			if e.text != nil || !c.More(']', true) || !e.readPart(c) || c.More(']', false) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

func (e *plainEvent) readPart(c *jsonscan.Cursor) bool {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "text":
			if c.Peek() != '"' {
				return false
			}
			e.text = c.Str()
		case "thought":
			e.thought = string(c.Skip()) == "true"
		default:
			return false
		}
	}
	return true
}
