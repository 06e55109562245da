package gemini

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// told shows events in short.
func told(events []dialect.Event) string {
	names := [...]string{"start", "text", "refusal", "thinking", "signature", "hidden", "call", "args", "logprobs", "media", "finish", "usage", "end"}
	var b strings.Builder
	for _, e := range events {
		b.WriteString(names[e.Kind])
		for _, v := range []dialect.Written{e.ID, e.Model, e.Name, e.Media, e.Text, e.Signature, e.Raw} {
			if v != nil {
				b.WriteString(" " + string(v))
			}
		}
		if e.Kind == dialect.EventFinish {
			b.WriteString([...]string{" unsaid", " stop", " sequence", " length", " calls", " filter"}[e.Finish])
		}
		b.WriteString("|")
	}
	return b.String()
}

// heard is what events of a stream tell; "" stands for the end of the body.
func heard(t *testing.T, events ...string) string {
	t.Helper()
	var st dialect.Reading
	var out string
	for _, data := range events {
		var raw []byte
		if data != "" {
			raw = []byte(data)
		}
		list, err := Codec{}.ReadEvent(dialect.OpGenerate, &st, nil, raw, nil)
		require.NoError(t, err, data)
		out += told(list)
	}
	return out
}

func TestReadEvents(t *testing.T) {
	assert.Equal(t, "start r m|thinking hm|text a|text b|hidden s|finish stop|usage|end|", heard(t,
		`{"candidates":[{"content":{"parts":[{"text":"hm","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":9},"modelVersion":"m","responseId":"r"}`,
		`{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}],"usageMetadata":{"promptTokenCount":9},"modelVersion":"m","responseId":"r"}`,
		`{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"s"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9}}`,
		`{"candidates":[{"content":{"parts":[{"text":"late"}]}}]}`, ""))
	assert.Equal(t, `start r|call call_r_1 f|args {\"a\":\"\\n\"}|signature s|call x g|args {}|finish calls|end|`, heard(t,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\n"}},"thoughtSignature":"s"}]}}],"responseId":"r"}`,
		`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"g","id":"x"}}]}}],"responseId":"r"}`,
		`{"candidates":[{"finishReason":"STOP"}],"responseId":"r"}`))
	assert.Equal(t, "start|finish filter|usage|end|", heard(t, `{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}`))
	assert.Equal(t, "start|text a|finish unsaid|end|", heard(t, `{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, ""), "a body that ends")
	assert.Equal(t, "start|finish unsaid|end|", heard(t, ""))
	assert.Equal(t, "start|text a|text b|finish stop|finish length|end|", heard(t,
		`{"candidates":[{"index":0,"content":{"parts":[{"text":"a"}]}},{"index":1}]}`, `{"candidates":[{"index":0,"finishReason":"STOP"}]}`,
		`{"candidates":[{"index":1,"content":{"parts":[{"text":"b"}]},"finishReason":"MAX_TOKENS"}]}`))
	assert.Equal(t, `start|text a|logprobs {"content":[{"token":"a","logprob":-1,"bytes":[97],"top_logprobs":[]}],"refusal":null}|media image/png A|finish stop|end|`, heard(t,
		`{"candidates":[{"content":{"parts":[{"text":"a"}]},"logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-1}]}}]}`,
		`{"candidates":[{"content":{"parts":[{"inlineData":{"mimeType":"image/png","data":"A"}},{"codeExecutionResult":{}}]},"finishReason":"STOP"}]}`))
	for _, data := range []string{`{`, `{"candidates":[1]}`, `{"candidates":[{"content":{"parts":[{"text":1}]}}]}`} {
		_, err := Codec{}.ReadEvent(dialect.OpGenerate, new(dialect.Reading), nil, []byte(data), nil)
		assert.ErrorIs(t, err, dialect.ErrMalformed, data)
	}
	_, err := Codec{}.ReadEvent(dialect.OpEmbed, new(dialect.Reading), nil, nil, nil)
	assert.ErrorIs(t, err, dialect.ErrInexpressible)
}

// spoken is a stream as it goes out.
func spoken(st *dialect.Writing, events ...dialect.Event) string {
	var out []byte
	for i := range events {
		out = Codec{}.AppendEvent(out, dialect.OpGenerate, st, &events[i])
	}
	return string(out)
}

func TestAppendEvents(t *testing.T) {
	var st dialect.Writing
	const tail = `,"modelVersion":"m","responseId":"r"}` + "\r\n\r\n"
	part := func(p string) string {
		return `data: {"candidates":[{"content":{"parts":[` + p + `],"role":"model"},"index":0}]` + tail
	}
	end := func(reason, usage string) string {
		return `data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"` + reason + `","index":0}]` + usage + tail
	}
	start := dialect.Event{Kind: dialect.EventStart, ID: written("r"), Model: written("m")}
	usage := dialect.Event{Kind: dialect.EventUsage, Usage: dialect.Usage{Known: true, Input: 3, Output: 5}}
	args := func(call int, s string) dialect.Event {
		return dialect.Event{Kind: dialect.EventArgs, Call: call, Text: written(s)}
	}
	call := func(n int, id string) dialect.Event {
		return dialect.Event{Kind: dialect.EventCall, Call: n, ID: written(id), Name: written("f")}
	}
	finish := dialect.Event{Kind: dialect.EventFinish, Finish: dialect.FinishCalls}

	out := spoken(&st, start, dialect.Event{Kind: dialect.EventThinking, Text: written("t")},
		dialect.Event{Kind: dialect.EventSignature, Signature: written("s"), Signer: dialect.Gemini},
		dialect.Event{Kind: dialect.EventText, Text: written(`a\n`)}, dialect.Event{Kind: dialect.EventRefusal, Text: written("no")},
		dialect.Event{Kind: dialect.EventFinish, Finish: dialect.FinishLength}, usage, dialect.Event{Kind: dialect.EventEnd})
	last := end("MAX_TOKENS", `,"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":5,"totalTokenCount":8}`)
	assert.Equal(t, part(`{"text":"t","thought":true,"thoughtSignature":"s"}`)+part(`{"text":"a\n"}`)+part(`{"text":"no"}`)+last, out)
	assert.Equal(t, last, out[st.Terminal:])
	assert.True(t, st.Stream.Finished && st.Stream.Content)
	assert.EqualValues(t, 5, st.Stream.Usage.Output)

	st.Reset()
	out = spoken(&st, start, call(0, "x"), call(1, "y"), args(1, `{\"b`), args(0, `{\"a\":\n`), args(0, `1}`), args(1, `\":\"{\"}`),
		dialect.Event{Kind: dialect.EventSignature, Call: 1, Signature: written("s"), Signer: dialect.Anthropic}, finish, dialect.Event{Kind: dialect.EventEnd})
	assert.Equal(t, part(`{"functionCall":{"id":"x","name":"f","args":{"a": 1}}}`)+
		part(`{"functionCall":{"id":"y","name":"f","args":{"b":"{"}},"thoughtSignature":"YW50aHJvcGljOnM="}`)+end("STOP", ""), out, "calls that come at once")

	st.Reset()
	out = spoken(&st, start, call(0, "x"), args(0, `{}`))
	assert.Empty(t, out, "a call waits until something comes after it")
	assert.Equal(t, part(`{"functionCall":{"id":"x","name":"f","args":{}}}`), spoken(&st, call(1, "y")))
	assert.Equal(t, part(`{"text":"a"}`), spoken(&st, dialect.Event{Kind: dialect.EventText, Text: written("a")}), "the call's arguments may still come")
	assert.Equal(t, part(`{"functionCall":{"id":"y","name":"f","args":{}}}`), spoken(&st, call(2, "z"), args(2, `{\"a`), finish), "half a call is none")
	assert.Equal(t, end("MALFORMED_FUNCTION_CALL", ""), spoken(&st, dialect.Event{Kind: dialect.EventEnd}))

	st.Reset()
	out = spoken(&st, dialect.Event{Kind: dialect.EventEnd})
	assert.Equal(t, `data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}]}`+"\r\n\r\n", out)
	assert.Empty(t, Codec{}.AppendEvent(nil, dialect.OpCount, &st, &start))
}

func TestStatesForget(t *testing.T) {
	var st dialect.Writing
	events := []dialect.Event{
		{Kind: dialect.EventStart, ID: written("r")}, {Kind: dialect.EventCall, Name: written("f")}, {Kind: dialect.EventArgs, Text: written(`{`)},
		{Kind: dialect.EventUsage, Usage: dialect.Usage{Known: true}},
	}
	spoken(&st, events...)
	st.Reset()
	assert.NotContains(t, spoken(&st, dialect.Event{Kind: dialect.EventEnd}), "usageMetadata")
	var in dialect.Reading
	_, err := Codec{}.ReadEvent(dialect.OpGenerate, &in, nil, []byte(`{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1}}`), nil)
	require.NoError(t, err)
	in.Reset()
	again, err := Codec{}.ReadEvent(dialect.OpGenerate, &in, nil, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, "start|finish unsaid|end|", told(again))
	assert.False(t, bytes.Contains(st.Own.(*writing).tail, written("responseId")))
}
