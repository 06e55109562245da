package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// decode reads doc with its numbers as written. With loose, members that are null or an empty list are dropped,
// as the SDKs see no difference.
func decode(t require.TestingT, doc []byte, loose bool) any {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), "%s", doc)
	if loose {
		v = drop(v)
	}
	return v
}

func drop(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if a, ok := e.([]any); e == nil || ok && len(a) == 0 {
				delete(v, k)
			} else {
				drop(e)
			}
		}
	case []any:
		for _, e := range v {
			drop(e)
		}
	}
	return v
}

// sse makes a stream of the given events' data.
func sse(data ...string) (out []byte) {
	for _, d := range data {
		out = fmt.Appendf(out, "data: %s\n\n", d)
	}
	return out
}

// assertWhole checks what a stream is assembled to.
func assertWhole(t *testing.T, op dialect.Op, want string, sse []byte) {
	t.Helper()
	got, err := Codec{}.AppendWhole([]byte("|"), op, sse)
	require.NoError(t, err)
	require.Equal(t, byte('|'), got[0])
	assert.Equal(t, decode(t, []byte(want), false), decode(t, got[1:], false), "%s", got)
}

func TestAppendWholeChat(t *testing.T) {
	assertWhole(t, dialect.OpChat, `{"id":"c1","object":"chat.completion","created":17e8,"model":"m","service_tier":"default","system_fingerprint":"fp","x_vendor":{"a":1},
		"choices":[
		 {"index":0,"message":{"role":"assistant","content":"Hi \"you\" 😀","refusal":null,"reasoning_content":"hm, so"},
		  "logprobs":{"content":[{"token":"Hi"},{"token":" y"}],"refusal":null},"finish_reason":"stop","content_filter_results":{"hate":{"severity":"safe"}}},
		 {"index":1,"message":{"role":"assistant","content":null,"refusal":"no"},"logprobs":null,"finish_reason":"length"}],
		"usage":{"prompt_tokens":1,"completion_tokens":2.0}}`,
		sse(
			`{"id":"c1","object":"chat.completion.chunk","created":17e8,"model":"m","service_tier":null,"system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"x_vendor":{"a":1},"usage":null,"obfuscation":"abc"}`,
			`{"id":"c1","choices":[{"index":1,"delta":{"role":"assistant","content":null,"refusal":"n"}}],"service_tier":"default"}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":"hm,"}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"reasoning_content":" so"}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"Hi \"you"},"logprobs":{"content":[{"token":"Hi"}],"refusal":null},"content_filter_results":{"hate":{"severity":"safe"}}},{"index":1,"delta":{"refusal":"o"}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"\" \ud83d"},"logprobs":{"content":[{"token":" y"}],"refusal":null},"content_filter_results":{"hate":{"severity":"safe"}}}]}`,
			`{"id":"c1","choices":[{"index":0,"delta":{"content":"\ude00"}}]}`,
			`{"id":"c1","choices":[{"index":1,"delta":{},"finish_reason":"length"},{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"c1","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2.0}}`,
			`[DONE]`))
}

