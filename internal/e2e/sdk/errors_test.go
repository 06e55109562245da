package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// wantError checks that err is the SDK's own, readable, and names the request.
func wantError(t testing.TB, err error, status int, code string) *openai.Error {
	t.Helper()
	var apiErr *openai.Error
	require.ErrorAs(t, err, &apiErr)
	assert.Equal(t, status, apiErr.StatusCode, detail(err))
	assert.Equal(t, code, apiErr.Code, detail(err))
	assert.NotEmpty(t, apiErr.Message)
	assert.NotEmpty(t, apiErr.Type)
	assert.NotEmpty(t, apiErr.Response.Header.Get("x-request-id"))
	assert.NotContains(t, apiErr.RawJSON(), wedge.Key)
	return apiErr
}

// detail is what the SDK's error does not show on its own.
func detail(err error) string {
	var apiErr *openai.Error
	if errors.As(err, &apiErr) {
		return apiErr.RawJSON()
	}
	return ""
}

func TestErrors(t *testing.T) {
	empty := chat("sim/strict", "")
	empty.Messages = []openai.ChatCompletionMessageParamUnion{}
	for name, c := range map[string]struct {
		params  openai.ChatCompletionNewParams
		options []option.RequestOption
		status  int
		code    string
	}{
		"a wrong key":         {chat("demo", "Hi"), []option.RequestOption{option.WithAPIKey("wk_000000000000_nobody")}, 401, "unauthenticated"},
		"an unknown model":    {chat("no-such-model", "Hi"), nil, 404, "unknown_model"},
		"no model":            {chat("", "Hi"), nil, 400, "invalid_request"},
		"the provider's 400":  {empty, nil, 400, "empty_array"}, // the provider's own words are more use than Wedge's
		"the provider's 429":  {chat("sim/limited;fail=429", "Hi"), nil, 429, "rate_limited"},
		"an exhausted quota":  {chat("sim/poor;fail=quota", "Hi"), nil, 429, "rate_limited"},
		"the provider's 500":  {chat("sim/broken;fail=500", "Hi"), nil, 502, "upstream_error"},
		"the provider's 503":  {chat("sim/broken;fail=503", "Hi"), nil, 502, "upstream_error"},
		"the provider's 401":  {chat("sim/broken;fail=401", "Hi"), nil, 502, "upstream_error"},
		"a refusal":           {chat("sim/broken;fail=refused", "Hi"), nil, 502, "upstream_error"},
		"an error as a 200":   {chat("sim/broken;fail=error200", "Hi"), nil, 502, "upstream_error"},
		"an empty answer":     {chat("sim/broken;fail=empty", "Hi"), nil, 502, "upstream_protocol"},
		"somebody's web page": {chat("sim/broken;fail=garbage", "Hi"), nil, 502, "upstream_protocol"},
		"Wedge's time limit": {chat("sim/late;latency=5s;ttft=5s", "Hi"), []option.RequestOption{
			option.WithHeader("x-wedge-timeout", "150ms")}, 504, "upstream_timeout"},
	} {
		t.Run(name, func(t *testing.T) {
			sdk := newClient(t)
			_, err := sdk.Chat.Completions.New(t.Context(), c.params, c.options...)
			got := wantError(t, err, c.status, c.code)
			switch name {
			case "the provider's 429":
				assert.NotEmpty(t, got.Response.Header.Get("retry-after"))
			case "an exhausted quota":
				assert.Equal(t, "false", got.Response.Header.Get("x-should-retry"))
			}
			stream := sdk.Chat.Completions.NewStreaming(t.Context(), c.params, c.options...)
			require.False(t, stream.Next())
			wantError(t, stream.Err(), c.status, c.code)
		})
	}
}

func TestBrokenAnswers(t *testing.T) {
	c := newClient(t)
	for _, fail := range midStreamFaults {
		_, err := c.Chat.Completions.New(t.Context(), chat("sim/broken;fail="+fail, question("Broken?")))
		var apiErr *openai.Error
		require.ErrorAs(t, err, &apiErr, fail)
		assert.Equal(t, http.StatusBadGateway, apiErr.StatusCode, fail)
		assert.Contains(t, []string{"upstream_error", "upstream_protocol"}, apiErr.Code, fail)
	}
}

func TestForbidden(t *testing.T) {
	c := newClient(t, option.WithHeader("x-wedge-provider", "sim-two")) // the key passes through to sim alone
	_, err := c.Files.List(t.Context(), openai.FileListParams{})
	wantError(t, err, http.StatusForbidden, "forbidden")
}

