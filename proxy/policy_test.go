package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/wire"
)

// native is a policy written in Go.
type native struct {
	caps     abi.Caps
	request  func(in *abi.Request, dst []byte) ([]byte, error)
	response func(in *abi.Response, dst []byte) ([]byte, error)
	chunk    func(in *abi.Chunk, dst []byte) ([]byte, error)
	done     func(in *abi.Done)
	hooks    policy.Hook
	released atomic.Int32
}

func (n *native) Caps() abi.Caps { return n.caps }
func (n *native) Status() any    { return "native" }
func (n *native) Release()       { n.released.Add(1) }

func (n *native) Request(in *abi.Request, dst []byte) ([]byte, error) {
	if n.request == nil {
		return dst, nil
	}
	list, err := n.request(in, nil)
	if err != nil {
		return dst, err
	}
	out, _, err := policy.Check(dst, list, policy.Call{Kind: policy.OnRequest, Hooks: n.hooks, BodyLen: len(in.Body), Messages: int(in.Messages)})
	return out, err
}

func (n *native) Response(in *abi.Response, dst []byte) ([]byte, error) {
	if n.response == nil {
		return dst, nil
	}
	return n.response(in, dst)
}

func (n *native) Chunk(in *abi.Chunk, dst []byte) ([]byte, error) {
	if n.chunk == nil {
		return dst, nil
	}
	return n.chunk(in, dst)
}

func (n *native) Done(in *abi.Done, dst []byte) ([]byte, error) {
	if n.done != nil {
		n.done(in)
	}
	return dst, nil
}

// natives are policies by name.
type natives map[string]*native

func (n natives) Load(_ context.Context, p *wire.Policy, hooks policy.Hook, _ string) (Policy, error) {
	program, ok := n[p.Name]
	if !ok {
		return nil, errors.New("there is no such policy")
	}
	program.hooks = hooks
	return program, nil
}

// policyServer serves the test catalog with policies bound to both models.
func policyServer(t *testing.T, provider string, hooks string, policies natives, order ...string) (*Server, string) {
	t.Helper()
	s := newTestServer(t, testCatalog(provider))
	s.o.Policies = policies
	var text strings.Builder
	text.WriteString(strings.ReplaceAll(testCatalog(provider), "versions:", "policies: ["+strings.Join(order, ", ")+"]\n    versions:"))
	text.WriteString("policies:\n")
	for _, name := range order {
		onError := "continue"
		if strings.HasPrefix(name, "must") {
			onError = "deny"
		}
		fmt.Fprintf(&text, "  - {name: %s, module: \"file:x.wasm\", hooks: [%s], headers: [accept-language], on_error: %s}\n", name, hooks, onError)
	}
	c, err := wire.ParseCatalog("test", []byte(text.String()))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	return s, serveTest(t, s)
}

func TestPolicyRoutes(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 64})
	p := &native{caps: abi.CapUser | abi.CapTargets | abi.CapHeaders, request: func(in *abi.Request, dst []byte) ([]byte, error) {
		if len(in.Targets) == 2 && in.Targets[1].Flags&abi.TargetHealthy != 0 {
			dst = abi.AppendTarget(dst, in.Targets[1].Name)
		}
		dst = abi.AppendSetHeader(dst, "x-team", string(in.LastUser))
		dst = abi.AppendResponseHeader(dst, "x-lang", string(in.Headers[0].Value))
		return abi.AppendMetric(dst, "lang", "fr"), nil
	}}
	s, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("cached@1.0.0", "bonjour", false), "Accept-Language: fr")
	require.Equal(t, http.StatusOK, g.StatusCode, g.body)
	assert.Equal(t, "two", g.Header.Get("X-Wedge-Target"))
	assert.Equal(t, "p=route", g.Header.Get("X-Wedge-Policy"))
	assert.Equal(t, "fr", g.Header.Get("X-Lang"))
	requests := simulated.Requests()
	assert.Equal(t, "bonjour", requests[len(requests)-1].Headers["x-team"])
	again := fetch(t, node, "/v1/chat/completions", chatAsk("cached@1.0.0", "bonjour", false), "Accept-Language: fr")
	assert.Equal(t, "hit-memory", again.cache())
	var metrics bytes.Buffer
	require.NoError(t, s.o.Registry.WriteText(&metrics))
	assert.Contains(t, metrics.String(), `wedge_policy_tags_total{key="lang",policy="p",value="fr"} 2`)
	assert.Contains(t, metrics.String(), `wedge_policy_calls_total{hook="request",policy="p"} 2`)
}

