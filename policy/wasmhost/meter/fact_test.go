package meter_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero/api"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
	. "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

func TestFacts(t *testing.T) {
	re, err := meter.Rewrite(built(func(m *Module) {
		m.ImportFunc("wedge1", "kv_get", []byte{I32, I64}, []byte{I32})
		start := m.Func(nil, nil, Loop())
		m.Export("pair", KindFunc, m.Func([]byte{F64}, []byte{V128, ExternRef}, Op(OpUnreachable)))
		m.Memory(2, NoMax)
		m.Export("memory", KindMemory, 0)
		m.Global(I32, false, I32Const(1))
		m.Global(F32, true, Code(Op(0x43), make([]byte, 4)))
		m.Start(start)
	}), meter.Limits{})
	require.NoError(t, err)
	assert.Equal(t, []meter.Import{{Module: "wedge1", Name: "kv_get", Type: "(i32, i64) -> i32"}}, re.Imports)
	assert.Equal(t, []meter.Export{
		{Name: "pair", Kind: "func", Type: "(f64) -> (v128, externref)"}, {Name: "memory", Kind: "memory"},
	}, re.Exports)
	assert.Equal(t, meter.Memory{Min: 2 << 16, Max: 16 << 20}, re.Memory)
	assert.Equal(t, []string{"wedge1.global.1"}, re.Globals)
	assert.Equal(t, meter.FuelName, re.Fuel)
	assert.True(t, re.Start)
	assert.Equal(t, 2, re.Functions)
	assert.Equal(t, 1, re.Loops)
	assert.Empty(t, re.Residue)
}

func TestGlobalsCanBePutBack(t *testing.T) {
	h := newHost(t)
	mod := h.instance(t, built(func(m *Module) {
		m.Global(I64, true, I64Const(5))
		m.Export("add", KindFunc, m.Func(nil, []byte{I64}, GlobalGet(0), I64Const(1), Op(OpI64Add), GlobalSet(0), GlobalGet(0)))
	}))
	global := mod.ExportedGlobal("wedge1.global.0").(api.MutableGlobal)
	for range 2 {
		results, err := mod.ExportedFunction("add").Call(context.Background())
		require.NoError(t, err)
		assert.Equal(t, []uint64{6}, results)
		global.Set(5)
	}
}

func TestResidueIsWhatRequestsMayLeave(t *testing.T) {
	set := Code(I32Const(0), RefNull(FuncRef), TableSet(0))
	table := func(m *Module) *Module { m.Table(FuncRef, 2, 2); return m }
	tests := map[string]struct {
		build func(m *Module)
		want  []string
	}{
		"table.set": {func(m *Module) { table(m).Export("wedge1_request", KindFunc, m.Func(nil, nil, set, set)) }, []string{"function 0 uses table.set"}},
		"in start":  {func(m *Module) { table(m).Start(m.Func(nil, nil, set)) }, nil},
		"in init":   {func(m *Module) { table(m).Export("wedge1_init", KindFunc, m.Func(nil, nil, set)) }, nil},
		"in init under another name": {func(m *Module) {
			f := table(m).Func(nil, nil, set)
			m.Export("wedge1_init", KindFunc, f)
			m.Export("wedge1_request", KindFunc, f)
		}, []string{"function 0 uses table.set"}},
		"in init that others call": {func(m *Module) {
			table(m).Export("_initialize", KindFunc, m.Func(nil, nil, set))
			m.Func(nil, nil, Call(0))
		}, []string{"function 0 uses table.set"}},
		"in init that a table holds": {func(m *Module) {
			f := table(m).Func(nil, nil, set)
			m.Export("_initialize", KindFunc, f)
			m.Elem(0, f)
		}, []string{"function 0 uses table.set"}},
		"in what init calls": {func(m *Module) {
			m.Export("_initialize", KindFunc, table(m).Func(nil, nil, Call(1)))
			m.Func(nil, nil, set)
		}, []string{"function 1 uses table.set"}},
		"others": {func(m *Module) {
			table(m).Memory(1, 1)
			m.Elem(0)
			m.Passive(nil)
			three := Code(I32Const(0), I32Const(0), I32Const(0))
			m.Func(nil, nil, three, TableInit(0, 0), three, TableCopy(0, 0), ElemDrop(0), DataDrop(0),
				RefNull(FuncRef), I32Const(0), TableGrow(0), I32Const(0), RefNull(FuncRef), I32Const(0), TableFill(0))
		}, []string{
			"function 0 uses table.init", "function 0 uses table.copy", "function 0 uses elem.drop",
			"function 0 uses data.drop", "function 0 uses table.grow", "function 0 uses table.fill",
		}},
		"globals": {func(m *Module) {
			m.Global(FuncRef, true, RefNull(FuncRef))
			m.Global(V128, true, Code(Op(0xfd, 0x0c), make([]byte, 16)))
			m.Global(V128, false, Code(Op(0xfd, 0x0c), make([]byte, 16)))
		}, []string{"global 0 is a mutable funcref", "global 1 is a mutable v128"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			re, err := meter.Rewrite(built(test.build), meter.Limits{})
			require.NoError(t, err)
			assert.Equal(t, test.want, re.Residue)
		})
	}
}

func TestTrapsNameFunctions(t *testing.T) {
	h := newHost(t)
	mod := h.instance(t, built(func(m *Module) {
		m.Export("go", KindFunc, m.Func(nil, nil, Op(OpUnreachable)))
		m.Custom("name", Code(Op(0, 2), Name("m"), Op(1, 9), U32(1), U32(0), Name("explode")[:7], Op()))
	}))
	_, err := mod.ExportedFunction("go").Call(context.Background())
	require.ErrorContains(t, err, "unreachable")
	assert.NotContains(t, err.Error(), "explod", "a name section that is cut is left out")

	mod = h.instance(t, built(func(m *Module) {
		m.Export("go", KindFunc, m.Func(nil, nil, Op(OpUnreachable)))
		m.Custom("name", Code(Op(1, 10), U32(1), U32(0), Name("explode")))
	}))
	_, err = mod.ExportedFunction("go").Call(context.Background())
	assert.ErrorContains(t, err, "explode")
}

func TestGrowthStopsAtTheLimits(t *testing.T) {
	h := newHost(t)
	mod := h.instance(t, built(func(m *Module) {
		m.Memory(1, NoMax)
		m.Table(FuncRef, 1, NoMax)
		m.Export("memory", KindFunc, m.Func([]byte{I32}, []byte{I32}, LocalGet(0), MemoryGrow()))
		m.Export("table", KindFunc, m.Func([]byte{I32}, []byte{I32}, RefNull(FuncRef), LocalGet(0), TableGrow(0)))
	}))
	for _, test := range []struct {
		name string
		by   uint64
		want int32
	}{{"memory", 256, -1}, {"memory", 255, 1}, {"memory", 1, -1}, {"table", 65_536, -1}, {"table", 65_535, 1}, {"table", 1, -1}} {
		results, err := mod.ExportedFunction(test.name).Call(context.Background(), test.by)
		require.NoError(t, err)
		assert.Equal(t, test.want, int32(results[0]), "%s %d", test.name, test.by)
	}
}
