package meter_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
	. "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// work returns a module with functions of an i32 that do much of one thing: spin turns a short loop, fib calls itself,
// scan adds up bytes of memory, hash mixes them with more work for each turn, leaf calls a small function, fill
// clears 64 bytes.
func work() []byte {
	m := &Module{}
	m.Memory(2, 2)
	one, n := []byte{I32}, LocalGet(0)
	next := Code(n, I32Const(1), Op(OpI32Sub), LocalTee(0), BrIf(0))
	m.Export("spin", KindFunc, m.FuncLocals(one, one, one,
		Loop(LocalGet(1), n, Op(OpI32Add), LocalSet(1), next), LocalGet(1)))
	m.Export("fib", KindFunc, m.Func(one, one,
		n, I32Const(2), Op(OpI32LtU), If(n, Op(OpReturn)),
		n, I32Const(1), Op(OpI32Sub), Call(1), n, I32Const(2), Op(OpI32Sub), Call(1), Op(OpI32Add)))
	m.Export("scan", KindFunc, m.FuncLocals(one, one, one,
		Loop(LocalGet(1), n, Load(OpI32Load8U, 0), Op(OpI32Add), LocalSet(1), next), LocalGet(1)))
	m.Export("hash", KindFunc, m.FuncLocals(one, one, one,
		Loop(Repeat(8, Code(LocalGet(1), n, Load(OpI32Load8U, 0), Op(OpI32Add), I32Const(31), Op(OpI32Mul), LocalSet(1))), next),
		LocalGet(1)))
	small := m.Func(one, one, n, Load(OpI32Load8U, 0))
	m.Export("leaf", KindFunc, m.FuncLocals(one, one, one,
		Loop(LocalGet(1), n, Call(small), Op(OpI32Add), LocalSet(1), next), LocalGet(1)))
	m.Export("fill", KindFunc, m.Func(one, one,
		Loop(n, I32Const(0), I32Const(64), MemoryFill(), next), n))
	return m.Bytes()
}

func BenchmarkWork(b *testing.B) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	b.Cleanup(func() { _ = rt.Close(ctx) })
	plain, err := rt.Instantiate(ctx, work())
	require.NoError(b, err)
	metered := newHost(b).instance(b, work())
	for _, bench := range []struct {
		name string
		arg  uint64
	}{{"spin", 10_000}, {"fib", 18}, {"scan", 10_000}, {"hash", 2_000}, {"leaf", 5_000}, {"fill", 1_000}} {
		for _, kind := range []string{"plain", "metered"} {
			mod := plain
			if kind == "metered" {
				mod = metered
			}
			fn := mod.ExportedFunction(bench.name)
			b.Run(bench.name+"/"+kind, func(b *testing.B) {
				b.ReportAllocs()
				var stack [1]uint64
				for b.Loop() {
					stack[0] = bench.arg
					if err := fn.CallWithStack(ctx, stack[:]); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkRewrite(b *testing.B) {
	m := &Module{}
	m.Memory(1, 1)
	for range 1_000 {
		m.Func(nil, nil, Repeat(50, Code(Loop(I32Const(8), I32Const(1), Load(OpI32Store, 4)))))
	}
	module := m.Bytes()
	b.SetBytes(int64(len(module)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := meter.Rewrite(module, meter.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