func TestPolicyDecidesBeforeTheKey(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	var target atomic.Value
	target.Store("one")
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendTarget(dst, target.Load().(string)), nil
	}}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	ask := func() got { return fetch(t, node, "/v1/chat/completions", chatAsk("cached@1.0.0", "x", false)) }
	assert.Equal(t, "miss", ask().cache())
	assert.Equal(t, "hit-memory", ask().cache())
	target.Store("two")
	g := ask()
	assert.Equal(t, "miss", g.cache(), "another target's answer is another answer")
	assert.Equal(t, "two", g.Header.Get("X-Wedge-Target"))
}

func TestPolicyDenies(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendDeny(dst, 451, 7, "not in this country"), nil
	}}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("cached", "x", true))
	assert.Equal(t, 451, g.StatusCode)
	assert.Equal(t, "policy_denied", g.Header.Get("X-Wedge-Error"))
	assert.Equal(t, "7", g.Header.Get("Retry-After"))
	assert.Equal(t, "p=deny", g.Header.Get("X-Wedge-Policy"))
	assert.Contains(t, g.body, "not in this country")
}

func TestPolicyOnError(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	broken := func(*abi.Request, []byte) ([]byte, error) {
		return nil, fmt.Errorf("%w: unreachable", policy.ErrTrapped)
	}
	wrong := func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendTarget(abi.AppendMaxTokens(dst, 7), "nowhere"), nil
	}
	simulated, node := policyServer(t, addr, "route, prompt", natives{"may": {request: broken}, "wrong": {request: wrong}}, "may", "wrong")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false))
	assert.Equal(t, http.StatusOK, g.StatusCode)
	assert.Equal(t, "may=failed, wrong=failed", g.Header.Get("X-Wedge-Policy"))
	var metrics bytes.Buffer
	require.NoError(t, simulated.o.Registry.WriteText(&metrics))
	assert.Contains(t, metrics.String(), `wedge_policy_errors_total{hook="request",policy="may",reason="trap"} 1`)
	assert.Contains(t, metrics.String(), `wedge_policy_errors_total{hook="request",policy="wrong",reason="actions"} 1`)

	_, node = policyServer(t, addr, "route", natives{"must": {request: broken}}, "must")
	g = fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false))
	assert.Equal(t, http.StatusServiceUnavailable, g.StatusCode)
	assert.Equal(t, "policy_failed", g.Header.Get("X-Wedge-Error"))
	assert.NotContains(t, g.body, "unreachable")
}

