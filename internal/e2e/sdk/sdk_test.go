package sdk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// newClient is the SDK as an application makes it, but for retries: those that want them say so.
func newClient(t testing.TB, options ...option.RequestOption) openai.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(wedge.url()), option.WithAPIKey(wedge.Key), option.WithMaxRetries(0),
		option.WithHTTPClient(&http.Client{Transport: transport}),
	}, options...)...)
}

var questions atomic.Int64

// question returns a text that no other test asks, so that nothing is in the cache already.
func question(text string) string { return fmt.Sprintf("%s (go-%d)", text, questions.Add(1)) }

func chat(model, content string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(content)},
	}
}

// fresh asks past the cache.
func fresh() option.RequestOption { return option.WithHeader("x-wedge-cache", "no-cache") }

// all returns a stream's events.
func all[T any](t testing.TB, stream *ssestream.Stream[T]) (events []T) {
	t.Helper()
	for stream.Next() {
		events = append(events, stream.Current())
	}
	require.NoError(t, stream.Err())
	require.NoError(t, stream.Close())
	return events
}

var weatherSchema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"city": map[string]any{"type": "string"},
		"days": map[string]any{"type": "integer", "minimum": 1, "maximum": 7},
		"unit": map[string]any{"type": "string", "enum": []string{"celsius", "fahrenheit"}},
	},
	"required":             []string{"city", "days", "unit"},
	"additionalProperties": false,
}

func checkWeather(t testing.TB, text string) {
	t.Helper()
	var args struct {
		City string
		Days int
		Unit string
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&args), text)
	assert.NotEmpty(t, args.City)
	assert.True(t, args.Days >= 1 && args.Days <= 7, text)
	assert.Contains(t, []string{"celsius", "fahrenheit"}, args.Unit)
}

// script makes the provider's next answers fail as told; steps name a model of their test's own.
func script(t testing.TB, steps string) {
	t.Helper()
	resp, err := simClient(t).Post("http://"+wedge.Sim+"/sim/script", "application/json", strings.NewReader(steps))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode)
}

// record is what the simulated provider tells of a request.
type record struct {
	Headers map[string]string
	Body    string
	State   string
}

// received returns the provider's records of the requests with a text in their body.
func received(t testing.TB, text string) (out []record) {
	t.Helper()
	resp, err := simClient(t).Get("http://" + wedge.Sim + "/sim/requests")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	var page struct{ Requests []record }
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&page))
	for _, r := range page.Requests {
		if strings.Contains(r.Body, text) {
			out = append(out, r)
		}
	}
	return out
}

// wantGone waits until the provider knows that nobody reads its only answer to a text.
func wantGone(t testing.TB, text string) {
	t.Helper()
	testkit.Eventually(t, 2*time.Second, func() error {
		if got := received(t, text); len(got) != 1 || got[0].State != "client_gone" {
			return fmt.Errorf("the provider tells %+v", got)
		}
		return nil
	})
}

func simClient(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
