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
	Tail, TailEnd int      // of a stream: where the usage-only events are; equal where there are none
	Terminal      int      // of a stream: where the terminal event begins
	Lost          []string // of an answer in another dialect than its provider's: what it has no word for
}

// Entry is one kept answer, in the provider's words. It is immutable but for its other forms, which are made on first
// use.
type Entry struct {
	Form
	Op       dialect.Op // that the provider was asked for
	Usage    dialect.Usage
	Created  time.Time
	Expires  time.Time
	Model    string // the model's name, for purges
	Provider string
	Target   string
	Dropped  string // what of the request the provider's dialect has no word for, as x-wedge-dropped tells it

	other   atomic.Pointer[Form] // whole for a stream, and a stream for a whole answer
	foreign atomic.Pointer[foreignForm]
}

// foreignForm is an answer as clients of another operation read it.
type foreignForm struct {
	Form
	op dialect.Op
}

// Weight is what the entry costs a memory tier, in bytes: the answer, room for its other form, and overhead.
func (e *Entry) Weight() int {
	return 2*len(e.Body) + len(e.Model) + len(e.Provider) + len(e.Target) + len(e.Dropped) + 256
}

// Asked is what a client wants an entry to be.
type Asked struct {
	dialect.Client
	Stream bool
}

// Answer returns the entry in the form that a client asked for.
func (e *Entry) Answer(a Asked, s *dialect.Set) (*Form, error) {
	switch {
	case e.Op != a.Op:
		return e.answerForeign(a, s)
	case e.Stream == a.Stream:
		return &e.Form, nil
	}
	if f := e.other.Load(); f != nil {
		return f, nil
	}
	f, err := e.convert(s.For(e.Op))
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
	return exploded(a, e.Op, e.Body)
}

// exploded is a whole answer as a stream.
func exploded(a dialect.Answers, op dialect.Op, whole []byte) (*Form, error) {
	body, tail, terminal, err := a.AppendStream(nil, op, whole)
	return &Form{Stream: true, Body: body, Tail: tail, TailEnd: terminal, Terminal: terminal}, err
}

// answerForeign is the entry in another dialect than the provider's, or as another operation's answer. One such form is
// kept: the last that was made.
func (e *Entry) answerForeign(a Asked, s *dialect.Set) (*Form, error) {
	if f := e.foreign.Load(); f != nil && f.op == a.Op && f.Stream == a.Stream {
		return &f.Form, nil
	}
	whole := &e.Form
	if e.Stream {
		var err error
		if whole, err = e.convert(s.For(e.Op)); err != nil {
			return nil, err
		}
	}
	a.Created = e.Created.Unix()
	body, lost, err := s.AppendAnswer(nil, e.Op, whole.Body, a.Client)
	if err != nil {
		return nil, err
	}
	form := &Form{Body: body}
	if a.Stream {
		if form, err = exploded(s.For(a.Op), a.Op, body); err != nil {
			return nil, err
		}
	}
	form.Lost = lost
	f := &foreignForm{Form: *form, op: a.Op}
	e.foreign.Store(f)
	return &f.Form, nil
}

// entryFormat is the first byte of an encoded entry.
const entryFormat = 2

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
		e.Usage.Input, e.Usage.Cached, e.Usage.Output, e.Usage.Reasoning, e.Usage.CacheWrite, e.Usage.CacheWriteHour,
		e.Usage.AudioInput, e.Usage.AudioOutput, e.Usage.ImageInput, e.Usage.ImageOutput,
	} {
		dst = binary.AppendVarint(dst, n)
	}
	for _, s := range [...]string{e.Model, e.Provider, e.Target, e.Dropped} {
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
		&e.Usage.Input, &e.Usage.Cached, &e.Usage.Output, &e.Usage.Reasoning, &e.Usage.CacheWrite, &e.Usage.CacheWriteHour,
		&e.Usage.AudioInput, &e.Usage.AudioOutput, &e.Usage.ImageInput, &e.Usage.ImageOutput,
	} {
		n, size := binary.Varint(b)
		if size <= 0 {
			return nil, errCorrupt
		}
		*p, b = n, b[size:]
	}
	for _, p := range [...]*string{&e.Model, &e.Provider, &e.Target, &e.Dropped} {
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
	if e.Op >= dialect.Ops {
		return errCorrupt
	}
	if e.Stream && (e.Tail < 0 || e.Tail > e.TailEnd || e.TailEnd > e.Terminal || e.Terminal > len(e.Body)) {
		return errCorrupt
	}
	return nil
}
