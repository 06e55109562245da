package anthropic

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Event implements dialect.Answers. All of the data is validated as JSON, except for an event that equals the one
// before it in everything but the text of its delta: there only the text is. Events of a kind that nobody knows yet
// pass, as the API promises to add some.
func (Codec) Event(op dialect.Op, st *dialect.Stream, name, data []byte) (dialect.Kind, error) {
	if len(data) == 0 {
		return dialect.Ignored, nil
	}
	if op != dialect.OpMessages {
		return dialect.Delta, fmt.Errorf("%w: the operation %s has no stream", dialect.ErrMalformed, op)
	}
	if st.Memo.Same(data) && (len(name) == 0 || string(name) == "content_block_delta") {
		st.Events++
		return dialect.Delta, nil
	}
	e := event{kind: name, usage: st.Usage}
	c := jsonscan.Cursor{B: data}
	e.read(&c)
	if !c.End() || len(e.kind) == 0 {
		return dialect.Delta, fmt.Errorf("%w: an event of the %s stream is not valid", dialect.ErrMalformed, op)
	}
	st.Events++
	kind := e.apply(st)
	if kind == dialect.First {
		if e.textN > 0 {
			st.Memo.Keep(data, e.textAt, e.textN)
		}
		if st.Content {
			return dialect.Delta, nil
		}
		st.Content = true
	}
	return kind, nil
}

// event is what one event tells the relay.
type event struct {
	kind    []byte // its type, which the SSE event's name repeats
	usage   dialect.Usage
	content bool
	stopped bool // it tells why the message ended

	textAt, textN int // where the delta's text lies, within its quotes
}

func (e *event) read(c *jsonscan.Cursor) {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "type":
			if c.Peek() == '"' {
				e.kind = c.Str()
			} else {
				c.Skip()
			}
		case "message":
			e.readMessage(c)
		case "usage":
			readUsage(c, &e.usage)
		case "delta":
			e.readDelta(c)
		case "content_block":
			e.readBlock(c)
		default:
			c.Skip()
		}
	}
}

func (e *event) readMessage(c *jsonscan.Cursor) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		if string(k) == "usage" {
			readUsage(c, &e.usage)
		} else {
			c.Skip()
		}
	}
}

// readDelta reads the delta of a block, or of the message at its end.
func (e *event) readDelta(c *jsonscan.Cursor) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "text", "thinking", "partial_json":
			if c.Peek() != '"' {
				c.Skip()
				continue
			}
			at := c.I + 1
			if n := len(c.Str()); n > 0 {
				e.textAt, e.textN, e.content = at, n, true
			}
		case "stop_reason":
			e.stopped = !isNull(c.Skip())
		default:
			c.Skip()
		}
	}
}

// readBlock reads a block that begins. A text or a thought is content only with its deltas, any other block at once.
func (e *event) readBlock(c *jsonscan.Cursor) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		v := c.Skip()
		switch string(k) {
		case "type":
			e.content = e.content || string(v) != `"text"` && string(v) != `"thinking"`
		case "text", "thinking":
			e.content = e.content || len(v) > 2 && v[0] == '"'
		}
	}
}

// apply adds a valid event to the stream. An event is First whenever it has content.
func (e *event) apply(st *dialect.Stream) dialect.Kind {
	switch string(e.kind) {
	case "error":
		return dialect.Failed
	case "message_start":
		st.Usage = e.usage
	case "content_block_start", "content_block_delta":
		st.Choices |= 1
		if e.content {
			return dialect.First
		}
	case "message_delta":
		st.Usage = e.usage
		if e.stopped {
			st.Ended, st.Finished = 1, true
		}
	case "message_stop":
		st.Choices, st.Ended, st.Finished = 1, 1, true
		return dialect.Terminal
	default:
		return dialect.Delta
	}
	st.Choices |= 1
	return dialect.Delta
}
