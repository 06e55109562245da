package meter

import (
	"encoding/binary"
	"fmt"
)

// Sections, by their ids.
const (
	secCustom = iota
	secType
	secImport
	secFunction
	secTable
	secMemory
	secGlobal
	secExport
	secStart
	secElement
	secCode
	secData
	secDataCount
	secTag
)

// order is that of the sections in a module.
var order = [...]int{
	secType, secImport, secFunction, secTable, secMemory, secGlobal, secExport, secStart, secElement, secDataCount,
	secCode, secData,
}

var sectionNames = [...]string{
	"custom section", "type section", "import section", "function section", "table section", "memory section",
	"global section", "export section", "start section", "element section", "code section", "data section",
	"data count section", "tag section",
}

// rank is each section's place in order, counted from 1.
var rank = func() (r [secTag + 1]int) {
	for i, id := range order {
		r[id] = i + 1
	}
	return r
}()

// span is where a section's content lies.
type span struct {
	pos, end int
	found    bool
}

// rewriter reads a module section by section and writes the metered one.
type rewriter struct {
	reader
	limits Limits
	out    []byte
	facts  Rewritten

	sections [secTag + 1]span
	names    span // content of the name section's function names

	types     []signature
	funcs     []uint32 // type of each function, imported ones first
	imported  int      // functions
	tables    int
	globals   int   // there are no imported ones
	kept      []int // indices of the mutable globals that are exported
	residues  []residue
	addressed []bool       // functions that code or tables refer to
	once      map[int]bool // functions that run before the first request only, unless addressed
	body      body
}

// module rewrites the whole module.
func (w *rewriter) module() {
	if !w.header() || !w.scan() {
		return
	}
	w.out = make([]byte, 0, len(w.b)+len(w.b)/2+1<<10)
	w.out = append(w.out, w.b[:8]...)
	for _, id := range order {
		w.section(id)
		if !w.ok() {
			return
		}
	}
	w.functionNames()
	w.facts.Module, w.facts.Fuel = w.out, FuelName
	w.facts.Residue = w.residue()
}

// header checks magic number and version.
func (w *rewriter) header() bool {
	switch {
	case len(w.b) > w.limits.ModuleBytes:
		w.fail(Size, "the module has %d bytes, and at most %d are allowed; strip it and build it for size", len(w.b), w.limits.ModuleBytes)
	case len(w.b) < 8 || string(w.b[:4]) != "\x00asm":
		w.fail(Format, "this is no WebAssembly module: it does not start with \\0asm; name the .wasm file that the compiler wrote")
	case binary.LittleEndian.Uint16(w.b[6:]) == 1:
		w.fail(Component, "this is a component (layer 1), and nodes run core modules; build a core module: "+
			"target wasm32-unknown-unknown or wasip1 (not wasip2), without wasm-tools component new")
	case binary.LittleEndian.Uint32(w.b[4:]) != 1:
		w.fail(Format, "this is version %d of the binary format, and nodes run version 1", binary.LittleEndian.Uint32(w.b[4:]))
	}
	w.pos = 8
	return w.ok()
}

// scan finds the sections.
func (w *rewriter) scan() bool {
	last := 0
	for w.pos < w.end && w.ok() {
		start := w.pos
		id, size := w.byte(), w.u32()
		from := w.pos
		w.bytes(size)
		switch {
		case !w.ok():
		case id == secTag:
			w.failAt(start, Proposal, "has a tag section: it uses the exception-handling proposal, which nodes do not run; build without exceptions")
		case id > secTag:
			w.failAt(start, Format, "section %d is none that this version of WebAssembly knows; build the module again", id)
		case id == secCustom:
			w.custom(from, w.pos)
		case rank[id] <= last:
			w.failAt(start, Format, "the %s comes too late or twice; build the module again", sectionNames[id])
		default:
			last = rank[id]
			w.sections[id] = span{from, w.pos, true}
		}
	}
	return w.ok()
}

// custom checks a custom section's name, and remembers where function names are.
func (w *rewriter) custom(from, end int) {
	r := reader{b: w.b, pos: from, end: end, part: sectionNames[secCustom]}
	name := r.name()
	w.fault = r.fault
	if name == "name" {
		w.names = findFunctionNames(r)
	}
}

// added is where the rewriter adds something, whether there is such a section or not.
var added = [secTag + 1]bool{
	secType: true, secImport: true, secFunction: true, secGlobal: true, secExport: true, secCode: true,
}

// section rewrites one section.
func (w *rewriter) section(id int) {
	s := w.sections[id]
	if !s.found && !added[id] {
		return
	}
	w.pos, w.end, w.part = s.pos, s.end, sectionNames[id]
	at := w.open(byte(id))
	switch id {
	case secType:
		w.typeSection()
	case secImport:
		w.importSection()
	case secFunction:
		w.functionSection()
	case secTable:
		w.tableSection()
	case secMemory:
		w.memorySection()
	case secGlobal:
		w.globalSection()
	case secExport:
		w.exportSection()
	case secStart:
		w.startSection()
	case secElement:
		w.elementSection()
	case secDataCount:
		w.copy(func() { w.u32() })
	case secCode:
		w.codeSection()
	case secData:
		w.dataSection()
	}
	w.close(at)
	if w.ok() && w.pos != w.end {
		w.fail(Format, "the section is longer than what it holds; build the module again")
	}
}

// length reads the number of a section's entries; a section that is not there has none.
func (w *rewriter) length() uint32 {
	if w.end == 0 {
		return 0
	}
	return w.count()
}

// copy writes what read reads as it stands.
func (w *rewriter) copy(read func()) {
	from := w.pos
	read()
	if w.ok() {
		w.out = append(w.out, w.b[from:w.pos]...)
	}
}

func (w *rewriter) put(b ...byte)       { w.out = append(w.out, b...) }
func (w *rewriter) putU32(v uint32)     { w.out = binary.AppendUvarint(w.out, uint64(v)) }
func (w *rewriter) putName(name string) { w.putU32(uint32(len(name))); w.out = append(w.out, name...) }

// paddedLEB is the length of a number that is written before it is known.
const paddedLEB = 5

// open starts a section, and returns what close wants.
func (w *rewriter) open(id byte) int {
	w.put(id)
	return w.reserve()
}

// reserve leaves room for a number, and returns where.
func (w *rewriter) reserve() int {
	w.put(0, 0, 0, 0, 0)
	return len(w.out) - paddedLEB
}

// close writes the length of what was written since reserve returned at.
func (w *rewriter) close(at int) { w.patch(at, uint32(len(w.out)-at-paddedLEB)) }

// patch writes v where reserve left room, as an unsigned number and, below 1<<31, as a signed one as well.
func (w *rewriter) patch(at int, v uint32) {
	for i := range paddedLEB - 1 {
		w.out[at+i] = byte(v>>(7*i)) | 0x80
	}
	w.out[at+paddedLEB-1] = byte(v >> 28)
}

// functionName returns what to call function i in words.
func (w *rewriter) functionName(i int) string {
	if name := w.nameOf(uint32(i)); name != "" {
		return fmt.Sprintf("function %d (%s)", i, name)
	}
	return fmt.Sprintf("function %d", i)
}
