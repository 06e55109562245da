package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// Where the guests of these tests keep things.
const (
	listAt   = 16    // a list of actions
	heapAt   = 2048  // for the guest itself
	bufferAt = 32768 // the input buffer, to the end of the memory
	pageSize = 64 << 10
)

var (
	none = []byte(nil)
	i32  = []byte{w.I32}
	i64  = []byte{w.I64}
)

// guest is a policy in the making. Its fields hold code; what is empty does the least that is right.
type guest struct {
	caps    abi.Caps
	pages   uint32            // 2 if 0
	most    int64             // pages; as many as pages if 0, and w.NoMax leaves it out
	list    []byte            // in memory at listAt, what the request's call returns unless there is code for it
	before  func(m *w.Module) // adds imports
	funcs   func(m *w.Module) // adds functions, tables, globals
	locals  []byte            // of request, behind its parameter
	init    []byte            // leaves an i32
	request []byte            // leaves an i64
	others  []byte            // the calls of the other hooks, which leave an i64
}

// module assembles the guest.
func (g guest) module() []byte {
	m := &w.Module{}
	if g.before != nil {
		g.before(m)
	}
	if g.pages == 0 {
		g.pages = 2
	}
	if g.most == 0 {
		g.most = int64(g.pages)
	}
	m.Memory(g.pages, g.most)
	m.Export("memory", w.KindMemory, 0)
	if len(g.list) > 0 {
		m.Data(listAt, g.list)
	}
	if g.funcs != nil {
		g.funcs(m)
	}
	export := func(name string, params, results, locals, body, otherwise []byte) {
		if body == nil {
			body = otherwise
		}
		m.Export(name, w.KindFunc, m.FuncLocals(params, results, locals, body))
	}
	export(abi.ExportCaps, none, i32, nil, w.I32Const(int32(g.caps)), nil)
	export(abi.ExportAlloc, i32, i32, nil, w.I32Const(bufferAt), nil)
	export(abi.ExportInit, i32, i32, nil, g.init, w.I32Const(0))
	export(abi.ExportRequest, i32, i64, g.locals, g.request, result(listAt, len(g.list)))
	if g.others != nil {
		for _, name := range []string{abi.ExportResponse, abi.ExportChunk, abi.ExportDone} {
			export(name, i32, i64, nil, g.others, nil)
		}
	}
	return m.Bytes()
}

// result leaves what a call returns for the list at an address.
func result(at, n int) []byte { return w.I64Const(int64(at)<<32 | int64(n)) }

// field leaves a number of the view in hand.
func field(offset uint32) []byte { return w.Code(w.I32Const(bufferAt), w.Load(w.OpI32Load, offset)) }

// packed leaves the result for the list at the address and of the length that two pieces of code leave.
func packed(at, n []byte) []byte {
	return w.Code(at, w.Op(w.OpI64ExtendU32), w.I64Const(32), w.Op(w.OpI64Shl), n, w.Op(w.OpI64ExtendU32), w.Op(w.OpI64Or))
}

// obedient does what it is told: the request's call returns the value of the header that it may see, and every later
// call returns the state, both as the list of actions that they are.
func obedient() []byte {
	row := w.Code(field(120), w.I32Const(bufferAt), w.Op(w.OpI32Add)) // the table of headers
	value := func(part uint32) []byte { return w.Code(row, w.Load(w.OpI32Load, 4+8+part)) }
	state := func(at uint32) []byte {
		return packed(w.Code(field(at), w.I32Const(bufferAt), w.Op(w.OpI32Add)), field(at+4))
	}
	isDone := w.Code(field(0), w.I32Const('W'|'D'<<8|'G'<<16|'D'<<24), w.Op(opI32Eq))
	return guest{
		caps: abi.CapHeaders | abi.CapChunk | abi.CapResponse | abi.CapDone,
		request: w.Code(field(120+4), w.I32Const(4+16), w.Op(w.OpI32LtU), w.If(w.I64Const(0), w.Op(w.OpReturn)),
			packed(w.Code(value(0), w.I32Const(bufferAt), w.Op(w.OpI32Add)), value(4))),
		others: w.Code(isDone, w.If(field(88+4), w.Op(w.OpI32Eqz), w.If(w.I64Const(0), w.Op(w.OpReturn)), state(88), w.Op(w.OpReturn)),
			field(48+4), w.Op(w.OpI32Eqz), w.If(w.I64Const(0), w.Op(w.OpReturn)), state(48)),
	}.module()
}

// Opcodes that wasmtest does not name.
const (
	opI32Eq  = 0x46
	opI32GtU = 0x4b
)

// exampleModule is the committed module of an example.
func exampleModule(t testing.TB, policy, language string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "wasm", "examples", policy, language, "policy.wasm"))
	require.NoError(t, err)
	require.FileExists(t, path)
	return path
}

// moduleFile writes a module into a file of its own.
func moduleFile(t testing.TB, module []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.wasm")
	writeModule(t, path, module)
	return path
}

// writeModule puts a module in a file's place in one step, so that nobody reads half of it.
func writeModule(t testing.TB, path string, module []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", module, 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}
