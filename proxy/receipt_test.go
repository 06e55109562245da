package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/wire"
)

// Who asks for receipts gets one before the last event of each answer, and nobody else does.
func TestReceipts(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	node := serveTest(t, newTestServer(t, fmt.Sprintf(`
providers: [{name: sim, dialect: openai, base_url: "http://%s/v1"}]
models:
  - {name: m, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.2.3, status: production, targets: [{provider: sim, model: m}]}]}
prices: [{provider: sim, model: m, input: 1, output: 1000}]
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%x", models: ["*"]}]
`, provider, wire.HashKey([]byte(testKey)))))

	type event struct {
		Type    string
		Headers map[string]string
		Cost    float64 `json:"cost_usd"`
		Usage   map[string]int
	}
	dial := func(path, receipts string) (*websocket.Conn, *http.Response, error) {
		h := http.Header{"Authorization": {"Bearer " + testKey}}
		if receipts != "" {
			h.Set("X-Wedge-Receipt", receipts)
		}
		return websocket.Dial(t.Context(), "ws://"+node+path, &websocket.DialOptions{HTTPHeader: h})
	}
	turn := func(c *websocket.Conn, words, last string) (all []event) {
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(words)))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		for {
			var e event
			_, text, err := c.Read(ctx)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, &e), string(text))
			if all = append(all, e); e.Type == last {
				return all
			}
		}
	}
	receiptOf := func(all []event) event {
		t.Helper()
		require.Greater(t, len(all), 2)
		for i, e := range all {
			require.Equal(t, i == len(all)-2, e.Type == "wedge.receipt", "event %d of %d: %s", i, len(all), e.Type)
		}
		return all[len(all)-2]
	}

	for path, c := range map[string]struct{ words, last string }{
		"/v1/responses":        {`{"type":"response.create","model":"m","input":"hi"}`, "response.completed"},
		"/v1/realtime?model=m": {`{"type":"response.create","response":{"output_modalities":["text"],"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}]}}`, "response.done"},
	} {
		ws, _, err := dial(path, "on")
		require.NoError(t, err)
		first := receiptOf(turn(ws, c.words, c.last))
		assert.Equal(t, "1.2.3", first.Headers["x-wedge-version"])
		assert.Equal(t, "sim", first.Headers["x-wedge-provider"])
		assert.NotEmpty(t, first.Headers["x-request-id"])
		assert.NotContains(t, first.Headers, "x-accel-buffering")
		assert.Positive(t, first.Cost)
		assert.Positive(t, first.Usage["output_tokens"])
		second := receiptOf(turn(ws, c.words, c.last))
		assert.NotEqual(t, first.Headers["x-request-id"], second.Headers["x-request-id"])
		if c.last == "response.completed" {
			assert.Equal(t, "hit-memory", second.Headers["x-wedge-cache"])
			assert.Zero(t, second.Cost)
		}
		_ = ws.CloseNow()

		ws, _, err = dial(path, "")
		require.NoError(t, err)
		for _, e := range turn(ws, c.words, c.last) {
			assert.NotEqual(t, "wedge.receipt", e.Type)
		}
		_ = ws.CloseNow()
		_, resp, err := dial(path, "please")
		require.Error(t, err)
		assert.Equal(t, 400, resp.StatusCode)
	}
}
