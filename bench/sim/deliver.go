package sim

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	batchBytes = 32 << 10 // of events that one write carries at most
	keepBytes  = 1 << 20  // a larger buffer is not kept for the next request
)

// turn is one request on its way through the server. For a stream it is the response's body, which fasthttp
// pulls on the connection's own goroutine; Close ends it.
type turn struct {
	s     *Server
	ctx   *fasthttp.RequestCtx
	conn  net.Conn
	d     dialect
	rec   *Record
	start time.Time
	own   settings // from the headers alone
	set   settings
	a     *answer
	model string
	talk  func(k *socket, ctx *fasthttp.RequestCtx) protocol // of a WebSocket's handshake

	id      []byte // of the request, as the answer tells it
	buf     []byte // the body with its stamps
	next    int    // the first event not yet sent
	failAt  int    // the event before which a fault strikes; -1 is none
	tokens  int    // of content before next
	pending []byte // for Read: taken from the stream but not yet handed over
	sent    int
	state   State
	stalled bool // on a WebSocket: no more is sent
}

var turns = sync.Pool{New: func() any { return new(turn) }}

func (s *Server) acquireTurn(ctx *fasthttp.RequestCtx) *turn {
	t := turns.Get().(*turn)
	t.s, t.ctx, t.conn, t.start = s, ctx, ctx.Conn(), time.Now()
	t.state = StateClientGone // until its end is reached
	return t
}

// release ends t: what it learnt goes to the log and the counters.
func (t *turn) release() {
	t.s.end(t)
	buf := t.buf[:0]
	if cap(buf) > keepBytes {
		buf = nil
	}
	*t = turn{buf: buf, id: t.id}
	turns.Put(t)
}

// deliver sends t's answer as its settings and its fault want it.
func (t *turn) deliver() {
	if t.set.fault == faultRefused {
		t.reset()
		return
	}
	t.writeHead()
	if t.a.stream {
		t.s.stats.openStreams.Add(1)
		t.stamped()
		t.failAt = t.faultEvent()
		t.ctx.Response.ImmediateHeaderFlush = t.failAt >= 0
		t.ctx.SetBodyStream(t, -1)
		return
	}
	if err := t.pause(t.wholeDelay()); err != nil {
		t.abandon(err)
		return
	}
	t.stamped()
	switch half := t.buf[:len(t.buf)/2]; t.set.fault {
	case faultCut, faultStall:
		t.breakOff(half)
	case faultCutClean:
		t.ctx.Response.ImmediateHeaderFlush = true
		t.ctx.SetBodyStream(bytes.NewReader(bytes.Clone(half)), -1)
		t.finish(half)
	case faultMalformed:
		t.ctx.SetBody(half)
		t.finish(half)
	default:
		t.ctx.SetBody(t.buf)
		t.finish(t.buf)
	}
}

// finish ends t once its whole body is with fasthttp.
func (t *turn) finish(body []byte) {
	t.sent = len(body)
	t.state = StateFinished
	t.release()
}

func (t *turn) writeHead() {
	h := &t.ctx.Response.Header
	t.ctx.SetStatusCode(t.a.status)
	h.SetContentType(t.a.contentType)
	m := t.d.manners()
	if m.requestID != "" {
		h.SetBytesV(m.requestID, t.id)
	}
	if t.set.fault == fault429 {
		h.Set("Retry-After", strconv.FormatInt(int64((t.set.retry+time.Second-1)/time.Second), 10))
		if m.retryMillis {
			h.Set("Retry-After-Ms", strconv.FormatInt(t.set.retry.Milliseconds(), 10))
		}
	}
}

// wholeDelay is how long a whole answer takes from the request on.
func (t *turn) wholeDelay() time.Duration {
	if t.set.fault == faultSlow {
		return t.set.failDelay
	}
	if t.a.status >= 300 {
		return 0
	}
	if t.set.latency > 0 || t.set.tps <= 0 {
		return max(t.set.latency, t.set.ttft)
	}
	return t.set.ttft + time.Duration(float64(t.a.out)/t.set.tps*float64(time.Second))
}

// pause waits until d after the request's arrival.
func (t *turn) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	return t.s.waiters.wait(t.conn, t.start.Add(d))
}

// abandon ends a whole answer whose client is gone.
func (t *turn) abandon(err error) {
	t.state = stateOf(err)
	t.closeAfterBooking()
}

// closeAfterBooking ends t and only then the connection, so that whoever sees it closed finds the log complete.
func (t *turn) closeAfterBooking() {
	conn := t.conn
	t.release()
	_ = conn.Close()
}

// reset closes the connection so that the client's next read fails with "connection reset by peer".
func (t *turn) reset() {
	if tcp, ok := t.conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	t.state = StateCut
	t.closeAfterBooking()
}

// stamped fills t.buf with the body, made now.
func (t *turn) stamped() {
	t.buf = append(t.buf[:0], t.a.body...)
	t.a.stamp(t.buf, t.start.Unix())
}

