package openai

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// typed is what one event of a responses stream tells.
type typed struct {
	name     []byte // its `type`, else the event's name
	sequence int64
	response []byte
	content  bool // it brings some of the answer
	failed   bool
}

// responsesEvent classifies one event of a responses stream. An event is First whenever it has content.
func responsesEvent(st *dialect.Stream, name, data []byte) (dialect.Kind, bool) {
	if isDone(data) {
		return dialect.Ignored, true // some servers add it behind response.completed
	}
	e, ok := readTyped(name, data)
	if !ok {
		return dialect.Delta, false
	}
	st.Sequence = max(st.Sequence, e.sequence+1)
	switch string(e.name) {
	case "response.completed", "response.incomplete":
		if len(e.response) == 0 || e.response[0] != '{' {
			return dialect.Delta, false
		}
		readResponseUsage(st, e.response)
		st.Finished = true
		return dialect.Terminal, true
	case "response.failed", "response.cancelled", "error":
		readResponseUsage(st, e.response)
		return dialect.Failed, true
	case "response.created":
		keepResponse(&st.Memo, e.response)
	}
	if e.content {
		return dialect.First, true
	}
	return dialect.Delta, true
}

func readTyped(name, data []byte) (e typed, ok bool) {
	e.name = name
	c := jsonscan.Cursor{B: data}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "type":
			e.name = c.Str()
		case "sequence_number":
			e.sequence = c.Count()
		case "response":
			e.response = c.Skip()
		case "error":
			e.failed = !isNull(c.Skip())
		case "delta", "partial_image_b64":
			e.content = len(c.Skip()) > 2 || e.content
		default:
			c.Skip()
		}
	}
	if len(e.name) == 0 && e.failed {
		e.name = []byte("error")
	}
	return e, c.End() && len(e.name) > 0
}

// readResponseUsage reads the usage of the response object that doc, known to be valid, begins with.
func readResponseUsage(st *dialect.Stream, doc []byte) {
	c := jsonscan.Cursor{B: doc}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		if string(k) == "usage" {
			readUsage(&c, &st.Usage)
		} else {
			c.Skip()
		}
	}
}

// keepResponse remembers, as members of a JSON object, what a terminal error must repeat of the response object
// doc.
func keepResponse(m *dialect.Memo, doc []byte) {
	kept := m.Bytes[:0]
	c := jsonscan.Cursor{B: doc}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		v := c.Skip()
		switch string(k) {
		case "id", "created_at", "model":
			if len(kept)+len(k)+len(v)+4 <= cap(kept) && bytes.IndexByte(v, '\n') < 0 {
				kept = append(append(append(append(kept, '"'), k...), `":`...), v...)
				kept = append(kept, ',')
			}
		}
	}
	m.Head = uint16(len(kept))
}
