package anthropic

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// The official SDK must understand what the codec writes.

func client(t *testing.T, status int, contentType string, body []byte) sdk.Client {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	return sdk.NewClient(option.WithBaseURL(srv.URL), option.WithAPIKey("k"), option.WithMaxRetries(0))
}

var anyParams = sdk.MessageNewParams{Model: "m", MaxTokens: 5, Messages: []sdk.MessageParam{sdk.NewUserMessage(sdk.NewTextBlock("x"))}}

// accumulated is the message that the SDK makes of a stream.
func accumulated(t *testing.T, sse []byte) (got sdk.Message, err error) {
	c := client(t, 200, "text/event-stream", sse)
	s := c.Messages.NewStreaming(t.Context(), anyParams)
	for s.Next() {
		require.NoError(t, got.Accumulate(s.Current()))
	}
	return got, s.Err()
}

// theReply is what another dialect's provider answered.
func theReply() *dialect.Reply {
	return &dialect.Reply{
		ID: []byte("chatcmpl-1"), Model: []byte("gpt"), Usage: dialect.Usage{Input: 10, Cached: 4, Output: 5, Reasoning: 2, Known: true},
		Parts: []dialect.Part{
			{Kind: dialect.PartThinking, Text: []byte("hm"), Signature: []byte("s"), Signer: dialect.Gemini}, says(`Hi \"you\"\n`),
			{Kind: dialect.PartCall, ID: []byte("call_1"), Name: []byte("f"), Args: []byte(`"{\"city\":\"Zürich\"}"`)},
			{Kind: dialect.PartCall, ID: []byte("call_2"), Name: []byte("g")},
		},
		Answers: []dialect.Answer{{To: 4, Finish: dialect.FinishCalls}},
	}
}

func checkReply(t *testing.T, m *sdk.Message) {
	t.Helper()
	require.Len(t, m.Content, 4)
	assert.Equal(t, "msg_chatcmpl-1", m.ID)
	assert.Equal(t, sdk.StopReasonToolUse, m.StopReason)
	assert.Equal(t, "gpt", m.Model)
	thought, ok := m.Content[0].AsAny().(sdk.ThinkingBlock)
	require.True(t, ok)
	assert.Equal(t, []string{"hm", "gemini:s"}, []string{thought.Thinking, thought.Signature})
	assert.Equal(t, "Hi \"you\"\n", m.Content[1].Text)
	call, ok := m.Content[2].AsAny().(sdk.ToolUseBlock)
	require.True(t, ok)
	assert.Equal(t, []string{"call_1", "f"}, []string{call.ID, call.Name})
	assert.JSONEq(t, `{"city":"Zürich"}`, string(call.Input))
	assert.JSONEq(t, `{}`, string(m.Content[3].Input))
	assert.Equal(t, []int64{6, 4, 5, 2}, []int64{m.Usage.InputTokens, m.Usage.CacheReadInputTokens, m.Usage.OutputTokens, m.Usage.OutputTokensDetails.ThinkingTokens})
}

func TestSDKReadsReplies(t *testing.T) {
	whole, err := Codec{}.AppendReply(nil, dialect.OpMessages, theReply())
	require.NoError(t, err)
	c := client(t, 200, "application/json", whole)
	m, err := c.Messages.New(t.Context(), anyParams)
	require.NoError(t, err)
	checkReply(t, m)

	sse, _ := writeStream(eventsOf(theReply()))
	streamed, err := accumulated(t, sse)
	require.NoError(t, err)
	checkReply(t, &streamed)

	exploded, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, whole)
	require.NoError(t, err)
	streamed, err = accumulated(t, exploded)
	require.NoError(t, err)
	checkReply(t, &streamed)
}

