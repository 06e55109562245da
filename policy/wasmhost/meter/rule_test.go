package meter_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
	. "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// built returns the module that build adds to.
func built(build func(m *Module)) []byte {
	m := &Module{}
	build(m)
	return m.Bytes()
}

// function returns a module of one function of an i32 with one local, and a memory, a table and a global.
func function(code ...[]byte) []byte {
	return built(func(m *Module) {
		m.Memory(1, 1)
		m.Table(FuncRef, 1, 1)
		m.Global(I32, true, I32Const(0))
		m.FuncLocals([]byte{I32}, nil, []byte{I32}, code...)
		m.Custom("name", Code(Op(1), U32(7), U32(1), U32(0), Name("main")))
	})
}

func TestRulesRefuseInWords(t *testing.T) {
	tests := map[string]struct {
		code   meter.Code
		module []byte
		words  string
	}{
		"empty":      {meter.Format, nil, "no WebAssembly module"},
		"text":       {meter.Format, []byte("(module (func))"), "no WebAssembly module"},
		"component":  {meter.Component, []byte("\x00asm\x0d\x00\x01\x00"), "build a core module"},
		"version":    {meter.Format, []byte("\x00asm\x02\x00\x00\x00"), "version 2"},
		"large":      {meter.Size, make([]byte, 8<<20+1), "at most 8388608"},
		"cut":        {meter.Format, function()[:60], "too early"},
		"order":      {meter.Format, Code(Header(), Section(3, U32(0)), Section(1, U32(0))), "type section comes too late"},
		"section":    {meter.Format, Code(Header(), Section(14, nil)), "section 14"},
		"tag":        {meter.Proposal, Code(Header(), Section(13, nil)), "exception-handling"},
		"long":       {meter.Format, Code(Header(), Section(1, Code(U32(0), Op(0)))), "longer than what it holds"},
		"gc type":    {meter.Proposal, Code(Header(), Section(1, Op(1, 0x5f, 0))), "GC proposal"},
		"typed ref":  {meter.Proposal, Code(Header(), Section(1, Op(1, 0x60, 1, 0x63, 0, 0))), "typed-function-references"},
		"parameters": {meter.Size, built(func(m *Module) { m.Type(make([]byte, 0), Repeat(300, Op(I32))) }), "at most 256"},

		"imported memory": {meter.Imported, built(func(m *Module) { m.Import("env", "memory", KindMemory, Limits(1, NoMax)) }), "env.memory"},
		"imported table":  {meter.Imported, built(func(m *Module) { m.Import("env", "t", KindTable, Code(Op(FuncRef), Limits(1, NoMax))) }), "env.t"},
		"imported global": {meter.Imported, built(func(m *Module) { m.Import("env", "g", KindGlobal, Op(I32, 1)) }), "env.g"},
		"imported tick":   {meter.Name, built(func(m *Module) { m.ImportFunc(meter.TickModule, meter.TickName, nil, nil) }), "wedge1.meter.tick"},
		"exported fuel":   {meter.Name, built(func(m *Module) { m.Global(I64, true, I64Const(0)); m.Export(meter.FuelName, KindGlobal, 0) }), "wedge1.fuel"},
		"exported twice":  {meter.Name, built(func(m *Module) { f := m.Func(nil, nil); m.Export("f", KindFunc, f); m.Export("f", KindFunc, f) }), "twice"},

		"memory":         {meter.MemoryMin, built(func(m *Module) { m.Memory(257, NoMax) }), "16842752 bytes (257 pages of 64 KiB), and the limit is 16777216"},
		"memory maximum": {meter.Format, built(func(m *Module) { m.Memory(1, 1<<16+1) }), "65537 pages"},
		"two memories":   {meter.Proposal, built(func(m *Module) { m.Memory(1, 1); m.Memory(1, 1) }), "multi-memory"},
		"shared memory":  {meter.Proposal, Code(Header(), Section(5, Op(1, 3, 1, 1))), "threads"},
		"64-bit memory":  {meter.Proposal, Code(Header(), Section(5, Op(1, 4, 1))), "memory64"},
		"table":          {meter.Table, built(func(m *Module) { m.Table(FuncRef, 100_000_000, NoMax) }), "100000000 entries, and at most 65536"},
		"tables":         {meter.Table, built(func(m *Module) { m.Table(FuncRef, 40_000, NoMax); m.Table(ExternRef, 40_000, NoMax) }), "80000 entries"},
		"many tables": {meter.Table, built(func(m *Module) {
			for range 17 {
				m.Table(FuncRef, 0, 0)
			}
		}), "17 tables"},
		"globals": {meter.Size, built(func(m *Module) {
			for range 4097 {
				m.Global(I32, true, I32Const(0))
			}
		}), "4097 globals"},
		"functions": {meter.Size, built(func(m *Module) {
			typ := m.Type(nil, nil)
			for range 65_537 {
				m.RawFunc(typ, Op(0, OpEnd))
			}
		}), "65537 functions"},

		"locals":    {meter.Locals, built(func(m *Module) { m.RawFunc(m.Type(nil, nil), Code(U32(1), U32(50_000_000), Op(I32, OpEnd))) }), "50000000 locals"},
		"code":      {meter.Size, function(Repeat(256<<10, Op(OpNop))), "at most 262144"},
		"br_table":  {meter.BrTable, function(LocalGet(0), Op(0x0e), U32(90_000), make([]byte, 90_001)), "more than 65536 targets"},
		"br_tables": {meter.BrTable, function(Repeat(7, Code(LocalGet(0), Op(0x0e), U32(10_000), make([]byte, 10_001)))), "more than 65536 targets"},
		"blocks":    {meter.Blocks, function(Repeat(16_385, Block())), "more than 16384 blocks"},
		"fills":     {meter.Blocks, function(Repeat(4_097, Code(I32Const(0), I32Const(0), I32Const(0), MemoryFill()))), "more than 16384 blocks"},
		"loops":     {meter.Blocks, function(Repeat(257, Op(0x03, 0x40)), Repeat(257, Op(OpEnd))), "more than 256 loops"},

		"tail call":       {meter.Proposal, function(Op(0x12, 0)), "tail-call"},
		"exceptions":      {meter.Proposal, function(Op(0x06, 0x40)), "exception-handling"},
		"typed call":      {meter.Proposal, function(Op(0x14, 0)), "typed-function-references"},
		"gc":              {meter.Proposal, function(Op(0xfb, 0)), "GC"},
		"atomics":         {meter.Proposal, function(Op(0xfe, 3, 0)), "threads"},
		"second memory":   {meter.Proposal, function(I32Const(0), Op(OpI32Load, 0x42, 1, 0)), "multi-memory"},
		"relaxed SIMD":    {meter.Proposal, function(Op(0xfd, 0x80, 2)), "relaxed SIMD"},
		"computed global": {meter.Proposal, built(func(m *Module) { m.Global(I32, false, Code(I32Const(1), I32Const(1), Op(OpI32Add))) }), "extended-const"},
		"opcode":          {meter.Format, function(Op(0xf0)), "0xf0 is no instruction"},
		"misc opcode":     {meter.Format, function(Op(0xfc, 18)), "0xfc 0x12 is no instruction"},
		"after the end":   {meter.Format, function(Op(OpEnd)), "after the function's end"},
		"without end":     {meter.Format, built(func(m *Module) { m.RawFunc(m.Type(nil, nil), Op(0, OpNop)) }), "too early"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := meter.Rewrite(test.module, meter.Limits{})
			var fault *meter.Fault
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, test.code, fault.Code, fault.Error())
			assert.Contains(t, fault.Error(), test.words)
		})
	}
}