func TestPolicyEditsThePrompt(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 64})
	first := &native{caps: abi.CapUser, request: func(in *abi.Request, dst []byte) ([]byte, error) {
		dst = abi.AppendSystem(dst, abi.SystemPrepend, "Be \"brief\".")
		return abi.AppendMessage(dst, in.Messages-1, strings.ToUpper(string(in.LastUser))), nil
	}}
	var seen atomic.Value
	second := &native{caps: abi.CapUser | abi.CapSystem, request: func(in *abi.Request, dst []byte) ([]byte, error) {
		seen.Store(string(in.System) + "|" + string(in.LastUser))
		return dst, nil
	}}
	_, node := policyServer(t, addr, "prompt", natives{"a": first, "b": second}, "a", "b")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("cached", "hello", false))
	require.Equal(t, http.StatusOK, g.StatusCode, g.body)
	assert.Equal(t, "a=edit, b=pass", g.Header.Get("X-Wedge-Policy"))
	assert.Equal(t, `Be "brief".|HELLO`, seen.Load(), "a policy sees what those before it made of the request")
	requests := simulated.Requests()
	body := string(requests[len(requests)-1].Body)
	assert.Contains(t, body, `Be \"brief\".`)
	assert.Contains(t, body, "HELLO")
	assert.NotContains(t, body, "hello")
	shouted := fetch(t, node, "/v1/chat/completions", chatAsk("cached", "HELLO", false))
	assert.Equal(t, "hit-memory", shouted.cache(), "the edited request is what is looked up")
}

func TestPolicyChoosesVersionAndModel(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	var list atomic.Value
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return append(dst, list.Load().([]byte)...), nil }}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	for _, c := range []struct{ actions, header, want string }{
		{string(abi.AppendVersion(nil, "1.1.0")), "X-Wedge-Version", "1.1.0"},
		{string(abi.AppendVersion(nil, "b")), "X-Wedge-Experiment", "f=b"},
		{string(abi.AppendModel(nil, "cached")), "X-Wedge-Model", "cached"},
		{string(abi.AppendModel(nil, "nothing")), "X-Wedge-Model", "plain"},
	} {
		list.Store([]byte(c.actions))
		g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false))
		require.Equal(t, http.StatusOK, g.StatusCode, g.body)
		assert.Equal(t, c.want, g.Header.Get(c.header))
	}
}

func TestPolicyAnswers(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 64})
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendAnswer(dst, "Ask \"me\" later."), nil
	}}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	for _, stream := range []bool{false, true} {
		g := fetch(t, node, "/v1/chat/completions", chatAsk("cached", "x", stream))
		require.Equal(t, http.StatusOK, g.StatusCode, g.body)
		assert.Equal(t, "p=answer", g.Header.Get("X-Wedge-Policy"))
		assert.Contains(t, g.body, `Ask \"me\" later.`)
		assert.Equal(t, stream, strings.Contains(g.body, "[DONE]"))
	}
	assert.Empty(t, simulated.Requests())
}

func TestPolicyCacheAndTimeout(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	var list atomic.Value
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return append(dst, list.Load().([]byte)...), nil }}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	ask := func(model string, actions []byte) string {
		list.Store(actions)
		return fetch(t, node, "/v1/chat/completions", chatAsk(model, "x", false)).cache()
	}
	assert.Equal(t, "miss", ask("cached", abi.AppendCacheSalt(nil, "a")))
	assert.Equal(t, "hit-memory", ask("cached", abi.AppendCacheSalt(nil, "a")))
	assert.Equal(t, "miss", ask("cached", abi.AppendCacheSalt(nil, "b")))
	assert.Equal(t, "bypass", ask("cached", abi.AppendCache(nil, abi.CacheOff, 0)))
	assert.Equal(t, "miss", ask("plain", abi.AppendCache(nil, abi.CacheExact, 60)))
	assert.Equal(t, "hit-memory", ask("plain", abi.AppendCache(nil, abi.CacheExact, 60)))
	list.Store(abi.AppendTimeout(nil, 50))
	g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false), "X-Wedge-Cache: no-store")
	assert.Equal(t, http.StatusOK, g.StatusCode)
}

// upper shouts, and counts what it carried from call to call.
func upper() *native {
	return &native{chunk: func(in *abi.Chunk, dst []byte) ([]byte, error) {
		dst = abi.AppendState(dst, append(bytes.Clone(in.State), '.'))
		text := strings.ToUpper(string(in.Text))
		if in.Flags&abi.ChunkLast != 0 {
			text += fmt.Sprintf("<%d>", len(in.State)+1)
		}
		return abi.AppendText(dst, text), nil
	}}
}

