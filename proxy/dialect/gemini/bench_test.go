package gemini

import (
	"strings"
	"testing"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// asked is a request of 1.4 KB with instructions, a tool, and a call with its result.
var asked = []byte(`{"systemInstruction":{"parts":[{"text":"` + strings.Repeat("You are an assistant of a shop. ", 12) + `"}]},"contents":[` +
	`{"role":"user","parts":[{"text":"` + strings.Repeat("Which tea is in stock? ", 12) + `"}]},` +
	`{"role":"model","parts":[{"functionCall":{"id":"c1","name":"stock","args":{"article":"tea","place":"Berlin"}},"thoughtSignature":"CiQBVKhc7v"}]},` +
	`{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"stock","response":{"result":"12 sorts"}}}]}],` +
	`"tools":[{"functionDeclarations":[{"name":"stock","description":"Looks up what is in stock","parametersJsonSchema":{"type":"object","properties":` +
	`{"article":{"type":"string"},"place":{"type":"string"}},"required":["article"]}}]}],` +
	`"generationConfig":{"maxOutputTokens":512,"temperature":0.2,"topP":0.9,"thinkingConfig":{"thinkingLevel":"LOW"}}}`)

// chunk is an ordinary event of Google's.
var chunk = []byte(`{"candidates": [{"content": {"parts": [{"text": " the quick brown fox"}],"role": "model"},"index": 0}],"usageMetadata": ` +
	`{"promptTokenCount": 241,"candidatesTokenCount": 53,"totalTokenCount": 512,"promptTokensDetails": [{"modality": "TEXT","tokenCount": 241}],"thoughtsTokenCount": 218},` +
	`"modelVersion": "gemini-3.8-flash","responseId": "q8n3aKzXHtKTvdIPmPbnqAU"}`)

func BenchmarkRead(b *testing.B) {
	var c dialect.Chat
	b.SetBytes(int64(len(asked)))
	b.ReportAllocs()
	for b.Loop() {
		_ = Codec{}.Read(dialect.OpGenerate, asked, &c)
	}
}

func BenchmarkAppendRequest(b *testing.B) {
	var c dialect.Chat
	_ = Codec{}.Read(dialect.OpGenerate, asked, &c)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		out, _, _ = Codec{}.AppendRequest(out[:0], &c, "gemini-3.8-flash", true)
	}
}

func BenchmarkEvent(b *testing.B) {
	var st dialect.Stream
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Codec{}.Event(dialect.OpGenerate, &st, nil, chunk)
	}
}

func BenchmarkReadEvent(b *testing.B) {
	var st dialect.Reading
	var events []dialect.Event
	b.ReportAllocs()
	for b.Loop() {
		events, _ = Codec{}.ReadEvent(dialect.OpGenerate, &st, nil, chunk, events[:0])
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	var st dialect.Writing
	e := dialect.Event{Kind: dialect.EventStart, ID: written("q8n3aKzXHtKTvdIPmPbnqAU"), Model: written("gemini-3.8-flash")}
	out := Codec{}.AppendEvent(nil, dialect.OpGenerate, &st, &e)
	e = dialect.Event{Kind: dialect.EventText, Text: written(" the quick brown fox")}
	b.ReportAllocs()
	for b.Loop() {
		out = Codec{}.AppendEvent(out[:0], dialect.OpGenerate, &st, &e)
	}
}

func BenchmarkReadReply(b *testing.B) {
	var r dialect.Reply
	body := []byte(wholeAnswer)
	b.ReportAllocs()
	for b.Loop() {
		_ = Codec{}.ReadReply(dialect.OpGenerate, body, &r)
	}
}
