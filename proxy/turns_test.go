package proxy

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// turnServer serves models whose targets speak all dialects.
func turnServer(t *testing.T, provider string) (*Server, string) {
	t.Helper()
	s := newTestServer(t, fmt.Sprintf(`
providers:
  - {name: openai, dialect: openai, base_url: "http://%[1]s/v1"}
  - {name: chats, dialect: openai, base_url: "http://%[1]s/v1", responses: false}
  - {name: anthropic, dialect: anthropic, base_url: "http://%[1]s/v1"}
  - {name: gemini, dialect: gemini, base_url: "http://%[1]s/v1beta"}
models:
  - {name: openai, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
  - {name: chats, versions: [{version: 1.0.0, status: production, targets: [{provider: chats, model: m}]}]}
  - {name: anthropic, versions: [{version: 1.0.0, status: production, targets: [{provider: anthropic, model: m}]}]}
  - {name: gemini, versions: [{version: 1.0.0, status: production, targets: [{provider: gemini, model: m}]}]}
  - {name: cached, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: m}]}]}
keys:
  - {name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"], tenant: t}
  - {name: few, id: wk_mnopqrstuvwx, hash: "sha256:%[3]x", models: [openai], tenant: u, rate: {requests: 3/h}}
`, provider, wire.HashKey([]byte(testKey)), wire.HashKey([]byte(otherKey))))
	return s, serveTest(t, s)
}

// talker is a client at /v1/responses.
type talker struct {
	*websocket.Conn
	t *testing.T
}

func talk(t *testing.T, node, key string) *talker {
	t.Helper()
	c, _, err := websocket.Dial(t.Context(), "ws://"+node+"/v1/responses", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
	require.NoError(t, err)
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return &talker{c, t}
}

func (k *talker) say(words string) {
	k.t.Helper()
	require.NoError(k.t, k.Write(k.t.Context(), websocket.MessageText, []byte(words)))
}

// turnEvent is what tests read of a message.
type turnEvent struct {
	Type     string
	Status   int
	Delta    string
	Headers  map[string]string
	Error    struct{ Code, Message, Param string }
	Response struct {
		ID     string
		Status string
		Output []struct{ Content []struct{ Text string } }
		Usage  struct {
			Input  int `json:"input_tokens"`
			Output int `json:"output_tokens"`
		}
	}
}

func (k *talker) hear() (e turnEvent) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 20*time.Second)
	defer cancel()
	kind, words, err := k.Read(ctx)
	require.NoError(k.t, err)
	assert.Equal(k.t, websocket.MessageText, kind)
	require.NoError(k.t, json.Unmarshal(words, &e), string(words))
	return e
}

// turn says words and returns the last event of the answer, and its text.
func (k *talker) turn(words string) (last turnEvent, text string) {
	k.t.Helper()
	k.say(words)
	return k.answer()
}

func (k *talker) answer() (last turnEvent, text string) {
	k.t.Helper()
	for {
		switch last = k.hear(); last.Type {
		case "response.output_text.delta":
			text += last.Delta
		case "response.completed", "response.incomplete", "response.failed", "error":
			return last, text
		}
	}
}

// A conversation on a WebSocket is the one that the same requests over HTTP would be, whatever its targets speak, and
// whether a provider remembers it or not.
func TestTurns(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	_, node := turnServer(t, provider)
	for _, model := range []string{"openai", "chats", "anthropic", "gemini", "cached"} {
		for _, store := range []bool{false, true} {
			k := talk(t, node, testKey)
			one := fmt.Sprint("one ", model, store) // the simulated provider's ids are those of what was said
			first, text := k.turn(fmt.Sprintf(`{"type":"response.create","model":%q,"store":%t,"input":%q}`, model, store, one))
			require.Equal(t, "response.completed", first.Type, first.Error)
			require.NotEmpty(t, text)
			assert.Equal(t, text, first.Response.Output[len(first.Response.Output)-1].Content[0].Text)
			second, text2 := k.turn(fmt.Sprintf(`{"type":"response.create","model":%q,"store":%t,"previous_response_id":%q,"input":[{"role":"user","content":"two"}]}`, model, store, first.Response.ID))
			require.Equal(t, "response.completed", second.Type, "%s %t: %v", model, store, second.Error)
			third, _ := k.turn(fmt.Sprintf(`{"type":"response.create","model":%q,"store":%t,"previous_response_id":%q,"input":"three"}`, model, store, second.Response.ID))
			require.Equal(t, "response.completed", third.Type, "%s %t: %v", model, store, third.Error)
			assert.Greater(t, third.Response.Usage.Input, second.Response.Usage.Input, "what was said before goes along")

			if store {
				continue
			}
			whole := fetch(t, node, "/v1/responses", fmt.Sprintf(`{"model":%q,"store":false,"input":[{"type":"message","role":"user","content":%q},{"type":"message","role":"assistant","content":[{"type":"output_text","text":%q}]},{"role":"user","content":"two"}]}`, model, one, text))
			var same struct {
				Output []struct{ Content []struct{ Text string } }
			}
			require.NoError(t, json.Unmarshal([]byte(whole.body), &same), whole.body)
			assert.Equal(t, same.Output[len(same.Output)-1].Content[0].Text, text2, "%s %t", model, store)
			assert.NoError(t, k.Close(websocket.StatusNormalClosure, ""))
		}
	}
}

