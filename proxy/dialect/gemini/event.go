package gemini

import (
	"fmt"
	"math/bits"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Event implements dialect.Answers. All of the data is validated as JSON. The dialect has no end marker: the event by
// which every candidate seen and wanted has its finishReason, or by which the prompt is blocked, is the terminal one.
func (Codec) Event(op dialect.Op, st *dialect.Stream, _, data []byte) (dialect.Kind, error) {
	if len(data) == 0 {
		return dialect.Ignored, nil
	}
	if op != dialect.OpGenerate {
		return dialect.Delta, fmt.Errorf("%w: the operation %s has no stream", dialect.ErrMalformed, op)
	}
	var e event
	c := jsonscan.Cursor{B: data}
	e.read(&c)
	if !c.End() || !e.found && !e.failed {
		return dialect.Delta, fmt.Errorf("%w: an event of the %s stream is not valid", dialect.ErrMalformed, op)
	}
	st.Events++
	return e.apply(st), nil
}

// event is what one event tells the relay.
type event struct {
	usage          dialect.Usage
	choices, ended uint64 // bits of the indexes
	found          bool   // it is a response, whatever it says
	failed         bool
	blocked        bool
	content        bool
}

func (e *event) read(c *jsonscan.Cursor) {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "candidates":
			e.readCandidates(c)
		case "usageMetadata", "usage_metadata":
			e.found = true
			readUsage(c, &e.usage)
		case "promptFeedback", "prompt_feedback":
			e.found = true
			e.blocked = readBlocked(c) || e.blocked
		case "error":
			e.failed = !isNull(c.Skip()) || e.failed
		case "responseId", "response_id", "modelVersion", "model_version":
			e.found = true
			c.Skip()
		default:
			c.Skip()
		}
	}
}

func (e *event) readCandidates(c *jsonscan.Cursor) {
	if c.Peek() != '[' {
		c.Skip()
		return
	}
	e.found = true
	c.Enter('[')
	for i, ok := int64(0), c.More(']', true); ok; i, ok = i+1, c.More(']', false) {
		e.readCandidate(c, i)
	}
}

// readCandidate reads the candidate that is the i-th of the event, by which it is known if it tells no index.
func (e *event) readCandidate(c *jsonscan.Cursor, i int64) {
	ended := false
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "index":
			i = c.Count()
		case "content":
			e.readContent(c)
		case "finishReason", "finish_reason":
			ended = reasoned(c.Skip(), "FINISH_REASON_UNSPECIFIED")
		default:
			c.Skip()
		}
	}
	if i < 64 {
		e.choices |= 1 << i
		if ended {
			e.ended |= 1 << i
		}
	}
}

func (e *event) readContent(c *jsonscan.Cursor) {
	if c.Peek() != '{' {
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		if string(k) != "parts" || c.Peek() != '[' {
			c.Skip()
			continue
		}
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			e.readPart(c)
		}
	}
}

// readPart looks for content: anything that is not empty but marks and signatures.
func (e *event) readPart(c *jsonscan.Cursor) {
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		v := c.Skip()
		switch string(k) {
		case "thought", "thoughtSignature", "thought_signature":
		default:
			e.content = e.content || !idle(v)
		}
	}
}

// apply adds a valid event to the stream.
func (e *event) apply(st *dialect.Stream) dialect.Kind {
	if e.failed {
		return dialect.Failed
	}
	if e.usage.Known {
		st.Usage = e.usage
	}
	st.Choices |= e.choices
	st.Ended |= e.ended
	if e.blocked && st.Choices == 0 {
		st.Choices, st.Ended = 1, 1
	}
	first := e.content && !st.Content
	st.Content = st.Content || e.content
	st.Finished = st.Choices != 0 && st.Ended == st.Choices
	switch {
	case st.Finished && bits.OnesCount64(st.Ended) >= st.Wanted:
		return dialect.Terminal
	case first:
		return dialect.First
	}
	return dialect.Delta
}
