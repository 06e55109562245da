package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/dialect/anthropic"
	"github.com/wedge-proxy/wedge/proxy/dialect/gemini"
	"github.com/wedge-proxy/wedge/proxy/dialect/openai"
	"github.com/wedge-proxy/wedge/proxy/usage"
	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/store/memory"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) {
	testkit.Main(m, // fasthttp never ends these
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"), // ends within ten seconds
		goleak.IgnoreAnyFunction("go.opencensus.io/stats/view.(*worker).start"),           // begun by the import of Google's SDK
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"))
}

// memoryTier lets the memory store keep entries, as cmd does.
type memoryTier struct{ *memory.Cache[*cache.Entry] }

func (m memoryTier) Set(key [32]byte, e *cache.Entry, ttl time.Duration) { m.Cache.Set(key, e, ttl) }

// noDisk is a usage.KV that is empty.
type noDisk struct{}

func (noDisk) Get([]byte) ([]byte, error)                       { return nil, store.ErrNotFound }
func (noDisk) Put(_, _ []byte) error                            { return nil }
func (noDisk) Delete([]byte) error                              { return nil }
func (noDisk) Each([]byte, func(key, value []byte) error) error { return nil }
func (noDisk) Sync() error                                      { return nil }

const (
	testKey   = "wk_abcdefghijkl_0123456789abcdefghijklmnopqrstuv"
	otherKey  = "wk_mnopqrstuvwx_0123456789abcdefghijklmnopqrstuv"
	testNoise = "a canary that no log may show"
)

// testDialects are all there are, as cmd introduces them.
func testDialects() *dialect.Set {
	return &dialect.Set{
		Codecs:    [...]dialect.Codec{openai.Codec{}, anthropic.Codec{}, gemini.Codec{}},
		Rewriters: [...]dialect.Rewriter{openai.Rewriter{}, anthropic.Rewriter{}, gemini.Rewriter{}},
	}
}

// testSecret knows one secret.
func testSecret(ref string) (string, error) {
	if ref == "${LIVE_KEY}" {
		return "secret", nil
	}
	return "", fmt.Errorf("no such secret: %s", ref)
}

// nothingUnderWay waits for the end of requests whose answers have been read.
func nothingUnderWay(t *testing.T, s *Server) {
	t.Helper()
	testkit.Eventually(t, 5*time.Second, func() error {
		if n := s.inFlight.Load(); n != 0 {
			return fmt.Errorf("%d requests are under way", n)
		}
		return nil
	})
}

// newTestServer makes a server with everything switched on, before a simulated provider.
func newTestServer(tb testing.TB, catalog string) *Server {
	tb.Helper()
	m, err := memory.New(memory.Options[*cache.Entry]{MaxBytes: 64 << 20, Weight: (*cache.Entry).Weight})
	require.NoError(tb, err)
	tb.Cleanup(m.Close)
	log := obs.NewAccessLog(io.Discard)
	sums, err := usage.New(noDisk{}, usage.Options{})
	require.NoError(tb, err)
	s, err := New(Options{
		Node: "test", Cache: cache.New(cache.Options{Memory: memoryTier{m}}), Dialects: testDialects(),
		AccessLog: log, Registry: obs.NewRegistry(), Usage: sums, Secret: testSecret,
	})
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.Run(ctx) }()
	go func() { done <- log.Run(ctx) }()
	tb.Cleanup(func() {
		require.NoError(tb, s.Shutdown(context.Background()))
		cancel()
		require.NoError(tb, <-done)
		require.NoError(tb, <-done)
	})
	c, err := wire.ParseCatalog("test", []byte(catalog))
	require.NoError(tb, err)
	require.NoError(tb, s.Publish(c, "test"))
	return s
}

// newSim starts a simulated provider and returns it with its address.
func newSim(tb testing.TB, o sim.Options) (*sim.Server, string) {
	tb.Helper()
	s, err := sim.New(o)
	require.NoError(tb, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		require.NoError(tb, s.Shutdown(ctx))
		require.NoError(tb, <-done)
	})
	return s, ln.Addr().String()
}

// testCatalog has a cached and an uncached model of two weighted targets, an experiment, prices and two keys.
func testCatalog(provider string) string {
	return fmt.Sprintf(`
providers:
  - {name: one, dialect: openai, base_url: "http://%[1]s/v1"}
  - {name: two, dialect: openai, base_url: "http://%[1]s/v1"}
models:
  - name: cached
    cache: {mode: exact, ttl: 1h}
    versions: &versions
      - version: 1.0.0
        status: production
        params: {temperature: 0.2}
        targets: [{provider: one, model: m, weight: 90}, {provider: two, model: m, weight: 10}]
      - {version: 1.1.0, status: staging, targets: [{provider: one, model: n}]}
  - name: plain
    versions: *versions
experiments:
  - {name: e, model: cached, status: running, arms: [{name: a, version: 1.0.0, weight: 50}, {name: b, version: 1.1.0, weight: 50}]}
  - {name: f, model: plain, status: running, arms: [{name: a, version: 1.0.0, weight: 50}, {name: b, version: 1.1.0, weight: 50}]}
prices:
  - {provider: one, model: m, input: 0.25, output: 2}
keys:
  - {name: k, id: wk_abcdefghijkl, hash: "sha256:%[2]x", models: [cached, plain], tenant: t}
  - {name: o, id: wk_mnopqrstuvwx, hash: "sha256:%[3]x", models: ["*"], may: [arm, direct, nonproduction], passthrough: [one], tenant: u}
`, provider, wire.HashKey([]byte(testKey)), wire.HashKey([]byte(otherKey)))
}

// chatBody is the 1.4 KB request that benchmarks use.
func chatBody(tb testing.TB, model string) []byte {
	tb.Helper()
	b, err := os.ReadFile("request/testdata/chat.json")
	require.NoError(tb, err)
	i := bytes.Index(b, []byte(`"model":`))
	require.GreaterOrEqual(tb, i, 0)
	from := i + len(`"model":`)
	from += bytes.IndexByte(b[from:], '"')
	to := from + 1 + bytes.IndexByte(b[from+1:], '"')
	return append(append(append([]byte(nil), b[:from+1]...), model...), b[to:]...)
}

// rawRequest is an HTTP request as bytes.
func rawRequest(path, key string, body []byte) []byte {
	return append([]byte("POST "+path+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+key+
		"\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"), body...)
}

// loopConn is a client's connection that sends the same request over and over and counts what comes back.
type loopConn struct {
	net.Conn
	request []byte
	left    int // requests
	at      int
	last    []byte
	written int64
}

func (c *loopConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.request[c.at:])
	if c.at += n; c.at == len(c.request) {
		c.at = 0
		c.left--
	}
	return n, nil
}

func (c *loopConn) Write(p []byte) (int, error) {
	c.written += int64(len(p))
	c.last = append(c.last[:0], p...)
	return len(p), nil
}
func (c *loopConn) Close() error                     { return nil }
func (c *loopConn) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
func (c *loopConn) LocalAddr() net.Addr              { return c.RemoteAddr() }
func (c *loopConn) SetDeadline(time.Time) error      { return nil }
func (c *loopConn) SetReadDeadline(time.Time) error  { return nil }
func (c *loopConn) SetWriteDeadline(time.Time) error { return nil }

// serveLoop sends a request n times over one connection.
func serveLoop(tb testing.TB, s *fasthttp.Server, request []byte, n int) *loopConn {
	tb.Helper()
	c := &loopConn{request: request, left: n}
	require.NoError(tb, s.ServeConn(c))
	return c
}
