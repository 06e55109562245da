package e2e

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// question is what is asked through every SDK.
type question struct {
	prompt  string
	bare    bool // without the system prompt
	picture bool
	tools   []string // their arguments are a weatherSchema
	turn    any      // what an SDK kept of the turn in which the model called tools
	results []string // of those calls
	stop    string
	max     int64
	schema  bool // the answer must be a weatherSchema
	thinks  bool
}

// heard is what an SDK makes of an answer.
type heard struct {
	text    string
	calls   []toolCall
	finish  string // stop | length | calls
	in, out int64  // tokens
	turn    any
	pieces  int // of the text, in a stream
}

type toolCall struct{ name, args string }

// sdk is a client of the node.
type sdk interface {
	whole(ctx context.Context, model string, q *question) (*heard, error)
	stream(ctx context.Context, model string, q *question) (*heard, error)
	status(err error) int // of the node's refusal; 0 if it is not in the SDK's own form
	lacks(what string) bool
}

// These are more that some of them can do.
type (
	embedder interface {
		embed(ctx context.Context, model string, texts []string) ([][]float64, error)
	}
	counter interface {
		count(ctx context.Context, model, prompt string) (int64, error)
	}
	lister interface {
		list(ctx context.Context) ([]string, error)
	}
)

// goSDKs open a client of an address with a key.
var goSDKs = map[string]func(t testing.TB, addr, key string) sdk{
	"openai chat":      openChat,
	"openai responses": openResponses,
	"anthropic":        openMessages,
	"genai":            openContents,
}

const (
	systemPrompt = "Be brief."
	picture      = "\x89PNG\r\n\x1a\n0123456789"
)

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
	assert.Equal(t, "Paris", args.City)
	assert.True(t, args.Days >= 1 && args.Days <= 7, text)
	assert.Contains(t, []string{"celsius", "fahrenheit"}, args.Unit)
}

// checkSDK takes an SDK through all cases with all targets.
func checkSDK(t *testing.T, s *star, open func(t testing.TB, addr, key string) sdk) {
	plain := question{prompt: "Why do edges matter?"}
	calling := question{prompt: "Call get_weather and get_tides for the city of Paris", tools: []string{"get_weather", "get_news", "get_tides"}}
	thinking := calling
	thinking.thinks = true
	c := open(t, s.data, keyOf("ann"))
	for _, d := range dialects {
		m := &matrix{s, c, "to-" + d}
		m.run(t, "text", func(t *testing.T) { m.same(t, &plain, "stop") })
		m.run(t, "image", func(t *testing.T) { m.same(t, &question{prompt: "What is this?", picture: true}, "stop") })
		m.run(t, "length", func(t *testing.T) { m.same(t, &question{prompt: plain.prompt, max: 7}, "length") })
		m.run(t, "stop", func(t *testing.T) {
			stop := strings.Fields(s.told(t, &plain))[11]
			said := m.same(t, &question{prompt: plain.prompt, stop: stop}, "stop")
			assert.NotContains(t, said.text, stop)
		})
		m.run(t, "schema", func(t *testing.T) {
			whole, _ := m.agree(t, &question{prompt: "The weather in Paris", schema: true})
			checkWeather(t, whole.text)
		})
		m.run(t, "tools", func(t *testing.T) { m.callTools(t, calling) })
		m.run(t, "thinking", func(t *testing.T) { m.callTools(t, thinking) })
		m.run(t, "errors", func(t *testing.T) { m.refuse(t, open(t, s.data, "wk_000000000000_nobody")) })
		m.run(t, "broken", m.breakOff)
		m.run(t, "embeddings", m.embed)
		m.run(t, "count", m.count)
	}
	t.Run("models", func(t *testing.T) { list(t, c) })
}

// matrix is one place in it: a client and a model.
type matrix struct {
	star   *star
	client sdk
	model  string
}

func (m *matrix) run(t *testing.T, what string, check func(t *testing.T)) {
	if !m.client.lacks(what) {
		t.Run(m.model+"/"+what, check)
	}
}

// agree asks whole and streamed, and checks that both answers say the same.
func (m *matrix) agree(t *testing.T, q *question) (whole, streamed *heard) {
	t.Helper()
	whole, err := m.client.whole(t.Context(), m.model, q)
	require.NoError(t, err)
	streamed, err = m.client.stream(t.Context(), m.model, q)
	require.NoError(t, err)
	assert.Equal(t, whole.text, streamed.text)
	assert.Equal(t, whole.calls, streamed.calls)
	assert.Equal(t, whole.finish, streamed.finish)
	assert.Equal(t, []int64{whole.in, whole.out}, []int64{streamed.in, streamed.out}, "usage")
	assert.Positive(t, whole.in)
	assert.Positive(t, whole.out)
	if len(whole.calls) == 0 {
		assert.GreaterOrEqual(t, streamed.pieces, 3)
	}
	return whole, streamed
}

