package openai

import (
	"bytes"
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Event implements dialect.Answers. All of the data is validated as JSON, except for an event that equals the one
// before it in everything but the text of its content: there only the text is.
func (Codec) Event(op dialect.Op, st *dialect.Stream, name, data []byte) (dialect.Kind, error) {
	if len(data) == 0 {
		return dialect.Ignored, nil
	}
	kind, ok := dialect.Delta, true
	switch op {
	case dialect.OpChat, dialect.OpCompletions:
		if len(name) == 0 && st.Memo.Same(data) {
			st.Events++
			return dialect.Delta, nil
		}
		kind, ok = chunkEvent(st, name, data)
	case dialect.OpResponses:
		kind, ok = responsesEvent(st, name, data)
	default:
		ok = false
	}
	if !ok {
		return dialect.Delta, fmt.Errorf("%w: an event of the %s stream is not valid", dialect.ErrMalformed, op)
	}
	if kind == dialect.Ignored {
		return kind, nil
	}
	st.Events++
	if kind == dialect.First {
		if st.Content {
			return dialect.Delta, nil
		}
		st.Content = true
	}
	return kind, nil
}

// isDone reports whether data is the marker that ends a chat/completions stream.
func isDone(data []byte) bool { return len(data) < 16 && string(bytes.TrimSpace(data)) == "[DONE]" }

// chunk is what one event of chat/completions or completions tells.
type chunk struct {
	usage          dialect.Usage
	choices, ended uint64 // bits of the indexes
	count          int    // choices in this event
	found          bool   // there is an array of choices
	failed         bool
	content        bool
	textAt, textN  int // where the last non-empty content or text lies, within its quotes
}

// chunkEvent classifies one event of chat/completions or completions. An event is First whenever it has content.
func chunkEvent(st *dialect.Stream, name, data []byte) (dialect.Kind, bool) {
	if isDone(data) {
		st.Finished = true
		return dialect.Terminal, true
	}
	var e chunk
	c := jsonscan.Cursor{B: data}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "choices":
			e.readChoices(&c)
		case "usage":
			readUsage(&c, &e.usage)
		case "error":
			e.failed = !isNull(c.Skip()) || e.failed
		case "object":
			e.failed = string(c.Skip()) == `"error"` || e.failed
		default:
			c.Skip()
		}
	}
	e.failed = e.failed || string(name) == "error"
	if !c.End() || !e.found && !e.failed && !e.usage.Known {
		return dialect.Delta, false
	}
	return e.apply(st, data), true
}

// apply adds a valid event to the stream.
func (e *chunk) apply(st *dialect.Stream, data []byte) dialect.Kind {
	if e.failed {
		return dialect.Failed
	}
	if e.usage.Known {
		st.Usage = e.usage
		if e.count == 0 {
			return dialect.Tail
		}
	}
	st.Choices |= e.choices
	st.Ended |= e.ended
	st.Finished = st.Choices != 0 && st.Ended == st.Choices
	if !e.content {
		return dialect.Delta
	}
	if e.count == 1 && e.textN > 0 && e.ended == 0 && !e.usage.Known {
		st.Memo.Keep(data, e.textAt, e.textN)
	}
	return dialect.First
}

func (e *chunk) readChoices(c *jsonscan.Cursor) {
	if c.Peek() != '[' {
		c.Skip()
		return
	}
	e.found = true
	c.Enter('[')
	for ok := c.More(']', true); ok; ok = c.More(']', false) {
		e.count++
		e.readChoice(c)
	}
}

func (e *chunk) readChoice(c *jsonscan.Cursor) {
	var index int64
	ended := false
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "index":
			index = c.Count()
		case "delta":
			e.readDelta(c)
		case "text":
			e.readText(c)
		case "finish_reason":
			ended = !isNull(c.Skip())
		default:
			c.Skip()
		}
	}
	if index < 64 {
		e.choices |= 1 << index
		if ended {
			e.ended |= 1 << index
		}
	}
}

// readDelta looks for content: anything but the role that is not null, empty or zero.
func (e *chunk) readDelta(c *jsonscan.Cursor) {
	if c.Null() {
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "role":
			c.Skip()
		case "content":
			e.readText(c)
		default:
			v := c.Skip()
			e.content = e.content || len(v) > 2 && !isNull(v)
		}
	}
}

func (e *chunk) readText(c *jsonscan.Cursor) {
	if c.Peek() != '"' {
		v := c.Skip()
		e.content = e.content || len(v) > 2 && !isNull(v)
		return
	}
	at := c.I + 1
	if n := len(c.Str()); n > 0 {
		e.textAt, e.textN, e.content = at, n, true
	}
}
