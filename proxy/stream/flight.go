package stream

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// Source is one provider's answer on its way in. Pull is called by one goroutine at a time.
type Source interface {
	// Pull blocks until more of the answer came and appends what readers are to get to dst. Together with the
	// last bytes, or after them, it returns io.EOF for a good end and any other error for a bad one.
	Pull(dst []byte) ([]byte, error)
	// Marks tells where, counted from the answer's first byte, the usage-only tail begins and ends and where
	// the terminal event begins; -1 for what has not come.
	Marks() (tail, tailEnd, terminal int)
	// Abort makes a running and every later Pull fail promptly. Any goroutine may call it; it does not block.
	Abort()
	// Close gives up what the source holds. It is called once, after the last Pull.
	Close()
}

// ErrGone tells a reader that its own client has left.
var ErrGone = errors.New("the client left")

// ErrQuiet is what a source returns together with no bytes when none came for a while: the answer goes on.
var ErrQuiet = errors.New("nothing came for a while")

// ErrHandover tells a waiting reader that the flight ended for a reason of its leader's own: ask again.
var ErrHandover = errors.New("the leader gave up")

// sharedMost bounds the bytes that a shared flight keeps for late joiners. Beyond it nobody joins any more and
// what everybody has read is let go; a reader that lags further behind makes the others wait, until its own
// write deadline ends it.
const sharedMost = 8 << 20

// phase is how far a flight has come.
type phase uint8

const (
	waiting phase = iota // the leader is still looking for an answer
	open                 // bytes are flowing
	ended                // err, and result if the flight ended whole
)

// Flight is one upstream call and everyone who reads its answer: one producer, many readers, one bounded
// buffer. It has no goroutine of its own: the reader that needs bytes and finds nobody pulling pulls for all, so
// a reader whose client is slow or gone never holds up the others. The zero value is a private flight.
type Flight struct {
	mu      sync.Mutex
	cond    sync.Cond
	src     Source
	shared  bool
	phase   phase
	pulling bool
	closed  bool // src is closed
	dead    bool // nobody wants the answer any more
	keeps   bool // what everybody has read is kept for those who come back: a Tape
	readers []*Reader
	one     [1]*Reader // backs readers while there is one

	base                    int // offset of buf[0] in the answer
	buf                     []byte
	tail, tailEnd, terminal int
	beats                   int // how often the source was quiet
	err                     error
	result                  any
}

// Reader is one client's place in a flight.
type Reader struct {
	// Tail says whether the reader wants the usage-only tail.
	Tail bool
	// Timed says that Expire may be called for the reader: it waits for others to pull, or lets a goroutine pull, for
	// who pulls cannot let go before bytes come.
	Timed bool
	off   int
	beats int
	gone  bool
	late  bool // gone because its time was up
}

// Late says whether the reader was ended by Expire.
func (f *Flight) Late(r *Reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return r.late
}

// Source returns what the flight reads. What it tells besides the marks is settled once the flight has ended.
func (f *Flight) Source() Source { return f.src }

// Reset makes the flight ready for src, with r as its leader. shared says whether others may join.
func (f *Flight) Reset(src Source, r *Reader, shared bool) {
	f.cond.L = &f.mu
	f.src, f.shared = src, shared
	f.phase, f.pulling, f.closed, f.dead, f.keeps = waiting, false, false, false, false
	f.one[0] = r
	f.readers = f.one[:1]
	f.base, f.buf, f.err, f.result = 0, nil, nil, nil
	f.tail, f.tailEnd, f.terminal, f.beats = -1, -1, -1, 0
}

// Join adds a reader, or says that the flight takes none any more.
func (f *Flight) Join(r *Reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed := f.phase == ended && f.err != nil && f.err != io.EOF
	if !f.shared || f.dead || f.base > 0 || failed {
		return false
	}
	f.readers = append(f.readers, r)
	return true
}

// Open says that the answer flows: what pull appended so far is first. It is called by the leader.
func (f *Flight) Open(first []byte, err error) {
	f.mu.Lock()
	f.phase = open
	f.publish(first, err)
	f.mu.Unlock()
	if err != nil {
		f.closeSource()
	}
}

