package openai

import (
	"encoding/json"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

var cutUsage = dialect.Usage{Input: 20, Cached: 5, Output: 11, Reasoning: 2, Known: true}

// prefixes are the beginnings of a stream before its terminal event, from none of its events on.
func prefixes(t require.TestingT, op dialect.Op, sse []byte) (all [][]byte) {
	var st dialect.Stream
	for at := 0; ; {
		all = append(all, sse[:at:at])
		n := stream.Next(sse[at:])
		require.NotZero(t, n, "%s", sse[at:])
		name, data, _ := stream.Fields(sse[at:at+n], nil)
		kind, err := Codec{}.Event(op, &st, name, data)
		require.NoError(t, err)
		if kind == dialect.Terminal {
			return all
		}
		at += n
	}
}

// cut ends a stream and checks what holds for any: its events, its offsets, its usage and that it is whole.
func cut(t require.TestingT, op dialect.Op, begun []byte, u dialect.Usage) (sse, whole []byte) {
	out, tail, terminal, err := Codec{}.AppendCut([]byte("|"), op, begun, &u)
	require.NoError(t, err, "%s", begun)
	require.Equal(t, byte('|'), out[0])
	sse = append(begun[:len(begun):len(begun)], out[1:]...)
	tail, terminal = tail+len(begun), terminal+len(begun)
	var st dialect.Stream
	var kind dialect.Kind
	for at := 0; at < len(sse); {
		if kind == dialect.Tail && at == len(begun) {
			u = st.Usage // which the provider told already
		}
		n := stream.Next(sse[at:])
		require.NotZero(t, n, "%s", sse[at:])
		name, data, _ := stream.Fields(sse[at:at+n], nil)
		kind, err = Codec{}.Event(op, &st, name, data)
		require.NoError(t, err, "%s", data)
		require.Equal(t, at == terminal, kind == dialect.Terminal, "%s", sse)
		if at >= len(begun) {
			require.Equal(t, at == tail && tail < terminal, kind == dialect.Tail, "%s", sse)
		}
		at += n
	}
	require.Equal(t, dialect.Terminal, kind)
	require.True(t, st.Finished)
	if u.Known {
		require.Equal(t, u, st.Usage)
	}
	whole, err = Codec{}.AppendWhole(nil, op, sse)
	require.NoError(t, err, "%s", sse)
	_, err = Codec{}.Whole(op, whole)
	require.NoError(t, err, "%s", whole)
	return sse, whole
}

// choiceTold is what is told of a choice, in pieces or at once.
type choiceTold struct {
	Index        int
	FinishReason string `json:"finish_reason"`
	Text         string
	Delta        messageTold
	Message      messageTold
}

type messageTold struct {
	Content, Refusal string
	Reasoning        string `json:"reasoning_content"`
	Calls            []struct {
		ID       string
		Function struct{ Name, Arguments string }
	} `json:"tool_calls"`
}

// add adds them to what was told before: why it ended, reasoning, content, refusal and calls.
func (c *choiceTold) add(m *messageTold, so [5]string) [5]string {
	if c.FinishReason != "" {
		so[0] = c.FinishReason
	}
	so[1] += m.Reasoning
	so[2] += m.Content + c.Text
	so[3] += m.Refusal
	for _, call := range m.Calls {
		so[4] += call.ID + call.Function.Name + call.Function.Arguments
	}
	return so
}

// toldSoFar joins what the events of a stream tell of each choice, with the limit's reason for those without an end.
func toldSoFar(t require.TestingT, begun []byte) map[int][5]string {
	out := map[int][5]string{}
	for n := stream.Next(begun); n > 0; n = stream.Next(begun) {
		_, data, _ := stream.Fields(begun[:n], nil)
		begun = begun[n:]
		var chunk struct{ Choices []choiceTold }
		require.NoError(t, json.Unmarshal(data, &chunk))
		for _, c := range chunk.Choices {
			if out[c.Index][0] == "" {
				out[c.Index] = [5]string{"length"}
			}
			out[c.Index] = c.add(&c.Delta, out[c.Index])
		}
	}
	if len(out) == 0 {
		out[0] = [5]string{"length"}
	}
	return out
}

// toldWhole is the same of a whole answer.
func toldWhole(t require.TestingT, whole []byte) map[int][5]string {
	var answer struct{ Choices []choiceTold }
	require.NoError(t, json.Unmarshal(whole, &answer))
	out := map[int][5]string{}
	for _, c := range answer.Choices {
		out[c.Index] = c.add(&c.Message, [5]string{})
	}
	return out
}

// severalChoices is a stream of two choices, one with a call, in many pieces.
func severalChoices() []byte {
	head := `{"id":"c1","object":"chat.completion.chunk","created":5,"model":"m","system_fingerprint":"fp","choices":[`
	var events []string
	for _, choice := range []string{
		`{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}`,
		`{"index":1,"delta":{"role":"assistant","content":null,"reasoning_content":"h"},"finish_reason":null}`,
		`{"index":0,"delta":{"content":"He \"l"}}`, `{"index":0,"delta":{"content":"lo\u0041"}},{"index":1,"delta":{"reasoning_content":"m"}}`,
		`{"index":1,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}`,
		`{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}`,
		`{"index":0,"delta":{},"finish_reason":"stop"}`,
		`{"index":1,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}`,
		`{"index":1,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{"}}]}}`,
		`{"index":1,"delta":{},"finish_reason":"tool_calls"}`,
	} {
		events = append(events, head+choice+`],"usage":null}`)
	}
	return sse(append(events, head+`],"usage":{"prompt_tokens":20,"completion_tokens":11,"total_tokens":31,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":2}}}`, `[DONE]`)...)
}

func TestAppendCutChat(t *testing.T) {
	for _, begun := range prefixes(t, dialect.OpChat, severalChoices()) {
		told := toldSoFar(t, begun)
		got, whole := cut(t, dialect.OpChat, begun, cutUsage)
		assert.Equal(t, told, toldWhole(t, whole))
		c := client(t, 200, "text/event-stream", got)
		s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
		var acc sdk.ChatCompletionAccumulator
		for s.Next() {
			require.True(t, acc.AddChunk(s.Current()), "%s", got)
		}
		require.NoError(t, s.Err())
		require.Len(t, acc.Choices, len(told))
		for i, choice := range acc.Choices {
			assert.Equal(t, []string{told[i][0], told[i][2]}, []string{choice.FinishReason, choice.Message.Content})
			assert.EqualValues(t, "assistant", choice.Message.Role)
		}
		assert.EqualValues(t, cutUsage.Input+cutUsage.Output, acc.Usage.TotalTokens)
	}
}

func TestAppendCutAsTheProviderWrites(t *testing.T) {
	const head = `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m",`
	const usage = `"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":11,"total_tokens":31,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":2}}}`
	const over = `"finish_reason":"length"}]}`
	for begun, want := range map[string]string{
		head + `"choices":[{"index":3,"delta":{"content":"a"}}]}`:           string(sse(head+`"choices":[{"index":3,"delta":{},"logprobs":null,`+over, head+usage, `[DONE]`)),
		head + `"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`: string(sse(head+usage, `[DONE]`)),
		head + usage: string(sse(head+`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`,
			head+`"choices":[{"index":0,"delta":{},"logprobs":null,`+over, `[DONE]`)), // which is told but once
	} {
		out, _, _, err := Codec{}.AppendCut(nil, dialect.OpChat, sse(begun), &cutUsage)
		require.NoError(t, err)
		assert.Equal(t, want, string(out), begun)
	}
	out, tail, terminal, err := Codec{}.AppendCut(nil, dialect.OpCompletions, nil, &dialect.Usage{})
	require.NoError(t, err)
	assert.Equal(t, string(sse(`{"id":"","object":"text_completion","created":0,"model":"","choices":[{"index":0,"text":"","logprobs":null,`+over, `[DONE]`)), string(out))
	assert.Equal(t, tail, terminal, "nobody knows the usage")

	for begun, want := range map[string]error{`{"choices":[{]}`: dialect.ErrMalformed, manyChoices(most + 1): dialect.ErrMalformed} {
		out, _, _, err = Codec{}.AppendCut([]byte("|"), dialect.OpChat, sse(begun), &cutUsage)
		require.ErrorIs(t, err, want)
		assert.Equal(t, "|", string(out))
	}
	_, _, _, err = Codec{}.AppendCut(nil, dialect.OpEmbeddings, nil, &cutUsage)
	assert.Error(t, err)
}

func TestAppendCutSimulated(t *testing.T) {
	post := simulate(t)
	for op, request := range map[dialect.Op][2]string{
		dialect.OpChat:        {"/chat/completions", `{"model":"gpt-5-mini","messages":[{"role":"user","content":"tell me of \"é\" 😀"}],"n":2,"max_tokens":30,"logprobs":true,"stream":true,"stream_options":{"include_usage":true}}`},
		dialect.OpCompletions: {"/completions", `{"model":"gpt-5-mini","prompt":"once upon","n":2,"max_tokens":30,"logprobs":1,"stream":true}`},
		dialect.OpResponses:   {"/responses", `{"model":"gpt-5-mini","input":"tell me more","max_output_tokens":40,"stream":true}`},
	} {
		whole := post(request[0], request[1])
		for _, begun := range prefixes(t, op, whole) {
			got, whole := cut(t, op, begun, cutUsage)
			if op == dialect.OpResponses {
				assertCutResponse(t, begun, got, whole)
			} else {
				assert.Equal(t, toldSoFar(t, begun), toldWhole(t, whole))
			}
		}
	}
}

// Whatever a stream is cut at, what it told is told, and the rest is as it must be.
func TestCutStreamsAreWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var op dialect.Op
		var events []byte
		switch rapid.IntRange(0, 2).Draw(t, "origin") {
		case 0: // another dialect's provider
			op, events = dialect.OpChat, streamOf(t, dialect.OpChat, eventsOf(replies.Draw(t, "reply")))
		case 1:
			op, events = dialect.OpResponses, typedStream(t, eventsOf(typedReplies.Draw(t, "reply")))
		default:
			var answer map[string]any
			op, answer = answers(t)
			body, err := json.Marshal(answer)
			require.NoError(t, err)
			events = explode(t, op, body)
		}
		all := prefixes(t, op, events)
		begun := all[rapid.IntRange(0, len(all)-1).Draw(t, "cut")]
		got, whole := cut(t, op, begun, cutUsage)
		if op == dialect.OpResponses {
			assertCutResponse(t, begun, got, whole)
		} else {
			require.Equal(t, toldSoFar(t, begun), toldWhole(t, whole), "%s", got)
		}
	})
}

