package proxy

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// maxEvent bounds one event of a stream, in bytes: pictures come as single events.
const maxEvent = 16 << 20

// What ends a stream badly, besides upstream's own errors.
var (
	errStreamFailed = errors.New("the provider ended the stream as failed")     // the event was passed on
	errStreamError  = errors.New("the provider ended the stream with an error") // the event is kept back: it may name the operator's account
	errSpent        = errors.New("a budget has no money for more of the answer")
	errUnfinished   = errors.New("the provider ended the stream before its answer") // no terminal event, no finish reason
)

// upcall is the upstream side of an exchange, or of a flight that several exchanges share: the call, and what its
// stream has told. It is the flight's source.
type upcall struct {
	call     upstream.Call
	dialects *dialect.Set
	op       dialect.Op     // that the target is asked for
	client   dialect.Op     // that the clients asked for
	raw      bool           // bytes of an operation that the node does not read
	relay    *dialect.Relay // into the clients' dialect; nil where it is the target's

	heartbeat time.Duration // how long silence may last until readers are told; 0: for ever

	target  *target // of the attempt under way, or of the answer
	outcome route.Outcome
	active  bool // counted in at target and its provider

	events     dialect.Stream
	rest       []byte `wedge:"kept"` // the beginning of an event
	scanner    stream.Scanner
	scratch    []byte    `wedge:"kept"`
	n          int       // bytes handed out
	marks      marks     // in them
	read       int       // bytes of the provider's events
	said       marks     // in them
	words      []byte    // the provider's events, where they are translated and the answer may be kept
	first      time.Time // when the first token came
	responseID string    // of a response that the provider keeps

	charge  charge
	meter   *rawMeter // of bytes that the node does not read; nil where nothing is billed
	billed  *bill     // nil: there is no answer to book, or it was booked
	kept    *keeper   // nil: the answer is not kept
	flights *cache.Flights
	key     cache.Key
	flight  *stream.Flight // registered in flights under key
}

// marks say where the parts of a stream are that not every client gets; -1 where there is none.
type marks struct{ tail, tailEnd, terminal int }

var unmarked = marks{-1, -1, -1}

// keeper puts a finished stream into the cache.
type keeper struct {
	cache *cache.Cache
	key   cache.Key
	entry cache.Entry // all but the body

	discard bool // the answer is for those who read it now
}

// fill keeps the finished entry.
func (k *keeper) fill() *cache.Entry {
	if !k.discard {
		k.cache.Fill(&k.key, &k.entry)
	}
	return &k.entry
}

func (u *upcall) reset() {
	u.call.Reset()
	u.dialects, u.op, u.raw = nil, 0, false
	u.charge.reset()
	u.meter = nil
	u.target, u.outcome, u.active = nil, 0, false
	u.billed, u.kept, u.flights, u.flight, u.key = nil, nil, nil, nil, cache.Key{}
	u.begin(0, 0)
	u.scanner, u.marks, u.said = stream.Scanner{}, marks{}, marks{}
	if cap(u.scratch) > keptMost {
		u.scratch = nil
	}
	if cap(u.rest) > keptMost {
		u.rest = nil
	}
}

// begin forgets the previous attempt's stream: the next one answers the operation op, for clients of another or the same.
func (u *upcall) begin(op, client dialect.Op) {
	u.op, u.client, u.relay, u.words, u.heartbeat = op, client, nil, nil, 0
	if op != client {
		u.relay = new(dialect.Relay)
		u.relay.Begin(u.dialects, op, client, time.Now().Unix())
	}
	u.events = dialect.Stream{}
	u.rest, u.scanner, u.n, u.read = u.rest[:0], stream.Scanner{Limit: maxEvent}, 0, 0
	u.marks, u.said = unmarked, unmarked
	u.first, u.responseID = time.Time{}, ""
}

// told is what the stream has told its clients, for the error that ends it.
func (u *upcall) told() *dialect.Stream {
	if u.relay != nil {
		return u.relay.Written()
	}
	return &u.events
}

// enter counts an attempt at t in; false says that its provider is at its limit.
func (u *upcall) enter(t *target) bool {
	if !t.provider.gate.Enter(t.provider.Limits.InFlight) {
		return false
	}
	t.live.Acquire()
	u.target, u.outcome, u.active = t, route.Neutral, true
	return true
}

// leave ends the attempt: it gives the connection back and tells the target what was learnt.
func (u *upcall) leave(o route.Outcome, retryAfter time.Duration) {
	u.call.Close()
	if u.active {
		u.active = false
		u.target.provider.gate.Leave()
		u.target.live.Release(o, time.Now(), retryAfter)
	}
}