func TestAppendWholeTools(t *testing.T) {
	chat := func(message string) string {
		return `{"id":"c","object":"chat.completion","choices":[{"index":0,"message":` + message + `,"logprobs":null,"finish_reason":"tool_calls"}]}`
	}
	deltas := func(calls ...string) []byte {
		data := []string{`{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":null},"finish_reason":null}]}`}
		for _, c := range calls {
			data = append(data, `{"id":"c","choices":[{"index":0,"delta":{"tool_calls":`+c+`}}]}`)
		}
		return sse(append(data, `{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, `[DONE]`)...)
	}
	two := chat(`{"role":"assistant","content":null,"refusal":null,"tool_calls":[
		{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]}`)
	assertWhole(t, dialect.OpChat, two, deltas(
		`[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]`, `[{"index":0,"function":{"arguments":"{\"x\""}}]`,
		`[{"index":0,"function":{"arguments":":1}"}},{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}]`,
		`[{"index":1,"function":{"arguments":"}"}}]`))
	assertWhole(t, dialect.OpChat, two, deltas( // whole calls, all with index 0
		`[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]`, `[{"index":0,"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]`))
	assertWhole(t, dialect.OpChat, two, deltas( // whole calls without an index
		`[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]`, `[{"id":"b","type":"function","function":{"name":"g","arguments":"{}"}}]`))
	assertWhole(t, dialect.OpChat, chat(`{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"z","type":"function","function":{"name":"f","arguments":"{}"}}]}`), deltas( // a new id with every delta
		`[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{"}}]`, `[{"index":0,"id":"z","function":{"name":null,"arguments":"}"}}]`))
}

func TestAppendWholeCompletions(t *testing.T) {
	assertWhole(t, dialect.OpCompletions, `{"id":"c","object":"text_completion","created":1,"model":"m","choices":[
		{"index":0,"text":"ab","logprobs":{"tokens":["a","b"],"text_offset":[0,1]},"finish_reason":"stop","token_ids":[7,8]}]}`,
		sse(`{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"a","logprobs":{"tokens":["a"],"text_offset":[0]},"finish_reason":null,"token_ids":[7]}]}`,
			`{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"b","logprobs":{"tokens":["b"],"text_offset":[1]},"finish_reason":"stop","token_ids":[8]}]}`,
			`[DONE]`))
}

func TestAppendWholeWithoutDone(t *testing.T) {
	ended := sse(`{"id":"c","choices":[{"index":0,"text":"a","finish_reason":"stop"}]}`)
	assertWhole(t, dialect.OpCompletions, `{"id":"c","object":"text_completion","choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":"stop"}]}`, ended)
	_, err := Codec{}.AppendWhole(nil, dialect.OpCompletions, append(ended, "data: {"...))
	require.ErrorIs(t, err, dialect.ErrMalformed, "something is cut off behind the end")
}

func TestAppendWholeResponses(t *testing.T) {
	completed := func(response string) []byte {
		return sse(`{"type":"response.created","response":{"id":"r","output":[]}}`,
			`{"type":"response.output_item.done","output_index":1,"item":{"id":"b"}}`, `{"type":"response.output_item.done","output_index":0,"item":{"id":"a"}}`,
			`{"type":"response.completed","response":`+response+`}`)
	}
	assertWhole(t, dialect.OpResponses, responsesWhole, completed(responsesWhole))
	assertWhole(t, dialect.OpResponses, `{"id":"r","output":[]}`, completed(`{"id":"r","output":[]}`))
	assertWhole(t, dialect.OpResponses, `{"id":"r","output":[{"id":"a"},{"id":"b"}]}`, completed(`{"id":"r","output":null}`))
	assertWhole(t, dialect.OpResponses, `{"id":"r","output":[{"id":"a"},{"id":"b"}]}`, completed(`{"id":"r"}`))
}

// manyChoices is n choices, without a comma behind the last.
func manyChoices(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf(`{"index":%d}`, i))
	}
	return strings.Join(all, ",")
}

// manyMembers closes the object that open begins, with n members more.
func manyMembers(n int, open string) string {
	for i := range n {
		open += fmt.Sprintf(`,"m%d":%d`, i, i)
	}
	return open + "}"
}

func TestAppendWholeRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		sse  string
		want error
	}{
		"no end":       {string(sse(delta("a"))), dialect.ErrMalformed},
		"empty":        {"", dialect.ErrMalformed},
		"cut terminal": {string(sse(delta("a"))) + "data: [DONE]\n", dialect.ErrMalformed},
		"failed":       {string(sse(delta("a"), `{"error":{"message":"x"}}`, `[DONE]`)), dialect.ErrProvider},
		"not JSON":     {string(sse(delta("a"), `{"choices":[`, `[DONE]`)), dialect.ErrMalformed},
		"choices":      {string(sse(`{"choices":[`+strings.Repeat(`{"index":0},`, 600)+manyChoices(600)+`]}`, `[DONE]`)), dialect.ErrMalformed},
		"members":      {string(sse(manyMembers(600, `{"choices":[]`), `[DONE]`)), dialect.ErrMalformed},
		"delta":        {string(sse(delta("a"), `{"choices":[{"index":0,"delta":`+manyMembers(600, `{"x":1`)+`}]}`, `[DONE]`)), dialect.ErrMalformed},
		"misfit":       {string(sse(delta("a"), `{"choices":[{"index":0,"delta":{"content":[{"type":"text"}]}}]}`, `[DONE]`)), dialect.ErrMalformed},
	} {
		got, err := Codec{}.AppendWhole([]byte("|"), dialect.OpChat, []byte(test.sse))
		require.ErrorIs(t, err, test.want, name)
		assert.Equal(t, "|", string(got), name)
	}
}

func TestAppendStreamRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		op   dialect.Op
		body string
	}{
		"not JSON": {dialect.OpChat, "{"}, "array": {dialect.OpChat, "[]"}, "no choices": {dialect.OpChat, "{}"}, "no message": {dialect.OpChat, `{"choices":[{}]}`},
		"no text": {dialect.OpCompletions, `{"choices":[{}]}`}, "no output": {dialect.OpResponses, `{"status":"completed"}`},
		"unfinished": {dialect.OpResponses, `{"status":"queued","output":[]}`}, "odd item": {dialect.OpResponses, `{"output":[1]}`}, "embeddings": {dialect.OpEmbeddings, embeddingsWhole},
	} {
		got, _, _, err := Codec{}.AppendStream([]byte("|"), test.op, []byte(test.body))
		require.Error(t, err, name)
		assert.Equal(t, "|", string(got), name)
	}
}

