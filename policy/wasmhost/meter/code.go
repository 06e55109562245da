package meter

// body is what is known of the function at hand while it is rewritten.
type body struct {
	index   int
	targets int    // of br_tables so far
	count   int    // of blocks so far, as an engine compiles them
	loops   int    // open ones
	blocks  []byte // opcodes of the open ones
	regions []region
	code    []byte // rewritten, without locals
}

// region is straight code that is charged as a whole: a function or a loop, without the loops within.
type region struct {
	at   int // where its cost goes
	cost uint32
}

func (w *rewriter) codeSection() {
	n := w.length()
	if int(n) != w.facts.Functions {
		w.fail(Format, "the module declares %d functions and has code for %d; build it again", w.facts.Functions, n)
	}
	w.putU32(n + chargers)
	end := w.end
	for i := 0; i < int(n) && w.ok(); i++ {
		size := w.u32()
		from := w.pos
		w.bytes(size)
		if !w.ok() {
			break
		}
		w.pos, w.end = from, from+int(size)
		w.functionBody(w.imported + i)
		if w.fault != nil {
			w.fault.Where = w.functionName(w.imported + i)
			return
		}
		w.end = end
	}
	w.putCharger(bytesPerUnit)
	w.putCharger(entriesPerUnit)
}

func (w *rewriter) functionBody(index int) {
	if size := w.end - w.pos; size > w.limits.FunctionBytes {
		w.fail(Size, "the function's code has %d bytes, and at most %d are allowed; split it, or build for size", size, w.limits.FunctionBytes)
	}
	b := &w.body
	*b = body{index: index, blocks: b.blocks[:0], regions: b.regions[:0], code: b.code[:0]}
	groups, declared := w.locals()
	whole := w.out
	w.out = b.code
	w.expression(costEntry + uint32(declared)/localsPerUse)
	b.code, w.out = w.out, whole
	if !w.ok() {
		return
	}
	size := w.reserve()
	w.put(groups...)
	w.put(b.code...)
	w.close(size)
}

// locals reads a function's groups of locals, and returns how they stand and how many locals they are.
func (w *rewriter) locals() (groups []byte, total uint64) {
	from := w.pos
	count := w.u32()
	for i := uint32(0); i < count && w.ok(); i++ {
		total += uint64(w.u32())
		w.value()
		if w.ok() && total > w.limits.Locals {
			w.fail(Locals, "the function has %d locals or more, and at most %d are allowed; split it, or build with optimisation", total, w.limits.Locals)
		}
	}
	if !w.ok() {
		return nil, 0
	}
	return w.b[from:w.pos], total
}

// expression rewrites a function's instructions.
func (w *rewriter) expression(entry uint32) {
	b := &w.body
	b.blocks = append(b.blocks, opBlock)
	w.enter(entry)
	for len(b.blocks) > 0 && w.ok() {
		w.instruction()
	}
	if w.ok() && w.pos != w.end {
		w.fail(Format, "there is code after the function's end; build the module again")
	}
}

// enter starts a region with a charge whose amount leave fills in.
func (w *rewriter) enter(cost uint32) {
	w.put(opGlobalGet)
	w.putU32(uint32(w.globals))
	w.put(opI64Const)
	w.body.regions = append(w.body.regions, region{w.reserve(), cost})
	w.spend()
}

// leave ends the innermost region.
func (w *rewriter) leave() {
	last := len(w.body.regions) - 1
	w.patch(w.body.regions[last].at, w.body.regions[last].cost)
	w.body.regions = w.body.regions[:last]
}

// spend takes the number on the stack from the fuel under it, and calls tick if that makes it negative.
func (w *rewriter) spend() {
	w.put(opI64Sub, opGlobalSet)
	w.putU32(uint32(w.globals))
	w.put(opGlobalGet)
	w.putU32(uint32(w.globals))
	w.put(opI64Const, 0, opI64LtS, opIf, 0x40, opCall)
	w.putU32(uint32(w.imported))
	w.put(opEnd)
}

