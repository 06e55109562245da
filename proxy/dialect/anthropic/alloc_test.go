//go:build !race

package anthropic

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestSteadyStateAllocatesNothing(t *testing.T) {
	f := func(what string, run func()) {
		t.Helper()
		run()
		assert.Zero(t, testing.AllocsPerRun(50, run), what)
	}
	whole, sse := []byte(richWhole), []byte(documented)
	f("Whole", func() { _, _ = Codec{}.Whole(dialect.OpMessages, whole) })
	f("Event", func() {
		var st dialect.Stream
		eachEvent(sse, func(name, data []byte) { _, _ = Codec{}.Event(dialect.OpMessages, &st, name, data) })
	})

	var c dialect.Chat
	var out []byte
	f("Read", func() { _ = Codec{}.Read(dialect.OpMessages, ordinary, &c) })
	f("AppendRequest", func() { out, _, _ = Codec{}.AppendRequest(out[:0], &c, "claude-opus-4-6", true) })

	var reading dialect.Reading
	var writing dialect.Writing
	var events []dialect.Event
	f("a stream", func() {
		reading.Reset()
		writing.Reset()
		out = out[:0]
		eachEvent(sse, func(name, data []byte) {
			events, _ = Codec{}.ReadEvent(dialect.OpMessages, &reading, name, data, events[:0])
			for i := range events {
				out = Codec{}.AppendEvent(out, dialect.OpMessages, &writing, &events[i])
			}
		})
	})

	var r dialect.Reply
	reply := theReply()
	f("ReadReply", func() { _ = Codec{}.ReadReply(dialect.OpMessages, ordinaryWhole, &r) })
	f("AppendReply", func() { out, _ = Codec{}.AppendReply(out[:0], dialect.OpMessages, reply) })
	e := &dialect.Error{Status: 502, Code: "upstream_error", Message: "x"}
	f("AppendError", func() { out = Codec{}.AppendError(out[:0], e, "r") })
}

var ordinaryWhole = []byte(`{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"},{"type":"tool_use","id":"a","name":"b","input":{}}],` +
	`"stop_reason":"tool_use","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":2}}`)