func FuzzAppendCut(f *testing.F) {
	for _, events := range [][]byte{
		nil, severalChoices(), manyItems(), burst(true)[:600], sse(`{"choices":[{"text":"a"}]}`), []byte("data: {\"choices\":\r\ndata: [{\"index\":7}]}\r\n\r\n: c\n\n"),
	} {
		f.Add(events, uint8(0))
		f.Add(events, uint8(1))
		f.Add(events, uint8(2))
	}
	f.Fuzz(func(t *testing.T, events []byte, pick uint8) {
		op := dialect.Op(1 + pick%3)
		out, tail, terminal, err := Codec{}.AppendCut(nil, op, events, &cutUsage)
		if err != nil {
			require.ErrorIs(t, err, dialect.ErrMalformed)
			require.Empty(t, out)
			return
		}
		require.True(t, 0 <= tail && tail <= terminal && terminal < len(out))
		var st dialect.Stream
		for at := 0; at < len(out); {
			n := stream.Next(out[at:])
			require.NotZero(t, n, "%s", out)
			name, data, _ := stream.Fields(out[at:at+n], nil)
			kind, err := Codec{}.Event(op, &st, name, data)
			require.NoError(t, err, "%s", data)
			require.True(t, isDone(data) || json.Valid(data), "%s", data)
			require.Equal(t, at == terminal, kind == dialect.Terminal, "%s", out)
			require.Equal(t, at == tail && tail < terminal, kind == dialect.Tail, "%s", out)
			at += n
		}
	})
}

func BenchmarkAppendCut(b *testing.B) {
	typed := []string{"created", createdEvent}
	for range 64 {
		typed = append(typed, "output_text.delta", aboutFirst+`"delta":" word","logprobs":[]`)
	}
	for name, test := range map[string]struct {
		op     dialect.Op
		events []byte
	}{
		"same shape":   {dialect.OpChat, burst(false)},
		"other shapes": {dialect.OpChat, burst(true)},
		"responses":    {dialect.OpResponses, typedSSE(typed...)},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(test.events)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := (Codec{}).AppendCut(nil, test.op, test.events, &cutUsage); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
