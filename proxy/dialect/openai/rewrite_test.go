package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// editor is a dialect.Editor.
type editor func(t *dialect.Text) dialect.Edit

func (e editor) EditText(t *dialect.Text) (dialect.Edit, error) { return e(t), nil }

func replace(text string) dialect.Edit { return dialect.Edit{Replace: true, Text: []byte(text)} }

var (
	keep  = editor(func(*dialect.Text) dialect.Edit { return dialect.Edit{} })
	upper = editor(func(t *dialect.Text) dialect.Edit { return replace(strings.ToUpper(string(t.Bytes))) })
)

// holding holds all text of a choice back until its end.
func holding() editor {
	held := map[int]string{}
	return func(t *dialect.Text) dialect.Edit {
		if t.First {
			held[t.Choice] = ""
		}
		if held[t.Choice] += string(t.Bytes); t.Last {
			return replace(strings.ToUpper(held[t.Choice]))
		}
		return replace("")
	}
}

// stopping stops at the n-th text, 0 being the first.
func stopping(n int, reason string) editor {
	return func(*dialect.Text) dialect.Edit {
		n--
		return dialect.Edit{Stop: n < 0, Reason: []byte(reason)}
	}
}

// recording writes down what it is shown.
func recording(log *[]string, next editor) editor {
	return func(t *dialect.Text) dialect.Edit {
		*log = append(*log, fmt.Sprintf("%d %q first=%t last=%t %s", t.Choice, t.Bytes, t.First, t.Last, t.Finish))
		return next(t)
	}
}

// rewrite edits a stream, step events at a time.
func rewrite(t require.TestingT, op dialect.Op, sse []byte, step int, e dialect.Editor) (out []byte, ended bool) {
	var st dialect.Rewriting
	for len(sse) > 0 {
		n := 0
		for range step {
			n += stream.Next(sse[n:])
		}
		require.False(t, ended)
		var err error
		out, ended, err = Rewriter{}.AppendEvents(out, sse[:n], op, &st, e)
		require.NoError(t, err)
		if sse = sse[n:]; ended {
			break
		}
	}
	return out, ended
}

func chunkOf(choices ...string) string {
	return `{"id":"c","created":1,"model":"m","choices":[` + strings.Join(choices, ",") + `],"usage":null}`
}

const added = `{"id":"c","created":1,"model":"m","choices":[`

func TestRewriteChat(t *testing.T) {
	in := sse(
		chunkOf(`{"index":0,"delta":{"role":"assistant","content":""}}`),
		chunkOf(`{"index":0,"logprobs":{"content":[1]},"delta":{"content":"a\u0062"},"finish_reason":null},{"index":1,"delta":{"refusal":"no","content":"c"}}`),
		chunkOf(`{"index":0,"delta":{"tool_calls":[{"index":0}]}}`),
		chunkOf(`{"index":1,"delta":{},"finish_reason":"length"}`),
		chunkOf(`{"index":0,"delta":{"content":"d"},"token_ids":[7],"finish_reason":"stop"}`),
		`{"id":"c","choices":[],"usage":{"prompt_tokens":1}}`, `[DONE]`)
	var log []string
	got, ended := rewrite(t, dialect.OpChat, in, 1, recording(&log, func(x *dialect.Text) dialect.Edit {
		if x.Last && len(x.Bytes) == 0 {
			return replace("\"end\"")
		}
		return upper(x)
	}))
	assert.False(t, ended)
	assert.Equal(t, []string{`0 "ab" first=true last=false `, `1 "c" first=true last=false `, `1 "" first=false last=true length`, `0 "d" first=false last=true stop`}, log)
	assert.Equal(t, string(sse(
		chunkOf(`{"index":0,"delta":{"role":"assistant","content":""}}`),
		chunkOf(`{"index":0,"logprobs":null,"delta":{"content":"AB"},"finish_reason":null},{"index":1,"delta":{"refusal":"no","content":"C"}}`),
		chunkOf(`{"index":0,"delta":{"tool_calls":[{"index":0}]}}`),
		added+`{"index":1,"delta":{"content":"\"end\""},"logprobs":null,"finish_reason":null}]}`,
		chunkOf(`{"index":1,"delta":{},"finish_reason":"length"}`),
		chunkOf(`{"index":0,"delta":{"content":"D"},"token_ids":null,"finish_reason":"stop"}`),
		`{"id":"c","choices":[],"usage":{"prompt_tokens":1}}`, `[DONE]`)), string(got))
}

