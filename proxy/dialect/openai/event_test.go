package openai

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// step is one event of a stream and the kind it must have.
type step struct {
	name, data string
	want       dialect.Kind
}

func classify(t *testing.T, op dialect.Op, steps []step) (st dialect.Stream) {
	t.Helper()
	for _, s := range steps {
		kind, err := Codec{}.Event(op, &st, []byte(s.name), []byte(s.data))
		require.NoError(t, err, "%s", s.data)
		assert.Equal(t, s.want, kind, "%s", s.data)
	}
	return st
}

func delta(text string) string {
	return `{"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"` + text + `"},"logprobs":null,"finish_reason":null}],"usage":null}`
}

func TestChatEvents(t *testing.T) {
	st := classify(t, dialect.OpChat, []step{
		{"", ``, dialect.Ignored},
		{"", `{"choices":[],"prompt_filter_results":[]}`, dialect.Delta},
		{"", `{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null}},{"index":1,"delta":{"role":"assistant"}}]}`, dialect.Delta},
		{"", delta("a"), dialect.First},
		{"", delta("b"), dialect.Delta},
		{"", delta(`\n`), dialect.Delta},
		{"", delta(""), dialect.Delta},
		{"", `{"choices":[{"index":1,"delta":{"tool_calls":[{"index":0}]},"finish_reason":null}]}`, dialect.Delta},
		{"", `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, dialect.Delta},
	})
	assert.False(t, st.Finished, "choice 1 has not ended")
	assert.Equal(t, uint64(3), st.Choices)
	assert.Equal(t, uint64(1), st.Ended)
	for _, s := range []step{
		{"", `{"choices":[{"index":1,"delta":{},"finish_reason":"length"}]}`, dialect.Delta},
		{"", `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`, dialect.Tail},
		{"", `[DONE]`, dialect.Terminal},
	} {
		kind, err := Codec{}.Event(dialect.OpChat, &st, nil, []byte(s.data))
		require.NoError(t, err)
		assert.Equal(t, s.want, kind)
		assert.True(t, st.Finished, s.data)
	}
	assert.Equal(t, dialect.Usage{Input: 3, Output: 2, Known: true}, st.Usage)
	assert.Equal(t, 11, st.Events)
}

func TestFirst(t *testing.T) {
	for data, want := range map[string]dialect.Kind{
		`{"choices":[{"delta":{"role":"assistant"}}]}`:                        dialect.Delta,
		`{"choices":[{"delta":{"content":null,"tool_calls":[],"x":{}}}]}`:     dialect.Delta,
		`{"choices":[{"delta":null,"finish_reason":"stop"}]}`:                 dialect.Delta,
		`{"choices":[{"delta":{"content":"x"}}]}`:                             dialect.First,
		`{"choices":[{"delta":{"content":[{"type":"text"}]}}]}`:               dialect.First,
		`{"choices":[{"delta":{"reasoning_content":"x"}}]}`:                   dialect.First,
		`{"choices":[{"delta":{"refusal":"x"}}]}`:                             dialect.First,
		`{"choices":[{"delta":{"tool_calls":[{"index":0}]}}]}`:                dialect.First,
		`{"choices":[{"delta":{"audio":{"data":"x"}}}]}`:                      dialect.First,
		`{"choices":[{"text":"x","index":0}]}`:                                dialect.First,
		`{"choices":[{"text":"","index":0}]}`:                                 dialect.Delta,
		`{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}`: dialect.First,
	} {
		st := classify(t, dialect.OpChat, []step{{"", data, want}})
		assert.Equal(t, want == dialect.First, st.Content, data)
	}
}

func TestUsageInOrdinaryChunks(t *testing.T) {
	st := classify(t, dialect.OpChat, []step{
		{"", `{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`, dialect.First},
		{"", `{"choices":[{"delta":{"content":"y"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`, dialect.Delta},
	})
	assert.Equal(t, dialect.Usage{Input: 1, Output: 2, Known: true}, st.Usage, "the last one wins")
}

func TestResponsesEvents(t *testing.T) {
	st := classify(t, dialect.OpResponses, []step{
		{"response.created", `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","created_at":5,"model":"m","output":[]}}`, dialect.Delta},
		{"response.output_item.added", `{"type":"response.output_item.added","sequence_number":1,"item":{}}`, dialect.Delta},
		{"", `{"type":"response.output_text.delta","delta":"","sequence_number":2}`, dialect.Delta},
		{"", `{"type":"response.output_text.delta","delta":"x","sequence_number":3}`, dialect.First},
		{"response.function_call_arguments.delta", `{"delta":"y","sequence_number":4}`, dialect.Delta},
		{"", `{"response":` + responsesWhole + `,"sequence_number":9,"type":"response.completed"}`, dialect.Terminal},
		{"", `[DONE]`, dialect.Ignored},
	})
	assert.True(t, st.Finished)
	assert.Equal(t, dialect.Usage{Input: 32, Cached: 3, Output: 18, Reasoning: 5, Known: true}, st.Usage)
	assert.Equal(t, int64(10), st.Sequence)
	assert.Equal(t, 6, st.Events)
	assert.Equal(t, `"id":"resp_1","created_at":5,"model":"m",`, string(st.Memo.Bytes[:st.Memo.Head]))
	classify(t, dialect.OpResponses, []step{{"response.incomplete", `{"response":{}}`, dialect.Terminal}})
}

func TestFailedEvents(t *testing.T) {
	for _, s := range []step{
		{"", `{"error":{"message":"x"}}`, 0}, {"", `{"choices":[],"error":"x"}`, 0}, {"", `{"object":"error","message":"x"}`, 0}, {"error", `{"message":"x"}`, 0},
	} {
		s.want = dialect.Failed
		classify(t, dialect.OpChat, []step{s})
	}
	for _, s := range []step{
		{"error", `{"type":"error","message":"x"}`, 0}, {"", `{"type":"error"}`, 0}, {"", `{"error":{"message":"x"}}`, 0}, {"error", `{"message":"x"}`, 0},
	} {
		s.want = dialect.Failed
		classify(t, dialect.OpResponses, []step{s})
	}
	st := classify(t, dialect.OpResponses, []step{{"", `{"type":"response.failed","response":{"usage":{"input_tokens":4,"output_tokens":1}}}`, dialect.Failed}})
	assert.Equal(t, dialect.Usage{Input: 4, Output: 1, Known: true}, st.Usage)
	assert.False(t, st.Finished)
}

func TestMalformedEvents(t *testing.T) {
	whole := delta("some text")
	bad := []string{"{}", "[]", "null", "x", "[DONE", `{"choices":{}}`, `{"choices":[1]}`, `{"choices":[{"delta":1}]}`, whole + "}", whole + whole}
	for i := 1; i < len(whole); i++ {
		bad = append(bad, whole[:i])
	}
	for _, data := range bad {
		var st dialect.Stream
		for range 2 { // the second time behind a good event of the same shape
			_, err := Codec{}.Event(dialect.OpChat, &st, nil, []byte(data))
			require.ErrorIs(t, err, dialect.ErrMalformed, "%s", data)
			_, err = Codec{}.Event(dialect.OpChat, &st, nil, []byte(whole))
			require.NoError(t, err)
		}
	}
	for _, data := range []string{`{}`, `{"type":"response.completed"}`, `{"type":"response.completed","response":[]}`, `{"type":"response.output_text.delta","delta":"x`} {
		_, err := Codec{}.Event(dialect.OpResponses, new(dialect.Stream), nil, []byte(data))
		require.ErrorIs(t, err, dialect.ErrMalformed, "%s", data)
	}
	_, err := Codec{}.Event(dialect.OpEmbeddings, new(dialect.Stream), nil, []byte(embeddingsWhole))
	require.ErrorIs(t, err, dialect.ErrMalformed)
}

// What the shape of the last event lets pass without a look must be what the full look would have passed.
func FuzzEvent(f *testing.F) {
	f.Add(delta("a"), delta("b"), false)
	f.Add(delta("a"), delta(`\`), false)
	f.Add(delta("a"), delta(`b"`), false)
	f.Add(delta("aaaa"), strings.Replace(delta("b"), "null", "nul", 1), false)
	f.Add(`{"choices":[{"text":"a"}]}`, `{"choices":[{"text":"b"}],"usage":{"prompt_tokens":1}}`, false)
	f.Add(`{"type":"response.output_text.delta","delta":"x"}`, `{"type":"error"}`, true)
	f.Fuzz(func(t *testing.T, first, second string, responses bool) {
		op := dialect.OpChat
		if responses {
			op = dialect.OpResponses
		}
		var quick, slow dialect.Stream
		_, _ = Codec{}.Event(op, &quick, nil, []byte(first)) // good or bad
		_, _ = Codec{}.Event(op, &slow, nil, []byte(first))
		slow.Memo = dialect.Memo{}
		got, gotErr := Codec{}.Event(op, &quick, nil, []byte(second))
		want, wantErr := Codec{}.Event(op, &slow, nil, []byte(second))
		assert.Equal(t, want, got)
		assert.Equal(t, wantErr, gotErr)
		quick.Memo, slow.Memo = dialect.Memo{}, dialect.Memo{}
		assert.Equal(t, slow, quick)
		if gotErr == nil && got != dialect.Ignored && strings.TrimSpace(second) != "[DONE]" {
			assert.True(t, json.Valid([]byte(second)), "%s", second)
		}
	})
}

// burst is 64 chat events of about 200 bytes as one read of a fast provider brings them; pad makes them differ
// behind their content too.
func burst(pad bool) []byte {
	var b []byte
	for i := range 64 {
		tail := ""
		if pad {
			tail = fmt.Sprintf(`,"obfuscation":"x%d"`, i)
		}
		b = fmt.Appendf(b, `data: {"id":"chatcmpl-0123456789abcdef","object":"chat.completion.chunk","created":1700000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":" word%02d"},"logprobs":null,"finish_reason":null}]%s}`+"\n\n", i, tail)
	}
	return b
}

// relay does with a burst what the request path does.
func relay(in []byte) (events int) {
	var s stream.Scanner
	var st dialect.Stream
	for len(in) > 0 {
		n, _ := s.Next(in)
		name, data, _ := stream.Fields(in[:n], nil)
		if _, err := (Codec{}).Event(dialect.OpChat, &st, name, data); err != nil {
			return -1
		}
		in = in[n:]
	}
	return st.Events
}

func BenchmarkBurst(b *testing.B) {
	for name, pad := range map[string]bool{"same": false, "padded": true} {
		b.Run(name, func(b *testing.B) {
			in := burst(pad)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				if relay(in) != 64 {
					b.Fatal("events lost")
				}
			}
		})
	}
}

func BenchmarkEvent(b *testing.B) {
	for name, data := range map[string]string{"full": delta(`\n`), "same": delta("word")} {
		b.Run(name, func(b *testing.B) {
			var st dialect.Stream
			event := []byte(data)
			for b.Loop() {
				if _, err := (Codec{}).Event(dialect.OpChat, &st, nil, event); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWhole(b *testing.B) {
	body := []byte(chatWhole)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Codec{}).Whole(dialect.OpChat, body); err != nil {
			b.Fatal(err)
		}
	}
}
