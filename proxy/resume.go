package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// defaultResume is how long a stream outlives its last reader where only the request asks for that.
const defaultResume = 30 * time.Second

// recordings are the streams that clients may come back to.
type recordings struct {
	mu     sync.Mutex
	byID   map[string]*recording
	order  []*recording // the oldest first
	bytes  int
	ending bool
}

// recording is a stream that outlives its client's connection. The request runs as a visit, whose answer goes to a tape.
type recording struct {
	s      *Server
	tape   stream.Tape
	id     string
	tenant string
	sum    [32]byte // of what was asked
	keep   time.Duration
	cancel context.CancelFunc
	timer  *time.Timer // ends it, while nobody reads
	lost   atomic.Bool // nobody can come back to it any more

	// What the visit writes.
	head     fasthttp.ResponseHeader
	whole    []byte // an answer that is no stream
	streamed bool
	plain    bool // events are not numbered where their reader can see it: Google's SDKs understand no ids
	n        int
	rest     []byte
	client   dialect.ID
}

// resume gives the request a stream that outlives its connection, or the rest of one, where that was asked for.
func (x *exchange) resume() (done bool, e *dialect.Error) {
	asked := x.ctx.Request.Header.PeekBytes(headerResume)
	switch string(asked) {
	case "", "on", "off":
	default:
		return true, x.comeBack(asked)
	}
	if x.visit != nil && x.visit.once || !x.streaming || x.array {
		return false, nil
	}
	if last := x.ctx.Request.Header.Peek("Last-Event-ID"); bytes.HasPrefix(last, []byte("req_")) {
		return true, x.comeBack(last)
	}
	switch keep := x.model.Resume; {
	case string(asked) == "off", len(asked) == 0 && keep <= 0:
		return false, nil
	case keep <= 0:
		return true, x.record(defaultResume)
	default:
		return true, x.record(keep)
	}
}

// asksFor digests what a request asks for: who comes back to a stream must ask for the same.
func (x *exchange) asksFor() [32]byte {
	h := sha256.New()
	_, _ = h.Write(x.ctx.Path())
	_, _ = h.Write([]byte{0})
	_, _ = h.Write(x.ctx.Request.Body())
	return [32]byte(h.Sum(nil))
}

// record answers with a stream that lives on for a while when the client's connection is lost.
func (x *exchange) record(keep time.Duration) *dialect.Error {
	ctx, cancel := context.WithCancel(x.s.life)
	r := &recording{s: x.s, tenant: x.who.Tenant, sum: x.asksFor(), keep: keep, cancel: cancel, client: x.client, plain: x.client == dialect.Gemini}
	x.reader = stream.Reader{}
	r.tape.Begin(&x.reader, r.unread)
	x.flight, x.passes = &r.tape.Flight, true
	v := &visit{ctx: ctx, peer: peerOf(x.clientIP() + ":0"), to: r, once: true}
	inner := new(fasthttp.RequestCtx)
	if err := v.read(inner, x.appendRecordedHead(nil), bytes.Clone(x.ctx.Request.Body())); err != nil {
		cancel()
		return readError(err)
	}
	x.s.work.Go(func() { r.run(inner, v) })
	return x.replayFrom(r)
}

// appendRecordedHead appends the request's head as its recording has it. It differs from the request's own in a line, so that
// what is remembered of the one is not taken for the other.
func (x *exchange) appendRecordedHead(dst []byte) []byte {
	h := &x.ctx.Request.Header
	dst = append(append(append(dst, h.Method()...), ' '), h.RequestURI()...)
	dst = append(append(append(dst, " HTTP/1.1\r\nHost: "...), x.ctx.Host()...), "\r\nX-Wedge-Recorded: yes\r\n"...)
	for name, value := range h.All() {
		switch n := string(name); n {
		case "Host", "Connection", "X-Wedge-Recorded", "X-Wedge-Resume", "Last-Event-Id", "Content-Length", "Transfer-Encoding", "Expect":
		default:
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	return append(dst, "\r\n"...)
}

// run answers the request onto the tape.
func (r *recording) run(ctx *fasthttp.RequestCtx, v *visit) {
	defer r.cancel()
	err := r.s.answer(ctx, v)
	if err == nil {
		err = io.EOF
	}
	r.tape.End(err)
	r.s.recordings.end(r)
}

// begin is part of sink.
func (r *recording) begin(head *fasthttp.ResponseHeader, _ int) error {
	head.CopyTo(&r.head)
	r.streamed = head.StatusCode() == fasthttp.StatusOK && isEventStream(head.ContentType())
	if r.streamed {
		r.id = string(head.PeekBytes(headerRequestID))
		r.s.recordings.add(r)
		r.tape.Open()
	}
	return nil
}

// Write is part of io.Writer: each event gets its number.
func (r *recording) Write(p []byte) (int, error) {
	if !r.streamed {
		r.whole = append(r.whole, p...)
		return len(p), nil
	}
	r.rest = append(r.rest, p...)
	at := 0
	for {
		n := stream.Next(r.rest[at:])
		if n == 0 {
			break
		}
		r.take(r.rest[at : at+n])
		at += n
	}
	r.rest = r.rest[:copy(r.rest, r.rest[at:])]
	r.s.recordings.grow(r)
	return len(p), nil
}

// take writes an event onto the tape.
func (r *recording) take(event []byte) {
	switch {
	case bytes.Equal(event, heartbeats[r.client]) || len(bytes.Trim(event, "\r\n")) == 0:
		r.tape.Beat()
	case event[0] == ':':
		r.tape.Write(event, false)
	case r.plain:
		r.n++
		r.tape.Write(event, true)
	default:
		r.n++
		line := append(append([]byte("id: "), r.id...), ':')
		line = append(strconv.AppendInt(line, int64(r.n), 10), '\n')
		r.tape.Write(append(line, event...), true)
	}
}

// flush is part of sink. A whole answer is there when it is called.
func (r *recording) flush() error { return nil }

// unread is called when the last reader has left.
func (r *recording) unread() {
	switch {
	case r.lost.Load():
		r.cancel()
	case r.timer == nil:
		r.timer = time.AfterFunc(r.keep, r.expire)
	default:
		r.timer.Reset(r.keep)
	}
}

// expire ends a recording that nobody has come back to.
func (r *recording) expire() {
	if !r.tape.Read() {
		r.s.recordings.remove(r)
		r.cancel()
	}
}

func (l *recordings) add(r *recording) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byID == nil {
		l.byID = map[string]*recording{}
	}
	l.byID[r.id] = r
	l.order = append(l.order, r)
}

// grow counts what a recording has come to keep, and lets the oldest go that nobody reads where all are too much.
func (l *recordings) grow(r *recording) {
	grown := r.tape.Grown()
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.lost.Load() {
		return
	}
	l.bytes += grown
	for i := 0; l.bytes > r.s.o.MaxResume && i < len(l.order); {
		if old := l.order[i]; old != r && !old.tape.Read() {
			l.drop(old)
			old.cancel()
		} else {
			i++
		}
	}
	if l.bytes > r.s.o.MaxResume { // all of them are read
		l.drop(r)
		r.tape.Forget()
	}
}

// end keeps a whole stream for as long as a client may need to come back for its last bytes.
func (l *recordings) end(r *recording) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !r.lost.Load() && l.byID[r.id] == r && !l.ending {
		time.AfterFunc(r.keep, func() { l.remove(r) })
	}
}

