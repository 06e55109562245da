package meter

import (
	"fmt"
	"strings"
)

// Value types.
const (
	i32       = 0x7f
	i64       = 0x7e
	f32       = 0x7d
	f64       = 0x7c
	v128      = 0x7b
	funcRef   = 0x70
	externRef = 0x6f
)

var valueNames = map[byte]string{
	i32: "i32", i64: "i64", f32: "f32", f64: "f64", v128: "v128", funcRef: "funcref", externRef: "externref",
}

// Kinds of imports and exports.
const (
	kindFunc = iota
	kindTable
	kindMemory
	kindGlobal
	kindTag
)

var kindNames = [...]string{"func", "table", "memory", "global", "tag"}

// signature is a function type; both lie in the module.
type signature struct{ params, results []byte }

func (s signature) String() string { return "(" + typeList(s.params) + ") -> " + resultList(s.results) }

func typeList(types []byte) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = valueNames[t]
	}
	return strings.Join(names, ", ")
}

func resultList(types []byte) string {
	if len(types) == 1 {
		return valueNames[types[0]]
	}
	return "(" + typeList(types) + ")"
}

// value reads a value type.
func (w *rewriter) value() byte {
	pos := w.pos
	t := w.byte()
	if _, known := valueNames[t]; known || !w.ok() {
		return t
	}
	switch {
	case t == 0x63 || t == 0x64:
		w.failAt(pos, Proposal, "uses the typed-function-references proposal, which nodes do not run; build without it")
	case t == 0x69 || t == 0x74:
		w.failAt(pos, Proposal, "uses the exception-handling proposal, which nodes do not run; build without exceptions")
	case t >= 0x6a && t <= 0x73:
		w.failAt(pos, Proposal, "uses the GC proposal, which nodes do not run; use a language that brings its own memory management")
	default:
		w.failAt(pos, Format, "%#x is no value type; build the module again", t)
	}
	return 0
}

// reference reads a value type of references.
func (w *rewriter) reference() {
	pos := w.pos
	if t := w.value(); w.ok() && t != funcRef && t != externRef {
		w.failAt(pos, Format, "%s is no reference type; build the module again", valueNames[t])
	}
}

func (w *rewriter) values() []byte {
	n := w.count()
	from := w.pos
	for i := uint32(0); i < n && w.ok(); i++ {
		w.value()
	}
	if int(n) > w.limits.Params {
		w.fail(Size, "a function type has %d parameters or results, and at most %d are allowed; pass them in memory", n, w.limits.Params)
	}
	if !w.ok() {
		return nil
	}
	return w.b[from:w.pos]
}

func (w *rewriter) typeSection() {
	n := w.length()
	w.putU32(n + 2)
	w.types = make([]signature, 0, n)
	w.copy(func() {
		for i := uint32(0); i < n && w.ok(); i++ {
			w.functionType()
		}
	})
	w.put(0x60, 0, 0)           // of tick
	w.put(0x60, 1, i32, 1, i32) // of the chargers
}

func (w *rewriter) functionType() {
	pos := w.pos
	switch form := w.byte(); form {
	case 0x60:
		w.types = append(w.types, signature{w.values(), w.values()})
	case 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		w.failAt(pos, Proposal, "uses the GC proposal, which nodes do not run; use a language that brings its own memory management")
	default:
		w.failAt(pos, Format, "%#x starts no function type; build the module again", form)
	}
}

func (w *rewriter) importSection() {
	n := w.length()
	w.putU32(n + 1)
	w.copy(func() {
		for i := uint32(0); i < n && w.ok(); i++ {
			w.importOne()
		}
	})
	w.imported = len(w.funcs)
	w.putName(TickModule)
	w.putName(TickName)
	w.put(kindFunc)
	w.putU32(uint32(len(w.types)))
}

