package anthropic

import (
	"strings"
	"testing"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ordinary is a request of 1.4 KB: instructions, a tool and a few turns.
var ordinary = []byte(`{"model":"claude-opus-4-6","max_tokens":1024,"temperature":0.7,"system":"You are a helpful assistant who answers in one sentence.","messages":[` +
	`{"role":"user","content":"What is the weather like in Zürich today, and should I take an umbrella with me?"},` +
	`{"role":"assistant","content":[{"type":"text","text":"Let me look that up for you."},{"type":"tool_use","id":"toolu_01A09q90qw90lq917835lq9","name":"get_weather","input":{"city":"Zürich","days":1}}]},` +
	`{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_01A09q90qw90lq917835lq9","content":"{\"temperature\": 12, \"rain\": true}"},{"type":"text","text":"` + strings.Repeat("And tell me about tomorrow, too. ", 12) + `"}]}],` +
	`"tools":[{"name":"get_weather","description":"The weather in a city","input_schema":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"}},"required":["city"]}}],` +
	`"tool_choice":{"type":"auto"},"metadata":{"user_id":"u-123"}}`)

func BenchmarkRead(b *testing.B) {
	var c dialect.Chat
	b.SetBytes(int64(len(ordinary)))
	b.ReportAllocs()
	for b.Loop() {
		_ = Codec{}.Read(dialect.OpMessages, ordinary, &c)
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	var c dialect.Chat
	_ = Codec{}.Read(dialect.OpMessages, ordinary, &c)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _, _ = Codec{}.AppendRequest(out[:0], &c, "claude-opus-4-6", true)
	}
}

var oneDelta = []byte(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" tomorrow, too"}}`)

func BenchmarkEvent(b *testing.B) {
	var st dialect.Stream
	name := []byte("content_block_delta")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Codec{}.Event(dialect.OpMessages, &st, name, oneDelta)
	}
}

func BenchmarkReadEvent(b *testing.B) {
	var st dialect.Reading
	var events []dialect.Event
	b.ReportAllocs()
	for b.Loop() {
		events, _ = Codec{}.ReadEvent(dialect.OpMessages, &st, nil, oneDelta, events[:0])
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	var st dialect.Writing
	e := text(" tomorrow, too")
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out = Codec{}.AppendEvent(out[:0], dialect.OpMessages, &st, &e)
	}
}

func BenchmarkReadReply(b *testing.B) {
	var r dialect.Reply
	b.ReportAllocs()
	for b.Loop() {
		_ = Codec{}.ReadReply(dialect.OpMessages, []byte(richWhole), &r)
	}
}