func TestSDKReadsARichStream(t *testing.T) {
	sse, _, _, err := Codec{}.AppendStream(nil, dialect.OpMessages, []byte(richWhole))
	require.NoError(t, err)
	got, err := accumulated(t, sse)
	require.NoError(t, err)
	var want sdk.Message
	require.NoError(t, json.Unmarshal([]byte(richWhole), &want))
	require.Len(t, got.Content, len(want.Content))
	for i := range want.Content {
		assert.JSONEq(t, want.Content[i].RawJSON(), got.Content[i].RawJSON())
	}
	assert.Equal(t, want.Usage.OutputTokens, got.Usage.OutputTokens)
	assert.Equal(t, want.StopReason, got.StopReason)
}

func TestSDKReadsErrors(t *testing.T) {
	e := &dialect.Error{Status: 429, Code: "budget_exhausted", Message: "the budget is spent"}
	c := client(t, 429, "application/json", Codec{}.AppendError(nil, e, "req_7"))
	_, err := c.Messages.New(t.Context(), anyParams)
	var failed *sdk.Error
	require.True(t, errors.As(err, &failed))
	assert.Equal(t, "billing_error", string(failed.Type()))
	assert.Contains(t, failed.RawJSON(), "the budget is spent")

	e = &dialect.Error{Status: 502, Code: "upstream_error", Message: "it broke"}
	sse, _ := writeStream([]dialect.Event{start(), text("x")})
	_, err = accumulated(t, Codec{}.AppendStreamError(sse, dialect.OpMessages, e, "req_7"))
	require.True(t, errors.As(err, &failed), "%v", err)
	assert.Equal(t, "api_error", string(failed.Type()))
}

func TestSDKListsModels(t *testing.T) {
	c := client(t, 200, "application/json", Codec{}.AppendModels(nil, []string{"a", "b"}, 1768435200))
	page, err := c.Models.List(t.Context(), sdk.ModelListParams{})
	require.NoError(t, err)
	require.Len(t, page.Data, 2)
	assert.Equal(t, []any{"a", "a", int64(1768435200)}, []any{page.Data[0].ID, page.Data[0].DisplayName, page.Data[0].CreatedAt.Unix()})
	assert.False(t, page.HasMore)
	c = client(t, 200, "application/json", Codec{}.AppendCount(nil, dialect.OpCountTokens, 9))
	count, err := c.Messages.CountTokens(t.Context(), sdk.MessageCountTokensParams{Model: "m", Messages: anyParams.Messages})
	require.NoError(t, err)
	assert.Equal(t, int64(9), count.InputTokens)
}

// What the SDK sends must be understood.
func TestReadSDKRequests(t *testing.T) {
	params := sdk.MessageNewParams{
		Model: "m", MaxTokens: 5, System: []sdk.TextBlockParam{{Text: "s", CacheControl: sdk.NewCacheControlEphemeralParam()}},
		Thinking: sdk.ThinkingConfigParamOfEnabled(2048), ToolChoice: sdk.ToolChoiceParamOfTool("f"),
		Messages: []sdk.MessageParam{
			sdk.NewUserMessage(sdk.NewTextBlock("x"), sdk.NewImageBlockBase64("image/png", "aGk=")),
			sdk.NewAssistantMessage(sdk.NewThinkingBlock("sig", "hm"), sdk.NewToolUseBlock("toolu_1", map[string]any{"a": 1}, "f")),
			sdk.NewUserMessage(sdk.NewToolResultBlock("toolu_1", "rain", true)),
		},
		Tools: []sdk.ToolUnionParam{{OfTool: &sdk.ToolParam{Name: "f", InputSchema: sdk.ToolInputSchemaParam{Properties: map[string]any{}}}}},
	}
	body, err := json.Marshal(params)
	require.NoError(t, err)
	c := readMust(t, string(body))
	assert.Equal(t, []string{
		`before: text text=s cache={"type":"ephemeral"}`, "user: text text=x; image media=image/png data=aGk=",
		`assistant: thinking text=hm signature=sig by anthropic; call name=f id=toolu_1 args={"a":1}`, "results: result name=f id=toolu_1 failed <text text=rain>",
	}, conversation(c))
	assert.Empty(t, c.Unknown)
	assert.Equal(t, dialect.ChoiceNamed, c.Choice)
}
