package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// returned is code that returns a list at an address.
func returned(at, n int) []byte { return w.Code(result(at, n), w.Op(w.OpReturn)) }

// growing is memory that may grow as far as the node lets it.
const growing = w.NoMax

// hostileGuests do their worst at every request. Quarantine ends that after three times.
var hostileGuests = map[string]guest{
	"endless-loop": {request: w.Code(w.Forever(), w.I64Const(0))},
	"mutual-recursion": {request: w.Code(w.I32Const(1), w.Call(0), w.Op(w.OpDrop), w.I64Const(0)), funcs: func(m *w.Module) {
		for callee := range 2 { // work after the call keeps it from being a jump
			m.Func(i32, i32, w.LocalGet(0), w.Call(uint32(1-callee)), w.I32Const(1), w.Op(w.OpI32Add))
		}
	}},
	"exponential-calls": {request: w.Code(w.Call(40), w.I64Const(0)), funcs: func(m *w.Module) {
		fn := m.Func(none, none)
		for range 40 {
			fn = m.Func(none, none, w.Call(fn), w.Call(fn))
		}
	}},
	"memory-fill": {pages: 200, request: w.Code(w.Forever(w.I32Const(0), w.I32Const(7), w.I32Const(200*pageSize), w.MemoryFill()), w.I64Const(0))},
	"memory-grow": {most: growing, request: w.Code(w.Forever(w.I32Const(1), w.MemoryGrow(), w.Op(w.OpDrop)), w.I64Const(0))},
	"memory-bomb": {most: growing, request: w.Code(w.I32Const(250), w.MemoryGrow(), w.Op(w.OpDrop),
		w.Forever(w.I32Const(0), w.I32Const(7), w.MemorySize(), w.I32Const(pageSize), w.Op(w.OpI32Mul), w.MemoryFill()), w.I64Const(0))},
	"table-bomb": {funcs: func(m *w.Module) { m.Table(w.FuncRef, 1, w.NoMax) },
		request: w.Code(w.Forever(w.RefNull(w.FuncRef), w.I32Const(1_000_000), w.TableGrow(0), w.Op(w.OpDrop)), w.I64Const(0))},
	"unreachable":             {request: w.Op(w.OpUnreachable)},
	"load-outside":            {request: w.Code(w.I32Const(-1), w.Load(w.OpI32Load, 0), w.Op(w.OpDrop), w.I64Const(0))},
	"list-outside-memory":     {request: w.Code(returned(2*pageSize-4, 8), w.I64Const(0))},
	"list-at-the-end":         {request: w.Code(returned(0x7fffffff, 0x7fffffff), w.I64Const(0))},
	"list-without-end":        {request: w.Code(w.I64Const(listAt<<32 | 0xffffffff))},
	"lying-lengths":           {list: []byte{1, 0, 1, 0, 0xff, 0xff, 0xff, 0x3f, 'e', 'u', 0, 0}},
	"unknown-critical-action": {list: []byte{0xe7, 3, 1, 0, 0, 0, 0, 0}},
	"100000-tags":             {pages: 32, locals: i32, request: w.Code(tags(100_000), result(pageSize, 100_000*16))},
	"key-values-without-end": {before: func(m *w.Module) {
		m.ImportFunc("wedge1", "kv_put", []byte{w.I32, w.I32, w.I32, w.I32, w.I32}, i32)
	}, request: w.Code(w.Forever( // the counter at heapAt is the key
		w.I32Const(heapAt), w.I32Const(heapAt), w.Load(w.OpI32Load, 0), w.I32Const(1), w.Op(w.OpI32Add), w.Load(w.OpI32Store, 0),
		w.I32Const(heapAt), w.I32Const(4), w.I32Const(heapAt), w.I32Const(4096), w.I32Const(0), w.Call(0), w.Op(w.OpDrop)), w.I64Const(0))},
}

// tags writes so many times the action "tag a: b" to the second page and behind; local 1 is the index.
func tags(n int32) []byte {
	return w.Loop(
		w.LocalGet(1), w.I64Const(int64(abi.TagMetric)|4<<32), w.Load(w.OpI64Store, pageSize),
		w.LocalGet(1), w.I64Const('a'<<16|1|'b'<<24), w.Load(w.OpI64Store, pageSize+8),
		w.LocalGet(1), w.I32Const(16), w.Op(w.OpI32Add), w.LocalTee(1), w.I32Const(16*n), w.Op(w.OpI32LtU), w.BrIf(0))
}

