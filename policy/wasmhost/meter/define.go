package meter

// sizes reads a size with an optional maximum.
func (w *rewriter) sizes(what string) (low, high uint32, bounded bool) {
	pos := w.pos
	switch flags := w.byte(); {
	case flags <= 1:
		bounded = flags == 1
	case flags&4 != 0:
		w.failAt(pos, Proposal, "has a 64-bit %s: it uses the memory64 proposal, which nodes do not run; build for wasm32", what)
	case flags&2 != 0:
		w.failAt(pos, Proposal, "has a shared %s: it uses the threads proposal, which nodes do not run; build without atomics and threads", what)
	default:
		w.failAt(pos, Format, "%#x starts no size of a %s; build the module again", flags, what)
	}
	low = w.u32()
	if bounded {
		high = w.u32()
	}
	return low, high, bounded
}

// putSizes writes a size whose maximum is at most limit, and returns that maximum. One below the minimum stays wrong,
// for the engine to say so.
func (w *rewriter) putSizes(low, high, limit uint32, bounded bool) uint32 {
	if !bounded || high > limit {
		high = limit
	}
	w.put(1)
	w.putU32(low)
	w.putU32(high)
	return high
}

func (w *rewriter) tableSection() {
	n := w.count()
	if int(n) > w.limits.Tables {
		w.fail(Table, "the module has %d tables, and at most %d are allowed", n, w.limits.Tables)
	}
	w.tables = int(n)
	w.putU32(n)
	total := uint64(0)
	for i := uint32(0); i < n && w.ok(); i++ {
		if c := w.peek(); c == 0x40 {
			w.fail(Proposal, "a table has an initial value: it uses the typed-function-references proposal, which nodes do not run; build without it")
		}
		w.copy(w.reference)
		pos := w.pos
		low, high, bounded := w.sizes("table")
		if total += uint64(low); total > uint64(w.limits.TableEntries) {
			w.failAt(pos, Table, "the tables start with %d entries, and at most %d are allowed; export fewer functions as pointers", total, w.limits.TableEntries)
		}
		w.putSizes(low, high, w.limits.TableEntries, bounded)
	}
}

// maxPages is what 32 bits can address.
const maxPages = 1 << 16

func (w *rewriter) memorySection() {
	n := w.count()
	if n > 1 {
		w.fail(Proposal, "the module has %d memories: it uses the multi-memory proposal, which nodes do not run; keep to one memory", n)
	}
	w.putU32(n)
	if n == 0 {
		return
	}
	pos := w.pos
	low, high, bounded := w.sizes("memory")
	limit := uint32(min(w.limits.MemoryBytes/pageBytes, maxPages))
	switch {
	case bounded && high > maxPages:
		w.failAt(pos, Format, "the memory's maximum of %d pages is more than 32 bits can address; build the module again", high)
	case low > limit:
		w.failAt(pos, MemoryMin, "the memory starts with %d bytes (%d pages of 64 KiB), and the limit is %d bytes; "+
			"build with a smaller stack, heap or initial memory, or raise the policy's memory limit",
			uint64(low)*pageBytes, low, uint64(limit)*pageBytes)
	}
	high = w.putSizes(low, high, limit, bounded)
	w.facts.Memory = Memory{uint64(low) * pageBytes, uint64(high) * pageBytes}
}

func (w *rewriter) globalSection() {
	n := w.length()
	if int(n) > w.limits.Globals {
		w.fail(Size, "the module has %d globals, and at most %d are allowed; keep them in memory", n, w.limits.Globals)
	}
	w.globals = int(n)
	w.putU32(n + 1)
	for i := 0; i < int(n) && w.ok(); i++ {
		w.copy(func() {
			if typ, mutable := w.value(), w.byte(); mutable != 0 {
				w.mutable(i, typ)
			}
		})
		w.constant()
	}
	w.put(i64, 1, 0x42, 0, opEnd) // the fuel
}

// mutable notes how global i can be put back.
func (w *rewriter) mutable(i int, typ byte) {
	switch typ {
	case i32, i64, f32, f64:
		w.kept = append(w.kept, i)
	default:
		w.residues = append(w.residues, residue{global: i, what: valueNames[typ]})
	}
}

// constant rewrites a constant expression.
func (w *rewriter) constant() {
	for w.ok() {
		pos := w.pos
		op := w.byte()
		w.put(op)
		switch op {
		case opEnd:
			return
		case opRefFunc:
			w.address()
		case opGlobalGet:
			w.copy(func() { w.below(w.globals, "global") })
		case opI32Const:
			w.copy(func() { w.leb(5) })
		case opI64Const:
			w.copy(func() { w.leb(10) })
		case opF32Const:
			w.copy(func() { w.bytes(4) })
		case opF64Const:
			w.copy(func() { w.bytes(8) })
		case opRefNull:
			w.copy(w.reference)
		case opVector:
			w.copy(func() { w.vectorConstant(pos) })
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
			w.failAt(pos, Proposal, "a constant is computed: it uses the extended-const proposal, which nodes do not run; build without it")
		default:
			w.failAt(pos, Format, "instruction %#x cannot stand in a constant; build the module again", op)
		}
	}
}

func (w *rewriter) vectorConstant(pos int) {
	if sub := w.byte(); sub != vecConst {
		w.failAt(pos, Format, "vector instruction %#x cannot stand in a constant; build the module again", sub)
	}
	w.bytes(16)
}

// Bits of an element segment's flags.
const (
	elemPassive  = 1 // or declarative
	elemExplicit = 2 // names its table; with elemPassive: declarative
	elemConsts   = 4 // its entries are constants, not indices
)

func (w *rewriter) elementSection() {
	n := w.count()
	w.putU32(n)
	for i := uint32(0); i < n && w.ok(); i++ {
		w.element()
	}
}

func (w *rewriter) element() {
	pos := w.pos
	var flags uint32
	w.copy(func() { flags = w.u32() })
	if flags > 7 {
		w.failAt(pos, Format, "element segment of the unknown kind %d; build the module again", flags)
	}
	if flags&elemPassive == 0 {
		if flags&elemExplicit != 0 {
			w.copy(func() { w.below(w.tables, "table") })
		}
		w.constant()
	}
	if flags&(elemPassive|elemExplicit) != 0 {
		w.copy(func() {
			if flags&elemConsts != 0 {
				w.reference()
			} else {
				w.byte()
			}
		})
	}
	entries := w.count()
	w.putU32(entries)
	for i := uint32(0); i < entries && w.ok(); i++ {
		if flags&elemConsts != 0 {
			w.constant()
		} else {
			w.address()
		}
	}
}

func (w *rewriter) dataSection() {
	n := w.count()
	w.putU32(n)
	for i := uint32(0); i < n && w.ok(); i++ {
		pos := w.pos
		var kind uint32
		w.copy(func() { kind = w.u32() })
		switch kind {
		case 0:
			w.constant()
		case 1:
		case 2:
			w.copy(w.zero)
			w.constant()
		default:
			w.failAt(pos, Format, "data segment of the unknown kind %d; build the module again", kind)
		}
		w.copy(func() { w.bytes(w.u32()) })
	}
}
