//go:build !race

package gemini

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestGoodAnswersAllocateNothing(t *testing.T) {
	whole := []byte(wholeAnswer)
	assert.Zero(t, testing.AllocsPerRun(20, func() { _, _ = Codec{}.Whole(dialect.OpGenerate, whole) }))
	var relay dialect.Stream
	assert.Zero(t, testing.AllocsPerRun(20, func() { _, _ = Codec{}.Event(dialect.OpGenerate, &relay, nil, chunk) }))
	out := make([]byte, 0, 1024)
	e := &dialect.Error{Status: 502, Code: "upstream_error", Message: "x", Param: "model"}
	assert.Zero(t, testing.AllocsPerRun(20, func() { Codec{}.AppendError(out, e, "r") }))
}

func TestTranslationAllocatesNothing(t *testing.T) {
	var c dialect.Chat
	var out []byte
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		_ = Codec{}.Read(dialect.OpGenerate, asked, &c)
		out, _, _ = Codec{}.AppendRequest(out[:0], &c, "gemini-3.8-flash", true)
	}))
	var reading dialect.Reading
	var writing dialect.Writing
	var events []dialect.Event
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		out = out[:0]
		events, _ = Codec{}.ReadEvent(dialect.OpGenerate, &reading, nil, chunk, events[:0])
		for i := range events {
			out = Codec{}.AppendEvent(out, dialect.OpGenerate, &writing, &events[i])
		}
	}))
	var r dialect.Reply
	calls := []byte(`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"text":"a"}],"role":"model"},"finishReason":"STOP"}],"responseId":"r"}`)
	assert.Zero(t, testing.AllocsPerRun(20, func() {
		_ = Codec{}.ReadReply(dialect.OpGenerate, calls, &r)
		out, _ = Codec{}.AppendReply(out[:0], dialect.OpGenerate, &r)
	}))
}