// explode streams a whole answer and checks all that holds for any: every event is valid, the offsets are those of
// the tail and the terminal event, and nothing follows.
func explode(t require.TestingT, op dialect.Op, whole []byte) []byte {
	dst := []byte("data: before\n\n")
	out, tail, terminal, err := Codec{}.AppendStream(dst, op, whole)
	require.NoError(t, err, "%s", whole)
	require.Equal(t, dst, out[:len(dst)])
	out = out[len(dst):]
	usage, err := Codec{}.Whole(op, whole)
	require.NoError(t, err)
	var st dialect.Stream
	for at := 0; at < len(out); {
		n := stream.Next(out[at:])
		require.NotZero(t, n, "%s", out[at:])
		name, data, _ := stream.Fields(out[at:at+n], nil)
		kind, err := Codec{}.Event(op, &st, name, data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, at == terminal, kind == dialect.Terminal, "%s", data)
		require.Equal(t, at == tail && tail != terminal, kind == dialect.Tail, "%s", data)
		require.NotEqual(t, dialect.Failed, kind)
		at += n
		require.Equal(t, at == len(out), kind == dialect.Terminal)
	}
	require.True(t, st.Finished)
	require.Equal(t, usage, st.Usage)
	return out
}

func TestAppendStreamOffsets(t *testing.T) {
	for op, whole := range map[dialect.Op]string{dialect.OpChat: chatWhole, dialect.OpCompletions: completionsWhole, dialect.OpResponses: responsesWhole} {
		out := explode(t, op, []byte(whole))
		back, err := Codec{}.AppendWhole(nil, op, out)
		require.NoError(t, err)
		assert.Equal(t, decode(t, []byte(whole), false), decode(t, back, false))
	}
}

func TestPieces(t *testing.T) {
	for lead := range 16 {
		text := `"` + strings.Repeat("x", lead) + strings.Repeat(`\ud83d\ude00é\n`, 3000) + `"`
		all := pieces([]byte(text))
		assert.Len(t, all, 3, "48 KB")
		joined := ""
		for _, p := range all {
			var s string
			require.NoError(t, json.Unmarshal(p, &s))
			assert.NotContains(t, s, "\uFFFD", "cut within a character")
			joined += string(p[1 : len(p)-1])
		}
		assert.Equal(t, text, `"`+joined+`"`)
	}
	assert.Empty(t, pieces([]byte(`""`)))
}

// The property that a cache relies on: a whole answer that was streamed and assembled again says the same.
func TestRoundTrip(t *testing.T) {
	for op, gen := range map[dialect.Op]*rapid.Generator[map[string]any]{dialect.OpChat: chatAnswers, dialect.OpCompletions: textAnswers, dialect.OpResponses: typedAnswers} {
		rapid.Check(t, func(t *rapid.T) {
			whole, err := json.Marshal(gen.Draw(t, "answer"))
			require.NoError(t, err)
			back, err := Codec{}.AppendWhole(nil, op, explode(t, op, whole))
			require.NoError(t, err)
			assert.Equal(t, decode(t, whole, true), decode(t, back, true), "%s", back)
		})
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(byte(dialect.OpChat-1), []byte(chatWhole))
	f.Add(byte(dialect.OpChat-1), []byte(`{"choices":[{"message":{"content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c","type":"custom","custom":{"input":"x"}}]}}]}`))
	f.Add(byte(dialect.OpResponses-1), []byte(responsesWhole))
	f.Add(byte(dialect.OpCompletions-1), []byte(completionsWhole))
	f.Fuzz(func(t *testing.T, b byte, whole []byte) {
		op := dialect.Op(b%3 + 1)
		if _, err := (Codec{}).Whole(op, whole); err != nil {
			return
		}
		out, _, _, err := Codec{}.AppendStream(nil, op, whole)
		if err != nil {
			return
		}
		_, err = Codec{}.AppendWhole(nil, op, out)
		assert.NoError(t, err, "%s\n%s", whole, out)
	})
}

// FuzzAppendWhole feeds arbitrary streams: the result, if any, is one valid answer.
func FuzzAppendWhole(f *testing.F) {
	f.Add(byte(dialect.OpChat), sse(delta("a"), delta("b"), `[DONE]`))
	f.Add(byte(dialect.OpChat), sse(`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{"}}]}}]}`, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]}}]}`, `[DONE]`))
	f.Add(byte(dialect.OpResponses), sse(`{"type":"response.completed","response":{"output":[]}}`))
	f.Fuzz(func(t *testing.T, b byte, in []byte) {
		op := dialect.Op(b%3 + 1)
		out, err := Codec{}.AppendWhole(nil, op, in)
		if err != nil {
			assert.Empty(t, out)
			return
		}
		_, err = Codec{}.Whole(op, out)
		if err != nil {
			assert.ErrorIs(t, err, dialect.ErrProvider, "%s", out) // an error in the answer's own members
		}
	})
}
