package meter_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// bomb returns a module that exports code as "go", with pages of memory and a table.
func bomb(pages uint32, code ...[]byte) *Module {
	m := &Module{}
	m.Memory(pages, NoMax)
	m.Table(FuncRef, 1000, NoMax)
	m.Export("go", KindFunc, m.Func(nil, nil, code...))
	return m
}

func bombs() map[string][]byte {
	fill := Code(I32Const(0), I32Const(7), I32Const(16<<20), MemoryFill())
	copied := Code(I32Const(0), I32Const(1), I32Const(16<<20-1), MemoryCopy())
	entries := Code(I32Const(0), RefNull(FuncRef), I32Const(1000), TableFill(0))
	out := map[string][]byte{
		"infinite loop":         bomb(1, Forever()).Bytes(),
		"loop in a loop":        bomb(1, Forever(Loop())).Bytes(),
		"recursion":             bomb(1, Call(0)).Bytes(),
		"memory.fill in a loop": bomb(256, Forever(fill)).Bytes(),
		"memory.copy in a loop": bomb(256, Forever(copied)).Bytes(),
		"memory.fill in a row":  bomb(256, Repeat(2_000, fill)).Bytes(),
		"memory.grow in a loop": bomb(1, Forever(I32Const(1), MemoryGrow(), Op(OpDrop))).Bytes(),
		"table.fill in a loop":  bomb(1, Forever(entries)).Bytes(),
		"table.grow in a loop":  bomb(1, Forever(RefNull(FuncRef), I32Const(1), TableGrow(0), Op(OpDrop))).Bytes(),
	}

	mutual := bomb(1, Call(1))
	mutual.Func(nil, nil, Call(0), Call(0))
	out["mutual recursion"] = mutual.Bytes()

	exponential := &Module{}
	exponential.Func(nil, nil)
	for i := range uint32(40) {
		exponential.Func(nil, nil, Call(i), Call(i))
	}
	exponential.Export("go", KindFunc, 40)
	out["exponential calls"] = exponential.Bytes()

	indirect := &Module{}
	indirect.Table(FuncRef, 41, NoMax)
	leaf := indirect.Func(nil, nil)
	fns := []uint32{leaf}
	for i := range int32(40) {
		through := Code(I32Const(i), CallIndirect(0))
		fns = append(fns, indirect.Func(nil, nil, through, through))
	}
	indirect.Elem(0, fns...)
	indirect.Export("go", KindFunc, 40)
	out["exponential indirect calls"] = indirect.Bytes()

	chained := &Module{}
	chained.Memory(1, NoMax)
	chained.Passive(make([]byte, 60_000))
	chained.Export("go", KindFunc, chained.Func(nil, nil, Forever(I32Const(0), I32Const(0), I32Const(60_000), MemoryInit(0))))
	out["memory.init in a loop"] = chained.Bytes()
	return out
}

func TestBombsStopAtTheDeadline(t *testing.T) {
	for name, module := range bombs() {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			fn := h.instance(t, module).ExportedFunction("go")
			h.deadline = time.Now().Add(20 * time.Millisecond)
			start := time.Now()
			_, err := fn.Call(context.Background())
			require.Error(t, err)
			if name != "recursion" && name != "mutual recursion" {
				assert.ErrorContains(t, err, errDeadline)
			}
			t.Log(time.Since(start))
			assert.Less(t, time.Since(start), time.Second)
		})
	}
}