// breakOff announces the whole body, sends half of it past fasthttp, and then closes the connection, under
// stall only once the client has.
func (t *turn) breakOff(half []byte) {
	t.ctx.Response.Header.SetContentLength(len(t.buf))
	head := t.ctx.Response.Header.Header()
	_, err := t.conn.Write(append(append([]byte(nil), head...), half...))
	t.sent = len(half)
	t.state = StateCut
	if err == nil && t.set.fault == faultStall {
		err = t.s.waiters.wait(t.conn, time.Time{})
	}
	if err != nil {
		t.state = stateOf(err)
	}
	t.closeAfterBooking()
}

func stateOf(err error) State {
	switch err {
	case errCut:
		return StateCut
	case errStopped:
		return StateStopped
	}
	return StateClientGone
}

// faultEvent is the index of the event before which t's fault strikes, -1 if none does.
func (t *turn) faultEvent() int {
	switch t.set.fault {
	case faultCut, faultCutClean, faultStall, faultMalformed, faultErrorMid:
	default:
		return -1
	}
	after := t.set.failAfter
	if after < 0 {
		after = (t.a.contentEvents() + 1) / 2
	}
	seen, last := 0, -1
	for i, e := range t.a.events {
		if e.tokens == 0 {
			continue
		}
		if seen == after {
			return i
		}
		seen++
		last = i
	}
	return last + 1
}

// SupportsBodyWriteTo allows fasthttp to use WriteTo, whose writes are larger than its reads.
func (t *turn) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the stream to w, each batch of events with one Write.
func (t *turn) WriteTo(w io.Writer) (n int64, err error) {
	for {
		batch, err := t.advance()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		t.foretell(len(batch))
		m, err := w.Write(batch)
		n += int64(m)
		t.sent += m
		if err != nil {
			t.state = StateClientGone
			return n, err
		}
	}
}

// foretell books a good end before the last n bytes are written: a client may act on the last event before
// this goroutine runs again, and would find the request still open in the log. A failed write books again.
func (t *turn) foretell(n int) {
	if t.rec == nil || t.next < len(t.a.events) || t.failAt >= 0 {
		return
	}
	now := time.Now()
	t.s.log.update(t.rec, func(r *Record) { r.State, r.BytesSent, r.Ended = StateFinished, t.sent+n, &now })
}

// Read is WriteTo by pieces.
func (t *turn) Read(p []byte) (int, error) {
	for len(t.pending) == 0 {
		var err error
		if t.pending, err = t.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.pending)
	t.pending = t.pending[n:]
	t.sent += n
	return n, nil
}

// Close ends the stream, however far it came.
func (t *turn) Close() error {
	t.s.stats.openStreams.Add(-1)
	t.release()
	return nil
}

// advance waits for the next events to be due and returns them. At the end it returns io.EOF.
func (t *turn) advance() ([]byte, error) {
	if t.next == t.failAt {
		t.failAt = -1
		return t.strike()
	}
	if t.next >= len(t.a.events) {
		t.state = StateFinished
		return nil, io.EOF
	}
	if err := t.pause(t.due()); err != nil {
		t.state = stateOf(err)
		return nil, err
	}
	return t.batch(), nil
}

// due is when the next event is to be sent, counted from the request's arrival.
func (t *turn) due() time.Duration {
	d := t.set.ttft
	if t.next < t.a.preamble {
		d = 0
	} else if t.set.tps > 0 {
		d += time.Duration(float64(t.tokens) / t.set.tps * float64(time.Second))
	}
	if t.set.fault == faultSlow {
		d = max(d, t.set.failDelay)
	}
	return d
}

// batch takes the next event, and those after it that are due as well.
func (t *turn) batch() []byte {
	from := t.at()
	paced := t.set.tps > 0 || t.set.ttft > 0
	elapsed := time.Duration(0)
	if paced {
		elapsed = time.Since(t.start)
	}
	for {
		e := t.a.events[t.next]
		t.next++
		t.tokens += e.tokens
		if t.next == len(t.a.events) || t.next == t.failAt || t.set.flushEach || e.end-from >= batchBytes ||
			paced && t.due() > elapsed {
			return t.buf[from:e.end]
		}
	}
}

// at is the offset of the next event in the body.
func (t *turn) at() int {
	if t.next == 0 {
		return 0
	}
	return t.a.events[t.next-1].end
}

// lastSent is the event before the next one, empty if there is none.
func (t *turn) lastSent() []byte {
	if t.next < 2 {
		return t.buf[:t.at()]
	}
	return t.buf[t.a.events[t.next-2].end:t.at()]
}

// strike does what the fault in mid-stream does.
func (t *turn) strike() ([]byte, error) {
	switch t.set.fault {
	case faultCut:
		t.state = StateCut
		return nil, errCut
	case faultStall:
		err := t.s.waiters.wait(t.conn, time.Time{})
		t.state = stateOf(err)
		return nil, err
	case faultMalformed:
		return appendBroken(nil, t.lastSent()), nil
	case faultErrorMid:
		failed := t.d.appendStreamError(nil, t.buf[:t.at()], t.filled(t.d.manners().faults[faultError200]))
		t.next = len(t.a.events)
		return failed, nil
	}
	t.state = StateFinished
	return nil, io.EOF // cut-clean
}
