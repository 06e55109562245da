package wasmhost

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// hostFunction is what a guest may import. call finds its parameters in s and leaves its result in s[0]; the upper half
// of an i32's slot may hold anything.
type hostFunction struct {
	typ  string
	call func(in *instance, s []uint64)
}

// hostFunctions are all that a guest may import, by module and name.
var hostFunctions = map[string]map[string]hostFunction{
	abi.ImportModule: {
		"log":    {"(i32, i32, i32) -> ()", hostLog},
		"kv_get": {"(i32, i32, i32, i32) -> i32", hostKVGet},
		"kv_put": {"(i32, i32, i32, i32, i32) -> i32", hostKVPut},
		"kv_add": {"(i32, i32, i64, i32) -> i64", hostKVAdd},
		"now_ms": {"() -> i64", func(in *instance, s []uint64) { s[0] = uint64(in.nowMS()) }},
	},
	"wasi_snapshot_preview1": wasiFunctions,
	"env":                    {"abort": {"(i32, i32, i32, i32) -> ()", hostAbort}}, // AssemblyScript's
}

// provide makes the functions of imports, and the meter's tick, known to the runtime.
func provide(ctx context.Context, rt wazero.Runtime, imports []meter.Import) error {
	builders := map[string]wazero.HostModuleBuilder{}
	add := func(module, name string, f hostFunction) {
		if builders[module] == nil {
			builders[module] = rt.NewHostModuleBuilder(module)
		}
		params, results := parseType(f.typ)
		builders[module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(
			func(ctx context.Context, mod api.Module, s []uint64) {
				in := ctx.(*instance)
				if in.module == nil { // its start function runs
					in.bind(mod)
				}
				f.call(in, s)
			}), params, results).Export(name)
	}
	add(meter.TickModule, meter.TickName, hostFunction{"() -> ()", func(in *instance, _ []uint64) { in.tick() }})
	for _, i := range imports {
		add(i.Module, i.Name, hostFunctions[i.Module][i.Name])
	}
	for module, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("cannot provide the functions of %s: %w", module, err)
		}
	}
	return nil
}

// parseType reads a function type as the meter writes it: "(i32, i64) -> i32" or "() -> ()".
func parseType(typ string) (params, results []api.ValueType) {
	before, after, _ := strings.Cut(typ, " -> ")
	return parseTypes(before), parseTypes(after)
}

func parseTypes(list string) (types []api.ValueType) {
	for name := range strings.SplitSeq(strings.Trim(list, "()"), ", ") {
		switch name {
		case "i32":
			types = append(types, api.ValueTypeI32)
		case "i64":
			types = append(types, api.ValueTypeI64)
		}
	}
	return types
}

// u32 is a slot's i32.
func u32(slot uint64) uint32 { return uint32(slot) }

// span is a part of the guest's memory. A guest that names what lies outside of it traps.
func (in *instance) span(ptr, n uint64) []byte {
	b, ok := in.memory.Read(u32(ptr), u32(n))
	if !ok {
		in.trap(fmt.Sprintf("it passed %d bytes at %d to the node, and its memory has %d", u32(n), u32(ptr), in.memory.Size()))
	}
	return b
}

func hostLog(in *instance, s []uint64) {
	in.work(workLog)
	in.program.log.guest(u32(s[0]), in.span(s[1], s[2]))
}

func hostKVGet(in *instance, s []uint64) {
	in.work(workKV)
	s[0] = uint64(uint32(in.program.kv.get(in.span(s[0], s[1]), in.span(s[2], s[3]), in.nowMS())))
}

func hostKVPut(in *instance, s []uint64) {
	in.work(workKV)
	result := int32(0)
	if !in.program.kv.put(in.span(s[0], s[1]), in.span(s[2], s[3]), u32(s[4]), in.nowMS()) {
		result = -1
	}
	s[0] = uint64(uint32(result))
}

func hostKVAdd(in *instance, s []uint64) {
	in.work(workKV)
	sum, ok := in.program.kv.add(in.span(s[0], s[1]), int64(s[2]), u32(s[3]), in.nowMS())
	if !ok {
		in.trap(fmt.Sprintf("it passed a key of %d bytes to kv_add, want 1 to %d", u32(s[1]), abi.MaxKVKey))
	}
	s[0] = uint64(sum)
}

// hostAbort gets the message and file name as AssemblyScript strings: UTF-16, with their length in bytes before them.
func hostAbort(in *instance, s []uint64) {
	in.trap(fmt.Sprintf("it aborted: %s (%s:%d:%d)", in.wideString(s[0]), in.wideString(s[1]), u32(s[2]), u32(s[3])))
}

func (in *instance) wideString(ptr uint64) string {
	const longest = 512
	at := u32(ptr)
	n, ok := in.memory.ReadUint32Le(at - 4)
	if at < 4 || !ok {
		return "no text"
	}
	b, ok := in.memory.Read(at, min(n&^1, longest))
	if !ok {
		return "no text"
	}
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}