func TestRetries(t *testing.T) {
	params := chat("sim/flaky-go", question("Again?"))
	script(t, `[{"fail":"503","count":2,"model":"flaky-go"}]`)
	c := newClient(t, option.WithMaxRetries(2))
	got, err := c.Chat.Completions.New(t.Context(), params)
	require.NoError(t, err, detail(err))
	assert.NotEmpty(t, got.Choices[0].Message.Content)
	assert.Len(t, received(t, params.Messages[0].OfUser.Content.OfString.Value), 3)
}

func TestRetriesWaitAsTold(t *testing.T) {
	script(t, `[{"fail":"429","model":"limited-go","set":"retry_after=1s"}]`)
	c := newClient(t, option.WithMaxRetries(1))
	start := time.Now()
	acc := accumulate(t, c, chat("sim/limited-go", question("Again?")))
	assert.NotEmpty(t, acc.Choices[0].Message.Content)
	assert.GreaterOrEqual(t, time.Since(start), 950*time.Millisecond)
}

// TestRetriesReachTheSecondTarget shows that the SDK has nothing to do as long as one target answers.
func TestRetriesReachTheSecondTarget(t *testing.T) {
	c := newClient(t)
	script(t, `[{"fail":"503","model":"sim-small"}]`)
	var head *http.Response
	_, err := c.Chat.Completions.New(t.Context(), chat("demo@1.0.0", question("Which?")), option.WithResponseInto(&head))
	require.NoError(t, err, detail(err))
	assert.Equal(t, "2", head.Header.Get("x-wedge-attempts"))
}

func TestTimeout(t *testing.T) {
	c := newClient(t)
	content := question("Late?")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := c.Chat.Completions.New(ctx, chat("sim/late;latency=5s", content))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	wantGone(t, content)
}

// broken is a model whose streams fail after some events have come.
func broken(fail string) string {
	return "sim/broken;ttft=1ms;tps=400;tokens=40;fail=" + fail + ";fail_after=5"
}

var midStreamFaults = []string{"error-mid", "cut", "cut-clean", "malformed"}

func TestBrokenStreams(t *testing.T) {
	c := newClient(t)
	for _, fail := range midStreamFaults {
		t.Run(fail, func(t *testing.T) {
			stream := c.Chat.Completions.NewStreaming(t.Context(), chat(broken(fail), question("Broken?")))
			n := 0
			for ; stream.Next(); n++ {
				for _, choice := range stream.Current().Choices {
					assert.Empty(t, choice.FinishReason, "no good end")
				}
			}
			assert.Greater(t, n, 2)
			wantStreamError(t, stream.Err())

			completions := c.Completions.NewStreaming(t.Context(), openai.CompletionNewParams{
				Model:  openai.CompletionNewParamsModel(broken(fail)),
				Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String(question("Broken?"))},
			})
			for completions.Next() {
				assert.Empty(t, completions.Current().Choices[0].FinishReason)
			}
			wantStreamError(t, completions.Err())
		})
	}
}

func wantStreamError(t testing.TB, err error) {
	t.Helper()
	var streamErr *ssestream.StreamError
	require.ErrorAs(t, err, &streamErr)
	var body struct {
		Error struct{ Message, Code string }
	}
	require.NoError(t, json.Unmarshal(streamErr.Event.Data, &body))
	assert.NotEmpty(t, body.Error.Message)
	assert.Contains(t, []string{"upstream_error", "upstream_protocol", "server_error"}, body.Error.Code) // the last is the provider's own
}

func TestBrokenResponses(t *testing.T) {
	c := newClient(t)
	for _, fail := range midStreamFaults {
		t.Run(fail, func(t *testing.T) {
			params := respond(question("Broken?"))
			params.Model = broken(fail)
			got := stream(t, c, params)
			assert.NotEmpty(t, got.text)
			assert.Equal(t, "response.failed", got.types[len(got.types)-1])
			assert.EqualValues(t, "failed", got.final.Status)
			assert.NotEmpty(t, got.final.Error.Message)
			assert.NotContains(t, got.types, "response.completed")
		})
	}
}

func TestLeavingAStream(t *testing.T) {
	for name, leave := range map[string]func(cancel func(), stream *ssestream.Stream[openai.ChatCompletionChunk]){
		"close":  func(_ func(), stream *ssestream.Stream[openai.ChatCompletionChunk]) { _ = stream.Close() },
		"cancel": func(cancel func(), _ *ssestream.Stream[openai.ChatCompletionChunk]) { cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			content := question("Long?")
			stream := c.Chat.Completions.NewStreaming(ctx, chat("sim/long;tps=10;tokens=200", content))
			defer func() { _ = stream.Close() }()
			require.True(t, stream.Next())
			leave(cancel, stream)
			wantGone(t, content)
		})
	}
}
