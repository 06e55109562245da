package cache

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// Key names an answer: SHA-256 over everything that may change it.
type Key [32]byte

// Form is an answer as bytes: JSON, or the raw events of a stream.
type Form struct {
	Stream        bool
	Body          []byte
	Tail, TailEnd int // of a stream: where the usage-only events are; equal where there are none
	Terminal      int // of a stream: where the terminal event begins
}

// Entry is one kept answer. It is immutable but for its other form, which is made on first use.
type Entry struct {
	Form
	Op       dialect.Op
	Usage    dialect.Usage
	Created  time.Time
	Expires  time.Time
	Model    string // the model's name, for purges
	Provider string
	Target   string

	other atomic.Pointer[Form]
}

// Weight is what the entry costs a memory tier, in bytes: the answer, room for its other form, and overhead.
func (e *Entry) Weight() int {
	return 2*len(e.Body) + len(e.Model) + len(e.Provider) + len(e.Target) + 256
}

// Answer returns the entry in the form that a client asked for.
func (e *Entry) Answer(stream bool, a dialect.Answers) (*Form, error) {
	if e.Stream == stream {
		return &e.Form, nil
	}
	if f := e.other.Load(); f != nil {
		return f, nil
	}
	f, err := e.convert(a)
	if err != nil {
		return nil, err
	}
	e.other.Store(f)
	return f, nil
}

func (e *Entry) convert(a dialect.Answers) (*Form, error) {
	if e.Stream {
		body, err := a.AppendWhole(nil, e.Op, e.Body)
		return &Form{Body: body}, err
	}
	body, tail, terminal, err := a.AppendStream(nil, e.Op, e.Body)
	return &Form{Stream: true, Body: body, Tail: tail, TailEnd: terminal, Terminal: terminal}, err
}

// entryFormat is the first byte of an encoded entry.
const entryFormat = 1

var errCorrupt = errors.New("cache: corrupt entry")

// AppendTo appends the entry as a disk tier keeps it: a format byte, a checksum of the rest, and the rest.
func (e *Entry) AppendTo(dst []byte) []byte {
	dst = append(dst, entryFormat)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	flags := byte(0)
	if e.Stream {
		flags |= 1
	}
	if e.Usage.Known {
		flags |= 2
	}
	dst = append(dst, flags, byte(e.Op))
	for _, n := range [...]int64{
		e.Created.UnixNano(), e.Expires.UnixNano(), int64(e.Tail), int64(e.TailEnd), int64(e.Terminal),
		e.Usage.Input, e.Usage.Cached, e.Usage.Output, e.Usage.Reasoning,
	} {
		dst = binary.AppendVarint(dst, n)
	}
	for _, s := range [...]string{e.Model, e.Provider, e.Target} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	dst = append(dst, e.Body...)
	binary.LittleEndian.PutUint64(dst[at:], xxhash.Sum64(dst[at+8:]))
	return dst
}

// decodeEntry reads what AppendTo wrote. The entry keeps b.
func decodeEntry(b []byte) (*Entry, error) {
	if len(b) < 11 || b[0] != entryFormat || binary.LittleEndian.Uint64(b[1:]) != xxhash.Sum64(b[9:]) {
		return nil, errCorrupt
	}
	e := &Entry{Op: dialect.Op(b[10])}
	e.Stream, e.Usage.Known = b[9]&1 != 0, b[9]&2 != 0
	b = b[11:]
	var created, expires, tail, tailEnd, terminal int64
	for _, p := range [...]*int64{
		&created, &expires, &tail, &tailEnd, &terminal,
		&e.Usage.Input, &e.Usage.Cached, &e.Usage.Output, &e.Usage.Reasoning,
	} {
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, errCorrupt
		}
		*p, b = n, b[size:]
	}
	for _, p := range [...]*string{&e.Model, &e.Provider, &e.Target} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return nil, errCorrupt
		}
		*p, b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	e.Body, e.Created, e.Expires = b, time.Unix(0, created), time.Unix(0, expires)
	e.Tail, e.TailEnd, e.Terminal = int(tail), int(tailEnd), int(terminal)
	return e, e.check()
}

func (e *Entry) check() error {
	if e.Stream && (e.Tail < 0 || e.Tail > e.TailEnd || e.TailEnd > e.Terminal || e.Terminal > len(e.Body)) {
		return errCorrupt
	}
	return nil
}
