package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStreamsArriveAsTheyAreMade reads a slow stream of every dialect in the words of every other.
func TestStreamsArriveAsTheyAreMade(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	t.Run("of", func(t *testing.T) { // ends before the star does
		for _, d := range dialects {
			for _, op := range operations {
				t.Run(d+" to "+op, func(t *testing.T) {
					t.Parallel()
					s.spread(t, op, d)
				})
			}
		}
	})
}

// spread checks that the events of a stream come one after the other.
func (s *star) spread(t *testing.T, op, d string) {
	c := s.as(t, "ann")
	w := word(op, "to-"+d+"-slow", "slow", true, limit(op, 999))
	resp, err := c.http.Do(c.request(t.Context(), "POST", w.path, w.body, w.headers...))
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, 200, resp.StatusCode)
	var first, last time.Time
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		var some anyAnswer
		if !ok || json.Unmarshal([]byte(data), &some) != nil || !strings.Contains(data, "elta") && op != "generate" || some.text() == "" {
			continue
		}
		if last = time.Now(); first.IsZero() {
			first = last
		}
	}
	require.NoError(t, lines.Err())
	assert.Greater(t, last.Sub(first), 250*time.Millisecond)
}

// TestBrokenStreamsEndInTheClientsDialect breaks streams of every dialect off in every way.
func TestBrokenStreamsEndInTheClientsDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ends := map[string]string{
		"chat": "data: {\"error\":", "responses": "event: response.failed\n", "messages": "event: error\ndata: {\"type\":\"error\",", "generate": "data: {\"error\":",
	}
	for _, d := range dialects {
		for _, fault := range []string{"error-mid", "cut", "cut-clean", "malformed"} {
			for _, op := range operations {
				name := fmt.Sprintf("%s of %s for %s", fault, d, op)
				w := word(op, d+"/x;"+unhurried+"fail="+fault, "broken", true, limit(op, 999))
				a, err := s.as(t, "ann").try(t.Context(), "POST", w.path, w.body, w.headers...)
				require.NotNil(t, a, "%s: %v", name, err)
				assert.Equal(t, 200, a.status, "%s: %s", name, a.body)
				assert.Contains(t, a.body, ends[op], name)
				assert.False(t, a.ends(op), "%s: %s", name, a.brief())
				assert.Equal(t, op == "generate", err != nil, "%s: only Gemini's clients have their connection cut: %v", name, err)
			}
		}
	}
}

// TestArrayOfContents reads a stream as the one JSON array that Gemini's clients get who do not ask for events.
func TestArrayOfContents(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		for _, model := range []string{"to-" + d, "cached-" + d, "cached-" + d} {
			w := word("generate", model, "array", true)
			whole := ann.say(word("generate", "to-"+d, "array", false)).text(t)
			a := ann.do("POST", strings.TrimSuffix(w.path, "?alt=sse"), w.body)
			require.Equal(t, 200, a.status, a.body)
			assert.Contains(t, a.header.Get("Content-Type"), "application/json")
			var chunks []anyAnswer
			require.NoError(t, json.Unmarshal([]byte(a.body), &chunks), "%s: %s", model, a.body)
			assert.Greater(t, len(chunks), 1, model)
			text := ""
			for _, c := range chunks {
				text += c.text()
			}
			assert.Equal(t, whole, text, model)
		}
	}
}

// TestFallbacksAcrossDialects asks models whose other targets are down.
func TestFallbacksAcrossDialects(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, d := range dialects {
		for _, op := range operations {
			for _, streamed := range []bool{false, true} {
				a := ann.say(word(op, "mixed-"+d, "fallback", streamed, limit(op, 999)))
				alone := ann.say(word(op, "to-"+d, "fallback", streamed, limit(op, 999)))
				name := fmt.Sprintf("%s of mixed-%s, streamed %t", op, d, streamed)
				assert.Equal(t, d, a.header.Get("X-Wedge-Provider"), name)
				assert.Equal(t, alone.text(t), a.text(t), name)
			}
		}
	}
}

// TestConversationsChangeTargets lets one target call tools and another read the results: what only its signer can read
// stays away from the others, and is there again where the conversation comes back.
func TestConversationsChangeTargets(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	for name, open := range goSDKs {
		c := open(t, s.data, keyOf("ann"))
		for _, from := range dialects {
			for _, to := range dialects {
				q := question{prompt: "Call get_weather for the city of Paris", tools: []string{"get_weather"}, thinks: true}
				said, err := c.stream(t.Context(), "to-"+from, &q)
				require.NoError(t, err, "%s from %s", name, from)
				require.Len(t, said.calls, 1, "%s from %s", name, from)
				q.turn, q.results = said.turn, []string{"rain"}
				got, err := c.whole(t.Context(), "to-"+to, &q)
				require.NoError(t, err, "%s from %s to %s", name, from, to)
				assert.NotEmpty(t, got.text, "%s from %s to %s", name, from, to)
				records := s.sim.requests(t)
				thought := strings.Contains(records[len(records)-1].Body, map[string]string{
					"openai": "encrypted_content", "anthropic": `"signature"`, "gemini": `"thoughtSignature"`,
				}[to])
				// Chats have no place for what is signed, and the provider does not think where it speaks OpenAI's dialect.
				assert.Equal(t, from == to && from != "openai" && name != "openai chat", thought, "%s from %s to %s", name, from, to)
			}
		}
	}
}