// Every turn is checked as a request of its own.
func TestTurnsAreChecked(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	s, node := turnServer(t, provider)
	for _, key := range []string{"", "wk_abcdefghijkl_wrong"} {
		_, resp, err := websocket.Dial(t.Context(), "ws://"+node+"/v1/responses", &websocket.DialOptions{HTTPHeader: http.Header{"Authorization": {"Bearer " + key}}})
		require.Error(t, err)
		assert.Equal(t, 401, resp.StatusCode)
		assert.Equal(t, "unauthenticated", resp.Header.Get("X-Wedge-Error"))
	}
	k := talk(t, node, otherKey)
	e, _ := k.turn(`{"type":"response.create","model":"anthropic","input":"x"}`)
	assert.Equal(t, 403, e.Status)
	assert.Equal(t, "forbidden", e.Error.Code)
	for _, words := range []string{`{`, `[]`, `"x"`, `{"model":"openai"}`, `{"type":1}`, ``} {
		e, _ = k.turn(words)
		assert.Equal(t, 400, e.Status, words)
		assert.Contains(t, e.Error.Message, "response.create", words)
	}
	e, _ = k.turn(`{"type":"session.update"}`)
	assert.Contains(t, e.Error.Message, "means nothing here")
	e, _ = k.turn(`{"type":"response.create","model":"openai","model":"openai","input":"x"}`)
	assert.Equal(t, "invalid_json", e.Error.Code)
	for range 3 {
		e, _ = k.turn(`{"type":"response.create","model":"openai","input":"x"}`)
		require.Equal(t, "response.completed", e.Type)
	}
	e, _ = k.turn(`{"type":"response.create","model":"openai","input":"x"}`)
	assert.Equal(t, 429, e.Status)
	assert.Equal(t, "rate_limited", e.Error.Code)
	assert.NotEmpty(t, e.Headers["retry-after"])

	// A key that is revoked meanwhile.
	k = talk(t, node, testKey)
	c := *s.snap.Load().catalog
	c.Keys = c.Keys[1:]
	require.NoError(t, s.Publish(&c, "test"))
	e, _ = k.turn(`{"type":"response.create","model":"openai","input":"x"}`)
	assert.Equal(t, 401, e.Status)
}

func TestTurnsGoOnFromWhatIsKnown(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	_, node := turnServer(t, provider)
	k := talk(t, node, testKey)
	warm, text := k.turn(`{"type":"response.create","model":"anthropic","generate":false,"input":"be brief"}`)
	require.Equal(t, "response.completed", warm.Type, warm.Error)
	assert.Equal(t, "completed", warm.Response.Status)
	assert.Empty(t, text)
	alone, _ := talk(t, node, testKey).turn(`{"type":"response.create","model":"anthropic","input":"hi"}`)
	after, _ := k.turn(fmt.Sprintf(`{"type":"response.create","model":"anthropic","previous_response_id":%q,"input":"hi"}`, warm.Response.ID))
	require.Equal(t, "response.completed", after.Type, after.Error)
	assert.Greater(t, after.Response.Usage.Input, alone.Response.Usage.Input)
	for _, model := range []string{"anthropic", "openai"} {
		for _, id := range []string{warm.Response.ID, "resp_unknown"} {
			e, _ := k.turn(fmt.Sprintf(`{"type":"response.create","model":%q,"previous_response_id":%q,"input":"x"}`, model, id))
			assert.Equal(t, 400, e.Status)
			assert.Equal(t, "previous_response_not_found", e.Error.Code, "%s %s: %s", model, id, e.Error.Message)
			assert.Equal(t, "previous_response_id", e.Error.Param)
		}
	}
}

// Turns that are asked for together are answered one after the other.
func TestTurnsWait(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	_, node := turnServer(t, provider)
	k := talk(t, node, testKey)
	for i := range 5 {
		k.say(fmt.Sprintf(`{"type":"response.create","model":"openai","store":false,"input":"number %d"}`, i))
	}
	for range 5 {
		e, _ := k.answer()
		assert.Equal(t, "response.completed", e.Type)
	}
}

