package proxy

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/dialect/openai"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// faulty is a codec with a fault.
type faulty struct {
	openai.Codec
	whole bool
	from  int // of the events
	mu    sync.Mutex
	seen  int
}

func (f *faulty) Whole(op dialect.Op, body []byte) (dialect.Usage, error) {
	if f.whole {
		panic("a fault in the codec")
	}
	return f.Codec.Whole(op, body)
}

func (f *faulty) Event(op dialect.Op, st *dialect.Stream, name, data []byte) (dialect.Kind, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen++; f.from > 0 && f.seen >= f.from {
		panic("a fault in the codec")
	}
	return f.Codec.Event(op, st, name, data)
}

// A fault of the node's own costs the request that meets it, and those that share its call. The node serves on.
func TestPanicCostsOneRequest(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	s := newTestServer(t, testCatalog(addr))
	good, codec := s.o.Dialects.Codecs[dialect.OpenAI], &faulty{}
	s.o.Dialects.Codecs[dialect.OpenAI] = codec
	node := serveTest(t, s)

	codec.whole = true
	for _, model := range []string{"plain", "cached"} {
		g := fetch(t, node, "/v1/chat/completions", chatAsk(model, "x", false))
		assert.Equal(t, http.StatusInternalServerError, g.StatusCode)
		assert.Equal(t, "internal", g.Header.Get("X-Wedge-Error"))
		assert.Contains(t, g.body, "request id")
		assert.NotContains(t, g.body, "codec", "a client learns nothing of the fault")
	}
	codec.from = 1
	g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", true))
	assert.Equal(t, "internal", g.Header.Get("X-Wedge-Error"), "nothing was sent yet")

	codec.seen, codec.from = 0, 3
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			g := fetch(t, node, "/v1/chat/completions", chatAsk("cached", "shared", true))
			assert.NotContains(t, g.body, "[DONE]", "no good end")
		})
	}
	wg.Wait()

	s.o.Dialects.Codecs[dialect.OpenAI] = good
	g = fetch(t, node, "/v1/chat/completions", chatAsk("cached", "shared", true))
	require.Equal(t, http.StatusOK, g.StatusCode)
	assert.Contains(t, g.body, "[DONE]")
	nothingUnderWay(t, s)
}

// A fault beside a request's own goroutine costs no more than that request, either.
func TestPanicBesideARequest(t *testing.T) {
	s := newTestServer(t, testCatalog("127.0.0.1:1"))
	c := newLegCall(func([]byte) error { panic("a fault") }, nil)
	err := c.endpoint(s).Do(new(upstream.Call), &upstream.Request{Body: []byte("{}")})
	require.ErrorIs(t, err, upstream.ErrCut)
	<-c.sent
	<-c.gone
	// The call is over before its fault is counted.
	require.Eventually(t, func() bool { return s.metrics.panics.Value() == 1 }, 5*time.Second, time.Millisecond)
}

// A turn whose conversation has lost the provider's socket before it was sent is over, like one that lost it later.
func TestTurnOfALostLeg(t *testing.T) {
	l := &turnLeg{}
	c := newLegCall(nil, nil)
	l.call = c
	l.drop()
	require.NoError(t, l.send(c, []byte(`{"input":[]}`)))
	<-c.over
}
