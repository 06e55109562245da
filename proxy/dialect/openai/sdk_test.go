package openai

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The official SDK must understand what AppendStream, AppendError and AppendStreamError write.

func client(t *testing.T, status int, contentType string, body []byte) sdk.Client {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	return sdk.NewClient(option.WithBaseURL(srv.URL), option.WithAPIKey("k"), option.WithMaxRetries(0))
}

const toolsWhole = `{"id":"c1","object":"chat.completion","created":5,"model":"m","service_tier":"default","system_fingerprint":"fp",
 "choices":[
  {"index":0,"message":{"role":"assistant","content":"Let me \"look\"\n","refusal":null,"tool_calls":[
    {"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Zürich\"}"}},
    {"id":"call_2","type":"function","function":{"name":"now","arguments":""}}]},
   "logprobs":{"content":[{"token":"Let","logprob":-0.5,"bytes":[76],"top_logprobs":[]}],"refusal":null},"finish_reason":"tool_calls"},
  {"index":1,"message":{"role":"assistant","content":null,"refusal":"No."},"logprobs":null,"finish_reason":"stop"}],
 "usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16,"prompt_tokens_details":{"cached_tokens":3}}}`

func TestSDKReadsChatStream(t *testing.T) {
	c := client(t, 200, "text/event-stream", explode(t, dialect.OpChat, []byte(toolsWhole)))
	s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	var acc sdk.ChatCompletionAccumulator
	calls := map[string]string{}
	for s.Next() {
		require.True(t, acc.AddChunk(s.Current()))
		if call, ok := acc.JustFinishedToolCall(); ok {
			calls[call.ID] = call.Name + call.Arguments
		}
	}
	require.NoError(t, s.Err())
	var want sdk.ChatCompletion
	require.NoError(t, json.Unmarshal([]byte(toolsWhole), &want))
	require.Len(t, acc.Choices, 2)
	for i, choice := range want.Choices {
		got := acc.Choices[i]
		assert.Equal(t, choice.Message.Content, got.Message.Content)
		assert.Equal(t, choice.Message.Refusal, got.Message.Refusal)
		assert.Equal(t, choice.FinishReason, got.FinishReason)
		assert.Equal(t, choice.Message.Role, got.Message.Role)
		require.Len(t, got.Message.ToolCalls, len(choice.Message.ToolCalls))
		for j, call := range choice.Message.ToolCalls {
			assert.Equal(t, call.ID, got.Message.ToolCalls[j].ID)
			assert.Equal(t, call.Function.Name, got.Message.ToolCalls[j].Function.Name)
			assert.Equal(t, call.Function.Arguments, got.Message.ToolCalls[j].Function.Arguments)
		}
		assert.Len(t, got.Logprobs.Content, len(choice.Logprobs.Content))
	}
	assert.Equal(t, map[string]string{"call_1": `weather{"city":"Zürich"}`, "call_2": "now"}, calls)
	assert.Equal(t, []any{want.ID, want.Created, want.Model, want.ServiceTier, want.SystemFingerprint}, []any{acc.ID, acc.Created, acc.Model, acc.ServiceTier, acc.SystemFingerprint})
	assert.Equal(t, int64(16), acc.Usage.TotalTokens)
	assert.Equal(t, int64(3), acc.Usage.PromptTokensDetails.CachedTokens)
}

const itemsWhole = `{"id":"resp_1","object":"response","created_at":5,"status":"completed","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"model":"m",
 "parallel_tool_calls":true,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1,"output":[
  {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"thinking"}],"encrypted_content":"gAAA"},
  {"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[
    {"type":"output_text","text":"Hello \"you\"","annotations":[{"type":"url_citation","url":"https://example.com","title":"x","start_index":0,"end_index":5}],"logprobs":[]},
    {"type":"refusal","refusal":"but no"}]},
  {"type":"function_call","id":"fc_1","status":"completed","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Bern\"}"}],
 "usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":4,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":7}}`

