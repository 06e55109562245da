//go:build !race

package openai

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestResponsesAllocateNothing(t *testing.T) {
	var c dialect.Chat
	assert.Zero(t, testing.AllocsPerRun(50, func() { _ = Codec{}.Read(dialect.OpResponses, ordinaryResponsesRequest, &c) }))
	assert.Empty(t, c.Unknown)

	var r dialect.Reply
	reply := foreignReply()
	reply.Answers[0].LogProbs = nil
	out, _ := Codec{}.AppendReply(nil, dialect.OpResponses, reply)
	whole := append([]byte(nil), out...)
	assert.Zero(t, testing.AllocsPerRun(50, func() {
		_ = Codec{}.ReadReply(dialect.OpResponses, whole, &r)
		out, _ = Codec{}.AppendReply(out[:0], dialect.OpResponses, &r)
	}))

	var st dialect.Writing
	events := eventsOf(reply)
	assert.Zero(t, testing.AllocsPerRun(50, func() {
		st.Reset()
		for i := range events {
			out = Codec{}.AppendEvent(out[:0], dialect.OpResponses, &st, &events[i])
		}
	}))

	st.Reset()
	e := event(dialect.EventText, " mountains")
	assert.Zero(t, testing.AllocsPerRun(1000, func() { out = Codec{}.AppendEvent(out[:0], dialect.OpResponses, &st, &e) }))
}

// What one huge answer needed is not kept for the next one.
func TestResponsesKeepOrdinaryBuffers(t *testing.T) {
	var st dialect.Writing
	huge := dialect.Event{Kind: dialect.EventText, Text: make([]byte, 2*keptItemBytes)}
	Codec{}.AppendEvent(nil, dialect.OpResponses, &st, &huge)
	st.Reset()
	s := st.Own.(*responseWriting)
	assert.Zero(t, cap(s.items[:1][0].json))
	for i := range 2 * keptItems {
		e := dialect.Event{Kind: dialect.EventCall, Call: i}
		Codec{}.AppendEvent(nil, dialect.OpResponses, &st, &e)
	}
	st.Reset()
	assert.Zero(t, cap(s.items))
}