func TestPolicySeesAnswers(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	_, bare := policyServer(t, addr, "done", natives{"p": {}}, "p")
	_, node := policyServer(t, addr, "chunk", natives{"p": upper()}, "p")
	for _, model := range []string{"plain", "cached"} {
		plain := contentOf(t, fetch(t, bare, "/v1/chat/completions", chatAsk(model, "hooks", false)).body)
		for _, stream := range []bool{false, true, true, false} { // a miss, then hits in both forms
			g := fetch(t, node, "/v1/chat/completions", chatAsk(model, "hooks", stream))
			require.Equal(t, http.StatusOK, g.StatusCode, g.body)
			said := contentOf(t, g.body)
			assert.True(t, strings.HasPrefix(said, strings.ToUpper(plain)+"<"), "%s stream=%v: %s", model, stream, said)
			if stream {
				assert.Contains(t, g.body, "[DONE]")
				assert.NotContains(t, said, "<1>", "the state came back")
			} else {
				assert.Contains(t, said, "<1>", "a whole answer is one chunk")
			}
		}
	}
	again := fetch(t, bare, "/v1/chat/completions", chatAsk("cached", "hooks", false))
	assert.NotContains(t, again.body, "HOOKS", "the cache keeps the provider's words")
}

func TestPolicyResponseHook(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	p := &native{response: func(in *abi.Response, dst []byte) ([]byte, error) {
		return abi.AppendText(dst, fmt.Sprintf("%d bytes, %d tokens", len(in.Text), in.Output)), nil
	}}
	_, node := policyServer(t, addr, "response", natives{"p": p}, "p")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false))
	assert.Regexp(t, `^\d+ bytes, [1-9]\d* tokens$`, contentOf(t, g.body))
	assert.Equal(t, "p=edit", g.Header.Get("X-Wedge-Policy"))
}

func TestPolicyStopsAndFailsStreams(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	stop := &native{chunk: func(in *abi.Chunk, dst []byte) ([]byte, error) {
		if in.Seq == 2 {
			return abi.AppendStop(abi.AppendDrop(dst), "content_filter"), nil
		}
		return dst, nil
	}}
	_, node := policyServer(t, addr, "chunk", natives{"p": stop}, "p")
	for _, model := range []string{"plain", "cached", "cached"} {
		g := fetch(t, node, "/v1/chat/completions", chatAsk(model, "a longer question than that", true))
		assert.Contains(t, g.body, `"finish_reason":"content_filter"`)
		assert.True(t, strings.HasSuffix(strings.TrimSpace(g.body), "data: [DONE]"), g.body)
	}
	fails := &native{chunk: func(in *abi.Chunk, dst []byte) ([]byte, error) {
		if in.Seq == 2 {
			return dst, policy.ErrDeadline
		}
		return dst, nil
	}}
	_, node = policyServer(t, addr, "chunk", natives{"must": fails}, "must")
	g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "a longer question than that", true))
	assert.Contains(t, g.body, "policy_failed")
	assert.NotContains(t, g.body, "[DONE]")
	_, node = policyServer(t, addr, "chunk", natives{"may": {chunk: fails.chunk}}, "may")
	g = fetch(t, node, "/v1/chat/completions", chatAsk("plain", "a longer question than that", true))
	assert.Contains(t, g.body, "[DONE]")
}

func TestPolicyDone(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	told := make(chan abi.Done, 4)
	p := &native{
		request: func(_ *abi.Request, dst []byte) ([]byte, error) { return abi.AppendState(dst, "kept"), nil },
		done:    func(in *abi.Done) { told <- *in },
	}
	_, node := policyServer(t, addr, "route, done", natives{"p": p}, "p")
	fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", true))
	select {
	case d := <-told:
		assert.Equal(t, "kept", string(d.State))
		assert.Equal(t, "plain", string(d.Model))
		assert.NotZero(t, d.Output)
		assert.Equal(t, abi.DoneStream, d.Flags)
		assert.EqualValues(t, http.StatusOK, d.Status)
	case <-time.After(5 * time.Second):
		t.Fatal("the policy was not told")
	}
}