// A client that leaves takes the provider's call with it; one whose node ends gets its answer first.
func TestTurnsEnd(t *testing.T) {
	gone := make(chan struct{}, 1)
	begun := make(chan struct{}, 1)
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"output\":[]}}\n\n")
		begun <- struct{}{}
		_, _ = io.Copy(io.Discard, w)
		gone <- struct{}{}
	})
	s, node := turnServer(t, provider)
	k := talk(t, node, testKey)
	k.say(`{"type":"response.create","model":"openai","input":"x"}`)
	<-begun
	began := time.Now()
	_ = k.CloseNow()
	<-gone
	assert.Less(t, time.Since(began), time.Second)
	testkit.Eventually(t, 5*time.Second, func() error {
		if n := s.inFlight.Load() + int64(s.sockets.count()); n != 0 {
			return fmt.Errorf("%d are open", n)
		}
		return nil
	})

	_, provider = newSim(t, sim.Options{TTFT: 300 * time.Millisecond})
	s, node = turnServer(t, provider)
	k, idle := talk(t, node, testKey), talk(t, node, testKey)
	k.say(`{"type":"response.create","model":"openai","input":"x"}`)
	testkit.Eventually(t, 5*time.Second, func() error {
		if s.inFlight.Load() == 0 {
			return fmt.Errorf("nothing is under way")
		}
		return nil
	})
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	e, _ := k.answer()
	assert.Equal(t, "response.completed", e.Type)
	for _, k := range []*talker{k, idle} {
		_, _, err := k.Read(t.Context())
		assert.Equal(t, websocket.StatusGoingAway, websocket.CloseStatus(err))
	}
	require.NoError(t, <-ended)
}

// Browsers tell their key as a sub-protocol, and say which page they come from.
func TestTurnsOfBrowsers(t *testing.T) {
	_, provider := newSim(t, sim.Options{})
	s, node := turnServer(t, provider)
	s.o.Origins = []string{"*.example.com"}
	offer := []string{"realtime", keyProtocol + testKey}
	dial := func(origin string) (*websocket.Conn, *http.Response, error) {
		return websocket.Dial(t.Context(), "ws://"+node+"/v1/responses", &websocket.DialOptions{Subprotocols: offer, HTTPHeader: http.Header{"Origin": {origin}}})
	}
	c, resp, err := dial("https://app.example.com")
	require.NoError(t, err)
	assert.Equal(t, "realtime", c.Subprotocol())
	assert.NotEmpty(t, resp.Header.Get("X-Request-Id"))
	e, _ := (&talker{c, t}).turn(`{"type":"response.create","model":"openai","input":"x"}`)
	assert.Equal(t, "response.completed", e.Type)
	_ = c.CloseNow()
	_, resp, err = dial("https://elsewhere.com")
	require.Error(t, err)
	assert.Equal(t, 403, resp.StatusCode)
	s.o.MaxSockets = -1
	_, resp, err = dial("https://app.example.com")
	require.Error(t, err)
	assert.Equal(t, 503, resp.StatusCode)
	assert.True(t, strings.HasPrefix(resp.Header.Get("X-Wedge-Error"), "overloaded"))
}

// Where a provider has WebSockets, too, a turn says to it only what is new; where what it knew was lost, all is said again.
func TestTurnsOverTheProvidersSocket(t *testing.T) {
	provider, at := newSim(t, sim.Options{LogSize: 100})
	_, node := turnServer(t, at)
	k := talk(t, node, testKey)
	first, _ := k.turn(`{"type":"response.create","model":"openai","store":false,"input":"one"}`)
	require.Equal(t, "response.completed", first.Type, first.Error)
	second, _ := k.turn(fmt.Sprintf(`{"type":"response.create","model":"openai","store":false,"previous_response_id":%q,"input":"two"}`, first.Response.ID))
	require.Equal(t, "response.completed", second.Type, second.Error)
	var said []string
	for _, r := range provider.Requests() {
		said = append(said, r.Method+" "+string(r.Body))
	}
	require.Len(t, said, 3, "a handshake and two turns")
	assert.Equal(t, `WS {"type":"response.create","model":"m","store":false,"input":"one"}`, said[1])
	assert.Equal(t, fmt.Sprintf(`WS {"type":"response.create","model":"m","store":false,"input":[{"type":"message","role":"user","content":"two"}],"previous_response_id":%q}`, first.Response.ID), said[2])
}

// A provider without WebSockets is asked over HTTP, and not asked for one again and again.
func TestTurnsWithoutTheProvidersSocket(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	handshakes := 0
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: at})
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			handshakes++
			http.Error(w, "no such thing", http.StatusMethodNotAllowed)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(plain.Close)
	_, node := turnServer(t, plain.Listener.Addr().String())
	for range 2 {
		k := talk(t, node, testKey)
		first, _ := k.turn(`{"type":"response.create","model":"openai","store":false,"input":"one"}`)
		require.Equal(t, "response.completed", first.Type, first.Error)
	}
	assert.Equal(t, 1, handshakes)
}
