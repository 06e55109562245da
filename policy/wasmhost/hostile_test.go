package wasmhost

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// exponential adds functions that call each other twice, thirty deep, without a loop, and returns the last one.
func exponential(m *w.Module) uint32 {
	fn := m.Func(none, none)
	for range 30 {
		fn = m.Func(none, none, w.Call(fn), w.Call(fn))
	}
	return fn
}

// mutual adds two functions that call each other for ever.
func mutual(m *w.Module) uint32 {
	// The second one's index is known because they stand side by side; work after the call keeps it from being a jump.
	f := m.Func(i32, i32, w.LocalGet(0), w.Call(1), w.I32Const(1), w.Op(w.OpI32Add))
	m.Func(i32, i32, w.LocalGet(0), w.Call(0), w.I32Const(1), w.Op(w.OpI32Add))
	return f
}

// hostileCalls misbehave when they get evil, and decide well otherwise.
var hostileCalls = map[string]struct {
	funcs func(m *w.Module)
	pages uint32
	bad   []byte
	limit time.Duration // 0: that of the test
	want  error
}{
	"endless loop": {bad: w.Forever(), want: policy.ErrDeadline},
	"loop without end that looks at the clock": {bad: w.Forever(w.MemorySize(), w.Op(w.OpDrop)), want: policy.ErrDeadline},
	"mutual recursion": {funcs: func(m *w.Module) { mutual(m) }, bad: w.Code(w.I32Const(1), w.Call(0), w.Op(w.OpDrop)),
		limit: time.Second, want: policy.ErrTrapped},
	"exponential calls": {funcs: func(m *w.Module) { exponential(m) }, bad: w.Call(30), want: policy.ErrDeadline},
	"memory.fill loop": {pages: 100, bad: w.Forever(w.I32Const(0), w.I32Const(7), w.I32Const(100*pageSize), w.MemoryFill()),
		want: policy.ErrDeadline},
	"memory.grow a page at a time": {bad: w.Forever(w.I32Const(1), w.MemoryGrow(), w.Op(w.OpDrop)), want: policy.ErrDeadline},
	"memory.grow to the limit, then fill": {bad: w.Code(w.I32Const(255), w.MemoryGrow(), w.Op(w.OpDrop),
		w.Forever(w.I32Const(0), w.I32Const(7), w.MemorySize(), w.I32Const(pageSize), w.Op(w.OpI32Mul), w.MemoryFill())),
		want: policy.ErrDeadline},
	"table.grow loop": {funcs: func(m *w.Module) { m.Table(w.FuncRef, 1, w.NoMax) },
		bad: w.Forever(w.RefNull(w.FuncRef), w.I32Const(1000), w.TableGrow(0), w.Op(w.OpDrop)), want: policy.ErrDeadline},
	"unreachable":  {bad: w.Op(w.OpUnreachable), want: policy.ErrTrapped},
	"load outside": {bad: w.Code(w.I32Const(-1), w.Load(w.OpI32Load, 0), w.Op(w.OpDrop)), want: policy.ErrTrapped},
	"write over everything": {bad: w.Code(w.I32Const(0), w.I32Const(255), w.I32Const(pageSize), w.MemoryFill(), w.Op(w.OpUnreachable)),
		want: policy.ErrTrapped},
	"list outside the memory":              {bad: w.Code(result(pageSize-4, 8), w.Op(w.OpReturn)), want: policy.ErrActions},
	"list at the end of the address space": {bad: w.Code(result(0x7fffffff, 0x7fffffff), w.Op(w.OpReturn)), want: policy.ErrActions},
	"length beyond the memory":             {bad: w.Code(w.I64Const(listAt<<32|0xffffffff), w.Op(w.OpReturn)), want: policy.ErrActions},
	"lying length in the list": {bad: w.Code(w.I32Const(heapAt), w.I32Const(1), w.Load(w.OpI32Store, 0),
		w.I32Const(heapAt), w.I32Const(1<<30), w.Load(w.OpI32Store, 4), result(heapAt, 16), w.Op(w.OpReturn)), want: policy.ErrActions},
	"unknown critical action": {bad: w.Code(w.I32Const(heapAt), w.I32Const(999|1<<16), w.Load(w.OpI32Store, 0),
		result(heapAt, 8), w.Op(w.OpReturn)), want: policy.ErrActions},
	"a negative result": {bad: w.Code(w.I64Const(-5), w.Op(w.OpReturn)), want: policy.ErrRefused},
	"100,000 tags": {pages: 32, bad: w.Code(manyTags(), result(pageSize, 100_000*16), w.Op(w.OpReturn)),
		limit: time.Second, want: policy.ErrActions}, // what the list is refused for must not be how long it took
}