func TestPolicyShadow(t *testing.T) {
	simulated, addr := newSim(t, sim.Options{LogSize: 64})
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendShadow(abi.AppendTarget(dst, "one"), "two"), nil
	}}
	s, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	for _, stream := range []bool{false, true} {
		g := fetch(t, node, "/v1/chat/completions", chatAsk("plain@1.0.0", "shadow", stream))
		assert.Equal(t, "one", g.Header.Get("X-Wedge-Target"))
	}
	require.Eventually(t, func() bool {
		var metrics bytes.Buffer
		_ = s.o.Registry.WriteText(&metrics)
		return strings.Contains(metrics.String(), `wedge_shadow_requests_total{model="plain",result="ok",target="two"} 2`)
	}, 5*time.Second, 10*time.Millisecond)
	assert.Len(t, simulated.Requests(), 4)
}

// A program is given back when the last request that uses it has ended, after its catalog was replaced.
func TestPolicySwap(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	release, entered := make(chan struct{}), make(chan struct{})
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		close(entered)
		<-release
		return dst, nil
	}}
	s, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	var wg sync.WaitGroup
	wg.Go(func() {
		g := fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", false))
		assert.Equal(t, http.StatusOK, g.StatusCode)
	})
	<-entered
	c, err := wire.ParseCatalog("test", []byte(testCatalog(addr)))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	time.Sleep(retireAfter + 200*time.Millisecond)
	assert.Zero(t, p.released.Load(), "a request uses it")
	close(release)
	wg.Wait()
	require.Eventually(t, func() bool { return p.released.Load() == 1 }, 5*time.Second, 10*time.Millisecond)
}

func TestPolicyThatCannotBeLoaded(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	s := newTestServer(t, testCatalog(addr))
	c, err := wire.ParseCatalog("test", []byte(testCatalog(addr)+"policies: [{name: p, module: \"file:x\", hooks: [route]}]\n"))
	require.NoError(t, err)
	was := s.snap.Load()
	assert.ErrorContains(t, s.Publish(c, "test"), "policies[0].module: this node runs no policies")
	s.o.Policies = natives{}
	assert.ErrorContains(t, s.Publish(c, "test"), "there is no such policy")
	assert.Same(t, was, s.snap.Load())
}

func TestRulingComesBackZero(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	p := upper()
	p.request = func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendState(abi.AppendSystem(abi.AppendTarget(dst, "one"), 0, "x"), "secret"), nil
	}
	_, node := policyServer(t, addr, "route, prompt, chunk", natives{"p": p}, "p")
	fetch(t, node, "/v1/chat/completions", chatAsk("plain", "x", true))
	r := rulings.Get().(*ruling)
	assert.Empty(t, r.verdicts[:0])
	for i := range r.verdicts[:cap(r.verdicts)] {
		assert.Empty(t, r.verdicts[i].state)
	}
}

