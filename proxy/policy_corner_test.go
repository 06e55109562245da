package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/wire"
)

// changing is a policy that decides what a test stores.
func changing(list *atomic.Value) *native {
	return &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return append(dst, list.Load().([]byte)...), nil }}
}

// withPolicy serves the test catalog, changed by pairs of old and new text, with the policy p bound to both models.
func withPolicy(t *testing.T, provider string, p *native, change ...string) (*Server, string) {
	t.Helper()
	s := newTestServer(t, testCatalog(provider))
	s.o.Policies = natives{"p": p}
	text := strings.NewReplacer(change...).Replace(testCatalog(provider))
	text = strings.ReplaceAll(text, "versions:", "policies: [p]\n    versions:") + "policies: [{name: p, module: \"file:x\", hooks: [route, prompt, chunk]}]\n"
	c, err := wire.ParseCatalog("test", []byte(text))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	return s, serveTest(t, s)
}

const otherAuthorization = "Authorization: Bearer " + otherKey

func TestPolicyHedgeDoesNotWait(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	var list atomic.Value
	list.Store(abi.AppendHedge(nil, 60_000))
	_, node := withPolicy(t, addr, changing(&list), "status: staging,", "status: production, retry: {attempts: 3, backoff: 8s},", "status: production\n", "status: staging\n")
	g := fetch(t, node, chatPath, chatAsk("plain@1.1.0", "x", false))
	assert.Equal(t, http.StatusOK, g.StatusCode)
	assert.Less(t, g.took, 4*time.Second, "there is one target, and nothing to wait for before it is tried")
}

// The hedge of a request whose first attempt is a fallback's is that version's, too.
func TestPolicyHedgesAFallback(t *testing.T) {
	bodies := make(chan string, 16)
	provider := scripted(t, func(call int, w net.Conn, body string) {
		bodies <- body
		if call == 1 {
			time.Sleep(time.Second)
		}
		_, _ = fmt.Fprint(w, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
	})
	var list atomic.Value
	list.Store(abi.AppendHedge(nil, 20))
	_, node := withPolicy(t, provider, changing(&list),
		"targets: [{provider: one, model: m, weight: 90}, {provider: two, model: m, weight: 10}]", "fallback: [plain@1.1.0]\n        targets: [{provider: one, model: m}]",
		"targets: [{provider: one, model: n}]", "force: {top_p: 0.5}, targets: [{provider: two, model: n}, {provider: two, model: o, name: other}]")
	fetch(t, node, chatPath, chatAsk("plain@1.0.0", "x", false), "X-Wedge-Provider: two")
	for range 2 {
		assert.Contains(t, <-bodies, `"top_p":0.5`)
	}
}

func TestPolicyFallbacksAlone(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	var list atomic.Value
	list.Store(abi.AppendFallbacks(nil, "two"))
	_, node := withPolicy(t, addr, changing(&list), "weight: 10", "weight: 0")
	g := fetch(t, node, chatPath, chatAsk("plain@1.0.0", "x", false))
	assert.Equal(t, "one", g.Header.Get("X-Wedge-Target"), "a fallback comes after what the version draws")
}

func TestPolicyModelForgetsTheShadow(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 8})
	shadows := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return abi.AppendShadow(dst, "two"), nil }}
	moves := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return abi.AppendModel(dst, "cached"), nil }}
	_, node := policyServer(t, addr, "route", natives{"a": shadows, "b": moves}, "a", "b")
	g := fetch(t, node, chatPath, chatAsk("plain@1.0.0", "x", false))
	assert.Equal(t, "cached", g.Header.Get("X-Wedge-Model"))
	time.Sleep(50 * time.Millisecond)
	assert.Len(t, simulated.Requests(), 1, "the target belonged to the other model")
}

