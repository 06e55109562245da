package meter

// subFunctions is the part of a name section that names functions.
const subFunctions = 1

// maxNamed keeps indices of named functions clear of the end of their range: they grow by one.
const maxNamed = 1 << 27

// findFunctionNames returns where in a name section the names of functions are, if they are well-formed. A name
// section that is not says nothing, and is no reason to refuse a module.
func findFunctionNames(r reader) span {
	for r.pos < r.end && r.ok() {
		id, size := r.byte(), r.u32()
		from := r.pos
		r.bytes(size)
		if id == subFunctions && r.ok() && wellNamed(reader{b: r.b, pos: from, end: r.pos}) {
			return span{from, r.pos, true}
		}
	}
	return span{}
}

// wellNamed tells whether r is a list of names, sorted by function.
func wellNamed(r reader) bool {
	last := int64(-1)
	n := r.count()
	for i := uint32(0); i < n && r.ok(); i++ {
		index := int64(r.u32())
		r.name()
		if index <= last || index > maxNamed {
			return false
		}
		last = index
	}
	return r.ok() && r.pos == r.end
}

// nameOf returns the name of function i, as the module came, or "".
func (w *rewriter) nameOf(i uint32) string {
	if !w.names.found {
		return ""
	}
	r := reader{b: w.b, pos: w.names.pos, end: w.names.end}
	for n := r.count(); n > 0; n-- {
		if index, name := r.u32(), r.name(); index == i {
			return name
		}
	}
	return ""
}

// functionNames writes a name section with the names of functions, for the stack traces of traps.
func (w *rewriter) functionNames() {
	if !w.names.found {
		return
	}
	r := reader{b: w.b, pos: w.names.pos, end: w.names.end}
	section := w.open(secCustom)
	w.putName("name")
	w.put(subFunctions)
	part := w.reserve()
	n := r.count()
	w.putU32(n)
	for range n {
		i, name := r.u32(), r.name()
		if i >= uint32(w.imported) {
			i++
		}
		w.putU32(i)
		w.putName(name)
	}
	w.close(part)
	w.close(section)
}