func TestRewriteCompletions(t *testing.T) {
	in := sse(chunkOf(`{"index":0,"text":"a","logprobs":{}}`), chunkOf(`{"index":0,"text":"","finish_reason":"stop"}`), `[DONE]`)
	got, _ := rewrite(t, dialect.OpCompletions, in, 2, holding())
	assert.Equal(t, string(sse(chunkOf(`{"index":0,"text":"","logprobs":null}`),
		added+`{"index":0,"text":"A","logprobs":null,"finish_reason":null}]}`,
		chunkOf(`{"index":0,"text":"","finish_reason":"stop"}`), `[DONE]`)), string(got))
}

// A provider that leaves the finish reason out must not make an editor lose what it holds back.
func TestRewriteFlushesAtTheEnd(t *testing.T) {
	in := sse(chunkOf(`{"index":0,"delta":{"content":"a"}}`), `[DONE]`)
	got, _ := rewrite(t, dialect.OpChat, in, 1, holding())
	assert.Equal(t, string(sse(chunkOf(`{"index":0,"delta":{"content":""}}`),
		added+`{"index":0,"delta":{"content":"A"},"logprobs":null,"finish_reason":null}]}`, `[DONE]`)), string(got))
}

// Events that differ in nothing but their text are not taken apart again.
func TestRewriteEventsOfOneShape(t *testing.T) {
	shaped := func(texts ...string) (out []byte) {
		for _, text := range texts {
			out = append(out, sse(chunkOf(`{"index":3,"delta":{"content":`+text+`},"logprobs":null}`))...)
		}
		return out
	}
	in := shaped(`"a"`, `"bc"`, `"d\"e"`, `""`, `null`, `"f"`, `"\u0067"`, `"h"`)
	var log []string
	got, _ := rewrite(t, dialect.OpChat, in, 8, recording(&log, upper))
	assert.Equal(t, string(shaped(`"A"`, `"BC"`, `"D\"E"`, `""`, `null`, `"F"`, `"G"`, `"H"`)), string(got))
	assert.Len(t, log, 6)
	assert.Equal(t, `3 "bc" first=false last=false `, log[1])

	var s shape
	_, ok := s.match([]byte(`{"a":"b"}`))
	assert.False(t, ok)
	s.keep([]byte(`{"a":"b"}`), 3, extent{5, 8})
	d, ok := s.match([]byte(`{"a":"xyz"}`))
	assert.True(t, ok)
	assert.Equal(t, written{index: 3, text: extent{5, 10}}, d)
	for _, other := range []string{`{"a":""}`, `{"a":"x\n"}`, `{"b":"x"}`, `{"a":"x"} `, `{"a`, `{"a":"x","a":"y"}`} {
		_, ok = s.match([]byte(other))
		assert.False(t, ok, other)
	}
}

func TestRewriteKeepsFrames(t *testing.T) {
	in := ": hello\r\n\r\nid: 7\r\ndata:" + chunkOf(`{"index":0,"delta":{"content":"a"}}`) + "\r\n\r\n" +
		"data: {\"choices\":[{\"delta\":\ndata:  {\"content\":\"b\"}}]}\n\n\n" +
		"event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"c\"}}]}\n: last\n\n"
	got, _ := rewrite(t, dialect.OpChat, []byte(in), 1, keep)
	assert.Equal(t, in, string(got))
	got, _ = rewrite(t, dialect.OpChat, []byte(in), 1, upper)
	assert.Equal(t, ": hello\r\n\r\nid: 7\r\ndata:"+chunkOf(`{"index":0,"delta":{"content":"A"}}`)+"\r\n\r\n"+
		"data: {\"choices\":[{\"delta\":  {\"content\":\"B\"}}]}\n\n\n"+
		"event: x\ndata: {\"choices\":[{\"delta\":{\"content\":\"C\"}}]}\n\n", string(got))
}

