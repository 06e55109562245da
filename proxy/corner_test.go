package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// scripted is a provider whose bytes the test writes itself. It returns its address.
func scripted(t *testing.T, answer func(call int, w net.Conn, body string)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var mu sync.Mutex
	var conns sync.WaitGroup
	calls := 0
	conns.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer nc.Close()
				br := bufio.NewReader(nc)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(r.Body)
					mu.Lock()
					calls++
					call := calls
					mu.Unlock()
					answer(call, nc, string(body))
				}
			})
		}
	})
	t.Cleanup(func() { require.NoError(t, ln.Close()); conns.Wait() })
	return ln.Addr().String()
}

func cornerServer(t *testing.T, provider string) (*Server, string) {
	t.Helper()
	s := newCorner(t, provider)
	return s, serveTest(t, s)
}

// newCorner is cornerServer before it listens.
func newCorner(t *testing.T, provider string) *Server {
	t.Helper()
	return newTestServer(t, fmt.Sprintf(`
providers:
  - {name: one, dialect: openai, base_url: "http://%[1]s/v1"}
  - {name: two, dialect: openai, base_url: "http://%[1]s/v1"}
models:
  - {name: kept, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: one, model: m}]}]}
  - {name: stores, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, force: {store: true}, targets: [{provider: one, model: m}]}]}
  - {name: pair, versions: [{version: 1.0.0, status: production, targets: [{provider: one, model: m, timeout: 5s}, {provider: two, model: m, timeout: 5s}]}]}
  - {name: brief, versions: [{version: 1.0.0, status: production, targets: [{provider: one, model: m, timeout: 1s}]}]}
prices: [{provider: one, model: m, input: 1000, output: 2000}]
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"], tenant: t, may: [direct], passthrough: [one]}]
`, provider, wire.HashKey([]byte(testKey))))
}

// got is what a client read.
type got struct {
	*http.Response
	body string
	err  error // of reading the body
	took time.Duration
}

func (g got) cache() string { return g.Header.Get("X-Wedge-Cache") }

func dial(t *testing.T, node, path, body string, headers ...string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	request := rawRequest(path, testKey, []byte(body))
	for _, h := range headers {
		request = bytes.Replace(request, []byte("Host: x\r\n"), []byte("Host: x\r\n"+h+"\r\n"), 1)
	}
	_, err = nc.Write(request)
	require.NoError(t, err)
	require.NoError(t, nc.SetReadDeadline(time.Now().Add(20*time.Second)))
	return nc
}

func fetch(t *testing.T, node, path, body string, headers ...string) (g got) {
	t.Helper()
	began := time.Now()
	nc := dial(t, node, path, body, headers...)
	defer nc.Close()
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return got{resp, string(b), err, time.Since(began)}
}

const chatPath = "/v1/chat/completions"

func chatAsk(model, text string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":%q}],"stream":%v}`, model, text, stream)
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func chunk(w io.Writer, s string) { _, _ = fmt.Fprintf(w, "%x\r\n%s\r\n", len(s), s) }

func deltaEvent(content string) string {
	return fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":%s},\"finish_reason\":null}]}\n\n", content)
}

const (
	stopEvent  = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	usageEvent = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20,\"total_tokens\":30}}\n\n"
	doneEvent  = "data: [DONE]\n\n"
	wholeBody  = `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"fine"},"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}`
)

