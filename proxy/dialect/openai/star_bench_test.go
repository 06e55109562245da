package openai

import (
	"testing"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ordinaryRequest is a request of about 1.4 KB: a system prompt, a conversation and a tool.
var ordinaryRequest = []byte(`{"model":"gpt-5-mini","messages":[{"role":"system","content":"You are the assistant of a travel agency. Answer in the language of the question, in at most five sentences, and never promise a price that no tool told you. If the customer asks for something that you cannot do, say whom to call."},` +
	`{"role":"user","content":"What is the weather like in Zürich, and what should I pack for a week in the mountains nearby?"},` +
	`{"role":"assistant","content":null,"tool_calls":[{"id":"call_8f2a","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Zürich\",\"days\":7}"}}]},` +
	`{"role":"tool","tool_call_id":"call_8f2a","content":"{\"days\":[{\"high\":21,\"low\":11,\"rain\":0.2},{\"high\":19,\"low\":9,\"rain\":0.7},{\"high\":15,\"low\":6,\"rain\":0.9}]}"},` +
	`{"role":"user","content":[{"type":"text","text":"And is the pass open?"}]}],` +
	`"tools":[{"type":"function","function":{"name":"weather","description":"The forecast for a city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"days":{"type":"integer","minimum":1,"maximum":14}},"required":["city"],"additionalProperties":false}}}],` +
	`"temperature":0.3,"max_completion_tokens":800,"stream":true,"stream_options":{"include_usage":true},"user":"customer-4711"}`)

func BenchmarkRead(b *testing.B) {
	b.SetBytes(int64(len(ordinaryRequest)))
	b.ReportAllocs()
	var c dialect.Chat
	for b.Loop() {
		if err := (Codec{}).Read(dialect.OpChat, ordinaryRequest, &c); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	c := read(b, dialect.OpChat, string(ordinaryRequest))
	b.ReportAllocs()
	var out []byte
	for b.Loop() {
		out, _, _ = Codec{}.AppendRequest(out[:0], c, "gpt-5-mini", true)
	}
}

// ordinaryEvents are events of a text and of a call in a stream that has begun.
var ordinaryEvents = map[string][]byte{
	"text":    []byte(`{"id":"chatcmpl-9ab","object":"chat.completion.chunk","created":1760000000,"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" mountains"},"logprobs":null,"finish_reason":null}],"usage":null}`),
	"escapes": []byte(`{"id":"chatcmpl-9ab","object":"chat.completion.chunk","created":1760000000,"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":".\n\n"},"logprobs":null,"finish_reason":null}],"usage":null}`),
	"call":    []byte(`{"id":"chatcmpl-9ab","object":"chat.completion.chunk","created":1760000000,"model":"gpt-5-mini-2025-08-07","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]},"logprobs":null,"finish_reason":null}],"usage":null}`),
}

func BenchmarkReadEvent(b *testing.B) {
	for name, data := range ordinaryEvents {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var st dialect.Reading
			var events []dialect.Event
			for b.Loop() {
				events, _ = Codec{}.ReadEvent(dialect.OpChat, &st, nil, data, events[:0])
			}
		})
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	b.ReportAllocs()
	var st dialect.Writing
	out := Codec{}.AppendEvent(nil, dialect.OpChat, &st, &dialect.Event{Kind: dialect.EventStart, ID: dialect.Written("chatcmpl-1"), Model: dialect.Written("gpt-5-mini")})
	e := dialect.Event{Kind: dialect.EventText, Text: dialect.Written(" mountains")}
	for b.Loop() {
		out = Codec{}.AppendEvent(out[:0], dialect.OpChat, &st, &e)
	}
}

func BenchmarkReplies(b *testing.B) {
	body, _ := Codec{}.AppendReply(nil, dialect.OpChat, foreignReply())
	var r dialect.Reply
	b.ReportAllocs()
	for b.Loop() {
		if err := (Codec{}).ReadReply(dialect.OpChat, body, &r); err != nil {
			b.Fatal(err)
		}
		body, _ = Codec{}.AppendReply(body[:0], dialect.OpChat, foreignReply())
	}
}
