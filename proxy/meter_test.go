package proxy

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/usage"
	"github.com/wedge-proxy/wedge/store/memory"
	"github.com/wedge-proxy/wedge/wire"
)

// counted is a meter that remembers what was added, without times.
type counted struct {
	mu   sync.Mutex
	rows map[usage.Key]usage.Values
	took time.Duration
	ttft int // requests with a first token
}

func (c *counted) Add(k usage.Key, v usage.Values) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.rows[k]
	sum.Requests += v.Requests
	sum.Input += v.Input
	sum.CachedInput += v.CachedInput
	sum.Output += v.Output
	sum.CostNano += v.CostNano
	sum.Unpriced += v.Unpriced
	sum.Estimated += v.Estimated
	sum.ListNano += v.ListNano
	sum.SavedNano += v.SavedNano
	sum.WasteNano += v.WasteNano
	c.rows[k] = sum
	c.took += v.Took
	if v.FirstToken > 0 {
		c.ttft++
	}
}

func (c *counted) Pending() int { return 7 }

// all forgets and returns what was added, after so many requests.
func (c *counted) all(t *testing.T, requests int64) map[usage.Key]usage.Values {
	t.Helper()
	require.Eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		var n int64
		for _, v := range c.rows {
			n += v.Requests
		}
		return n == requests
	}, 5*time.Second, time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	rows := c.rows
	c.rows = map[usage.Key]usage.Values{}
	return rows
}

// newMetered is a server with a meter.
func newMetered(t *testing.T) (*Server, *counted) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, fmt.Sprintf(`
providers: [{name: one, dialect: openai, base_url: "http://%[1]s/v1"}]
models:
  - {name: cached, cache: {mode: exact, ttl: 1h}, versions: [{version: 1.0.0, status: production, targets: [{provider: one, model: m}]}]}
  - {name: broken, versions: [{version: 1.0.0, status: production, retry: {attempts: 1}, targets: [{provider: one, model: "m;fail=503"}]}]}
  - {name: slow, versions: [{version: 1.0.0, status: production, targets: [{provider: one, model: "m;latency=10s"}]}]}
  - name: split
    versions:
      - {version: 1.0.0, status: production, targets: [{provider: one, model: m}]}
      - {version: 1.1.0, status: staging, targets: [{provider: one, model: m}]}
experiments:
  - {name: e, model: split, status: running, arms: [{name: a, version: 1.0.0, weight: 1}, {name: b, version: 1.1.0, weight: 99}]}
prices: [{provider: one, model: m, input: 0.25, output: 2}]
keys:
  - {name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: ["*"], may: [arm, direct], passthrough: [one]}
`, addr, wire.HashKey([]byte(testKey))))
	c := &counted{rows: map[usage.Key]usage.Values{}}
	s.o.Usage = c
	return s, c
}

func TestMeterCountsRequestsAndAnswers(t *testing.T) {
	s, c := newMetered(t)
	hour := unixHour(time.Now())
	ask := func(path, key, body string) {
		serveLoop(t, &s.http, rawRequest(path, key, []byte(body)), 1)
	}
	chat := func(model string) string { return string(chatBody(t, model)) }
	ask("/v1/chat/completions", testKey, chat("cached"))
	prices := s.snap.Load().prices.Digest()
	row := usage.Key{Hour: hour, Model: "cached", Version: "1.0.0", Key: "k", Provider: "one", Target: "one", Cache: "miss", Prices: prices}
	rows := c.all(t, 1)
	require.Len(t, rows, 1, "a request and its answer are one row: %v", rows)
	got := rows[row]
	assert.Positive(t, got.Input)
	assert.Positive(t, got.Output)
	assert.InDelta(t, got.Input*250+got.Output*2000, got.CostNano, 1)

	ask("/v1/chat/completions", testKey, chat("cached"))
	row.Cache = "hit-memory"
	assert.Equal(t, map[usage.Key]usage.Values{row: {Requests: 1, SavedNano: got.CostNano}}, c.all(t, 1), "a hit consumes nothing, and saves what it had cost")

	ask("/v1/chat/completions", testKey, `{"model":"nowhere","messages":[]}`)
	assert.Equal(t, map[usage.Key]usage.Values{{Hour: hour, Key: "k", Code: "unknown_model", Prices: prices}: {Requests: 1}}, c.all(t, 1))

	ask("/v1/chat/completions", otherKey, chat("cached")) // which nobody knows
	ask("/v1/chat/completions", testKey, chat("one/n"))
	row = usage.Key{Hour: hour, Model: "one/*", Version: "direct", Key: "k", Provider: "one", Target: "one", Cache: "bypass", Prices: prices}
	rows = c.all(t, 1)
	require.Contains(t, rows, row, rows)
	assert.Equal(t, int64(1), rows[row].Unpriced, "nobody knows what it costs")
	assert.Zero(t, rows[row].CostNano)

	ask("/v1/chat/completions", testKey, chat("broken"))
	row = usage.Key{Hour: hour, Model: "broken", Version: "1.0.0", Key: "k", Provider: "one", Target: "one", Cache: "bypass", Code: "upstream_error", Prices: prices}
	assert.Equal(t, map[usage.Key]usage.Values{row: {Requests: 1}}, c.all(t, 1), "who failed is told")

	ask("/v1/moderations", testKey, `{"model":"cached","input":"x"}`)
	row = usage.Key{Hour: hour, Model: "cached", Version: "1.0.0", Key: "k", Provider: "one", Target: "one", Cache: "bypass", Prices: prices}
	assert.Equal(t, map[usage.Key]usage.Values{row: {Requests: 1, Input: 8, CostNano: 2000, ListNano: 2000, Estimated: 2000}}, c.all(t, 1), "what does not tell its usage is estimated")
	assert.Positive(t, c.took)
}