// Abort is part of stream.Source.
func (u *upcall) Abort() { u.call.Abort() }

// Close is part of stream.Source.
func (u *upcall) Close() {
	u.leave(u.outcome, 0)
	if u.billed != nil {
		u.billed.book(u.events.Usage, u.target, &u.charge)
		u.billed = nil
	}
	u.charge.release()
	if u.flights != nil {
		u.flights.Remove(&u.key, u.flight)
	}
}

// Marks is part of stream.Source.
func (u *upcall) Marks() (tail, tailEnd, terminal int) {
	return u.marks.tail, u.marks.tailEnd, u.marks.terminal
}

// Pull is part of stream.Source: it appends whole events, at least one unless there is an error. A panic ends the
// stream for all who read it, and only for them.
func (u *upcall) Pull(dst []byte) (out []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			u.leave(route.Neutral, 0)
			out, err = dst, asError(cause)
		}
	}()
	return u.pull(dst)
}

func (u *upcall) pull(dst []byte) ([]byte, error) {
	for {
		if err := u.call.WaitFor(u.heartbeat); err == upstream.ErrQuiet {
			return dst, stream.ErrQuiet
		} else if err != nil {
			return u.atEnd(dst, err)
		}
		if dst == nil {
			dst = stream.GetBuffer()
		}
		from := len(dst)
		dst, err := u.take(dst)
		u.n += len(dst) - from
		u.charge.remember(dst[from:])
		if err == nil && u.charge.spent() {
			dst, err = u.cutShort(dst)
		}
		if err != nil || len(dst) > from {
			return u.finish(dst, err)
		}
	}
}

// longRest is the length of the beginning of an event, in bytes, that is not copied at every read.
const longRest = 8 << 10

// take appends the whole events among what can be had now. The beginning of a further one waits in rest.
func (u *upcall) take(dst []byte) ([]byte, error) {
	if u.raw {
		out, err := u.call.AppendAvailable(dst)
		if u.meter != nil {
			u.meter.see(out[len(dst):])
		}
		if err == io.EOF {
			err = nil // Wait will say it again, when there is nothing left to say
		}
		return out, err
	}
	if u.relay != nil {
		return u.translate(dst)
	}
	var n int
	var err, readErr error
	if len(u.rest) > longRest {
		u.rest, readErr = u.call.AppendAvailable(u.rest)
		n, err = u.scan(u.rest, nil)
		dst = append(dst, u.rest[:n]...)
		u.rest = u.rest[:copy(u.rest, u.rest[n:])]
	} else {
		from := len(dst)
		dst = append(dst, u.rest...)
		u.rest = u.rest[:0]
		dst, readErr = u.call.AppendAvailable(dst)
		n, err = u.scan(dst[from:], nil)
		u.rest = append(u.rest, dst[from+n:]...)
		dst = dst[:from+n]
	}
	u.read += n
	u.marks = u.said
	if err == nil && readErr != io.EOF { // Wait says the end again
		err = readErr
	}
	return dst, err
}

// translate is take into another dialect.
func (u *upcall) translate(dst []byte) ([]byte, error) {
	var readErr error
	u.rest, readErr = u.call.AppendAvailable(u.rest)
	base := u.n - len(dst)
	n, err := u.scan(u.rest, func(name, data []byte) (err error) {
		dst, err = u.relayEvent(dst, base, name, data)
		return err
	})
	if u.read += n; u.kept != nil && u.kept.cache.Keepable(u.read) {
		u.words = append(u.words, u.rest[:n]...)
	}
	u.rest = u.rest[:copy(u.rest, u.rest[n:])]
	if err == nil && readErr != io.EOF {
		err = readErr
	}
	return dst, err
}

// relayEvent appends an event in the clients' dialect. dst[i] is byte base+i of what is handed out.
func (u *upcall) relayEvent(dst []byte, base int, name, data []byte) ([]byte, error) {
	dst, err := u.relay.AppendEvent(dst, name, data)
	if at := u.relay.Tail; at >= 0 {
		u.marks.tail, u.marks.tailEnd = base+at, base+u.relay.TailEnd
	}
	if at := u.relay.Terminal; at >= 0 && at < len(dst) {
		u.marks.terminal = base + at
	}
	return dst, err
}