// instruction rewrites one instruction.
func (w *rewriter) instruction() {
	b := &w.body
	from := w.pos
	op := w.byte()
	b.regions[len(b.regions)-1].cost += cost(op)
	switch kind := layout[op]; kind {
	case blockType:
		w.block(from, op)
	case endOrElse:
		w.endOrElse(op)
	case function:
		w.put(op)
		if op == opRefFunc {
			w.address()
		} else {
			w.called(w.callee())
		}
	case misc:
		w.misc(from)
	case unknown:
		w.failAt(from, Format, "%#x is no instruction that this version of WebAssembly knows; build the module again", op)
	case exceptions, tailCalls, typedRefs, collected, atomics:
		w.failAt(from, Proposal, "instruction %#x uses %s", op, proposals[kind])
	default:
		switch op {
		case opTableSet:
			w.leaves("table.set")
		case opMemoryGrow:
			w.spendGrow()
		}
		w.operands(kind)
		if w.ok() {
			w.put(w.b[from:w.pos]...)
		}
	}
}

// operands reads what follows an opcode and stays as it is.
func (w *rewriter) operands(kind operands) {
	switch kind {
	case label, local:
		w.u32()
	case labels:
		w.labels()
	case typeAndTable:
		w.below(len(w.types), "type")
		w.below(w.tables, "table")
	case selectType:
		w.selectType()
	case global:
		w.below(w.globals, "global")
	case table:
		w.below(w.tables, "table")
	case memArg:
		w.memArg()
	case memIndex:
		w.zero()
	case sleb32:
		w.leb(5)
	case sleb64:
		w.leb(10)
	case bytes4:
		w.bytes(4)
	case bytes8:
		w.bytes(8)
	case refType:
		w.reference()
	case vector:
		w.vector()
	}
}

// block starts a block, loop or if.
func (w *rewriter) block(from int, op byte) {
	b := &w.body
	if c := w.peek(); c == 0x40 {
		w.pos++
	} else if c&0xc0 == 0x40 {
		w.value()
	} else {
		w.below(len(w.types), "type")
	}
	if !w.ok() {
		return
	}
	w.put(w.b[from:w.pos]...)
	b.blocks = append(b.blocks, op)
	w.branches(from, 1)
	if op != opLoop {
		return
	}
	w.facts.Loops++
	w.branches(from, blocksOfLoop)
	if b.loops++; b.loops > w.limits.Loops {
		w.failAt(from, Blocks, "more than %d loops stand within each other; split the function", w.limits.Loops)
	}
	w.enter(costLoop)
}

// branches counts n blocks that begin at from.
func (w *rewriter) branches(from, n int) {
	if w.body.count += n; w.body.count > w.limits.Blocks {
		w.failAt(from, Blocks, "the function has more than %d blocks, loops and ranges filled; split it", w.limits.Blocks)
	}
}

func (w *rewriter) endOrElse(op byte) {
	b := &w.body
	w.put(op)
	if op == opElse {
		return
	}
	last := len(b.blocks) - 1
	closed := b.blocks[last]
	b.blocks = b.blocks[:last]
	switch {
	case closed == opLoop:
		b.loops--
		w.leave()
	case last == 0:
		w.leave()
	}
}

func (w *rewriter) labels() {
	pos := w.pos
	n := w.count()
	if w.body.targets += int(n); w.body.targets > w.limits.BrTable {
		w.failAt(pos, BrTable, "the function's br_tables have more than %d targets; split the switch, or look up in memory", w.limits.BrTable)
	}
	for i := uint32(0); i <= n && w.ok(); i++ {
		w.u32()
	}
}

func (w *rewriter) selectType() {
	pos := w.pos
	if n := w.u32(); w.ok() && n != 1 {
		w.failAt(pos, Format, "select with %d types; build the module again", n)
	}
	w.value()
}

// memArg reads alignment and offset. Bit 6 of the alignment announces the index of a memory.
func (w *rewriter) memArg() {
	pos := w.pos
	if align := w.u32(); align&0x40 != 0 {
		w.failAt(pos, Proposal, "uses the multi-memory proposal, which nodes do not run; keep to one memory")
	}
	w.u32()
}

// vector reads a vector instruction after its prefix. Engines take its number for one byte, or for that byte and a nop:
// only what is the same either way is let through.
func (w *rewriter) vector() {
	pos := w.pos
	op := w.byte()
	if op >= 0x80 {
		if w.byte() != 1 {
			w.failAt(pos, Proposal, "uses a vector instruction beyond the SIMD proposal (relaxed SIMD, perhaps), which nodes do not run; build without it")
		}
		return
	}
	switch {
	case op <= vecStore || op == vecLoadZero || op == vecLoadZero2:
		w.memArg()
	case op == vecConst || op == vecShuffle:
		w.bytes(16)
	case op >= vecLane && op <= vecLaneLast:
		w.byte()
	case op >= vecLoadLane && op <= vecStoreLane:
		w.memArg()
		w.byte()
	}
}