func TestMeterTellsArmsAndStreams(t *testing.T) {
	s, c := newMetered(t)
	body := strings.Replace(string(chatBody(t, "split")), "{", `{"stream":true,`, 1)
	for range 20 {
		serveLoop(t, &s.http, rawRequest("/v1/chat/completions", testKey, []byte(body)), 1)
	}
	var requests int64
	for k, v := range c.all(t, 20) {
		requests += v.Requests
		assert.Equal(t, "e", k.Experiment)
		assert.Equal(t, map[string]string{"a": "1.0.0", "b": "1.1.0"}[k.Arm], k.Version)
		assert.Positive(t, v.Output, k)
	}
	assert.Equal(t, int64(20), requests)
	assert.Equal(t, 20, c.ttft)
}

func TestMeterTellsWhoLeft(t *testing.T) {
	s, c := newMetered(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() { _ = s.Serve(ln) }() // until newTestServer's Shutdown
	conn, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	_, err = conn.Write(rawRequest("/v1/chat/completions", testKey, chatBody(t, "slow")))
	require.NoError(t, err)
	time.Sleep(100 * time.Millisecond) // until the provider was asked
	require.NoError(t, conn.Close())
	for k, v := range c.all(t, 1) {
		assert.Equal(t, "slow", k.Model)
		if v.Requests > 0 { // and not what the provider may bill all the same
			assert.Equal(t, wire.CodeClientGone, k.Code)
		}
	}
}

// Every client of a shared answer is a request, and its provider is paid once.
func TestMeterCountsASharedAnswerOnce(t *testing.T) {
	s, c := newMetered(t)
	body := strings.Replace(string(chatBody(t, "cached")), "{", `{"stream":true,`, 1)
	var clients sync.WaitGroup
	const n = 8
	for range n {
		clients.Go(func() { serveLoop(t, &s.http, rawRequest("/v1/chat/completions", testKey, []byte(body)), 1) })
	}
	clients.Wait()
	var all usage.Values
	for _, v := range c.all(t, n) {
		all.Requests += v.Requests
		all.Output += v.Output
		all.CostNano += v.CostNano
	}
	serveLoop(t, &s.http, rawRequest("/v1/chat/completions", testKey, chatBody(t, "split")), 1)
	for _, v := range c.all(t, 1) {
		assert.InDelta(t, v.CostNano, all.CostNano, float64(v.CostNano)/2, "%d requests, one answer", all.Requests)
	}
}

func TestSpoolMetric(t *testing.T) {
	m, err := memory.New(memory.Options[*cache.Entry]{MaxBytes: 1 << 20, Weight: (*cache.Entry).Weight})
	require.NoError(t, err)
	t.Cleanup(m.Close)
	registry := obs.NewRegistry()
	_, err = New(Options{
		Cache: cache.New(cache.Options{Memory: memoryTier{m}}), Dialects: testDialects(), Registry: registry, Usage: &counted{},
	})
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, registry.WriteText(&text))
	assert.Contains(t, text.String(), "\nwedge_spool_records 7\n")
}