func TestSDKReadsResponsesStream(t *testing.T) {
	c := client(t, 200, "text/event-stream", explode(t, dialect.OpResponses, []byte(itemsWhole)))
	s := c.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{Model: "m"})
	var kinds []string
	var text, arguments, refusal, reasoning string
	var final responses.Response
	for i := int64(0); s.Next(); i++ {
		e := s.Current()
		assert.Equal(t, i, e.SequenceNumber)
		kinds = append(kinds, e.Type)
		switch e := e.AsAny().(type) {
		case responses.ResponseTextDeltaEvent:
			assert.Equal(t, []any{"msg_1", int64(1), int64(0)}, []any{e.ItemID, e.OutputIndex, e.ContentIndex})
			text += e.Delta
		case responses.ResponseRefusalDeltaEvent:
			assert.Equal(t, int64(1), e.ContentIndex)
			refusal += e.Delta
		case responses.ResponseFunctionCallArgumentsDeltaEvent:
			assert.Equal(t, []any{"fc_1", int64(2)}, []any{e.ItemID, e.OutputIndex})
			arguments += e.Delta
		case responses.ResponseReasoningSummaryTextDeltaEvent:
			reasoning += e.Delta
		case responses.ResponseCompletedEvent:
			final = e.Response
		}
	}
	require.NoError(t, s.Err())
	assert.Equal(t, []string{
		"response.created", "response.in_progress",
		"response.output_item.added", "response.reasoning_summary_part.added", "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "response.output_item.done",
		"response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.annotation.added", "response.output_text.done", "response.content_part.done",
		"response.content_part.added", "response.refusal.delta", "response.refusal.done", "response.content_part.done", "response.output_item.done",
		"response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done",
		"response.completed",
	}, kinds)
	assert.Equal(t, []string{`Hello "you"`, "but no", `{"city":"Bern"}`, "thinking"}, []string{text, refusal, arguments, reasoning})
	assert.Equal(t, text, final.OutputText())
	assert.Equal(t, int64(7), final.Usage.TotalTokens)
	assert.Equal(t, responses.ResponseStatusCompleted, final.Status)
}

func TestSDKReadsCompletionsStream(t *testing.T) {
	c := client(t, 200, "text/event-stream", explode(t, dialect.OpCompletions, []byte(completionsWhole)))
	s := c.Completions.NewStreaming(t.Context(), sdk.CompletionNewParams{Model: "m"})
	text, finish, total := "", sdk.CompletionChoiceFinishReason(""), int64(0)
	for s.Next() {
		for _, choice := range s.Current().Choices {
			text, finish = text+choice.Text, choice.FinishReason
		}
		total = s.Current().Usage.TotalTokens
	}
	require.NoError(t, s.Err())
	assert.Equal(t, []any{"Hello", sdk.CompletionChoiceFinishReasonLength, int64(12)}, []any{text, finish, total})
}

func TestSDKReadsErrors(t *testing.T) {
	e := &dialect.Error{Status: 429, Code: "budget_exhausted", Message: "no \"money\" left", Param: "model"}
	c := client(t, e.Status, "application/json", Codec{}.AppendError(nil, e, "req_1"))
	_, err := c.Chat.Completions.New(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	var got *sdk.Error
	require.ErrorAs(t, err, &got)
	assert.Equal(t, []any{429, e.Code, e.Message, e.Param, "insufficient_quota"}, []any{got.StatusCode, got.Code, got.Message, got.Param, got.Type})

	broken := append(sse(delta("a")), Codec{}.AppendStreamError(nil, dialect.OpChat, e, "req_1")...)
	c = client(t, 200, "text/event-stream", broken)
	s := c.Chat.Completions.NewStreaming(t.Context(), sdk.ChatCompletionNewParams{Model: "m"})
	assert.True(t, s.Next())
	assert.False(t, s.Next())
	assert.ErrorContains(t, s.Err(), `budget_exhausted`)

	c = client(t, 200, "text/event-stream", Codec{}.AppendStreamError(nil, dialect.OpResponses, e, "req_1"))
	r := c.Responses.NewStreaming(t.Context(), responses.ResponseNewParams{Model: "m"})
	require.True(t, r.Next(), r.Err())
	failed, ok := r.Current().AsAny().(responses.ResponseFailedEvent)
	require.True(t, ok)
	assert.Equal(t, responses.ResponseStatusFailed, failed.Response.Status)
	assert.Equal(t, []string{e.Code, e.Message}, []string{string(failed.Response.Error.Code), failed.Response.Error.Message})
}