func TestPolicyHedges(t *testing.T) {
	slow := scripted(t, func(_ int, w net.Conn, _ string) { time.Sleep(2 * time.Second) })
	_, quick := newSim(t, sim.Options{LogSize: 64})
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) {
		return abi.AppendHedge(abi.AppendTarget(dst, "one"), 30), nil
	}}
	s := newTestServer(t, testCatalog(quick))
	s.o.Policies = natives{"p": p}
	text := strings.Replace(testCatalog(quick), "http://"+quick, "http://"+slow, 1)
	text = strings.ReplaceAll(text, "versions:", "policies: [p]\n    versions:") + "policies: [{name: p, module: \"file:x\", hooks: [route]}]\n"
	c, err := wire.ParseCatalog("test", []byte(text))
	require.NoError(t, err)
	require.NoError(t, s.Publish(c, "test"))
	node := serveTest(t, s)
	for _, stream := range []bool{false, true} {
		began := time.Now()
		g := fetch(t, node, "/v1/chat/completions", chatAsk("plain@1.0.0", "hedge", stream))
		require.Equal(t, http.StatusOK, g.StatusCode, g.body)
		assert.Equal(t, "two", g.Header.Get("X-Wedge-Target"))
		assert.Equal(t, "2", g.Header.Get("X-Wedge-Attempts"))
		assert.Less(t, time.Since(began), time.Second)
	}
	for _, v := range s.snap.Load().versions {
		for i := range v.targets {
			assert.Zero(t, v.targets[i].live.InFlight())
		}
	}
}

// contentOf is what an answer of the chat says, whole or streamed.
func contentOf(t *testing.T, body string) string {
	t.Helper()
	var said strings.Builder
	add := func(text string) {
		var answer struct {
			Choices []struct {
				Message, Delta struct{ Content string }
			}
		}
		require.NoError(t, json.Unmarshal([]byte(text), &answer), text)
		for _, c := range answer.Choices {
			said.WriteString(c.Message.Content + c.Delta.Content)
		}
	}
	if !strings.HasPrefix(body, "data:") {
		add(body)
		return said.String()
	}
	for line := range strings.SplitSeq(body, "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok && data != "[DONE]" {
			add(data)
		}
	}
	return said.String()
}

// A hit that policies route is recognised like any other, and only if they decided the same.
func TestPolicyRoutedHits(t *testing.T) {
	_, addr := newSim(t, sim.Options{LogSize: 64})
	var list atomic.Value
	p := &native{request: func(_ *abi.Request, dst []byte) ([]byte, error) { return append(dst, list.Load().([]byte)...), nil }}
	_, node := policyServer(t, addr, "route", natives{"p": p}, "p")
	eu := abi.AppendResponseHeader(abi.AppendTarget(nil, "two"), "x-where", "eu")
	us := abi.AppendResponseHeader(abi.AppendTarget(nil, "one"), "x-where", "us")
	for i := range 12 {
		actions, where, target := eu, "eu", "two"
		if i%3 == 2 {
			actions, where, target = us, "us", "one"
		}
		if i == 9 {
			actions, where, target = nil, "", ""
		}
		list.Store(actions)
		g := fetch(t, node, "/v1/chat/completions", chatAsk("cached@1.0.0", "the same", false))
		require.Equal(t, http.StatusOK, g.StatusCode)
		assert.Equal(t, where, g.Header.Get("X-Where"), i)
		if target != "" {
			assert.Equal(t, target, g.Header.Get("X-Wedge-Target"), i)
			assert.Equal(t, "p=route", g.Header.Get("X-Wedge-Policy"))
		} else {
			assert.Equal(t, "p=pass", g.Header.Get("X-Wedge-Policy"))
		}
		want := "hit-memory"
		if i == 0 || i == 2 || i == 9 {
			want = "miss"
		}
		assert.Equal(t, want, g.cache(), i)
	}
}

// What the node cannot read cannot be a way around a policy that must see it.
func TestPolicyMustSee(t *testing.T) {
	_, addr := newSim(t, sim.Options{})
	_, node := policyServer(t, addr, "prompt", natives{"must": {}}, "must")
	g := fetch(t, node, "/v1/images/generations", `{"model":"plain","prompt":"x"}`)
	assert.Equal(t, "policy_failed", g.Header.Get("X-Wedge-Error"))
	_, node = policyServer(t, addr, "route", natives{"must": {}}, "must")
	g = fetch(t, node, "/v1/images/generations", `{"model":"plain","prompt":"x"}`)
	assert.Equal(t, http.StatusOK, g.StatusCode, "a route needs no text")
}