// Finish ends the flight with a whole result, or with an error. It is called by the leader.
func (f *Flight) Finish(result any, err error) {
	f.mu.Lock()
	f.phase, f.result, f.err = ended, result, err
	f.cond.Broadcast()
	f.mu.Unlock()
}

// Await blocks a follower until the answer flows or the flight ended whole. It returns the result of a flight
// that ended whole; nil, nil means that bytes can be read with Next.
func (f *Flight) Await(r *Reader) (result any, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.phase == waiting {
		if r.gone {
			return nil, ErrGone
		}
		f.cond.Wait()
	}
	if f.phase == ended && (f.result != nil || f.base+len(f.buf) == 0) {
		return f.result, f.err
	}
	return nil, nil
}

// Next blocks until there are bytes that r has not had and returns them; they are valid until its next call. No bytes and
// no error mean that none came for a while.
// atTerminal says that they begin with the terminal event. It returns io.EOF after a good end, ErrGone when r's
// client left, and otherwise what ended the answer.
func (f *Flight) Next(r *Reader) (part []byte, atTerminal bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		part, atTerminal = f.partFor(r)
		switch {
		case len(part) == 0 && f.err == io.EOF:
			return nil, false, io.EOF // a client that leaves after the last byte had everything
		case r.gone:
			return nil, false, ErrGone
		case len(part) > 0:
			if f.shared && len(f.buf) > 2*sharedMost {
				f.cond.Broadcast() // those who waited for this reader to catch up
			}
			return part, atTerminal, nil
		case f.err != nil:
			return nil, false, f.err
		case r.beats != f.beats:
			r.beats = f.beats
			return nil, false, nil
		case f.pulling || f.full():
			f.cond.Wait()
		case r.Timed && f.shared:
			f.pulling = true
			go f.pullAside()
		default:
			f.pull()
		}
	}
}

// pullAside pulls for readers that must be free to go. It ends with what it waits for: bytes, the source's deadline,
// or the abort of a flight that nobody reads any more, whose source it closes.
func (f *Flight) pullAside() {
	f.mu.Lock()
	f.pull()
	f.cond.Broadcast()
	last := len(f.readers) == 0
	f.mu.Unlock()
	if last {
		f.closeSource()
	}
}

// Ended says whether the answer has ended, and with it all that its source tells.
func (f *Flight) Ended() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == ended
}

// Ready says whether Next would return at once.
func (f *Flight) Ready(r *Reader) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := *r
	part, _ := f.partFor(&at)
	return len(part) > 0 || r.gone || f.err != nil
}

// Nudge makes r's Next return as if nothing had come for a while, if it waits.
func (f *Flight) Nudge(r *Reader) {
	f.mu.Lock()
	r.beats--
	f.cond.Broadcast()
	f.mu.Unlock()
}

// Gone says that r's client left. When nobody is left who wants the answer, the source is aborted.
func (f *Flight) Gone(r *Reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.gone {
		r.gone = true
		f.abortIfUnwanted()
		f.cond.Broadcast()
	}
}

// Expire says that r's time is up: for r it is as if its client had left. A leader that is still looking for an
// answer cannot let go of the search, so that is aborted, and whoever waits for it takes over.
func (f *Flight) Expire(r *Reader) {
	f.mu.Lock()
	r.late = !r.gone
	if f.phase == waiting && len(f.readers) > 0 && f.readers[0] == r {
		f.dead = true
		f.src.Abort()
	}
	f.mu.Unlock()
	f.Gone(r)
}

// Leave ends r's reading. The last one to leave closes the source.
func (f *Flight) Leave(r *Reader) {
	f.mu.Lock()
	for i, other := range f.readers {
		if other == r {
			f.readers = slices.Delete(f.readers, i, i+1) // the leader stays first
			break
		}
	}
	last := len(f.readers) == 0
	if !last {
		f.abortIfUnwanted()
		f.cond.Broadcast() // another may have to pull now, or has room again
	} else if f.phase != ended || f.keeps {
		f.abandon()
	}
	last = last && !f.pulling // or pullAside closes the source
	f.mu.Unlock()
	if last {
		f.closeSource()
		if !f.shared && f.buf != nil {
			PutBuffer(f.buf)
			f.buf = nil
		}
	}
}

