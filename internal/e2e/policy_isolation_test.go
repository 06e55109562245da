package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

const shown = 512 // bytes that a spying guest shows in a response header

// spy is a guest whose answer carries bytes of its memory, those at an address that code leaves, in the header x-spy.
// What cannot stand in a header is shown as a dot. after runs when they have been copied.
func spy(from, after []byte) []byte {
	list := abi.AppendResponseHeader(nil, "x-spy", strings.Repeat(".", shown))
	at := int32(listAt + len(list) - shown)
	for len(list)%4 != 0 {
		list = append(list, 0)
	}
	char := w.LocalGet(2)
	return guest{
		caps: abi.CapUser | abi.CapBody, list: list, pages: 3, locals: []byte{w.I32, w.I32, w.I32},
		request: w.Code(
			from, w.LocalSet(3),
			w.Loop(
				w.LocalGet(3), w.LocalGet(1), w.Op(w.OpI32Add), w.Load(w.OpI32Load8U, 0), w.LocalTee(2),
				w.I32Const(' '), w.Op(w.OpI32LtU), char, w.I32Const('~'), w.Op(opI32GtU), w.Op(w.OpI32Or), w.If(w.I32Const('.'), w.LocalSet(2)),
				w.LocalGet(1), char, w.Load(w.OpI32Store8, uint32(at)),
				w.LocalGet(1), w.I32Const(1), w.Op(w.OpI32Add), w.LocalTee(1), w.I32Const(shown), w.Op(w.OpI32LtU), w.BrIf(0)),
			after, result(listAt, len(list))),
	}.module()
}

// hoarder keeps the last user text of a request in its own memory, and shows what it kept of the one before.
func hoarder() []byte {
	return spy(w.I32Const(heapAt), w.Code(w.I32Const(heapAt), field(112), w.I32Const(bufferAt), w.Op(w.OpI32Add), w.I32Const(shown), w.MemoryCopy()))
}

// rummager shows what lies in the input buffer behind the view in hand.
func rummager() []byte { return spy(w.Code(w.I32Const(bufferAt), field(4), w.Op(w.OpI32Add)), nil) }

// TestPolicyIsolation lets guests show to one tenant what another one's request left with them.
func TestPolicyIsolation(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--log-size", "0")
	hoards, rummages := moduleFile(t, hoarder()), moduleFile(t, rummager())
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "tenant: acme").key("eve", "tenant: other")
	for name, more := range map[string]string{"default": "", "clean": "isolation: clean", "fresh": "isolation: fresh", "shared": "isolation: shared"} {
		c.policy("hoards-"+name, hoards, "route", more).policy("rummages-"+name, rummages, "route", more).
			model("hoards-"+name, "policies: [hoards-"+name+"]", target("sim", "x", "")).
			model("rummages-"+name, "policies: [rummages-"+name+"]", target("sim", "x", ""))
	}
	n := startNode(t, c.String())
	for name, isolation := range map[string]string{"default": "clean", "clean": "clean", "fresh": "fresh", "shared": "shared"} {
		assert.Equal(t, isolation, n.policies(t)["hoards-"+name].State.Isolation, name)
	}
	secret := "secret-of-acme " + strings.Repeat("and more of it ", 60)
	seen := func(t *testing.T, model string) (leaked int) {
		ann, eve := n.as(t, "ann"), n.as(t, "eve")
		for i := range 25 { // whichever instance they meet
			require.Equal(t, 200, ann.chat(ask(model, fmt.Sprint(secret, i))).status)
			a := eve.chat(ask(model, "what is left?"))
			require.Equal(t, 200, a.status, a.body)
			require.Equal(t, model+"=route", a.header.Get("X-Wedge-Policy"))
			require.Len(t, a.header.Get("X-Spy"), shown)
			if strings.Contains(a.header.Get("X-Spy"), "acme") || strings.Contains(a.header.Get("X-Spy"), "more of it") {
				leaked++
			}
		}
		return leaked
	}
	for _, name := range []string{"default", "clean", "fresh"} {
		assert.Zero(t, seen(t, "hoards-"+name), name)
	}
	assert.Positive(t, seen(t, "hoards-shared"), "what it keeps itself, a guest that is shared keeps: the spy works")
	for _, name := range []string{"default", "clean", "fresh", "shared"} {
		assert.Zero(t, seen(t, "rummages-"+name), "the input is cleared, whatever the isolation: %s", name)
	}
}

// TestPolicyIsolationOfOneTenant needs no clean memory: there is nobody to hide it from.
func TestPolicyIsolationOfOneTenant(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "tenant: acme").key("amy", "tenant: acme").key("eve", "models: [other], tenant: other").
		policy("p", moduleFile(t, obedient()), "route", "headers: [x-do]").
		model("m", "policies: [p]", target("sim", "x", "")).model("other", "", target("sim", "x", ""))
	n := startNode(t, c.String())
	assert.Equal(t, "shared", n.policies(t)["p"].State.Isolation)
	c.keys[2] = strings.Replace(c.keys[2], "models: [other]", `models: [other, m]`, 1)
	n.publish(t, c)
	assert.Equal(t, "clean", n.policies(t)["p"].State.Isolation, "a second tenant came")
}
