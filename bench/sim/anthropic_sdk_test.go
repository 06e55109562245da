package sim_test

import (
	"errors"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

func anthropicClient(t testing.TB, o sim.Options, options ...option.RequestOption) (anthropic.Client, *sim.Server) {
	srv, url := start(t, o)
	return anthropic.NewClient(append([]option.RequestOption{
		option.WithBaseURL(url), option.WithAPIKey("sk-ant-test"), option.WithMaxRetries(0),
	}, options...)...), srv
}

func messageParams(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model: "claude-sonnet-5-5", MaxTokens: 1000, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
	}
}

func messageTool(name string) anthropic.ToolUnionParam {
	return anthropic.ToolUnionParam{OfTool: &anthropic.ToolParam{
		Name: name, InputSchema: anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"], Required: []string{"city"}},
	}}
}

// accumulateMessage streams params and returns the message that the SDK makes of the events.
func accumulateMessage(t testing.TB, c anthropic.Client, params anthropic.MessageNewParams) anthropic.Message {
	t.Helper()
	stream := c.Messages.NewStreaming(t.Context(), params)
	var got anthropic.Message
	for stream.Next() {
		require.NoError(t, got.Accumulate(stream.Current()))
	}
	require.NoError(t, stream.Err())
	return got
}

func checkSameMessage(t testing.TB, whole, streamed anthropic.Message) {
	t.Helper()
	assert.Equal(t, whole.ID, streamed.ID)
	assert.Equal(t, whole.StopReason, streamed.StopReason)
	assert.Equal(t, whole.Usage.InputTokens, streamed.Usage.InputTokens)
	assert.Equal(t, whole.Usage.OutputTokens, streamed.Usage.OutputTokens)
	require.Len(t, streamed.Content, len(whole.Content))
	for i, want := range whole.Content {
		got := streamed.Content[i]
		assert.Equal(t, []string{want.Type, want.Text, want.Thinking, want.Signature, want.ID, want.Name},
			[]string{got.Type, got.Text, got.Thinking, got.Signature, got.ID, got.Name})
		if want.Type == "tool_use" {
			assert.JSONEq(t, string(want.Input), string(got.Input))
		}
	}
}

func TestAnthropicSDK(t *testing.T) {
	c, srv := anthropicClient(t, sim.Options{LogSize: 20})
	tools := []anthropic.ToolUnionParam{messageTool("get_weather"), messageTool("get_tides")}
	for name, edit := range map[string]func(p *anthropic.MessageNewParams){
		"text": func(*anthropic.MessageNewParams) {},
		"thinking": func(p *anthropic.MessageNewParams) {
			p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
			p.MaxTokens = 4000
		},
		"bounded": func(p *anthropic.MessageNewParams) { p.MaxTokens = 3 },
		"tools":   func(p *anthropic.MessageNewParams) { p.Tools = tools },
		"image": func(p *anthropic.MessageNewParams) {
			p.Messages[0].Content = append(p.Messages[0].Content, anthropic.NewImageBlockBase64("image/png", "aGk="),
				anthropic.NewDocumentBlock(anthropic.Base64PDFSourceParam{Data: "aGk="}))
		},
	} {
		params := messageParams("Call get_weather and get_tides for Paris")
		edit(&params)
		whole, err := c.Messages.New(t.Context(), params)
		require.NoError(t, err, name)
		checkSameMessage(t, *whole, accumulateMessage(t, c, params))
		if name == "tools" {
			require.Len(t, whole.Content, 2)
			checkWeather(t, string(whole.Content[0].Input))
			params.Messages = append(params.Messages, whole.ToParam(),
				anthropic.NewUserMessage(anthropic.NewToolResultBlock(whole.Content[0].ID, "rain", false)))
			done, err := c.Messages.New(t.Context(), params)
			require.NoError(t, err)
			assert.Equal(t, anthropic.StopReasonEndTurn, done.StopReason)
		}
	}
	rec := srv.Requests()[0]
	assert.Regexp(t, "^sha256:", rec.Headers["x-api-key"])
	assert.Positive(t, rec.TokensIn)
}

func TestAnthropicSDKCountsAndLists(t *testing.T) {
	c, _ := anthropicClient(t, sim.Options{})
	params := messageParams("How are you?")
	counted, err := c.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{
		Model: params.Model, Messages: params.Messages,
		System: anthropic.MessageCountTokensParamsSystemUnion{OfTextBlockArray: params.System},
	})
	require.NoError(t, err)
	whole, err := c.Messages.New(t.Context(), params)
	require.NoError(t, err)
	assert.Equal(t, whole.Usage.InputTokens, counted.InputTokens)
	models := c.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{})
	var names []string
	for models.Next() {
		names = append(names, models.Current().ID)
	}
	require.NoError(t, models.Err())
	assert.Contains(t, names, "sim-small")
}

func TestAnthropicSDKErrors(t *testing.T) {
	c, _ := anthropicClient(t, sim.Options{})
	f := func(fail string, status int, kind string) {
		t.Helper()
		params := messageParams("Hello")
		params.Model = "m;fail=" + fail
		_, err := c.Messages.New(t.Context(), params)
		var failed *anthropic.Error
		require.True(t, errors.As(err, &failed), "%v", err)
		assert.Equal(t, status, failed.StatusCode)
		assert.Equal(t, kind, string(failed.Type()))
		assert.Contains(t, failed.RawJSON(), failed.RequestID)
	}
	f("429", 429, "rate_limit_error")
	f("overloaded", 529, "overloaded_error")
	f("500", 500, "api_error")
	f("401", 401, "authentication_error")
	f("quota", 402, "billing_error")

	params := messageParams("Hello")
	params.Model = "m;fail=error-mid"
	stream := c.Messages.NewStreaming(t.Context(), params)
	events := 0
	for stream.Next() {
		events++
	}
	var failed *anthropic.Error
	require.True(t, errors.As(stream.Err(), &failed), "%v", stream.Err())
	assert.Equal(t, "overloaded_error", string(failed.Type()))
	assert.Greater(t, events, 3)
}

func TestAnthropicSDKRetries(t *testing.T) {
	c, srv := anthropicClient(t, sim.Options{LogSize: 10}, option.WithMaxRetries(2))
	require.NoError(t, srv.Script(sim.Step{Fail: "429", Set: "retry_after=0s"}, sim.Step{Fail: "overloaded"}))
	_, err := c.Messages.New(t.Context(), messageParams("Hello"))
	require.NoError(t, err)
	require.Len(t, srv.Requests(), 3)
	assert.Equal(t, "2", srv.Requests()[2].Headers["x-stainless-retry-count"])
	require.NoError(t, srv.Script(sim.Step{Fail: "quota"}))
	_, err = c.Messages.New(t.Context(), messageParams("Hello"))
	require.Error(t, err)
	assert.Len(t, srv.Requests(), 4, "no retry helps when the money has run out")
}