func writeWhole(w io.Writer, status, body string) {
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// What stands between two usage events belongs to the answer, for those who get no usage as well.
func TestUsageAmongOtherEvents(t *testing.T) {
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`)+usageEvent+deltaEvent(`"B"`)+stopEvent+usageEvent+doneEvent)
		_, _ = io.WriteString(w, "0\r\n\r\n")
	})
	_, node := cornerServer(t, provider)
	for _, cache := range []string{"miss", "hit-memory"} {
		g := fetch(t, node, chatPath, chatAsk("kept", "x", true))
		assert.Equal(t, cache, g.cache())
		for _, part := range []string{`"A"`, `"B"`, `"stop"`, "[DONE]"} {
			assert.Contains(t, g.body, part)
		}
	}
}

// Bytes that are passed through have no room for an error: a connection that is cut says it.
func TestLateRawAnswerIsCut(t *testing.T) {
	release := make(chan struct{})
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk(w, "AUDIOBYTES")
		<-release
	})
	t.Cleanup(func() { close(release) })
	_, node := cornerServer(t, provider)
	g := fetch(t, node, "/v1/audio/speech", `{"model":"pair","input":"x","voice":"y"}`, "X-Wedge-Timeout: 300ms")
	assert.ErrorIs(t, g.err, io.ErrUnexpectedEOF)
	assert.Equal(t, "AUDIOBYTES", g.body)
}

// Tokens are booked once for an upstream call, whoever is left to read its end, and nobody waits longer than it asked to.
func TestLeaderLeavesSharedStream(t *testing.T) {
	begun, goOn := make(chan struct{}), make(chan struct{})
	provider := scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`))
		close(begun)
		<-goOn
		chunk(w, deltaEvent(`"B"`)+stopEvent+usageEvent+doneEvent)
		_, _ = io.WriteString(w, "0\r\n\r\n")
	})
	s, node := cornerServer(t, provider)
	leader := make(chan got, 1)
	go func() {
		leader <- fetch(t, node, chatPath, chatAsk("kept", "x", true), "X-Wedge-Timeout: 600ms")
	}()
	<-begun
	follower := make(chan got, 1)
	go func() { follower <- fetch(t, node, chatPath, chatAsk("kept", "x", true)) }()
	l := <-leader
	assert.Less(t, l.took, 3*time.Second)
	assert.Contains(t, l.body, `"code":"upstream_timeout"`)
	assert.NotContains(t, l.body, "[DONE]")
	close(goOn)
	f := <-follower
	assert.Equal(t, "coalesced", f.cache())
	assert.Contains(t, f.body, "[DONE]")
	var metrics bytes.Buffer
	require.NoError(t, s.o.Registry.WriteText(&metrics))
	assert.Contains(t, metrics.String(), `wedge_tokens_total{direction="output",model="kept"} 20`)
	assert.Contains(t, metrics.String(), `wedge_cost_usd_total{key="k",model="kept"} 0.05`)
}

// An answer without a choice is none: the next target is asked, and nothing is kept.
func TestEmptyAnswersFallBack(t *testing.T) {
	provider := scripted(t, func(call int, w net.Conn, body string) {
		switch {
		case call%2 == 0 && strings.Contains(body, `"stream":true`):
			_, _ = io.WriteString(w, streamHead)
			chunk(w, deltaEvent(`"fine"`)+stopEvent+usageEvent+doneEvent)
			_, _ = io.WriteString(w, "0\r\n\r\n")
		case call%2 == 0:
			writeWhole(w, "200 OK", wholeBody)
		case strings.Contains(body, `"stream":true`):
			_, _ = io.WriteString(w, streamHead)
			chunk(w, doneEvent)
			_, _ = io.WriteString(w, "0\r\n\r\n")
		default:
			writeWhole(w, "200 OK", `{"object":"chat.completion","choices":[]}`)
		}
	})
	_, node := cornerServer(t, provider)
	for _, stream := range []bool{true, false} {
		g := fetch(t, node, chatPath, chatAsk("pair", "x", stream))
		assert.Equal(t, 200, g.StatusCode)
		assert.Equal(t, "2", g.Header.Get("X-Wedge-Attempts"))
		assert.Contains(t, g.body, "fine")
	}
}

// An entry that cannot take the form asked for does not stand in the way of an answer that can.
func TestUnconvertibleEntryIsAMiss(t *testing.T) {
	provider := scripted(t, func(_ int, w net.Conn, body string) {
		if strings.Contains(body, `"stream":true`) {
			_, _ = io.WriteString(w, streamHead)
			chunk(w, deltaEvent(`"text"`)+deltaEvent(`[{"type":"text","text":"parts"}]`)+stopEvent+doneEvent)
			_, _ = io.WriteString(w, "0\r\n\r\n")
			return
		}
		writeWhole(w, "200 OK", wholeBody)
	})
	_, node := cornerServer(t, provider)
	assert.Equal(t, 200, fetch(t, node, chatPath, chatAsk("kept", "x", true)).StatusCode)
	g := fetch(t, node, chatPath, chatAsk("kept", "x", false))
	assert.Equal(t, 200, g.StatusCode, g.body)
	assert.Contains(t, g.body, "fine")
}

