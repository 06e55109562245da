package openai

import (
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The official SDK must understand what is written in place of a provider's words, streamed and whole.

func TestSDKReadsRewrittenChat(t *testing.T) {
	body := explode(t, dialect.OpChat, []byte(toolsWhole))
	for name, e := range map[string]editor{"upper": upper, "holding": holding()} {
		edited, _ := rewrite(t, dialect.OpChat, body, 1, e)
		c := client(t, 200, "text/event-stream", edited)
		s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
		var acc sdk.ChatCompletionAccumulator
		for s.Next() {
			require.True(t, acc.AddChunk(s.Current()), name)
		}
		require.NoError(t, s.Err())
		require.Len(t, acc.Choices, 2)
		assert.Equal(t, "LET ME \"LOOK\"\n", acc.Choices[0].Message.Content, name)
		assert.Equal(t, "No.", acc.Choices[1].Message.Refusal)
		assert.Equal(t, `{"city":"Zürich"}`, acc.Choices[0].Message.ToolCalls[0].Function.Arguments)
		assert.Equal(t, []string{"tool_calls", "stop"}, []string{acc.Choices[0].FinishReason, acc.Choices[1].FinishReason})
	}

	edited, ended := rewrite(t, dialect.OpChat, body, 1, stopping(0, ""))
	require.True(t, ended)
	c := client(t, 200, "text/event-stream", edited)
	s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	var acc sdk.ChatCompletionAccumulator
	for s.Next() {
		require.True(t, acc.AddChunk(s.Current()))
	}
	require.NoError(t, s.Err())
	assert.Equal(t, []string{"Let me \"look\"\n", "stop"}, []string{acc.Choices[0].Message.Content, acc.Choices[0].FinishReason})
}

// readTypedStream reads a responses stream with the SDK.
func readTypedStream(t *testing.T, body []byte) (text string, final responses.Response) {
	c := client(t, 200, "text/event-stream", body)
	s := c.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{Model: "m"})
	for i := int64(0); s.Next(); i++ {
		assert.Equal(t, i, s.Current().SequenceNumber)
		switch e := s.Current().AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			text += e.Delta
		case responses.ResponseTextDoneEvent:
			assert.Equal(t, text, e.Text)
		case responses.ResponseOutputItemDoneEvent:
			if e.Item.Type == "message" {
				assert.Equal(t, text, e.Item.Content[0].Text)
			}
		case responses.ResponseCompletedEvent:
			final = e.Response
		}
	}
	require.NoError(t, s.Err())
	return text, final
}

func TestSDKReadsRewrittenResponses(t *testing.T) {
	body := explode(t, dialect.OpResponses, []byte(itemsWhole))
	for name, e := range map[string]editor{"upper": upper, "holding": holding()} {
		edited, _ := rewrite(t, dialect.OpResponses, body, 1, e)
		text, final := readTypedStream(t, edited)
		assert.Equal(t, []string{`HELLO "YOU"`, `HELLO "YOU"`}, []string{text, final.OutputText()}, name)
		assert.Equal(t, int64(7), final.Usage.TotalTokens)
		assert.Len(t, final.Output, 3)
	}
	edited, ended := rewrite(t, dialect.OpResponses, body, 1, stopping(0, ""))
	require.True(t, ended)
	text, final := readTypedStream(t, edited)
	assert.Equal(t, []string{`Hello "you"`, `Hello "you"`, "completed", "resp_1"}, []string{text, final.OutputText(), string(final.Status), final.ID})
	assert.Len(t, final.Output, 2, "the reasoning and the message")
}