func TestRewriteStopsChat(t *testing.T) {
	in := sse(
		chunkOf(`{"index":0,"delta":{"role":"assistant"}},{"index":1,"delta":{"role":"assistant"}},{"index":2,"delta":{}}`),
		chunkOf(`{"index":2,"delta":{},"finish_reason":"stop"}`),
		chunkOf(`{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":"secret"},"logprobs":{}}`),
		chunkOf(`{"index":0,"delta":{"content":"never"}}`), `[DONE]`)
	got, ended := rewrite(t, dialect.OpChat, in, 1, stopping(1, ""))
	assert.True(t, ended)
	assert.Equal(t, string(sse(
		chunkOf(`{"index":0,"delta":{"role":"assistant"}},{"index":1,"delta":{"role":"assistant"}},{"index":2,"delta":{}}`),
		chunkOf(`{"index":2,"delta":{},"finish_reason":"stop"}`),
		chunkOf(`{"index":0,"delta":{"content":"a"}},{"index":1,"delta":{"content":""},"logprobs":null}`),
		added+`{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`,
		added+`{"index":1,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`, `[DONE]`)), string(got))

	in = sse(chunkOf(`{"index":0,"text":"a","finish_reason":"length"}`), `[DONE]`)
	got, ended = rewrite(t, dialect.OpCompletions, in, 2, stopping(0, "content_filter"))
	assert.True(t, ended)
	assert.Equal(t, string(sse(chunkOf(`{"index":0,"text":"a","finish_reason":"content_filter"}`), `[DONE]`)), string(got))

	in = sse(chunkOf(`{"index":0,"text":"a"}`), `[DONE]`) // at the flush
	got, ended = rewrite(t, dialect.OpCompletions, in, 1, stopping(1, ""))
	assert.True(t, ended)
	assert.Equal(t, string(sse(chunkOf(`{"index":0,"text":"a"}`), `[DONE]`)), string(got))
}

func TestRewriteAfterTheEnd(t *testing.T) {
	var st dialect.Rewriting
	event := sse(chunkOf(`{"index":0,"delta":{"content":"a"}}`))
	_, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpChat, &st, stopping(0, ""))
	require.NoError(t, err)
	require.True(t, ended)
	got, ended, err := Rewriter{}.AppendEvents(nil, event, dialect.OpChat, &st, keep)
	require.NoError(t, err)
	assert.True(t, ended)
	assert.Empty(t, got)
	st.Reset()
	got, ended, err = Rewriter{}.AppendEvents(nil, event, dialect.OpChat, &st, keep)
	require.NoError(t, err)
	assert.False(t, ended)
	assert.Equal(t, string(event), string(got))
}

type failing struct{}

var errEditor = errors.New("no")

func (failing) EditText(*dialect.Text) (dialect.Edit, error) { return dialect.Edit{}, errEditor }

func TestRewriteFails(t *testing.T) {
	f := func(op dialect.Op, event string, e dialect.Editor, want error) {
		t.Helper()
		var st dialect.Rewriting
		good := ": good\n\n"
		got, ended, err := Rewriter{}.AppendEvents(nil, append([]byte(good), sse(event)...), op, &st, e)
		require.ErrorIs(t, err, want)
		assert.False(t, ended)
		assert.Equal(t, good, string(got))
	}
	f(dialect.OpChat, `{"choices":[`, keep, dialect.ErrMalformed)
	f(dialect.OpResponses, `{"type":"response.output_text.delta","delta":{}}`, keep, dialect.ErrMalformed)
	f(dialect.OpResponses, `{"type":"x"`, keep, dialect.ErrMalformed)
	f(dialect.OpChat, chunkOf(`{"index":0,"delta":{"content":"a"}}`), failing{}, errEditor)
	f(dialect.OpResponses, `{"type":"response.output_text.delta","delta":"a"}`, failing{}, errEditor)

	for op, body := range map[dialect.Op]string{dialect.OpChat: toolsWhole, dialect.OpCompletions: completionsWhole, dialect.OpResponses: itemsWhole} {
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte(body), op, failing{})
		require.ErrorIs(t, err, errEditor)
		assert.Equal(t, "|", string(got))
		_, err = Rewriter{}.AppendWhole(nil, []byte(body[:len(body)-1]), op, keep)
		require.ErrorIs(t, err, dialect.ErrMalformed)
	}
}

