package proxy

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/wire"
)

// BenchmarkHit is a memory hit with keys, versions, an experiment, metrics and the access log on, from the
// connection's bytes to the answer's.
func BenchmarkHit(b *testing.B) {
	_, addr := newSim(b, sim.Options{})
	s := newTestServer(b, testCatalog(addr))
	request := rawRequest("/v1/chat/completions", testKey, chatBody(b, "cached"))
	c := serveLoop(b, &s.http, request, explainSize+200) // explain has its records then
	require.Contains(b, string(c.last), "hit-memory")
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	b.ResetTimer()
	serveLoop(b, &s.http, request, b.N)
}

// BenchmarkFloorMap is what no cache on fasthttp can beat: the body's hash, a map, the answer.
func BenchmarkFloorMap(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 1024)
	body := chatBody(b, "cached")
	var mu sync.RWMutex
	answers := map[uint64][]byte{xxhash.Sum64(body): answer}
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		mu.RLock()
		a := answers[xxhash.Sum64(ctx.PostBody())]
		mu.RUnlock()
		ctx.SetContentType("application/json")
		ctx.SetBody(a)
	}}
	request := rawRequest("/v1/chat/completions", testKey, body)
	serveLoop(b, s, request, 2)
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	b.ResetTimer()
	serveLoop(b, s, request, b.N)
}

// BenchmarkMiss is a whole answer from the provider, over loopback.
func BenchmarkMiss(b *testing.B) {
	_, addr := newSim(b, sim.Options{})
	s := newTestServer(b, testCatalog(addr))
	request := rawRequest("/v1/chat/completions", testKey, chatBody(b, "plain"))
	c := serveLoop(b, &s.http, request, 2)
	require.Contains(b, string(c.last), "X-Wedge-Cache: bypass")
	b.ReportAllocs()
	b.ResetTimer()
	serveLoop(b, &s.http, request, b.N)
}

// BenchmarkKeying is what a hit does before the look-up: parse, version, arm, key, and a weighted target for a miss.
func BenchmarkKeying(b *testing.B) {
	x := newKeying(b)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		keyOnce(b, x)
	}
}

// newKeying is an exchange that has read a request's bytes.
func newKeying(tb testing.TB) *exchange {
	tb.Helper()
	_, addr := newSim(tb, sim.Options{})
	s := newTestServer(tb, testCatalog(addr))
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/v1/chat/completions")
	ctx.Request.Header.Set("Authorization", "Bearer "+testKey)
	ctx.Request.SetBody(chatBody(tb, "cached"))
	x := s.acquire(&ctx)
	x.op = operations["chat/completions"]
	return x
}

func keyOnce(tb testing.TB, x *exchange) {
	if e := x.authenticate(); e != nil {
		tb.Fatal(e)
	}
	if e := x.parse(); e != nil {
		tb.Fatal(e)
	}
	if e := x.resolve(); e != nil {
		tb.Fatal(e)
	}
	x.computeKey()
	if x.version.set.Pick(0, 0) < 0 {
		tb.Fatal("no target")
	}
}

// steady is a policy that has seen the targets and keeps to the weights.
type steady struct{ native }

func (*steady) Request(in *abi.Request, dst []byte) ([]byte, error) { return dst, nil }

// BenchmarkHitPolicy is BenchmarkHit with a policy that looks and passes: what the node adds to a program's own time.
func BenchmarkHitPolicy(b *testing.B) {
	_, addr := newSim(b, sim.Options{})
	s := policied(b, addr)
	request := rawRequest("/v1/chat/completions", testKey, chatBody(b, "cached"))
	c := serveLoop(b, &s.http, request, explainSize+200)
	require.Contains(b, string(c.last), "hit-memory")
	require.Contains(b, string(c.last), "p=pass")
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	b.ResetTimer()
	serveLoop(b, &s.http, request, b.N)
}

// policied is a server whose models have a policy.
func policied(tb testing.TB, provider string) *Server {
	s := newTestServer(tb, testCatalog(provider))
	s.o.Policies = loaded{&steady{native{caps: abi.CapUser | abi.CapTargets}}}
	text := strings.ReplaceAll(testCatalog(provider), "versions:", "policies: [p]\n    versions:") +
		"policies: [{name: p, module: \"file:x\", hooks: [route]}]\n"
	c, err := wire.ParseCatalog("test", []byte(text))
	require.NoError(tb, err)
	require.NoError(tb, s.Publish(c, "test"))
	return s
}

// loaded is one program for every policy.
type loaded struct{ Policy }

func (l loaded) Load(context.Context, *wire.Policy, policy.Hook, string) (Policy, error) {
	return l.Policy, nil
}