// TestHostilePolicies runs every hostile guest beside the traffic of a model that has nothing to do with them.
func TestHostilePolicies(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--log-size", "0")
	plain := func() *catalog {
		return (&catalog{}).at("sim", p.addr, "").key("ann", "").model("other", "", target("sim", "x;tokens=20", ""))
	}
	n := startNode(t, plain().String())
	ann := n.as(t, "ann")
	quiet := startPaced(ann, 200, func(int) string { return ask("other", "hello") })
	time.Sleep(time.Second)
	quiet.end()
	ann.http.CloseIdleConnections()
	descriptors, goroutines := n.held(t)
	before := n.resident(t)

	files := map[string]string{}
	for name, g := range hostileGuests {
		files[name] = moduleFile(t, g.module())
	}
	others := startPaced(ann, 200, func(int) string { return ask("other", "hello") })
	var took []time.Duration
	for round := range 4 { // another config is another policy, which is not in quarantine yet
		c := plain()
		for name, file := range files {
			for _, on := range []string{"continue", "deny"} {
				c.policy(name+"-"+on, file, "route", fmt.Sprintf("on_error: %s, config: {round: %d}", on, round)).
					model(name+"-"+on, "policies: ["+name+"-"+on+"]", target("sim", "x;tokens=20", ""))
			}
		}
		n.publish(t, c)
		took = append(took, visitHostile(t, n, ann)...)
		for name := range n.policies(t) {
			testkit.Eventually(t, patience, func() error { // a busy machine lets some calls not begin
				s := n.policies(t)[name]
				if s.State.Quarantined != nil && len(s.State.Errors) > 0 {
					return nil
				}
				_, _ = ann.try(context.Background(), "POST", chatPath, ask(name, "once more"))
				return fmt.Errorf("%s is in no quarantine: %+v", name, s.State)
			})
		}
	}
	others.end()
	assert.Empty(t, others.failed)
	assert.Less(t, others.quantile(0.5), 100*time.Millisecond, "half of the other requests")
	assert.Less(t, others.quantile(0.95), 500*time.Millisecond, "nearly all other requests")
	slices.Sort(took)
	t.Logf("%d others: median %v, 99 %% %v; before: median %v, 99 %% %v; policy time of %d: median %v, 99 %% %v, most %v",
		len(others.took), others.quantile(0.5), others.quantile(0.99), quiet.quantile(0.5), quiet.quantile(0.99),
		len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])

	n.publish(t, plain())
	testkit.Eventually(t, 20*time.Second, func() error { return n.noGrowth(t, before) })
	ann.http.CloseIdleConnections()
	testkit.Eventually(t, 40*time.Second, func() error {
		if d, g := n.held(t); d > descriptors+10 || g > goroutines+20 {
			return fmt.Errorf("%d descriptors and %d goroutines, after %d and %d", d, g, descriptors, goroutines)
		}
		return nil
	})
}

// visitHostile asks each hostile model some times, from several connections, and returns the times that the calls of
// their policies took.
func visitHostile(t *testing.T, n *node, c *client) (took []time.Duration) {
	t.Helper()
	var names []string
	for name := range hostileGuests {
		names = append(names, name)
	}
	answers := make([][]*answer, 3)
	testkit.Hammer(len(answers), 2*len(names), func(g, i int) {
		model := names[i/2] + []string{"-continue", "-deny"}[i%2]
		for range 2 {
			a, err := c.try(context.Background(), "POST", chatPath, ask(model, "hello"))
			if assert.NoError(t, err) {
				answers[g] = append(answers[g], a)
			}
		}
	})
	for _, a := range slices.Concat(answers...) {
		name, _, _ := strings.Cut(a.header.Get("X-Wedge-Policy"), "=")
		assert.Equal(t, name+"=failed", a.header.Get("X-Wedge-Policy"), a.body)
		if strings.HasSuffix(name, "-deny") {
			a.wantError(t, 503, "policy_failed")
		} else {
			assert.Equal(t, 200, a.status, a.body)
		}
		e := n.explain(t, a)
		require.Len(t, e.Policies, 1)
		assert.NotEmpty(t, e.Policies[0].Error, name)
		took = append(took, time.Duration(e.Policies[0].TookMS*float64(time.Millisecond)))
	}
	slices.Sort(took)
	// Only the first three calls of each get through to the guest.
	assert.Less(t, took[len(took)/2], 50*time.Millisecond, "half of the calls, which may take 2 ms")
	assert.Less(t, took[len(took)*9/10], 500*time.Millisecond, "nearly all calls")
	return took
}

