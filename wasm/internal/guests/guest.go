package guests

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/wedge-proxy/wedge/policy/abi"
)

// Guest is one instance of a module, called as the ABI says and without any of the host's protection. It serves one
// goroutine.
type Guest struct {
	ctx    context.Context
	module api.Module
	KV     map[string][]byte // what the imports read and write; nothing expires
	Logs   []string
}

// Open instantiates the module and runs its start function, but not wedge1_init.
func Open(t testing.TB, module []byte) *Guest {
	t.Helper()
	g := &Guest{ctx: context.Background(), KV: map[string][]byte{}}
	rt := wazero.NewRuntime(g.ctx)
	t.Cleanup(func() { _ = rt.Close(g.ctx) })
	wasi_snapshot_preview1.MustInstantiate(g.ctx, rt)
	if err := g.provide(rt); err != nil {
		t.Fatalf("cannot provide the imports: %v", err)
	}
	var err error
	g.module, err = rt.InstantiateWithConfig(g.ctx, module, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		t.Fatalf("cannot instantiate the guest: %v", err)
	}
	return g
}

func (g *Guest) provide(rt wazero.Runtime) error {
	_, err := rt.NewHostModuleBuilder(abi.ImportModule).
		NewFunctionBuilder().WithFunc(g.log).Export("log").
		NewFunctionBuilder().WithFunc(g.kvGet).Export("kv_get").
		NewFunctionBuilder().WithFunc(g.kvPut).Export("kv_put").
		NewFunctionBuilder().WithFunc(g.kvAdd).Export("kv_add").
		NewFunctionBuilder().WithFunc(func() int64 { return 1_700_000_000_000 }).Export("now_ms").
		Instantiate(g.ctx)
	if err != nil {
		return err
	}
	_, err = rt.NewHostModuleBuilder("env"). // AssemblyScript's
							NewFunctionBuilder().WithFunc(func(_, _, line, column uint32) { panic(fmt.Sprintf("aborted at %d:%d", line, column)) }).
							Export("abort").
							Instantiate(g.ctx)
	return err
}

func (g *Guest) span(ptr, n uint32) []byte {
	b, ok := g.module.Memory().Read(ptr, n)
	if !ok {
		panic(fmt.Sprintf("the guest named %d bytes at %d, outside of its memory", n, ptr))
	}
	return b
}

func (g *Guest) log(level, ptr, n uint32) {
	g.Logs = append(g.Logs, fmt.Sprintf("%d %s", level, g.span(ptr, n)))
}

func (g *Guest) kvGet(key, keyLen, dst, capacity uint32) int32 {
	value, ok := g.KV[string(g.span(key, keyLen))]
	if !ok {
		return -1
	}
	if uint32(len(value)) <= capacity {
		copy(g.span(dst, capacity), value)
	}
	return int32(len(value))
}

func (g *Guest) kvPut(key, keyLen, value, n, _ uint32) int32 {
	if n > abi.MaxKVValue {
		return -1
	}
	g.KV[string(g.span(key, keyLen))] = append([]byte(nil), g.span(value, n)...)
	return 0
}

func (g *Guest) kvAdd(key, keyLen uint32, delta int64, _ uint32) int64 {
	name := string(g.span(key, keyLen))
	if old := g.KV[name]; len(old) == 8 {
		delta += int64(binary.LittleEndian.Uint64(old))
	}
	g.KV[name] = binary.LittleEndian.AppendUint64(nil, uint64(delta))
	return delta
}

// Caps calls wedge1_caps.
func (g *Guest) Caps() (abi.Caps, error) {
	result, err := g.call(abi.ExportCaps)
	return abi.Caps(result), err
}

// Init calls wedge1_init with the config and gives its result.
func (g *Guest) Init(config []byte) (int32, error) {
	if err := g.put(config); err != nil {
		return 0, err
	}
	result, err := g.call(abi.ExportInit, uint64(len(config)))
	return int32(uint32(result)), err
}

// Call calls a hook with a view. It gives a copy of the list of actions and the hook's negative result, if it is one.
func (g *Guest) Call(export string, view []byte) (list []byte, code int64, err error) {
	if err := g.put(view); err != nil {
		return nil, 0, err
	}
	raw, err := g.call(export, uint64(len(view)))
	if result := int64(raw); err != nil || result <= 0 {
		return nil, result, err
	}
	lies, ok := g.module.Memory().Read(uint32(raw>>32), uint32(raw))
	if !ok {
		return nil, 0, errors.New("the list of actions lies outside of the guest's memory")
	}
	return append([]byte(nil), lies...), 0, nil
}

func (g *Guest) put(b []byte) error {
	ptr, err := g.call(abi.ExportAlloc, uint64(len(b)))
	if err != nil {
		return err
	}
	if ptr == 0 || !g.module.Memory().Write(uint32(ptr), b) {
		return fmt.Errorf("%s(%d) gave %d", abi.ExportAlloc, len(b), ptr)
	}
	return nil
}

func (g *Guest) call(export string, args ...uint64) (uint64, error) {
	f := g.module.ExportedFunction(export)
	if f == nil {
		return 0, fmt.Errorf("the guest does not export %s", export)
	}
	results, err := f.Call(g.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", export, err)
	}
	return results[0], nil
}
