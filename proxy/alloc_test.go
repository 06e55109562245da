//go:build !race

package proxy

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// perRequest counts allocations from the connection's bytes to the answer's, in the whole process.
func perRequest(t *testing.T, s *fasthttp.Server, request []byte) float64 {
	t.Helper()
	serveLoop(t, s, request, explainSize+200)
	const n = 2000
	return testing.AllocsPerRun(1, func() { serveLoop(t, s, request, n) }) / n
}

func TestMemoryHitAllocatesNothing(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	request := rawRequest("/v1/chat/completions", testKey, chatBody(t, "cached"))
	require.Contains(t, string(serveLoop(t, &s.http, request, 3).last), "hit-memory")
	assert.Less(t, perRequest(t, &s.http, request), 0.1, "what a connection costs is spread over its requests")
}

// A hit whose bytes differ from the last request's is read, decided and digested anew, and allocates nothing either.
func TestKeyingAllocatesNothing(t *testing.T) {
	x := newKeying(t)
	testkit.Allocs(t, 0, func() { keyOnce(t, x) })
}

func TestMissAllocations(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	request := rawRequest("/v1/chat/completions", testKey, chatBody(t, "plain"))
	floor := &fasthttp.HostClient{Addr: addr}
	t.Cleanup(floor.CloseIdleConnections)
	direct := perRequest(t, &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		if err := floor.Do(&ctx.Request, &ctx.Response); err != nil {
			t.Error(err)
		}
	}}, request)
	got := perRequest(t, &s.http, request)
	t.Logf("%.2f allocations a miss, the provider's included; %.2f through a bare fasthttp", got, direct)
	assert.LessOrEqual(t, got, direct+4)
}

// What is carried from one dialect to another is copied, and nothing else is kept of it: a Responses stream keeps its text,
// for its last event repeats it.
func TestStarAllocatesNothing(t *testing.T) {
	s, body := testDialects(), chatBody(t, "m")
	for to := range dialect.IDs {
		out, lost, err := s.AppendRequest(nil, dialect.OpChat, body, to, "m", true)
		require.NoError(t, err)
		testkit.Allocs(t, float64(len(lost)), func() { // the names of what was lost are listed
			out, _, _ = s.AppendRequest(out[:0], dialect.OpChat, body, to, "m", true)
		})
	}
	for _, from := range streamOps {
		for _, to := range streamOps {
			if from != to {
				testkit.Allocs(t, 0, relayText(t, s, from, to))
			}
		}
	}
}