// TestPolicyTrapsNowAndThen lets a guest fail at its thousandth call. It goes on as if nothing had been.
func TestPolicyTrapsNowAndThen(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--log-size", "0")
	g := guest{list: abi.AppendResponseHeader(nil, "x-v", "1"), funcs: func(m *w.Module) { m.Global(w.I32, true, w.I32Const(0)) }}
	g.request = w.Code(w.GlobalGet(0), w.I32Const(1), w.Op(w.OpI32Add), w.GlobalSet(0),
		w.GlobalGet(0), w.I32Const(1000), w.Op(opI32Eq), w.If(w.Op(w.OpUnreachable)), result(listAt, len(g.list)))
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").policy("p", moduleFile(t, g.module()), "route", "").
		model("m", "policies: [p], cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).String())
	ann := n.as(t, "ann")
	failed, after := 0, 0
	for i := 0; after < 500; i++ {
		require.Less(t, i, 20_000, "no instance has been called a thousand times")
		a := ann.chat(ask("m", "hello"))
		require.Equal(t, 200, a.status)
		if a.header.Get("X-Wedge-Policy") == "p=failed" {
			failed++
			continue
		}
		require.Equal(t, "p=route 1", a.header.Get("X-Wedge-Policy")+" "+a.header.Get("X-V"))
		if failed > 0 {
			after++
		}
	}
	assert.LessOrEqual(t, failed, 2)
	assert.EqualValues(t, failed, n.policies(t)["p"].State.Errors["trapped"])
}

// TestHostileChunks lets a guest hang at every piece of a stream.
func TestHostileChunks(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	g := guest{caps: abi.CapChunk, others: w.Code(w.Forever(), w.I64Const(0))}
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	for _, on := range []string{"continue", "deny"} {
		c.policy(on, moduleFile(t, g.module()), "chunk", "on_error: "+on).model(on, "policies: ["+on+"]", target("sim", "x", ""))
	}
	n := startNode(t, c.String())
	ann := n.as(t, "ann")
	want := p.client(t).chat(ask("x", "hang on"))
	a := ann.chat(ask("continue", "hang on", streamed))
	assert.Equal(t, want.said(t).text, a.said(t).text)
	assert.True(t, a.said(t).done)
	assert.NotNil(t, n.policies(t)["continue"].State.Quarantined)
	assert.Less(t, n.metric(t, "wedge_policy_seconds_sum", `policy="continue"`), 1.0)

	a = ann.chat(ask("deny", "hang on", streamed))
	require.Equal(t, 200, a.status)
	got := a.said(t)
	require.NotNil(t, got.failure, a.body)
	assert.Equal(t, "policy_failed", got.failure.Code)
	assert.False(t, got.done, "no good end is made up")
	assert.NotContains(t, a.body, want.said(t).text)
	ann.chat(ask("deny", "hang on")).wantError(t, 503, "policy_failed")
}

// TestRefusedPolicies offers modules that must not run. The node says of each why, and serves what it served before.
func TestRefusedPolicies(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := policyCatalog(p, exampleModule(t, "route-by-language", "c"))
	n := startNode(t, c.String())
	calm := startPaced(n.as(t, "ann"), 50, func(int) string { return ask("m", "hello") })
	reasons := map[string]string{}
	add := func(name, says string, module []byte) {
		reasons[name] = says
		c.policy(name, moduleFile(t, module), "route", "")
	}
	withFuncs := func(funcs func(m *w.Module)) []byte { return guest{funcs: funcs}.module() }
	withImport := func(module, name string) []byte {
		return guest{before: func(m *w.Module) { m.ImportFunc(module, name, i32, i32) }}.module()
	}
	add("empty", "WebAssembly", nil)
	add("component", "component", []byte("\x00asm\x0d\x00\x01\x00"))
	add("too-large", "8388608", append(w.Header(), make([]byte, 8<<20)...))
	add("table-bomb", "table", withFuncs(func(m *w.Module) { m.Table(w.FuncRef, 100_000_000, w.NoMax) }))
	add("memory-bomb", "memory", guest{pages: 65536, most: growing}.module())
	add("local-bomb", "locals", withFuncs(func(m *w.Module) {
		m.RawFunc(m.Type(none, none), w.Code(w.U32(1), w.U32(50_000_000), w.Op(w.I64), w.Op(w.OpEnd)))
	}))
	add("giant-br-table", "br_table", withFuncs(func(m *w.Module) {
		m.Func(none, none, w.Block(w.I32Const(0), w.Op(0x0e), w.U32(100_000), w.Repeat(100_001, w.U32(0))))
	}))
	add("fuel-global", "global", guest{request: w.Code(w.I64Const(1<<62), w.GlobalSet(0), w.I64Const(0))}.module())
	add("nodes-global", "import", guest{before: func(m *w.Module) { m.Import("env", "g", w.KindGlobal, []byte{w.I64, 1}) }}.module())
	add("opens-files", "path_open", withImport("wasi_snapshot_preview1", "path_open_at_will"))
	add("opens-sockets", "wasi:sockets", withImport("wasi:sockets/tcp@0.2.0", "connect"))
	add("start-without-end", "more than 1s", withFuncs(func(m *w.Module) { m.Start(m.Func(none, none, w.Forever())) }))
	add("no-code", "invalid function", withFuncs(func(m *w.Module) { m.Func(none, i32) }))
	add("refuses-config", "wrong config", guest{init: w.I32Const(-4)}.module())
	n.put(t, c.String())
	reason := n.awaitRefusal(t, "refuses-config")
	for name, says := range reasons {
		_, rest, found := strings.Cut(reason, `"`+name+`"`)
		rest, _, _ = strings.Cut(rest, "policies[")
		assert.True(t, found && strings.Contains(rest, says), "%s: %s", name, rest)
	}
	assert.Contains(t, n.output("stderr"), "opens-sockets", "the log says it, too")
	calm.end()
	assert.Empty(t, calm.failed)
	a := n.as(t, "ann").chat(ask("m", "hello"))
	assert.Equal(t, "p=pass", a.header.Get("X-Wedge-Policy"))
	assert.Len(t, n.policies(t), 1)
}
