package meter

import "fmt"

// Lengths that cost one unit of fuel, as powers of two.
const (
	bytesPerUnit   = 4 // 16 bytes
	entriesPerUnit = 1 // 2 entries of a table
)

// grown is the length that growing is charged for, whatever it grows by: what was there may move.
const grown = 1 << 20

// chargers is how many functions are added after the module's own: each takes a length, charges for it and returns it.
// They are functions, and not code in place, so that no number of such operations makes a function hard to compile.
const (
	chargeBytes = iota
	chargeEntries
	chargers
)

// putCharger writes the code of a function that charges one unit for every 1<<shift of its parameter.
func (w *rewriter) putCharger(shift byte) {
	size := w.reserve()
	w.put(0, opGlobalGet)
	w.putU32(uint32(w.globals))
	w.put(opLocalGet, 0, opI32Const, shift, opI32ShrU, opI64ExtendU32)
	w.spend()
	w.put(opLocalGet, 0, opEnd)
	w.close(size)
}

// spendLength charges for the length on top of the stack, which stays.
func (w *rewriter) spendLength(charger int) {
	w.put(opCall)
	w.putU32(uint32(len(w.funcs) + 1 + charger))
}

// spendGrow charges for growing memory or a table.
func (w *rewriter) spendGrow() {
	w.put(opI32Const)
	w.patch(w.reserve(), grown)
	w.spendLength(chargeBytes)
	w.put(opDrop)
}

// misc rewrites an instruction after opMisc.
func (w *rewriter) misc(from int) {
	sub := w.u32()
	switch sub {
	case miscMemoryFill, miscTableFill:
		w.branches(from, blocksOfFill)
	}
	switch sub {
	case miscMemoryInit, miscMemoryCopy, miscMemoryFill:
		w.spendLength(chargeBytes)
	case miscTableInit, miscTableCopy, miscTableFill:
		w.spendLength(chargeEntries)
	case miscTableGrow:
		w.spendGrow()
	}
	switch sub {
	case miscMemoryInit:
		w.u32()
		w.zero()
	case miscMemoryCopy:
		w.zero()
		w.zero()
	case miscMemoryFill:
		w.zero()
	case miscDataDrop:
		w.leaves("data.drop")
		w.u32()
	case miscElemDrop:
		w.leaves("elem.drop")
		w.u32()
	case miscTableInit:
		w.leaves("table.init")
		w.u32()
		w.below(w.tables, "table")
	case miscTableCopy:
		w.leaves("table.copy")
		w.below(w.tables, "table")
		w.below(w.tables, "table")
	case miscTableGrow:
		w.leaves("table.grow")
		w.below(w.tables, "table")
	case miscTableFill:
		w.leaves("table.fill")
		w.below(w.tables, "table")
	case miscTableSize:
		w.below(w.tables, "table")
	default:
		if sub > miscTableFill {
			w.failAt(from, Format, "0xfc %#x is no instruction that this version of WebAssembly knows; build the module again", sub)
		}
	}
	if w.ok() {
		w.put(w.b[from:w.pos]...)
	}
}

// residue is a reason why copies of memory and globals do not hold all state.
type residue struct {
	what     string // an instruction, or a type
	function int    // that uses the instruction
	global   int    // whose type it is, if function is 0
	once     bool
}

// leaves notes that the function at hand changes state that cannot be put back.
func (w *rewriter) leaves(instruction string) {
	if last := len(w.residues) - 1; last >= 0 && w.residues[last].what == instruction && w.residues[last].function == w.body.index+1 {
		return
	}
	w.residues = append(w.residues, residue{what: instruction, function: w.body.index + 1})
}

// exportedFunction notes an export of function i.
func (w *rewriter) exportedFunction(name string, i int) {
	if name == "_initialize" || name == "wedge1_init" {
		w.runsOnce(i)
		return
	}
	w.addressed[i] = true
}

func (w *rewriter) runsOnce(i int) {
	if w.once == nil {
		w.once = map[int]bool{}
	}
	w.once[i] = true
}

// called notes a direct call of function i.
func (w *rewriter) called(i int) {
	if i < len(w.addressed) {
		w.addressed[i] = true
	}
}

// residue says what is left, one sentence for each instruction or type: the first of its kind.
func (w *rewriter) residue() []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range w.residues {
		f := r.function - 1
		if seen[r.what] || f >= 0 && w.once[f] && !w.addressed[f] {
			continue
		}
		seen[r.what] = true
		if f < 0 {
			out = append(out, fmt.Sprintf("global %d is a mutable %s", r.global, r.what))
		} else {
			out = append(out, fmt.Sprintf("%s uses %s", w.functionName(f), r.what))
		}
	}
	return out
}
