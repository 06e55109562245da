//go:build !race

package openai

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestTranslationAllocatesNothing(t *testing.T) {
	var c dialect.Chat
	var out []byte
	everything := []byte(`{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image\/png;base64,AA=="}},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"filename":"f","file_data":"data:application/pdf;base64,AA=="}}]},
	 {"role":"assistant","reasoning_content":"r","function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"x"}],"stop":["a"],"tool_choice":{"type":"function","function":{"name":"f"}},"tools":[{"type":"function","function":{"name":"f"}}],
	 "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}},"thinking":{"type":"enabled"},"metadata":{"user_id":"u"},"modalities":["text"]}`)
	for _, body := range [][]byte{ordinaryRequest, everything} {
		assert.Zero(t, testing.AllocsPerRun(50, func() {
			_ = Codec{}.Read(dialect.OpChat, body, &c)
			out, _, _ = Codec{}.AppendRequest(out[:0], &c, "gpt-5-mini", true)
		}))
		assert.Empty(t, c.Unknown)
		assert.NotEmpty(t, out)
	}
	var r dialect.Reply
	whole, _ := Codec{}.AppendReply(nil, dialect.OpChat, foreignReply())
	assert.Zero(t, testing.AllocsPerRun(50, func() {
		_ = Codec{}.ReadReply(dialect.OpChat, whole, &r)
		out, _ = Codec{}.AppendReply(out[:0], dialect.OpChat, &r)
	}))
}

func TestStreamsAllocateNothing(t *testing.T) {
	var reading dialect.Reading
	var writing dialect.Writing
	var events []dialect.Event
	var out []byte
	relay := func(data []byte) {
		events, _ = Codec{}.ReadEvent(dialect.OpChat, &reading, nil, data, events[:0])
		for i := range events {
			out = Codec{}.AppendEvent(out[:0], dialect.OpChat, &writing, &events[i])
		}
	}
	done := []byte("[DONE]")
	stream := func() {
		reading.Reset()
		writing.Reset()
		for _, data := range ordinaryEvents {
			relay(data)
			relay(data)
		}
		relay(done)
	}
	stream()
	assert.Zero(t, testing.AllocsPerRun(50, stream))
}