func TestRewriteLeavesOtherOperationsAlone(t *testing.T) {
	for _, op := range []dialect.Op{dialect.OpEmbeddings, dialect.OpOther} {
		got, err := Rewriter{}.AppendWhole([]byte("|"), []byte("{"), op, failing{})
		require.NoError(t, err)
		assert.Equal(t, "|{", string(got))
		got, ended, err := Rewriter{}.AppendEvents([]byte("|"), []byte("data: {"), op, new(dialect.Rewriting), failing{})
		require.NoError(t, err)
		assert.False(t, ended)
		assert.Equal(t, "|data: {", string(got))
	}
}

// answers draws whole answers of the operations that answer with text.
func answers(t *rapid.T) (dialect.Op, map[string]any) {
	switch rapid.IntRange(0, 2).Draw(t, "op") {
	case 0:
		return dialect.OpChat, chatAnswers.Draw(t, "answer")
	case 1:
		return dialect.OpCompletions, textAnswers.Draw(t, "answer")
	}
	return dialect.OpResponses, typedAnswers.Draw(t, "answer")
}

// tokenless drops what is dropped along with a changed text.
func tokenless(v any) any {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "logprobs")
		for _, e := range v {
			tokenless(e)
		}
	case []any:
		for _, e := range v {
			tokenless(e)
		}
	}
	return v
}

// To edit a stream and put it together is to put it together and edit that.
func TestStreamsAndWholesAreEditedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op, answer := answers(t)
		body, err := json.Marshal(answer)
		require.NoError(t, err)
		events := explode(t, op, body)
		step := rapid.IntRange(1, 5).Draw(t, "step")

		same, ended := rewrite(t, op, events, step, keep)
		require.False(t, ended)
		require.Equal(t, string(events), string(same))
		sameBody, err := Rewriter{}.AppendWhole(nil, body, op, keep)
		require.NoError(t, err)
		require.Equal(t, string(body), string(sameBody))

		for _, make := range []func() editor{func() editor { return upper }, holding} {
			edited, _ := rewrite(t, op, events, step, make())
			got, err := Codec{}.AppendWhole(nil, op, edited)
			require.NoError(t, err, "%s", edited)
			want, err := Rewriter{}.AppendWhole(nil, body, op, make())
			require.NoError(t, err)
			require.Equal(t, tokenless(decode(t, want, true)), tokenless(decode(t, got, true)), "%s", edited)
		}
	})
}

// Whatever a stream is stopped at, it is a good stream with a prefix of the text.
func TestStoppedStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		op, answer := answers(t)
		body, err := json.Marshal(answer)
		require.NoError(t, err)
		events := explode(t, op, body)
		reason := rapid.SampledFrom([]string{"", "length", "content_filter"}).Draw(t, "reason")
		got, ended := rewrite(t, op, events, 1, stopping(rapid.IntRange(0, 3).Draw(t, "stop"), reason))
		whole, err := Codec{}.AppendWhole(nil, op, got)
		require.NoError(t, err, "%s", got)
		_, err = Codec{}.Whole(op, whole)
		require.NoError(t, err)
		if !ended {
			require.Equal(t, string(events), string(got))
		}
		if op == dialect.OpResponses {
			requireNumbered(t, got)
		}
	})
}

// requireNumbered checks that the events of a responses stream are numbered without a gap.
func requireNumbered(t require.TestingT, sse []byte) {
	for i := 0; len(sse) > 0; i++ {
		n := stream.Next(sse)
		_, data, _ := stream.Fields(sse[:n], nil)
		require.True(t, bytes.Contains(data, fmt.Appendf(nil, `"sequence_number":%d,`, i)), "%d: %s", i, data)
		sse = sse[n:]
	}
}
