package openai

import (
	"testing"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ordinaryResponsesRequest asks for the same as ordinaryRequest.
var ordinaryResponsesRequest = []byte(`{"model":"gpt-5-mini","instructions":"You are the assistant of a travel agency. Answer in the language of the question, in at most five sentences, and never promise a price that no tool told you. If the customer asks for something that you cannot do, say whom to call.",` +
	`"input":[{"role":"user","content":"What is the weather like in Zürich, and what should I pack for a week in the mountains nearby?"},` +
	`{"type":"function_call","id":"fc_1","call_id":"call_8f2a","name":"weather","arguments":"{\"city\":\"Zürich\",\"days\":7}","status":"completed"},` +
	`{"type":"function_call_output","call_id":"call_8f2a","output":"{\"days\":[{\"high\":21,\"low\":11,\"rain\":0.2},{\"high\":19,\"low\":9,\"rain\":0.7},{\"high\":15,\"low\":6,\"rain\":0.9}]}"},` +
	`{"role":"user","content":[{"type":"input_text","text":"And is the pass open?"}]}],` +
	`"tools":[{"type":"function","name":"weather","description":"The forecast for a city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"Name of the city"},"days":{"type":"integer","minimum":1,"maximum":14}},"required":["city"],"additionalProperties":false}}],` +
	`"temperature":0.3,"max_output_tokens":800,"stream":true,"store":false,"include":["reasoning.encrypted_content"],"safety_identifier":"customer-4711"}`)

func BenchmarkReadResponses(b *testing.B) {
	b.SetBytes(int64(len(ordinaryResponsesRequest)))
	b.ReportAllocs()
	var c dialect.Chat
	for b.Loop() {
		if err := (Codec{}).Read(dialect.OpResponses, ordinaryResponsesRequest, &c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendResponsesEvent writes a text of 200 pieces, over and over.
func BenchmarkAppendResponsesEvent(b *testing.B) {
	b.ReportAllocs()
	var st dialect.Writing
	var out []byte
	e := event(dialect.EventText, " mountains")
	for i := 0; b.Loop(); i++ {
		if i%200 == 0 {
			st.Reset()
		}
		out = Codec{}.AppendEvent(out[:0], dialect.OpResponses, &st, &e)
	}
}

func BenchmarkResponses(b *testing.B) {
	body, _ := Codec{}.AppendReply(nil, dialect.OpResponses, foreignReply())
	reply := foreignReply()
	var r dialect.Reply
	b.ReportAllocs()
	for b.Loop() {
		if err := (Codec{}).ReadReply(dialect.OpResponses, body, &r); err != nil {
			b.Fatal(err)
		}
		body, _ = Codec{}.AppendReply(body[:0], dialect.OpResponses, reply)
	}
}
