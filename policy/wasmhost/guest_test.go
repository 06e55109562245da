package wasmhost

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// Where guests of these tests keep things.
const (
	bufferAt = 1024 // input buffer, to the end of the first page
	listAt   = 16   // a list of actions
	heapAt   = 512  // for the guest itself
)

var (
	none = []byte(nil)
	i32  = []byte{w.I32}
	i64  = []byte{w.I64}
)

// guest is a policy in the making. Its fields hold code; what is empty does the least that is right.
type guest struct {
	caps     abi.Caps
	pages    uint32
	maxPages int64
	list     []byte            // in memory at listAt
	before   func(m *w.Module) // adds imports
	funcs    func(m *w.Module) // adds functions, tables, globals
	init     []byte            // leaves an i32
	request  []byte            // leaves an i64; its parameter is the view's length
	response []byte
	chunk    []byte
	done     []byte
	alloc    []byte // leaves an i32
	locals   []byte // of request
}

// listed is what a hook returns whose decision is g.list.
func (g *guest) listed() []byte { return result(listAt, len(g.list)) }

func result(at, n int) []byte { return w.I64Const(int64(at)<<32 | int64(n)) }

func (g guest) bytes() []byte {
	m := &w.Module{}
	if g.before != nil {
		g.before(m)
	}
	if g.pages == 0 {
		g.pages, g.maxPages = 1, w.NoMax
	}
	m.Memory(g.pages, g.maxPages)
	m.Export("memory", w.KindMemory, 0)
	if len(g.list) > 0 {
		m.Data(listAt, g.list)
	}
	if g.funcs != nil {
		g.funcs(m)
	}
	export := func(name string, params, results, locals []byte, body, otherwise []byte) {
		if body == nil {
			body = otherwise
		}
		if body != nil {
			m.Export(name, w.KindFunc, m.FuncLocals(params, results, locals, body))
		}
	}
	export(abi.ExportCaps, none, i32, nil, w.I32Const(int32(g.caps)), nil)
	export(abi.ExportAlloc, i32, i32, nil, g.alloc, w.I32Const(bufferAt))
	export(abi.ExportInit, i32, i32, nil, g.init, w.I32Const(0))
	export(abi.ExportRequest, i32, i64, g.locals, g.request, g.listed())
	export(abi.ExportResponse, i32, i64, nil, g.response, nil)
	export(abi.ExportChunk, i32, i64, nil, g.chunk, nil)
	export(abi.ExportDone, i32, i64, nil, g.done, nil)
	return m.Bytes()
}

func newHost(t testing.TB, o Options) *Host {
	t.Helper()
	h, err := New(o)
	require.NoError(t, err)
	t.Cleanup(h.Close)
	return h
}

func load(t testing.TB, h *Host, s Spec) *Program {
	t.Helper()
	if s.Name == "" {
		s.Name = "test"
	}
	if s.Hooks == 0 {
		s.Hooks = policy.Route
	}
	p, err := h.Load(context.Background(), s)
	require.NoError(t, err)
	return p
}

// clock is a time that tests move.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) }

func (c *clock) pass(d time.Duration) { c.offset.Add(int64(d)) }

// unless runs bad code if the view's estimated prompt tokens are 666, and else goes on.
func unless(bad ...[]byte) []byte {
	return w.Code(w.I32Const(bufferAt), w.Load(w.OpI32Load, 48), w.I32Const(666), w.Op(opI32Eq), w.If(bad...))
}

var evil, good = &abi.Request{PromptTokens: 666}, &abi.Request{PromptTokens: 1}

// Opcodes that wasmtest does not name.
const (
	loadI64  = 0x29
	opI32Eq  = 0x46
	opI32GtU = 0x4b
)

func target(name string) []byte { return abi.AppendTarget(nil, name) }