// TestStreamsTellUsageToThoseWhoAsk reads chats of which only some asked for usage, and what every stream tells at its
// end.
func TestStreamsTellUsageToThoseWhoAsk(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	terminals := map[string]string{
		"chat": "data: [DONE]\n\n", "responses": "event: response.completed\n", "messages": "event: message_stop\n",
	}
	for _, d := range dialects {
		for _, model := range []string{"to-" + d, "cached-" + d, "cached-" + d} {
			for _, op := range operations {
				a := ann.say(word(op, model, "usage for "+op, true, limit(op, 999)))
				if op == "generate" { // Google's SDK for Go takes comments for errors, and but one kind of line end
					assert.NotContains(t, a.body, "\n:", model)
					assert.NotContains(t, a.body, "\n\n", model)
					continue
				}
				_, told, found := strings.Cut(a.body, "\n: wedge ")
				require.True(t, found, "%s of %s: %s", op, model, a.brief())
				fact, rest, _ := strings.Cut(told, "\n\n")
				assert.True(t, json.Valid([]byte(fact)), fact)
				assert.True(t, strings.HasPrefix(rest, terminals[op]), "%s of %s: %s", op, model, rest)
			}
			silent := word("chat", model, "usage for nobody", true)
			silent.body = strings.Replace(silent.body, `"stream_options":{"include_usage":true}`, `"stream_options":{}`, 1)
			a := ann.say(silent)
			assert.Nil(t, a.said(t).usage, model)
			assert.NotContains(t, withoutComments(a.body), `"choices":[]`, model)
		}
	}
}

// TestModelsInEveryDialect reads the list of models, and one of them, as clients of each dialect do.
func TestModelsInEveryDialect(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	ann := s.as(t, "ann")
	for _, c := range []struct {
		path, list, name string // where the names are
		headers          []string
	}{
		{"/v1/models", "data", "to-gemini", nil},
		{"/v1/models", "data", "to-gemini", []string{"anthropic-version", version}},
		{"/v1beta/models", "models", "models/to-gemini", []string{"authorization", "", "x-goog-api-key", keyOf("ann")}},
	} {
		a := ann.get(c.path, c.headers...)
		require.Equal(t, 200, a.status, a.body)
		var page map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(a.body), &page))
		var models []map[string]any
		require.NoError(t, json.Unmarshal(page[c.list], &models), a.body)
		one := ann.get(c.path+"/to-gemini", c.headers...)
		require.Equal(t, 200, one.status, one.body)
		var model map[string]any
		require.NoError(t, json.Unmarshal([]byte(one.body), &model))
		assert.Contains(t, models, model)
		assert.True(t, model["id"] == c.name || model["name"] == c.name, one.body)
		op := map[string]string{"data": "chat", "models": "generate"}[c.list]
		if len(c.headers) == 2 {
			op = "messages"
		}
		ann.get(c.path+"/nobody", c.headers...).wantRefusal(t, op, 404, "unknown_model")
	}
}

// TestArgumentsStream counts the pieces in which the arguments of a tool call arrive.
func TestArgumentsStream(t *testing.T) {
	t.Parallel()
	s := startStar(t)
	schema, err := json.Marshal(weatherSchema)
	require.NoError(t, err)
	tools := map[string]string{
		"chat":      `"tools":[{"type":"function","function":{"name":"get_weather","parameters":%s}}]`,
		"responses": `"tools":[{"type":"function","name":"get_weather","parameters":%s}]`,
		"messages":  `"tools":[{"name":"get_weather","input_schema":%s}]`,
	}
	pieces := map[string]string{"chat": `"arguments":"`, "responses": `event: response.function_call_arguments.delta`, "messages": `"input_json_delta"`}
	for _, d := range []string{"openai", "anthropic"} { // Gemini's calls are in one piece
		for op, declared := range tools {
			a := s.as(t, "ann").say(word(op, "to-"+d, "Call get_weather for the city of Paris", true, limit(op, 999), fmt.Sprintf(declared, schema)))
			require.Equal(t, 200, a.status, a.body)
			assert.Greater(t, strings.Count(a.body, pieces[op]), 5, "%s of %s: %s", op, d, a.body)
		}
	}
}