// The body of a failure is not worth waiting for.
func TestFailedProvidersBodyIsNotWaitedFor(t *testing.T) {
	release := make(chan struct{})
	provider := scripted(t, func(call int, w net.Conn, _ string) {
		if call == 1 {
			_, _ = io.WriteString(w, "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nx")
			<-release
			return
		}
		writeWhole(w, "200 OK", wholeBody)
	})
	t.Cleanup(func() { close(release) })
	_, node := cornerServer(t, provider)
	g := fetch(t, node, chatPath, chatAsk("pair", "x", false))
	assert.Equal(t, 200, g.StatusCode)
	assert.Less(t, g.took, 3*time.Second)
}

// What a version makes the provider keep is not served from the cache.
func TestForcedStoreBypassesTheCache(t *testing.T) {
	_, node := cornerServer(t, scripted(t, func(_ int, w net.Conn, _ string) { writeWhole(w, "200 OK", wholeBody) }))
	for range 2 {
		assert.Equal(t, "bypass", fetch(t, node, chatPath, chatAsk("stores", "x", false)).cache())
	}
}

// A provider whose probes fail is left out until one succeeds, and requests need not find out.
func TestProbedProviderIsLeftOut(t *testing.T) {
	var sick, asked atomic.Bool
	probed := scripted(t, func(_ int, w net.Conn, body string) {
		switch {
		case body != "":
			asked.Store(true)
			writeWhole(w, "200 OK", wholeBody)
		case sick.Load():
			writeWhole(w, "503 Service Unavailable", "{}")
		default:
			writeWhole(w, "200 OK", "{}")
		}
	})
	other := scripted(t, func(_ int, w net.Conn, _ string) { writeWhole(w, "200 OK", wholeBody) })
	catalog := func(health string) string {
		return fmt.Sprintf(`
providers:
  - {name: probed, dialect: openai, base_url: "http://%s/v1"%s}
  - {name: other, dialect: openai, base_url: "http://%s/v1"}
models:
  - {name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: probed, model: m, weight: 1000}, {provider: other, model: m, weight: 1}]}]}
keys: [{name: k, id: wk_abcdefghijkl, hash: "sha256:%x", models: ["*"]}]
`, probed, health, other, wire.HashKey([]byte(testKey)))
	}
	s := newTestServer(t, catalog(`, health: {interval: 50ms, path: /models}`))
	node := serveTest(t, s)
	healthy := func(want bool) {
		testkit.Eventually(t, 5*time.Second, func() error {
			if got := s.status(AdminOptions{}).Targets[0].Healthy; got != want {
				return fmt.Errorf("healthy is %v", got)
			}
			return nil
		})
	}
	sick.Store(true)
	healthy(false)
	asked.Store(false)
	for range 5 {
		assert.Equal(t, "other", fetch(t, node, chatPath, chatAsk("m", "x", false)).Header.Get("X-Wedge-Provider"))
	}
	assert.False(t, asked.Load())
	sick.Store(false)
	healthy(true)
	sick.Store(true)
	healthy(false)
	c, err := wire.ParseCatalog("test", []byte(catalog("")))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	healthy(true)
}

// A client of HTTP/1.0 knows no chunks.
func TestHTTP10Stream(t *testing.T) {
	_, node := cornerServer(t, scripted(t, func(_ int, w net.Conn, _ string) {
		_, _ = io.WriteString(w, streamHead)
		chunk(w, deltaEvent(`"A"`)+stopEvent+usageEvent+doneEvent)
		_, _ = io.WriteString(w, "0\r\n\r\n")
	}))
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write(bytes.Replace(rawRequest(chatPath, testKey, []byte(chatAsk("pair", "x", true))), []byte("HTTP/1.1"), []byte("HTTP/1.0"), 1))
	require.NoError(t, err)
	answer, err := io.ReadAll(nc)
	require.NoError(t, err)
	assert.NotContains(t, string(answer), "chunked")
	assert.True(t, strings.HasSuffix(string(answer), doneEvent), string(answer))
}

// A stranger's body is refused before it fills the memory.
func TestStrangersBody(t *testing.T) {
	_, node := cornerServer(t, scripted(t, func(_ int, w net.Conn, _ string) { writeWhole(w, "200 OK", wholeBody) }))
	big := chatAsk("pair", strings.Repeat("x", strangersBody+1), false)
	assert.Equal(t, 200, fetch(t, node, chatPath, big).StatusCode)
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write(rawRequest(chatPath, "wk_nobodyknowsme_x", []byte(big)))
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, "body_too_large", resp.Header.Get("X-Wedge-Error"))
}