// manyTags writes 100,000 times the action "metric tag a: b" to the second page and behind; local 1 is the index.
func manyTags() []byte {
	return w.Loop(
		w.LocalGet(1), w.I64Const(int64(abi.TagMetric)|4<<32), w.Load(w.OpI64Store, pageSize),
		w.LocalGet(1), w.I64Const('a'<<16|1|'b'<<24), w.Load(w.OpI64Store, pageSize+8),
		w.LocalGet(1), w.I32Const(16), w.Op(w.OpI32Add), w.LocalTee(1),
		w.I32Const(16*100_000), w.Op(w.OpI32LtU), w.BrIf(0))
}

func TestHostileCalls(t *testing.T) {
	const allowed = 5 * time.Millisecond
	for name, c := range hostileCalls {
		t.Run(name, func(t *testing.T) {
			g := guest{list: target("eu"), funcs: c.funcs, pages: c.pages, maxPages: w.NoMax, locals: i32}
			g.request = w.Code(unless(c.bad), g.listed())
			at := &clock{}
			p := load(t, newHost(t, Options{Now: at.now}), Spec{Module: g.bytes(), Time: cmp.Or(c.limit, allowed)})
			var took []time.Duration
			for range 5 {
				var out []byte
				var err error
				took = append(took, spent(t, func() { out, err = p.Request(evil, nil) }))
				assert.ErrorIs(t, err, c.want)
				assert.Empty(t, out)
				at.pass(time.Minute)

				require.Eventually(t, func() bool { // an instance that was replaced takes a moment
					out, err = p.Request(good, nil)
					return err == nil
				}, time.Second, time.Millisecond, "%v", err)
				assert.Equal(t, target("eu"), out, "the next call decides as if nothing had happened")
			}
			assert.Less(t, slices.Min(took), allowed+slack, "took %v", took)
		})
	}
}

func TestChunkDeadlineIsItsOwn(t *testing.T) {
	g := guest{caps: abi.CapChunk, chunk: w.Code(w.Forever(), w.I64Const(0))}
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes(), Hooks: policy.Chunk, Time: time.Hour, ChunkTime: time.Millisecond})
	_, err := p.Chunk(&abi.Chunk{}, nil)
	assert.ErrorIs(t, err, policy.ErrDeadline)
}

func TestTrapOnTheThousandthCall(t *testing.T) {
	g := guest{list: target("eu"), funcs: func(m *w.Module) { m.Global(w.I32, true, w.I32Const(0)) }}
	g.request = w.Code(w.GlobalGet(0), w.I32Const(1), w.Op(w.OpI32Add), w.GlobalSet(0),
		w.GlobalGet(0), w.I32Const(1000), w.Op(opI32Eq), w.If(w.Op(w.OpUnreachable)), g.listed())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // one instance, whose calls the guest counts
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes()})
	failed := 0
	for i := range 2500 {
		out, err := p.Request(good, nil)
		if err != nil {
			require.ErrorIs(t, err, policy.ErrTrapped)
			require.Equal(t, 999, i%1000)
			failed++
			continue
		}
		require.Equal(t, target("eu"), out)
	}
	assert.Equal(t, 2, failed)
	assert.Equal(t, map[string]uint64{"trapped": 2}, p.Status().Errors)
}

func TestHostileModulesAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		module []byte
		stage  string
		want   string
	}{
		"nothing":     {nil, StageModule, "WebAssembly"},
		"a component": {[]byte("\x00asm\x0d\x00\x01\x00"), StageModule, "component"},
		"too large":   {append(w.Header(), make([]byte, maxModule)...), StageModule, "8388608"},
		"a table bomb": {guest{funcs: func(m *w.Module) { m.Table(w.FuncRef, 100_000_000, w.NoMax) }}.bytes(),
			StageModule, "table"},
		"a memory bomb": {guest{pages: 65536, maxPages: w.NoMax}.bytes(), StageModule, "memory"},
		"too many locals": {guest{funcs: func(m *w.Module) {
			m.RawFunc(m.Type(none, none), w.Code(w.U32(1), w.U32(50_000_000), w.Op(w.I64), w.Op(w.OpEnd)))
		}}.bytes(), StageModule, "locals"},
		"a giant br_table": {guest{funcs: func(m *w.Module) {
			m.Func(none, none, w.Block(w.I32Const(0), w.Op(0x0e), w.U32(100_000), w.Repeat(100_001, w.U32(0))))
		}}.bytes(), StageModule, "br_table"},
		"the fuel global by its index": {guest{request: w.Code(w.I64Const(1<<62), w.GlobalSet(0), w.I64Const(0))}.bytes(),
			StageModule, "global"},
		"a mutable global of the node": {guest{before: func(m *w.Module) {
			m.Import("env", "g", w.KindGlobal, []byte{w.I64, 1})
		}}.bytes(), StageModule, "import"},
		"a file": {guest{before: func(m *w.Module) { m.ImportFunc("env", "open", i32, i32) }}.bytes(),
			StageImports, "env has abort"},
		"a socket": {guest{before: func(m *w.Module) { m.ImportFunc("wasi:sockets/tcp@0.2.0", "connect", i32, i32) }}.bytes(),
			StageImports, "env, wasi_snapshot_preview1, wedge1"},
		"an import's wrong type": {guest{before: func(m *w.Module) { m.ImportFunc("wedge1", "now_ms", i32, i64) }}.bytes(),
			StageImports, "wedge1.now_ms as (i32) -> i64, and the node's is () -> i64"},
		"a start function that never returns": {guest{funcs: func(m *w.Module) { m.Start(m.Func(none, none, w.Forever())) }}.bytes(),
			StageStart, "used up its time: more than 1s"},
		"a start function that calls itself for ever": {guest{funcs: func(m *w.Module) {
			m.Start(m.Func(none, none, w.Call(0), w.Call(0)))
		}}.bytes(), StageStart, "its start function"},
		"a start function that traps": {guest{funcs: func(m *w.Module) { m.Start(m.Func(none, none, w.Op(w.OpUnreachable))) }}.bytes(),
			StageStart, "unreachable"},
		"an _initialize that never returns": {guest{funcs: func(m *w.Module) {
			m.Export("_initialize", w.KindFunc, m.Func(none, none, w.Forever()))
		}}.bytes(), StageStart, "_initialize"},
		"an init that refuses":  {guest{init: w.I32Const(-4)}.bytes(), StageInit, "-4 (wrong config)"},
		"an init that ends it":  {guest{init: w.Op(w.OpUnreachable)}.bytes(), StageInit, "unreachable"},
		"a buffer of no memory": {guest{alloc: w.I32Const(pageSize - 8)}.bytes(), StageInit, "no place for so many bytes"},
		"a buffer at 0":         {guest{alloc: w.I32Const(0)}.bytes(), StageInit, "returned 0"},
		"code that is not valid": {guest{funcs: func(m *w.Module) { m.Func(none, i32) }}.bytes(),
			StageCompile, "invalid function"},
		"data outside the memory": {guest{funcs: func(m *w.Module) { m.Data(1<<30, []byte("x")) }}.bytes(), StageStart, "segments"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, Options{})
			_, err := h.Load(context.Background(), Spec{Name: "bad", Module: c.module, Hooks: policy.Route})
			fault := &LoadError{}
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, c.stage, fault.Faults[0].Stage)
			assert.Contains(t, fault.Faults[0].Text, c.want)
			assert.Contains(t, err.Error(), `cannot load policy "bad": `)
			// A function that calls itself for ever meets whichever of two limits comes first, its time or the stack.
			faults := h.Check(context.Background(), Spec{Name: "bad", Module: c.module, Hooks: policy.Route})
			require.Len(t, faults, len(fault.Faults))
			assert.Equal(t, c.stage, faults[0].Stage)
			assert.Contains(t, faults[0].Text, c.want)
			assert.Empty(t, h.Status())
		})
	}
}
