package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// liveProvider answers each turn with three messages, in binary frames as Google's servers do, and remembers what it was told.
type liveProvider struct {
	mu   sync.Mutex
	told []string
}

func (p *liveProvider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Goog-Api-Key") != "secret" || r.URL.Path != "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent" {
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	say := func(words string) { _ = c.Write(r.Context(), websocket.MessageBinary, []byte(words)) }
	turns := 0
	for {
		_, words, err := c.Read(r.Context())
		if err != nil {
			return
		}
		p.mu.Lock()
		p.told = append(p.told, string(words))
		p.mu.Unlock()
		switch {
		case strings.Contains(string(words), `"setup"`):
			say(`{"setupComplete":{}}`)
		case strings.Contains(string(words), `"leave"`):
			_ = c.Close(4003, "as you wish")
			return
		case strings.Contains(string(words), `"turnComplete":true`), strings.Contains(string(words), `"activityEnd"`):
			turns++
			say(`{"serverContent":{"modelTurn":{"parts":[{"text":"Hel"}]}}}`)
			say(`{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"` + strings.Repeat("AAAA", 1000) + `"}}]}}}`)
			say(fmt.Sprintf(`{"serverContent":{"generationComplete":true,"turnComplete":true},"usageMetadata":{"promptTokenCount":%d,"responseTokenCount":5,"totalTokenCount":%d,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":4}]}}`, 10*turns, 10*turns+5))
		}
	}
}

func liveServer(t *testing.T, more string) (*liveProvider, *Server, string) {
	t.Helper()
	p := &liveProvider{}
	at := httptest.NewServer(p)
	t.Cleanup(at.Close)
	s := newTestServer(t, fmt.Sprintf(`
providers:
  - {name: google, dialect: gemini, base_url: "%s/v1beta", api_key: "${LIVE_KEY}"}
  - {name: openai, dialect: openai, base_url: "%[1]s/v1"}
models:
  - {name: talk, versions: [{version: 1.0.0, status: production, targets: [{provider: google, model: gemini-live}]}]}
  - {name: chat, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
keys:
  - {name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"]%[3]s}
`, at.URL, wire.HashKey([]byte(testKey)), more))
	return p, s, serveTest(t, s)
}

func dialLive(t *testing.T, node, key string) *websocket.Conn {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+node+"//ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key="+key, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

type liveSaid struct {
	SetupComplete *struct{}
	ServerContent struct {
		ModelTurn    struct{ Parts []map[string]any }
		TurnComplete bool
	}
	UsageMetadata struct{ ResponseTokenCount int }
}

func hearLive(t *testing.T, c *websocket.Conn) (m liveSaid, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, words, err := c.Read(ctx)
	if err == nil {
		require.NoError(t, json.Unmarshal(words, &m), string(words))
	}
	return m, err
}

func sayLive(t *testing.T, c *websocket.Conn, words string) {
	t.Helper()
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(words)))
}

const liveSetup = `{"setup":{"model":"models/talk","generationConfig":{"responseModalities":["AUDIO"]}}}`

// Turns flow through as they are, whoever begins them, and each is a request of its own.
func TestLive(t *testing.T) {
	p, s, node := liveServer(t, "")
	c := dialLive(t, node, testKey)
	sayLive(t, c, liveSetup)
	m, err := hearLive(t, c)
	require.NoError(t, err)
	require.NotNil(t, m.SetupComplete)
	for i, words := range []string{
		`{"clientContent":{"turns":[{"role":"user","parts":[{"text":"Hello"}]}],"turnComplete":true}}`,
		`{"realtimeInput":{"activityEnd":{}}}`,
	} {
		sayLive(t, c, words)
		for k := range 3 {
			m, err = hearLive(t, c)
			require.NoError(t, err)
			assert.Equal(t, k == 2, m.ServerContent.TurnComplete)
		}
		assert.Equal(t, 5, m.UsageMetadata.ResponseTokenCount)
		testkit.Eventually(t, 2*time.Second, func() error {
			if n := countRecords(s); n != i+1 {
				return fmt.Errorf("%d requests", n)
			}
			return nil
		})
	}
	p.mu.Lock()
	assert.Equal(t, `{"setup":{"model":"models/gemini-live","generationConfig":{"responseModalities":["AUDIO"]}}}`, p.told[0])
	p.mu.Unlock()
	sayLive(t, c, `{"realtimeInput":{"text":"leave"}}`)
	_, err = hearLive(t, c)
	assert.Equal(t, websocket.StatusCode(4003), websocket.CloseStatus(err))
}

// What is not allowed closes the connection and says why.
func TestLiveRefusals(t *testing.T) {
	_, s, node := liveServer(t, ", rate: {requests: 1/h}")
	for words, want := range map[string]string{
		`{"setup":{}}`:                        "names no model",
		`{"setup":{"model":"models/nobody"}}`: "unknown_model",
		`{"setup":{"model":"models/chat"}}`:   "no target",
	} {
		c := dialLive(t, node, testKey)
		sayLive(t, c, words)
		_, err := hearLive(t, c)
		assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
		assert.ErrorContains(t, err, want)
	}
	_, resp, err := websocket.Dial(t.Context(), "ws://"+node+"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=wrong", nil)
	require.Error(t, err)
	assert.Equal(t, 401, resp.StatusCode)

	c := dialLive(t, node, testKey)
	sayLive(t, c, liveSetup)
	_, err = hearLive(t, c)
	require.NoError(t, err)
	for range 2 { // of which one is allowed
		sayLive(t, c, `{"clientContent":{"turns":[{"role":"user","parts":[{"text":"Hello"}]}],"turnComplete":true}}`)
	}
	for err == nil {
		_, err = hearLive(t, c)
	}
	assert.Equal(t, websocket.StatusPolicyViolation, websocket.CloseStatus(err))
	assert.ErrorContains(t, err, "refused")
	testkit.Eventually(t, 2*time.Second, func() error {
		if n := s.sockets.count(); n != 0 {
			return fmt.Errorf("%d sockets", n)
		}
		return nil
	})
}