// same checks that the answer to a question is what the provider says to it in its own dialect.
func (m *matrix) same(t *testing.T, q *question, finish string) *heard {
	t.Helper()
	said, _ := m.agree(t, q)
	assert.Equal(t, m.star.told(t, q), said.text)
	assert.Equal(t, finish, said.finish)
	assert.Empty(t, said.calls)
	return said
}

// callTools has two tools called at once and tells their results, to the whole and to the streamed call.
func (m *matrix) callTools(t *testing.T, q question) {
	whole, streamed := m.agree(t, &q)
	assert.Equal(t, "calls", whole.finish)
	require.Len(t, whole.calls, 2)
	for i, name := range []string{"get_weather", "get_tides"} {
		assert.Equal(t, name, whole.calls[i].name)
		checkWeather(t, whole.calls[i].args)
	}
	var finals []string
	for _, said := range []*heard{whole, streamed} {
		q.turn, q.results = said.turn, []string{"rain", "high"}
		final, _ := m.agree(t, &q)
		assert.Equal(t, "stop", final.finish)
		assert.Empty(t, final.calls)
		assert.NotEmpty(t, final.text)
		finals = append(finals, final.text)
	}
	assert.Equal(t, finals[0], finals[1])
}

// refuse checks the SDK's own errors.
func (m *matrix) refuse(t *testing.T, stranger sdk) {
	q := &question{prompt: "Hello?"}
	for _, ask := range []asker{m.client.whole, m.client.stream} {
		_, err := ask(t.Context(), "no-such-model", q)
		assert.Equal(t, http.StatusNotFound, m.client.status(err), "%v", err)
	}
	for _, ask := range []asker{stranger.whole, stranger.stream} {
		_, err := ask(t.Context(), m.model, q)
		assert.Equal(t, http.StatusUnauthorized, m.client.status(err), "%v", err)
	}
}

type asker = func(ctx context.Context, model string, q *question) (*heard, error)

// breakOff checks that no SDK takes an answer that broke off for a good one.
func (m *matrix) breakOff(t *testing.T) {
	said, err := m.client.stream(t.Context(), m.model+"-fails", &question{prompt: "Why do edges matter?"})
	if err == nil {
		assert.Fail(t, "it is taken for good", "with finish %s: %s", said.finish, said.text)
	}
	assert.Zero(t, m.client.status(err), "it has not begun: %v", err)
}

func (m *matrix) embed(t *testing.T) {
	c, ok := m.client.(embedder)
	if !ok {
		return
	}
	texts := []string{"Edges", "matter", strings.Repeat("word ", 60)}
	vectors, err := c.embed(t.Context(), m.model, texts)
	if m.model == "to-anthropic" { // a dialect without vectors
		assert.Equal(t, http.StatusBadRequest, m.client.status(err), "%v", err)
		return
	}
	require.NoError(t, err)
	require.Len(t, vectors, len(texts))
	for _, v := range vectors {
		sum := 0.0
		for _, x := range v {
			sum += x * x
		}
		assert.InDelta(t, 1, math.Sqrt(sum), 1e-3, "%d numbers", len(v))
	}
	assert.NotEqual(t, vectors[0], vectors[1])
	again, err := c.embed(t.Context(), m.model, texts[1:2])
	require.NoError(t, err)
	assert.Equal(t, vectors[1], again[0])
}

func (m *matrix) count(t *testing.T) {
	c, ok := m.client.(counter)
	if !ok {
		return
	}
	few, err := c.count(t.Context(), m.model, "Why do edges matter?")
	require.NoError(t, err)
	assert.True(t, few >= 4 && few <= 40, "%d tokens", few)
	many, err := c.count(t.Context(), m.model, strings.Repeat("Why do edges matter? ", 100))
	require.NoError(t, err)
	assert.True(t, many >= 300 && many <= 1500, "%d tokens", many)
}

func list(t *testing.T, c sdk) {
	l, ok := c.(lister)
	if !ok {
		return
	}
	names, err := l.list(t.Context())
	require.NoError(t, err)
	for _, d := range dialects {
		assert.True(t, slices.Contains(names, "to-"+d), "%v", names)
	}
}