// abortIfUnwanted ends the source when every reader's client has left.
func (f *Flight) abortIfUnwanted() {
	if f.phase == ended || len(f.readers) == 0 {
		return
	}
	for _, r := range f.readers {
		if !r.gone {
			return
		}
	}
	f.abandon()
}

// abandon ends the source, which nobody wants any more; that of a tape lives on for a while.
func (f *Flight) abandon() {
	f.dead = !f.keeps
	f.src.Abort()
}

func (f *Flight) closeSource() {
	f.mu.Lock()
	closed := f.closed || f.src == nil
	f.closed = true
	f.mu.Unlock()
	if !closed {
		f.src.Close()
	}
}

// pull gets more from the source, for everybody. The lock is held when it is called and when it returns.
func (f *Flight) pull() {
	f.pulling = true
	f.trim()
	dst := f.buf
	f.mu.Unlock()
	out, err := f.src.Pull(dst)
	f.mu.Lock()
	f.pulling = false
	f.publish(out, err)
	if err != nil && err != ErrQuiet && !f.closed {
		f.closed = true
		f.mu.Unlock()
		f.src.Close()
		f.mu.Lock()
	}
}

func (f *Flight) publish(out []byte, err error) {
	f.buf = out
	f.tail, f.tailEnd, f.terminal = f.src.Marks()
	switch err {
	case nil:
	case ErrQuiet:
		f.beats++
	default:
		f.phase, f.err = ended, err
	}
	if len(f.readers) > 1 {
		f.cond.Broadcast()
	}
}

// trim lets go what a private flight's reader has had, or, once a shared flight is over its bound, what
// everybody has had.
func (f *Flight) trim() {
	if !f.shared {
		if f.buf != nil { // its only reader had everything, or it would not need more
			f.base += len(f.buf)
			PutBuffer(f.buf)
			f.buf = nil
		}
		return
	}
	if len(f.buf) <= sharedMost || f.keeps && len(f.buf) <= 2*sharedMost {
		return
	}
	least := f.base + len(f.buf)
	if f.keeps {
		least -= sharedMost
	}
	for _, r := range f.readers {
		least = min(least, r.off)
	}
	// A copy, for readers still hold views of the old bytes.
	f.buf = append([]byte(nil), f.buf[least-f.base:]...)
	f.base = least
}

// full says that a shared flight is over its bound because somebody lags behind.
func (f *Flight) full() bool {
	if !f.shared || len(f.buf) <= 2*sharedMost {
		return false
	}
	for _, r := range f.readers {
		if !r.gone && f.base+len(f.buf)-r.off > sharedMost {
			return true
		}
	}
	return false
}

// partFor cuts the next part for r, stepping over a tail that r does not want and ending before the terminal
// event, so that the caller may put something of its own in front of that.
func (f *Flight) partFor(r *Reader) (part []byte, atTerminal bool) {
	end := f.base + len(f.buf)
	if !r.Tail && f.tail >= 0 {
		if r.off >= f.tail && r.off < f.tailEnd {
			r.off = f.tailEnd
		} else if r.off < f.tail {
			end = min(end, f.tail)
		}
	}
	if f.terminal >= 0 && r.off < f.terminal {
		end = min(end, f.terminal)
	}
	atTerminal = f.terminal >= 0 && r.off == f.terminal
	part = f.buf[r.off-f.base : end-f.base : end-f.base]
	r.off = end
	return part, atTerminal
}

// bufferSize is the capacity of pooled relay buffers: a burst of 64 events of an ordinary stream.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// GetBuffer returns an empty buffer of 32 KiB.
func GetBuffer() []byte { return buffers.Get().(*[bufferSize]byte)[:0] }

// PutBuffer takes a buffer back; one that has grown is let go.
func PutBuffer(b []byte) {
	if cap(b) == bufferSize {
		buffers.Put((*[bufferSize]byte)(b[:bufferSize]))
	}
}