func (l *recordings) remove(r *recording) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(r)
}

// drop is called with mu held.
func (l *recordings) drop(r *recording) {
	if r.lost.Load() || l.byID[r.id] != r {
		return
	}
	r.lost.Store(true)
	delete(l.byID, r.id)
	for i, other := range l.order {
		if other == r {
			l.order = append(l.order[:i], l.order[i+1:]...)
			break
		}
	}
	l.bytes -= r.tape.Kept()
}

func (l *recordings) find(id string) *recording {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byID[id]
}

// shutdown ends the streams that nobody reads: nobody can come back to them any more.
func (l *recordings) shutdown() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	for _, r := range l.order {
		if !r.tape.Read() {
			r.cancel()
		}
	}
}

// comeBack answers with the rest of a stream: what follows the place that a client has come to, as id:n.
func (x *exchange) comeBack(place []byte) *dialect.Error {
	id, number, _ := bytes.Cut(place, []byte(":"))
	n, err := strconv.Atoi(string(number))
	if err != nil || n < 0 {
		return fail(codeInvalidRequest, "", "the place to go on from is not the id of a request and the number of an event, as req_…:12; x-wedge-resume takes that, on, or off")
	}
	r := x.s.recordings.find(string(id))
	if r == nil || r.tenant != x.who.Tenant || r.sum != x.asksFor() {
		return fail(codeResumeLost, "", "this node keeps no stream "+quoteShort(id)+" of this request; send the request anew, without the place to go on from")
	}
	x.reader = stream.Reader{}
	if !r.tape.Join(&x.reader, n) {
		return fail(codeResumeLost, "", "this node does not keep what follows event "+strconv.Itoa(n)+" of the stream; send the request anew, without the place to go on from")
	}
	x.flight, x.passes = &r.tape.Flight, true
	return x.replayFrom(r)
}

// replayFrom answers with what is on a tape, and what comes.
func (x *exchange) replayFrom(r *recording) *dialect.Error {
	x.watchClient()
	_, err := x.flight.Await(&x.reader)
	switch {
	case errors.Is(err, stream.ErrGone):
		x.gone = true
		return nil
	case !r.streamed:
		r.head.CopyTo(&x.ctx.Response.Header)
		x.ctx.Response.SetBodyRaw(r.whole)
		return nil
	}
	r.head.CopyTo(&x.ctx.Response.Header)
	x.sendBody(&replayed{x})
	return nil
}

// headPatience is how long the head of an answer waits for the first event, with which it goes out.
const headPatience = time.Second

// replayed is a response's body that comes from a tape.
type replayed struct{ *exchange }

// WriteTo writes the stream.
func (r *replayed) WriteTo(w io.Writer) (int64, error) {
	x := r.exchange
	nudge := whenOver(headPatience, func() { x.flight.Nudge(&x.reader) })
	defer nudge.silence()
	x.cork()
	for {
		part, _, err := x.flight.Next(&x.reader)
		switch {
		case err == io.EOF:
			return x.sent, nil
		case err != nil:
			x.gone = errors.Is(err, stream.ErrGone)
			return x.sent, err
		case len(part) == 0:
			part = heartbeats[x.client]
		}
		n, err := w.Write(part)
		x.sent += int64(n)
		if err == nil && !x.flight.Ready(&x.reader) {
			if err = x.uncork(); err == nil {
				x.cork()
			}
		}
		if err != nil {
			x.gone = true
			return x.sent, err
		}
	}
}