func (w *rewriter) importOne() {
	pos := w.pos
	module, name, kind := w.name(), w.name(), w.byte()
	switch {
	case !w.ok():
	case strings.HasPrefix(module, Reserved):
		w.failAt(pos, Name, "imports %s.%s, and module names that start with %q are the node's; rename the import", module, name, Reserved)
	case kind == kindFunc:
		typ := w.below(len(w.types), "type")
		if w.ok() {
			w.funcs = append(w.funcs, typ)
			w.facts.Imports = append(w.facts.Imports, Import{module, name, w.types[typ].String()})
		}
	case kind == kindMemory:
		w.failAt(pos, Imported, "imports memory %s.%s; define the memory in the module and export it (wasm-ld: without --import-memory)", module, name)
	case kind == kindTable:
		w.failAt(pos, Imported, "imports table %s.%s; define the table in the module (wasm-ld: without --import-table)", module, name)
	case kind == kindGlobal:
		w.failAt(pos, Imported, "imports global %s.%s, and nodes offer none; link the module as a whole (not as position-independent code)", module, name)
	case kind == kindTag:
		w.failAt(pos, Proposal, "imports tag %s.%s: it uses the exception-handling proposal, which nodes do not run; build without exceptions", module, name)
	default:
		w.failAt(pos, Format, "imports %s.%s of the unknown kind %d; build the module again", module, name, kind)
	}
}

func (w *rewriter) functionSection() {
	n := w.length()
	if total := int(n) + w.imported; total > w.limits.Functions {
		w.fail(Size, "the module has %d functions, and at most %d are allowed; build it for size", total, w.limits.Functions)
	}
	w.facts.Functions = int(n)
	w.putU32(n + chargers)
	w.copy(func() {
		for i := uint32(0); i < n && w.ok(); i++ {
			w.funcs = append(w.funcs, w.below(len(w.types), "type"))
		}
	})
	for range chargers {
		w.putU32(uint32(len(w.types) + 1))
	}
	w.addressed = make([]bool, len(w.funcs))
}

// callee reads the index of a function and writes the one it has now.
func (w *rewriter) callee() int {
	i := w.below(len(w.funcs), "function")
	w.putCallee(int(i))
	return int(i)
}

func (w *rewriter) putCallee(i int) {
	if i >= w.imported {
		i++
	}
	w.putU32(uint32(i))
}

// address is callee for a reference that may be called at any time.
func (w *rewriter) address() {
	if i := w.callee(); i < len(w.addressed) {
		w.addressed[i] = true
	}
}

func (w *rewriter) exportSection() {
	n := w.length()
	w.putU32(n + 1 + uint32(len(w.kept)))
	seen := make(map[string]bool, n)
	for i := uint32(0); i < n && w.ok(); i++ {
		w.exportOne(seen)
	}
	w.putName(FuelName)
	w.put(kindGlobal)
	w.putU32(uint32(w.globals))
	for _, i := range w.kept {
		name := fmt.Sprint(globalName, i)
		w.facts.Globals = append(w.facts.Globals, name)
		w.putName(name)
		w.put(kindGlobal)
		w.putU32(uint32(i))
	}
}

func (w *rewriter) exportOne(seen map[string]bool) {
	from := w.pos
	name, kind := w.name(), w.byte()
	switch {
	case !w.ok():
		return
	case strings.HasPrefix(name, Reserved):
		w.failAt(from, Name, "exports %q, and names that start with %q are the node's; rename the export", name, Reserved)
		return
	case seen[name]:
		w.failAt(from, Name, "exports %q twice; keep one of them", name)
		return
	case kind == kindTag:
		w.failAt(from, Proposal, "exports tag %q: it uses the exception-handling proposal, which nodes do not run; build without exceptions", name)
		return
	case kind > kindTag:
		w.failAt(from, Format, "exports %q of the unknown kind %d; build the module again", name, kind)
		return
	}
	seen[name] = true
	w.out = append(w.out, w.b[from:w.pos]...)
	w.exportIndex(name, kind)
}

// exportIndex writes what an export refers to.
func (w *rewriter) exportIndex(name string, kind byte) {
	export := Export{Name: name, Kind: kindNames[kind]}
	switch kind {
	case kindFunc:
		i := w.callee()
		if !w.ok() {
			return
		}
		export.Type = w.types[w.funcs[i]].String()
		w.exportedFunction(name, i)
	case kindGlobal:
		w.copy(func() { w.below(w.globals, "global") })
	default:
		w.copy(func() { w.u32() })
	}
	w.facts.Exports = append(w.facts.Exports, export)
}

func (w *rewriter) startSection() {
	i := w.callee()
	w.facts.Start = true
	w.runsOnce(i)
}