// Of actions that do not add up the last one counts, and none of them costs the node the work of all.
func TestPolicyEditsCountOnce(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 8})
	var list atomic.Value
	_, node := withPolicy(t, addr, changing(&list))
	var actions []byte
	for i := range abi.MaxActions / 2 {
		actions = abi.AppendMaxTokens(abi.AppendSystem(actions, abi.SystemPrepend, fmt.Sprintf("rule %d", i)), uint32(i+1))
	}
	list.Store(actions)
	g := fetch(t, node, chatPath, chatAsk("plain@1.0.0", strings.Repeat("long ", 40_000), false))
	require.Equal(t, "p=edit", g.Header.Get("X-Wedge-Policy"), g.body)
	requests := simulated.Requests()
	body := string(requests[len(requests)-1].Body)
	assert.Equal(t, 1, strings.Count(body, "rule "))
	assert.Contains(t, body, "rule 2047")
	assert.Contains(t, body, "2048")

	list.Store(bytes.Repeat(abi.AppendMessage(nil, 0, "short"), abi.MaxActions))
	g = fetch(t, node, chatPath, chatAsk("plain@1.0.0", "edited", false))
	assert.Equal(t, "p=edit", g.Header.Get("X-Wedge-Policy"))
	g = fetch(t, node, chatPath, chatAsk("plain@1.0.0", strings.Repeat("long ", 40_000), false))
	assert.Equal(t, "p=failed", g.Header.Get("X-Wedge-Policy"), "that would take seconds")
	requests = simulated.Requests()
	assert.Contains(t, string(requests[len(requests)-1].Body), "long long", "the request stays as it was")
}

// A policy that saw an answer and let it be says so, whatever it said of an equal one before.
func TestPolicyPassesChunks(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	shout := true
	p := &native{chunk: func(in *abi.Chunk, dst []byte) ([]byte, error) {
		if shout {
			return abi.AppendText(dst, "HEY"), nil
		}
		return dst, nil
	}}
	_, node := policyServer(t, addr, "chunk", natives{"p": p}, "p")
	for range 3 { // a miss, and hits until one is prepared
		g := fetch(t, node, chatPath, chatAsk("cached@1.0.0", "x", false))
		assert.Equal(t, "p=edit", g.Header.Get("X-Wedge-Policy"))
	}
	shout = false
	g := fetch(t, node, chatPath, chatAsk("cached@1.0.0", "x", false))
	assert.Equal(t, "hit-memory", g.cache())
	assert.Equal(t, "p=pass", g.Header.Get("X-Wedge-Policy"))
}

// A request that met a fault of the node's own gives its programs back.
func TestPolicyIsReleasedAfterAPanic(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	p := &native{request: func(*abi.Request, []byte) ([]byte, error) { panic("a fault") }}
	s, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	g := fetch(t, node, chatPath, chatAsk("plain", "x", false))
	require.Equal(t, http.StatusInternalServerError, g.StatusCode)
	c, err := wire.ParseCatalog("test", []byte(testCatalog(addr)))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	require.Eventually(t, func() bool { return p.released.Load() == 1 }, 5*time.Second, 10*time.Millisecond)
}

// A shadow request, for which nobody waits, does not hold up the end of the node.
func TestPolicyShadowEndsWithTheNode(t *testing.T) {
	entered, leave := make(chan struct{}, 8), make(chan struct{})
	defer close(leave)
	slow := scripted(t, func(int, net.Conn, string) {
		entered <- struct{}{}
		<-leave
	})
	_, addr := newSim(t, sim.Options{})
	var list atomic.Value
	list.Store(abi.AppendShadow(abi.AppendTarget(nil, "one"), "two"))
	s, node := withPolicy(t, addr, changing(&list), `{name: two, dialect: openai, base_url: "http://`+addr, `{name: two, dialect: openai, base_url: "http://`+slow)
	g := fetch(t, node, chatPath, chatAsk("plain@1.0.0", "x", false))
	require.Equal(t, "one", g.Header.Get("X-Wedge-Target"), g.body)
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	_ = s.Shutdown(ctx)
	assert.Less(t, time.Since(began), 5*time.Second)
}