func TestSDKReadsAnswers(t *testing.T) {
	const said = "No \"tents\"\x01 today. 😀"
	answer := func(op dialect.Op) []byte {
		got, err := Codec{}.AppendAnswer(nil, op, "id-1", "m", 1234, []byte(said))
		require.NoError(t, err)
		return got
	}
	c := client(t, 200, "application/json", answer(dialect.OpChat))
	chat, err := c.Chat.Completions.New(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	require.NoError(t, err)
	assert.Equal(t, []any{"id-1", "m", int64(1234), said, "stop", "assistant"}, []any{chat.ID, chat.Model, chat.Created, chat.Choices[0].Message.Content, chat.Choices[0].FinishReason, string(chat.Choices[0].Message.Role)})

	c = client(t, 200, "application/json", answer(dialect.OpCompletions))
	text, err := c.Completions.New(t.Context(), sdk.CompletionNewParams{Model: "m"})
	require.NoError(t, err)
	assert.Equal(t, []any{"id-1", said, "stop"}, []any{text.ID, text.Choices[0].Text, string(text.Choices[0].FinishReason)})

	c = client(t, 200, "application/json", answer(dialect.OpResponses))
	typed, err := c.Responses.New(t.Context(), responses.ResponseNewParams{Model: "m"})
	require.NoError(t, err)
	assert.Equal(t, []any{"id-1", said, "completed"}, []any{typed.ID, typed.OutputText(), string(typed.Status)})

	streamed, final := readTypedStream(t, explode(t, dialect.OpResponses, answer(dialect.OpResponses)))
	assert.Equal(t, []string{said, said}, []string{streamed, final.OutputText()})
	_, err = Codec{}.AppendAnswer(nil, dialect.OpEmbeddings, "", "", 0, nil)
	assert.ErrorIs(t, err, dialect.ErrNoPlace)
}

func TestAnswersStream(t *testing.T) {
	for _, op := range []dialect.Op{dialect.OpChat, dialect.OpCompletions, dialect.OpResponses} {
		whole, err := Codec{}.AppendAnswer(nil, op, "id-1", "m", 1234, []byte("text"))
		require.NoError(t, err)
		require.True(t, json.Valid(whole))
		u, err := Codec{}.Whole(op, whole)
		require.NoError(t, err)
		assert.Equal(t, dialect.Usage{Known: true}, u)
		again, err := Codec{}.AppendWhole(nil, op, explode(t, op, whole))
		require.NoError(t, err)
		assert.Equal(t, decode(t, whole, true), decode(t, again, true))
	}
}

// What the simulated provider streams and says at once is edited alike.
func TestRewriteSimulated(t *testing.T) {
	post := simulate(t)
	for op, request := range map[dialect.Op][2]string{
		dialect.OpChat:        {"/chat/completions", `{"model":"gpt-5-mini","messages":[{"role":"user","content":"tell me of \"é\" 😀"}],"n":2,"logprobs":true`},
		dialect.OpCompletions: {"/completions", `{"model":"gpt-5-mini","prompt":"once upon","n":2,"logprobs":1`},
		dialect.OpResponses:   {"/responses", `{"model":"gpt-5-mini","input":"tell me more"`},
	} {
		streamed := post(request[0], request[1]+`,"stream":true}`)
		same, _ := rewrite(t, op, streamed, 1, keep)
		assert.Equal(t, string(streamed), string(same))
		for _, make := range []func() editor{func() editor { return upper }, holding} {
			edited, _ := rewrite(t, op, streamed, 2, make())
			got, err := Codec{}.AppendWhole(nil, op, edited)
			require.NoError(t, err)
			whole, err := Rewriter{}.AppendWhole(nil, post(request[0], request[1]+`}`), op, make())
			require.NoError(t, err)
			want := tokenless(timeless(t, whole))
			if op != dialect.OpResponses {
				delete(want.(map[string]any), "usage") // the stream was not asked for it
			}
			assert.Equal(t, want, tokenless(timeless(t, got)))
			if op == dialect.OpResponses {
				requireNumbered(t, edited)
			}
			assert.Equal(t, strings.ToUpper(textOf(t, op, streamed)), textOf(t, op, edited))
		}
	}
}

// textOf joins the texts of a stream as an editor sees them.
func textOf(t *testing.T, op dialect.Op, sse []byte) (text string) {
	rewrite(t, op, sse, 1, editor(func(x *dialect.Text) dialect.Edit {
		if x.Choice == 0 {
			text += string(x.Bytes)
		}
		return dialect.Edit{}
	}))
	require.NotEmpty(t, text)
	return text
}
