package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/wire"
)

// sameAsk is one question in the words of every dialect: path and body, streamed or not.
func sameAsk(model, text string, stream bool) map[string][2]string {
	verb := "generateContent"
	if stream {
		verb = "streamGenerateContent?alt=sse"
	}
	return map[string][2]string{
		"chat":     {chatPath, fmt.Sprintf(`{"model":%q,"max_tokens":50,"stream":%v,"messages":[{"role":"user","content":%q}]}`, model, stream, text)},
		"messages": {"/v1/messages", fmt.Sprintf(`{"model":%q,"max_tokens":50,"stream":%v,"messages":[{"role":"user","content":[{"type":"text","text":%q}]}]}`, model, stream, text)},
		"generate": {"/v1beta/models/" + model + ":" + verb, fmt.Sprintf(`{"generationConfig":{"maxOutputTokens":50},"contents":[{"role":"user","parts":[{"text":%q}]}]}`, text)},
	}
}

// dialectServer serves a cached model of each dialect before a simulated provider.
func dialectServer(t *testing.T) (node string) {
	t.Helper()
	_, addr := newSim(t, sim.Options{TTFT: 100 * time.Millisecond})
	s := newTestServer(t, fmt.Sprintf(`
providers:
  - {name: openai, dialect: openai, base_url: "http://%[1]s/v1"}
  - {name: anthropic, dialect: anthropic, base_url: "http://%[1]s/v1"}
  - {name: gemini, dialect: gemini, base_url: "http://%[1]s/v1beta"}
models:
  - {name: to-openai, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: sim-small}]}]}
  - {name: to-anthropic, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: anthropic, model: sim-small}]}]}
  - {name: to-gemini, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: gemini, model: sim-small}]}]}
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"], tenant: t}]
`, addr, wire.HashKey([]byte(testKey))))
	return serveTest(t, s)
}

// ends is how a good answer of an operation ends, streamed and whole.
var ends = map[string][2]string{
	"chat": {"data: [DONE]", `"object":"chat.completion"`}, "messages": {"event: message_stop", `"type":"message"`},
	"generate": {`"finishReason":`, `"finishReason":`},
}

// Equal requests of several dialects at one time share what is kept, and each gets its answer in its own words.
func TestDialectsAtOneTime(t *testing.T) {
	node := dialectServer(t)
	for _, model := range []string{"to-openai", "to-anthropic", "to-gemini"} {
		for _, streams := range [][]bool{{true, true}, {false, true}, {false, false}} {
			text := fmt.Sprint("who leads? ", streams)
			var wg sync.WaitGroup
			for n, stream := range streams {
				for op, ask := range sameAsk(model, text, stream) {
					wg.Go(func() {
						time.Sleep(time.Duration(n*20) * time.Millisecond)
						g := fetch(t, node, ask[0], ask[1])
						assert.Equal(t, http.StatusOK, g.StatusCode, "%s %s: %s", model, op, g.body)
						assert.NoError(t, g.err)
						want, other := ends[op][0], "[DONE]"
						if !stream {
							want = ends[op][1]
						}
						if op == "chat" {
							other = "message_stop"
						}
						assert.Contains(t, g.body, want, "%s %s", model, op)
						assert.NotContains(t, g.body, other, "%s %s", model, op)
					})
				}
			}
			wg.Wait()
			for op, ask := range sameAsk(model, text, false) {
				g := fetch(t, node, ask[0], ask[1])
				require.Equal(t, "hit-memory", g.cache(), "%s %s", model, op)
				assert.Contains(t, g.body, strings.TrimSuffix(ends[op][1], `"`), op)
			}
		}
	}
}

// A stream of several candidates ends with the last of them.
func TestStreamOfCandidates(t *testing.T) {
	node := dialectServer(t)
	body := `{"generationConfig":{"maxOutputTokens":20,"candidate_count":3},"contents":[{"role":"user","parts":[{"text":"thrice"}]}]}`
	for _, cached := range []string{"miss", "hit-memory"} {
		g := fetch(t, node, "/v1beta/models/to-gemini:streamGenerateContent?alt=sse", body)
		require.NoError(t, g.err)
		assert.Equal(t, cached, g.cache())
		assert.Equal(t, 3, strings.Count(g.body, `"finishReason"`), g.body)
	}
	g := fetch(t, node, "/v1beta/models/to-gemini:generateContent", body)
	assert.Equal(t, 3, strings.Count(g.body, `"finishReason"`), "%s %s", g.cache(), g.body)
}