// What is added lies at indices that do not exist in the module as it came. A module that names them must not come
// to mean something.
func TestNothingReachesWhatIsAdded(t *testing.T) {
	bad := Code(I64Const(1<<40), GlobalSet(1))
	tests := map[string][]byte{
		"sets the fuel":             function(bad),
		"sets it unreachably":       function(Op(OpUnreachable), bad),
		"sets it in a padded index": function(I64Const(1), Op(0x24, 0x81, 0x80, 0x80, 0x80, 0)),
		"reads the fuel":            function(GlobalGet(1), Op(OpDrop)),
		"calls a charger":           function(I32Const(0), Call(1), Op(OpDrop)),
		"calls tick":                function(Call(3)),
		"refers to a charger":       function(RefFunc(1), Op(OpDrop)),
		"has tick's type":           function(Op(0x02, 1, OpEnd)),
		"calls by tick's type":      function(I32Const(0), CallIndirect(1)),
		"exports the fuel":          built(func(m *Module) { m.Global(I32, true, I32Const(0)); m.Export("g", KindGlobal, 1) }),
		"exports a charger":         built(func(m *Module) { m.Func(nil, nil); m.Export("f", KindFunc, 1) }),
		"starts a charger":          built(func(m *Module) { m.Func(nil, nil); m.Start(1) }),
		"tables a charger":          built(func(m *Module) { m.Table(FuncRef, 1, 1); m.Func(nil, nil); m.Elem(0, 1) }),
		"starts from the fuel":      built(func(m *Module) { m.Global(I64, false, GlobalGet(1)) }),
		"places by the fuel": built(func(m *Module) {
			m.Table(FuncRef, 1, 1)
			m.RawElem(Code(U32(0), GlobalGet(0), Op(OpEnd), U32(0)))
		}),
		"imports tick's type": built(func(m *Module) { m.Type(nil, nil); m.Import("wedge1", "log", KindFunc, U32(1)) }),
		"is of tick's type":   built(func(m *Module) { m.Type(nil, nil); m.RawFunc(1, Op(0, OpEnd)) }),
	}
	for name, module := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := meter.Rewrite(module, meter.Limits{})
			var fault *meter.Fault
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, meter.Index, fault.Code, fault.Error())
		})
	}
}

func TestFaultsSayWhere(t *testing.T) {
	_, err := meter.Rewrite(function(Op(OpNop, 0x12, 0)), meter.Limits{})
	assert.ErrorContains(t, err, "function 0 (main), at byte 0x")
	_, err = meter.Rewrite(built(func(m *Module) { m.Memory(300, NoMax) }), meter.Limits{})
	assert.ErrorContains(t, err, "memory section, at byte 0x")
}

func TestLimitsMayBeRaisedAndLowered(t *testing.T) {
	module := built(func(m *Module) { m.Memory(300, 400) })
	re, err := meter.Rewrite(module, meter.Limits{MemoryBytes: 350 << 16})
	require.NoError(t, err)
	assert.Equal(t, meter.Memory{Min: 300 << 16, Max: 350 << 16}, re.Memory)
	re, err = meter.Rewrite(module, meter.Limits{MemoryBytes: 1 << 40})
	require.NoError(t, err)
	assert.Equal(t, meter.Memory{Min: 300 << 16, Max: 400 << 16}, re.Memory)
}
