package openai

import (
	"encoding/json"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// foreignReply is an answer with everything that an answer can hold.
func foreignReply() *dialect.Reply {
	w := func(s string) dialect.Written { return dialect.Written(s) }
	return &dialect.Reply{
		ID: w("msg_1"), Model: w("claude"), Created: 5,
		Usage: dialect.Usage{Known: true, Input: 10, Output: 5, Cached: 4, CacheWrite: 3, Reasoning: 2},
		Answers: []dialect.Answer{
			{To: 5, Finish: dialect.FinishCalls, LogProbs: dialect.Raw(`{"content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}],"refusal":null}`)},
			{Index: 1, From: 5, To: 6, Finish: dialect.FinishRefusal},
		},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: w("hm"), Signature: w("s"), Signer: dialect.Anthropic}, {Kind: dialect.PartHidden, Signature: w("d"), Signer: dialect.Anthropic},
			{Kind: dialect.PartText, Text: w(`a\n`)}, {Kind: dialect.PartCall, ID: w("toolu_1"), Name: w("f"), Args: dialect.Raw(`"{\"x\":\"é\"}"`)},
			{Kind: dialect.PartCall, ID: w("toolu_2"), Name: w("g"), Args: dialect.Raw(`"{}"`), Signature: w("g1"), Signer: dialect.Gemini},
			{Kind: dialect.PartRefusal, Text: w("no")},
		},
	}
}

// assertForeign checks what the SDK understood of it.
func assertForeign(t *testing.T, got *sdk.ChatCompletion) {
	require.Len(t, got.Choices, 2)
	m := got.Choices[0].Message
	assert.Equal(t, []any{"chatcmpl-msg_1", "claude", int64(5), "a\n", "tool_calls", 1}, []any{got.ID, got.Model, got.Created, m.Content, got.Choices[0].FinishReason, len(got.Choices[0].Logprobs.Content)})
	require.Len(t, m.ToolCalls, 2)
	assert.Equal(t, []string{"toolu_1", "f", `{"x":"é"}`, "function"}, []string{m.ToolCalls[0].ID, m.ToolCalls[0].Function.Name, m.ToolCalls[0].Function.Arguments, m.ToolCalls[0].Type})
	assert.Equal(t, []string{"toolu_2", "g", `{}`}, []string{m.ToolCalls[1].ID, m.ToolCalls[1].Function.Name, m.ToolCalls[1].Function.Arguments})
	assert.Equal(t, []string{"no", "stop"}, []string{got.Choices[1].Message.Refusal, got.Choices[1].FinishReason})
	assert.Equal(t, []int64{10, 5, 15, 4, 2}, []int64{got.Usage.PromptTokens, got.Usage.CompletionTokens, got.Usage.TotalTokens,
		got.Usage.PromptTokensDetails.CachedTokens, got.Usage.CompletionTokensDetails.ReasoningTokens})
}

func TestSDKReadsForeignAnswers(t *testing.T) {
	body, err := Codec{}.AppendReply(nil, dialect.OpChat, foreignReply())
	require.NoError(t, err)
	c := client(t, 200, "application/json", body)
	got, err := c.Chat.Completions.New(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	require.NoError(t, err)
	assertForeign(t, got)
	assert.Equal(t, int64(3), got.Usage.PromptTokensDetails.CacheWriteTokens)
	assert.JSONEq(t, `{"anthropic":{"thinking":[{"thinking":"hm","signature":"s"},{"data":"d"}]}}`, got.Choices[0].Message.JSON.ExtraFields["extra_content"].Raw())

	// What a client sends back of it is what the model said.
	var back dialect.Chat
	message, err := json.Marshal(map[string]any{"messages": []json.RawMessage{json.RawMessage(got.Choices[0].Message.RawJSON())}})
	require.NoError(t, err)
	require.NoError(t, Codec{}.Read(dialect.OpChat, message, &back))
	assert.Equal(t, foreignReply().Parts[:5], back.Parts)
	assert.Empty(t, back.Unknown)
}

func TestSDKReadsForeignStreams(t *testing.T) {
	c := client(t, 200, "text/event-stream", streamOf(t, dialect.OpChat, eventsOf(foreignReply())))
	s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	var acc sdk.ChatCompletionAccumulator
	first, calls := "", 0
	for s.Next() {
		if first == "" {
			first = s.Current().Choices[0].Delta.Role
		}
		require.True(t, acc.AddChunk(s.Current()), s.Current().RawJSON())
		if _, ok := acc.JustFinishedToolCall(); ok {
			calls++
		}
	}
	require.NoError(t, s.Err())
	assertForeign(t, &acc.ChatCompletion)
	assert.Equal(t, []any{"assistant", 2}, []any{first, calls})
}

func TestSDKReadsForeignCompletionsAndVectors(t *testing.T) {
	body, err := Codec{}.AppendReply(nil, dialect.OpCompletions, foreignReply())
	require.NoError(t, err)
	c := client(t, 200, "application/json", body)
	text, err := c.Completions.New(t.Context(), sdk.CompletionNewParams{Model: "m"})
	require.NoError(t, err)
	assert.Equal(t, []any{"a\n", sdk.CompletionChoiceFinishReasonStop, int64(15)}, []any{text.Choices[0].Text, text.Choices[0].FinishReason, text.Usage.TotalTokens})

	v := dialect.Vectors{Items: []dialect.Raw{dialect.Raw(`[0.5,-1e-05]`)}, Usage: dialect.Usage{Known: true, Input: 3}}
	body, err = Codec{}.AppendVectors(nil, dialect.OpEmbeddings, &v, &dialect.Embedding{}, "m")
	require.NoError(t, err)
	c = client(t, 200, "application/json", body)
	got, err := c.Embeddings.New(t.Context(), sdk.EmbeddingNewParams{Model: "m"})
	require.NoError(t, err)
	assert.Equal(t, []any{[]float64{0.5, -1e-05}, int64(3)}, []any{got.Data[0].Embedding, got.Usage.PromptTokens})
}

// The requests that are written are what the SDK's own types take, without a member that it does not know.
func TestSDKKnowsWrittenRequests(t *testing.T) {
	c := read(t, dialect.OpChat, `{"messages":[{"role":"system","content":"s"},{"role":"user","name":"n","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA==","detail":"low"}},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"file_id":"file-1"}}]},
	 {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}],
	 "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"},"strict":true}}],"tool_choice":"required","parallel_tool_calls":false,"max_tokens":5,"n":2,"stop":["a"],"temperature":0.5,"top_p":0.5,"frequency_penalty":1,"presence_penalty":1,"seed":1,"logprobs":true,"top_logprobs":2,
	 "response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"},"strict":true}},"reasoning_effort":"low","user":"u"}`)
	require.Empty(t, c.Unknown)
	out, left, err := Codec{}.AppendRequest(nil, c, "o3", true)
	require.NoError(t, err)
	assert.Zero(t, left)
	var params sdk.ChatCompletionNewParams
	require.NoError(t, json.Unmarshal(out, &params))
	again, err := json.Marshal(params)
	require.NoError(t, err)
	var want, got map[string]any
	require.NoError(t, json.Unmarshal(out, &want))
	require.NoError(t, json.Unmarshal(again, &got))
	delete(want, "stream") // which its method adds
	calling := want["messages"].([]any)[2].(map[string]any)
	assert.Nil(t, calling["content"]) // the type leaves a null out
	delete(calling, "content")
	assert.Equal(t, want, got)
}
