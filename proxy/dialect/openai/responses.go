package openai

import (
	"bytes"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// responsesEvent classifies one event of a responses stream. Its `type` decides; where there is none, its name.
func responsesEvent(st *dialect.Stream, name, data []byte) (dialect.Kind, bool) {
	if isDone(data) {
		return dialect.Ignored, true // some servers add it behind response.completed
	}
	var response []byte
	var content, failed bool
	c := cursor{b: data}
	c.enter('{')
	for k, ok := c.key(true); ok; k, ok = c.key(false) {
		switch string(k) {
		case "type":
			name = c.str()
		case "sequence_number":
			st.Sequence = max(st.Sequence, c.count()+1)
		case "response":
			response = c.skip()
		case "error":
			failed = !isNull(c.skip())
		case "delta", "partial_image_b64":
			content = len(c.skip()) > 2 || content
		default:
			c.skip()
		}
	}
	if len(name) == 0 && failed {
		name = []byte("error")
	}
	if !c.end() || len(name) == 0 {
		return dialect.Delta, false
	}
	switch string(name) {
	case "response.completed", "response.incomplete":
		if len(response) == 0 || response[0] != '{' {
			return dialect.Delta, false
		}
		readResponse(st, response)
		st.Finished = true
		return dialect.Terminal, true
	case "response.failed", "response.cancelled", "error":
		readResponse(st, response)
		return dialect.Failed, true
	case "response.created":
		keepResponse(&st.Memo, response)
	}
	if content {
		return dialect.First, true
	}
	return dialect.Delta, true
}

// readResponse reads the usage of the response object that doc, known to be valid, begins with.
func readResponse(st *dialect.Stream, doc []byte) {
	c := cursor{b: doc}
	c.enter('{')
	for k, ok := c.key(true); ok; k, ok = c.key(false) {
		if string(k) == "usage" {
			readUsage(&c, &st.Usage)
		} else {
			c.skip()
		}
	}
}

// keepResponse remembers, as members of a JSON object, what a terminal error must repeat of the response object
// doc.
func keepResponse(m *dialect.Memo, doc []byte) {
	kept := m.Bytes[:0]
	c := cursor{b: doc}
	c.enter('{')
	for k, ok := c.key(true); ok; k, ok = c.key(false) {
		v := c.skip()
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