// scan reads the whole events at the beginning of b and returns their length. io.EOF tells that the terminal event
// is among them, and is the last. Those that are part of a good answer are shown to relay, if there is one.
func (u *upcall) scan(b []byte, relay func(name, data []byte) error) (n int, err error) {
	for {
		size, err := u.scanner.Next(b[n:])
		if err != nil || size == 0 {
			return n, err
		}
		name, data, scratch := stream.Fields(b[n:n+size], u.scratch[:0])
		u.scratch = scratch
		kind, err := u.dialects.For(u.op).Event(u.op, &u.events, name, data)
		if err != nil {
			return n, err
		}
		if u.op == dialect.OpResponses && u.events.Events == 1 {
			u.responseID = responseID(data)
		}
		if u.first.IsZero() && u.events.Content {
			u.first = time.Now()
		}
		u.charge.event(name, len(data), &u.events.Usage)
		if kind == dialect.Terminal && u.op != dialect.OpResponses && u.events.Choices == 0 {
			return n, errUnfinished
		}
		if relay != nil && kind != dialect.Failed && kind != dialect.Ignored {
			if err := relay(name, data); err != nil {
				return n, err
			}
		}
		at := u.read + n
		n += size
		switch kind {
		case dialect.Tail:
			if at != u.said.tailEnd { // what stands between two of them belongs to the answer
				u.said.tail = at
			}
			u.said.tailEnd = at + size
		case dialect.Terminal:
			u.said.terminal = at
			return n, io.EOF
		case dialect.Failed:
			if relay == nil && string(name) == "response.failed" { // a response's own end, which tells what became of it
				return n, errStreamFailed
			}
			return n - size, errStreamError
		case dialect.Delta, dialect.First, dialect.Ignored:
		}
	}
}

// atEnd says what the end of the body means.
func (u *upcall) atEnd(dst []byte, err error) ([]byte, error) {
	switch {
	case err != io.EOF:
	case u.raw:
		u.outcome = route.Good
	case len(u.rest) > 0 || !u.events.Finished:
		err = errUnfinished
	case u.relay != nil && u.said.terminal < 0:
		from := len(dst)
		var relayErr error
		if dst, relayErr = u.relayEvent(dst, u.n-from, nil, nil); relayErr != nil {
			err = relayErr
		}
		u.n += len(dst) - from
	}
	return u.finish(dst, err)
}

// finish judges the target by how its stream ended and keeps a good answer, before anybody has its last byte.
func (u *upcall) finish(dst []byte, err error) ([]byte, error) {
	switch {
	case err == nil:
	case err == io.EOF && u.charge.cut: // which is not the target's fault, and nobody else's answer
		u.outcome = route.Neutral
	case err == io.EOF:
		u.outcome, u.charge.whole = route.Good, true
		if u.meter != nil {
			u.events.Usage = u.meter.usage()
		}
		u.keepNoneCut(&u.events.Usage)
		u.keep(dst)
	case errors.Is(err, upstream.ErrAborted):
		u.outcome = route.Neutral
	default:
		u.outcome = route.Bad
	}
	return dst, err
}

// cutShort ends a stream that nothing more can be paid for as its provider would at its limit of tokens, and the provider's
// call with it.
func (u *upcall) cutShort(dst []byte) ([]byte, error) {
	u.call.Abort()
	u.charge.whole = false
	u.events.Usage, u.charge.estimated = u.charge.usage(u.events.Usage)
	u.charge.whole = true
	from := len(dst)
	out, tail, terminal, err := u.dialects.For(u.client).AppendCut(dst, u.client, u.charge.sent, &u.events.Usage)
	if err != nil {
		return dst, errSpent
	}
	u.charge.cut = true
	u.marks = marks{u.n + tail, u.n + terminal, u.n + terminal}
	u.n += len(out) - from
	return out, io.EOF
}

// keepNoneCut keeps an answer out of the cache that ended where the node had it ended, for want of money.
func (u *upcall) keepNoneCut(told *dialect.Usage) {
	if u.kept != nil && u.charge.filled(told) {
		u.kept.discard = true
	}
}

func (u *upcall) keep(whole []byte) {
	k, n := u.kept, u.n
	if u.relay != nil {
		whole, n = u.words, u.read
	}
	if k == nil || u.raw || len(whole) != n || !k.cache.Keepable(n) {
		return
	}
	e := &k.entry
	e.Stream, e.Body, e.Usage = true, bytes.Clone(whole), u.events.Usage // without the buffer's spare room
	if e.Terminal = u.said.terminal; e.Terminal < 0 {
		e.Terminal = n
	}
	if e.Tail, e.TailEnd = u.said.tail, u.said.tailEnd; e.Tail < 0 {
		e.Tail, e.TailEnd = e.Terminal, e.Terminal
	}
	k.fill()
}
