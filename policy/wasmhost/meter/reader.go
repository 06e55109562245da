package meter

import (
	"fmt"
	"unicode/utf8"
)

// reader reads a module. After the first fault it stands at its end, and everything reads as zero.
type reader struct {
	b     []byte
	pos   int
	end   int    // of what may be read now
	part  string // of the module, for faults
	fault *Fault
}

func (r *reader) ok() bool { return r.fault == nil }

// fail keeps the first fault.
func (r *reader) fail(code Code, format string, args ...any) {
	r.failAt(r.pos, code, format, args...)
}

func (r *reader) failAt(pos int, code Code, format string, args ...any) {
	if r.fault == nil {
		r.fault = &Fault{Code: code, Where: r.part, Offset: pos, Text: fmt.Sprintf(format, args...)}
	}
	r.pos = r.end
}

func (r *reader) truncated() {
	r.fail(Format, "the module ends too early or a length in it is wrong; build it again")
}

func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.truncated()
		return 0
	}
	r.pos++
	return r.b[r.pos-1]
}

// peek returns the next byte, or 0 at the end.
func (r *reader) peek() byte {
	if r.pos >= r.end {
		return 0
	}
	return r.b[r.pos]
}

func (r *reader) bytes(n uint32) []byte {
	if uint64(n) > uint64(r.end-r.pos) {
		r.truncated()
		return nil
	}
	r.pos += int(n)
	return r.b[r.pos-int(n) : r.pos]
}

// u32 reads an unsigned LEB128 number of at most 32 bits.
func (r *reader) u32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			break
		}
		v |= uint32(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
	r.fail(Format, "a number is longer than 32 bits; build the module again")
	return 0
}

// leb skips a LEB128 number of at most max bytes. Its unused bits are left to the engine, which sees the same bytes.
func (r *reader) leb(max int) {
	for range max {
		if r.byte() < 0x80 {
			return
		}
	}
	r.fail(Format, "a number has more than %d bytes; build the module again", max)
}

// count reads the length of a vector whose items take at least one byte each.
func (r *reader) count() uint32 {
	n := r.u32()
	if uint64(n) > uint64(r.end-r.pos) {
		r.truncated()
		return 0
	}
	return n
}

func (r *reader) name() string {
	s := r.bytes(r.u32())
	if !utf8.Valid(s) {
		r.fail(Format, "a name is not UTF-8; build the module again")
	}
	return string(s)
}

// zero reads the index of the only memory there may be.
func (r *reader) zero() {
	if c := r.byte(); c != 0 {
		r.failAt(r.pos-1, Proposal, "uses the multi-memory proposal, which nodes do not run; keep to one memory")
	}
}

// below reads an index of what there are n of.
func (r *reader) below(n int, what string) uint32 {
	pos := r.pos
	i := r.u32()
	if r.ok() && uint64(i) >= uint64(n) {
		r.failAt(pos, Index, "%s %d does not exist: the module has %d; build the module again", what, i, n)
		return 0
	}
	return i
}
