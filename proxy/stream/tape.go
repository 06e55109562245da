package stream

import (
	"io"
	"slices"
)

// Tape is a flight whose answer is written to it, event by event, and kept, so that a reader that lost its place can come
// back to it. Its readers use its Flight.
type Tape struct {
	Flight Flight
	unread func()
	ends   []int // where the numbered events end, in bytes from the answer's first one
	before int   // numbered events that are not kept any more
	kept   int   // bytes that Kept has told of
}

// Begin makes the tape ready for an answer, with r as its first reader. unread is called when the last reader has left, and
// must not block; it may be called again.
func (t *Tape) Begin(r *Reader, unread func()) {
	t.unread = unread
	t.Flight.Reset(t, r, true)
	t.Flight.pulling, t.Flight.keeps = true, true // nobody pulls but who writes
}

// Open says that events will come.
func (t *Tape) Open() { t.Flight.Open(nil, nil) }

// Write appends an event. It waits for readers that lag too far behind.
func (t *Tape) Write(event []byte, numbered bool) {
	f := &t.Flight
	f.mu.Lock()
	defer f.mu.Unlock()
	t.trim()
	for f.full() {
		f.cond.Wait()
		t.trim()
	}
	f.buf = append(f.buf, event...)
	if numbered {
		t.ends = append(t.ends, f.base+len(f.buf))
	}
	f.cond.Broadcast()
}

// trim is called with the lock held.
func (t *Tape) trim() {
	f := &t.Flight
	base := f.base
	if f.trim(); f.base == base {
		return
	}
	gone, _ := slices.BinarySearch(t.ends, f.base)
	t.before += gone
	t.ends = slices.Clone(t.ends[gone:])
}

// Beat tells the readers that the answer goes on, though nothing came for a while.
func (t *Tape) Beat() {
	t.Flight.mu.Lock()
	t.Flight.beats++
	t.Flight.cond.Broadcast()
	t.Flight.mu.Unlock()
}

// End ends the answer: with io.EOF well, with any other error badly.
func (t *Tape) End(err error) { t.Flight.Finish(nil, err) }

// Join adds a reader that has had the first n numbered events. It returns false where what follows them is not kept, or
// they have not been written.
func (t *Tape) Join(r *Reader, n int) bool {
	f := &t.Flight
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case n == 0 && f.base == 0:
		r.off = 0
	case n <= t.before || n > t.before+len(t.ends):
		return false
	default:
		r.off = t.ends[n-t.before-1]
	}
	r.beats = f.beats
	f.readers = append(f.readers, r)
	return true
}

// Read says whether somebody reads the tape.
func (t *Tape) Read() bool {
	t.Flight.mu.Lock()
	defer t.Flight.mu.Unlock()
	return slices.ContainsFunc(t.Flight.readers, func(r *Reader) bool { return !r.gone })
}

// Forget keeps no more than the readers need, from now on.
func (t *Tape) Forget() {
	t.Flight.mu.Lock()
	t.Flight.keeps = false
	t.Flight.mu.Unlock()
}

// Grown is how many bytes more the tape keeps than when it was called last; it may be negative.
func (t *Tape) Grown() int {
	t.Flight.mu.Lock()
	defer t.Flight.mu.Unlock()
	n := cap(t.Flight.buf) + 8*cap(t.ends)
	n, t.kept = n-t.kept, n
	return n
}

// Kept is how many bytes Grown has told of.
func (t *Tape) Kept() int {
	t.Flight.mu.Lock()
	defer t.Flight.mu.Unlock()
	return t.kept
}

// Pull is part of Source; nobody pulls.
func (t *Tape) Pull(dst []byte) ([]byte, error) { return dst, io.ErrClosedPipe }

// Marks is part of Source: every reader gets everything.
func (t *Tape) Marks() (tail, tailEnd, terminal int) { return -1, -1, -1 }

// Abort is part of Source.
func (t *Tape) Abort() { t.unread() }

// Close is part of Source.
func (t *Tape) Close() {}
