// Package wasmtest assembles WebAssembly modules for tests, hostile ones included: it checks nothing of what it writes.
package wasmtest

import "encoding/binary"

// Value types, as the binary format encodes them.
const (
	I32       = 0x7f
	I64       = 0x7e
	F32       = 0x7d
	F64       = 0x7c
	V128      = 0x7b
	FuncRef   = 0x70
	ExternRef = 0x6f
)

// Kinds of imports and exports.
const (
	KindFunc   = 0
	KindTable  = 1
	KindMemory = 2
	KindGlobal = 3
)

// NoMax leaves the maximum of a memory or table out.
const NoMax = -1

// Module collects the entries of each section in the order they are added. The zero value is an empty module.
type Module struct {
	types, imports, funcs, tables, memories, globals, exports, start, elems, dataCount, codes, datas, customs section
	imported                                                                                                  uint32
}

type section struct {
	entries []byte
	n       uint32
}

func (s *section) add(entry []byte) uint32 {
	s.entries = append(s.entries, entry...)
	s.n++
	return s.n - 1
}

// Type adds a function type and returns its index.
func (m *Module) Type(params, results []byte) uint32 {
	return m.types.add(join([]byte{0x60}, vector(params), vector(results)))
}

// ImportFunc imports a function and returns its index; imports come before the first Func.
func (m *Module) ImportFunc(module, name string, params, results []byte) uint32 {
	m.Import(module, name, KindFunc, U32(m.Type(params, results)))
	m.imported++
	return m.imported - 1
}

// Import imports anything, with desc as the bytes after the kind.
func (m *Module) Import(module, name string, kind byte, desc []byte) {
	m.imports.add(join(Name(module), Name(name), []byte{kind}, desc))
}

// Func adds a function without locals and returns its index. The final end is appended to body.
func (m *Module) Func(params, results []byte, body ...[]byte) uint32 {
	return m.FuncLocals(params, results, nil, body...)
}

// FuncLocals is Func with one local for each of locals.
func (m *Module) FuncLocals(params, results, locals []byte, body ...[]byte) uint32 {
	var groups []byte
	for _, t := range locals {
		groups = append(groups, 1, t)
	}
	return m.RawFunc(m.Type(params, results), join(U32(uint32(len(locals))), groups, join(body...), []byte{0x0b}))
}

// RawFunc adds a function of type typ with code as it stands in the code section, without its size.
func (m *Module) RawFunc(typ uint32, code []byte) uint32 {
	m.codes.add(vector(code))
	return m.imported + m.funcs.add(U32(typ))
}

// Table adds a table of elem (FuncRef or ExternRef) and returns its index.
func (m *Module) Table(elem byte, min uint32, max int64) uint32 {
	return m.tables.add(join([]byte{elem}, Limits(min, max)))
}

// Memory adds a memory, in pages of 64 KiB.
func (m *Module) Memory(min uint32, max int64) { m.memories.add(Limits(min, max)) }

// Global adds a global and returns its index among those that are not imported. The end is appended to init.
func (m *Module) Global(typ byte, mutable bool, init []byte) uint32 {
	mut := byte(0)
	if mutable {
		mut = 1
	}
	return m.globals.add(join([]byte{typ, mut}, init, []byte{0x0b}))
}

// Export exports what stands at index in the index space of kind.
func (m *Module) Export(name string, kind byte, index uint32) {
	m.exports.add(join(Name(name), []byte{kind}, U32(index)))
}

// Start names the start function.
func (m *Module) Start(fn uint32) { m.start.add(U32(fn)) }

// Elem adds an active segment of functions to table 0 at offset.
func (m *Module) Elem(offset int32, funcs ...uint32) uint32 {
	entry := join(U32(0), I32Const(offset), []byte{0x0b}, U32(uint32(len(funcs))))
	for _, f := range funcs {
		entry = append(entry, U32(f)...)
	}
	return m.elems.add(entry)
}

// RawElem adds a segment as it stands in the element section.
func (m *Module) RawElem(entry []byte) uint32 { return m.elems.add(entry) }

// Data adds an active segment at offset of memory 0.
func (m *Module) Data(offset int32, data []byte) uint32 {
	return m.datas.add(join(U32(0), I32Const(offset), []byte{0x0b}, vector(data)))
}

// Passive adds a passive data segment, and with it a data count section.
func (m *Module) Passive(data []byte) uint32 {
	index := m.datas.add(join(U32(1), vector(data)))
	m.dataCount.n = 1
	return index
}

// Custom adds a custom section at the end of the module.
func (m *Module) Custom(name string, content []byte) {
	m.customs.entries = append(m.customs.entries, Section(0, join(Name(name), content))...)
}

// Bytes assembles the module.
func (m *Module) Bytes() []byte {
	out := Header()
	for _, s := range []struct {
		id byte
		*section
	}{
		{1, &m.types}, {2, &m.imports}, {3, &m.funcs}, {4, &m.tables}, {5, &m.memories}, {6, &m.globals}, {7, &m.exports},
		{8, &m.start}, {9, &m.elems}, {12, &m.dataCount}, {10, &m.codes}, {11, &m.datas},
	} {
		switch {
		case s.n == 0:
		case s.id == 8:
			out = append(out, Section(s.id, s.entries)...)
		case s.id == 12:
			out = append(out, Section(s.id, U32(m.datas.n))...)
		default:
			out = append(out, Section(s.id, join(U32(s.n), s.entries))...)
		}
	}
	return append(out, m.customs.entries...)
}

// Header returns the magic number and version of a core module.
func Header() []byte { return []byte("\x00asm\x01\x00\x00\x00") }

// Section returns content as a section.
func Section(id byte, content []byte) []byte { return join([]byte{id}, vector(content)) }

// Name returns s as the format's strings are.
func Name(s string) []byte { return vector([]byte(s)) }

// Limits returns the limits of a memory or table; a negative max is left out.
func Limits(min uint32, max int64) []byte {
	if max < 0 {
		return join([]byte{0}, U32(min))
	}
	return join([]byte{1}, U32(min), U32(uint32(max)))
}

// U32 returns v as unsigned LEB128.
func U32(v uint32) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// S64 returns v as signed LEB128.
func S64(v int64) []byte {
	var out []byte
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if (v == 0 && c&0x40 == 0) || (v == -1 && c&0x40 != 0) {
			return append(out, c)
		}
		out = append(out, c|0x80)
	}
}

func vector(b []byte) []byte { return join(U32(uint32(len(b))), b) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}
