package upstream

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// burst is after how many bytes AppendAvailable reads no further. With what one read brings it is a relay's buffer and a
// half: more would be held for each client that reads slowly.
const burst = 8 << 10

// Call is one attempt. The zero value is ready; after Close it may be given to Do again, for the next attempt of
// the same request, and after Reset it serves another request. One goroutine owns it; only Abort may come from
// others. It must not be copied.
type Call struct {
	mu      sync.Mutex // guards conn and cancel against Abort; only the owner changes them
	conn    *conn
	cancel  context.CancelFunc // while dialling
	aborted atomic.Bool        // the attempt is to fail
	left    atomic.Bool        // Abort was called
	linked  *Call              // a second attempt, which Abort ends, too

	endpoint     *Endpoint
	chunkTimeout time.Duration
	quiet        time.Duration // of the wait under way, if it is not to end the call
	silent       time.Time     // since when such waits have brought nothing
	headRequest  bool          // the method is HEAD
	sent         bool          // bytes of the request may have left
	answered     bool          // bytes of an answer have come
	head         head
	body         body
	err          error // what every further read returns
}

// Status is the response's status code, or 0 before one was read.
func (c *Call) Status() int { return c.head.status }

// Header is the value of the first header line called name (in lower case), or nil. It is valid until the next Do
// or Reset.
func (c *Call) Header(name string) []byte { return c.head.get(name) }

// Headers yields the response's header lines, hop-by-hop ones included, as they came. For use with range.
func (c *Call) Headers(yield func(name, value []byte) bool) { c.head.all(yield) }

// ContentLength is the body's length in bytes as the head tells it, or -1.
func (c *Call) ContentLength() int64 { return c.head.length }

// ContentType is the value of content-type, valid as Header's is.
func (c *Call) ContentType() []byte { return c.head.at(c.head.ctype) }

// Encoded reports that the body came in a content-encoding although none was asked for. AppendAll decodes gzip;
// the other readers refuse such a body with ErrProtocol.
func (c *Call) Encoded() bool { return c.head.coding != span{} }

// Wait blocks until at least one byte of the body can be had without blocking. It returns io.EOF at the body's end.
// While it blocks the call holds no buffer.
func (c *Call) Wait() error {
	if err := c.refuseEncoded(); err != nil {
		return err
	}
	_, err := c.await()
	return err
}

// WaitFor is Wait for so long at most, 0 for ever: then it returns ErrQuiet, the call is as good as before, and the chunk
// timeout still counts from the last byte that came.
func (c *Call) WaitFor(d time.Duration) error {
	c.quiet = d
	err := c.Wait()
	c.quiet = 0
	return err
}

// refuseEncoded fails the call if its body is encoded.
func (c *Call) refuseEncoded() error {
	if c.err == nil && c.Encoded() && !c.body.done() {
		c.err = c.failNet(PhaseBody, violation("a content-encoding that was not asked for"))
		return c.err
	}
	return nil
}

// AppendAvailable appends what can be had of the body without blocking, which may be nothing, up to about 64 KB.
// What was appended is good even if there is an error; io.EOF tells that it was the last.
func (c *Call) AppendAvailable(dst []byte) ([]byte, error) {
	if err := c.refuseEncoded(); err != nil {
		return dst, err
	}
	return c.appendNow(dst, burst)
}

// Read reads what is there already, up to len(p), or waits for bytes.
func (c *Call) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, c.err
	}
	if err := c.Wait(); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		payload, err := c.payload()
		if err != nil || len(payload) == 0 {
			break // an error shows at the next read
		}
		k := copy(p[n:], payload)
		c.consume(k)
		n += k
	}
	return n, nil
}

// AppendAll appends the whole rest of the body, decoded if it is gzip, up to max bytes; a longer body is
// ErrBodyTooLarge. What was appended before an error is a part of the body.
func (c *Call) AppendAll(dst []byte, max int) ([]byte, error) {
	if c.err == nil && c.Encoded() && !c.body.done() {
		return c.gunzip(dst, max)
	}
	if c.body.frame == frameLength {
		return c.appendLength(dst, max)
	}
	from := len(dst)
	for {
		var err error
		if dst, err = c.appendNow(dst, max+1); err == nil {
			_, err = c.await()
		}
		if len(dst)-from > max {
			return dst[:from+max], ErrBodyTooLarge
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
	}
}

// appendLength is AppendAll for a body whose length is known: its bytes go straight to where they belong.
func (c *Call) appendLength(dst []byte, max int) ([]byte, error) {
	if c.body.left > int64(max) {
		return dst, ErrBodyTooLarge
	}
	dst = slices.Grow(dst, int(c.body.left))
	for {
		payload, err := c.payload()
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return dst, err
		}
		if n := len(payload); n > 0 {
			dst = append(dst, payload...)
			c.consume(n)
			continue
		}
		n := len(dst)
		m, err := c.fillInto(dst[n : n+int(c.body.left)])
		if err != nil {
			return dst, err
		}
		dst = dst[:n+m]
		c.body.take(m)
	}
}

// appendNow appends what can be had without blocking; it stops once limit bytes were appended.
func (c *Call) appendNow(dst []byte, limit int) ([]byte, error) {
	from := len(dst)
	for {
		payload, err := c.payload()
		if err != nil {
			return dst, err
		}
		if n := len(payload); n > 0 {
			dst = append(dst, payload...)
			c.consume(n)
			continue
		}
		if !c.conn.full || len(dst)-from >= limit {
			return dst, nil
		}
		if err := c.conn.fillNow(); err != nil {
			if err == errAgain {
				c.conn.full = false
				return dst, nil
			}
			return dst, c.ended(err)
		}
	}
}

// await returns payload that can be consumed, waiting for it if it must.
func (c *Call) await() ([]byte, error) {
	for {
		payload, err := c.payload()
		if err != nil || len(payload) > 0 {
			return payload, err
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// payload is the payload that is here already; it may be empty.
func (c *Call) payload() ([]byte, error) {
	if c.err != nil {
		return nil, c.err
	}
	if c.conn == nil {
		return nil, io.ErrClosedPipe
	}
	b := c.conn.unread()
	skip, n, err := c.body.next(b)
	if err != nil {
		c.err = c.failNet(PhaseBody, err)
		return nil, c.err
	}
	payload := b[skip : skip+n]
	c.conn.discard(skip)
	if n == 0 && c.body.done() {
		c.err = io.EOF
	}
	return payload, c.err
}

func (c *Call) consume(n int) {
	c.body.take(n)
	c.conn.discard(n)
}

// fill waits for raw bytes.
func (c *Call) fill() error {
	err := c.setTimeout()
	if err == nil {
		err = c.conn.fill()
	}
	switch {
	case err == nil:
		c.silent = time.Time{}
		return nil
	case c.quiet > 0 && errors.Is(err, os.ErrDeadlineExceeded) && (c.chunkTimeout <= 0 || time.Since(c.silent) < c.chunkTimeout):
		return ErrQuiet
	}
	return c.ended(err)
}

// fillInto waits for bytes that are all payload and reads them into p.
func (c *Call) fillInto(p []byte) (int, error) {
	err := c.setTimeout()
	n := 0
	if err == nil {
		n, err = c.conn.fillInto(p)
	}
	if err != nil {
		return 0, c.ended(err)
	}
	return n, nil
}

// setTimeout allows the next wait as long as ChunkTimeout says.
func (c *Call) setTimeout() error {
	var deadline time.Time
	if c.chunkTimeout > 0 {
		deadline = time.Now().Add(c.chunkTimeout)
	}
	if c.quiet > 0 {
		now := time.Now()
		if c.silent.IsZero() {
			c.silent = now
		}
		soon := now.Add(c.quiet)
		if deadline = c.silent.Add(c.chunkTimeout); c.chunkTimeout <= 0 || soon.Before(deadline) {
			deadline = soon
		}
	}
	return c.conn.tcp.SetDeadline(deadline)
}

// ended remembers what a failed read of the body means: for a body that ends with its connection, its end.
func (c *Call) ended(err error) error {
	if err == io.EOF {
		if err = c.body.end(); err == nil {
			c.head.keep = false
			c.err = io.EOF
			return c.err
		}
	}
	c.err = c.failNet(PhaseBody, err)
	return c.err
}

// Abort makes the attempt fail with ErrAborted and closes its socket. Any goroutine may call it, at any time and
// more than once: before Do, in every phase of it, during a read, and after Close, when it touches no connection.
// It holds until Reset.
func (c *Call) Abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left.Store(true)
	c.cut()
	if c.linked != nil {
		c.linked.Abort()
	}
}

// cut is called with mu held.
func (c *Call) cut() {
	c.aborted.Store(true)
	if c.cancel != nil {
		c.cancel()
	}
	if c.conn != nil {
		c.conn.close()
	}
}

// Aborted reports whether Abort was called since the last Reset.
func (c *Call) Aborted() bool { return c.left.Load() }

// Close ends the attempt. The connection goes back to the pool if the body was read to its end, or if all that is
// missing has arrived already, and it may be used again; else it is closed, which tells the provider to stop.
// The response head stays readable. Closing twice is allowed.
func (c *Call) Close() {
	if c.conn == nil {
		return
	}
	reusable := c.atRest()
	cn := c.detach()
	if reusable && !c.aborted.Load() {
		c.endpoint.pool.put(cn)
		return
	}
	cn.free()
	c.endpoint.pool.drop()
}

// atRest reports whether the connection can carry another request. A relay stops at a stream's last event, before
// the last chunk: what is left of the framing is taken if it is here.
func (c *Call) atRest() bool {
	if !c.head.keep || c.err != nil && c.err != io.EOF {
		return false
	}
	if payload, _ := c.payload(); len(payload) == 0 && c.err == nil && c.conn.fillNow() == nil {
		_, _ = c.payload()
	}
	return c.err == io.EOF && len(c.conn.unread()) == 0
}

// Reset makes the call ready for another request. It must not run beside Abort.
func (c *Call) Reset() {
	c.Close()
	c.begin(nil, &Request{})
	c.aborted.Store(false)
	c.left.Store(false)
}

// begin forgets the previous attempt, but not an Abort.
func (c *Call) begin(e *Endpoint, req *Request) {
	c.endpoint = e
	c.chunkTimeout, c.silent = req.ChunkTimeout, time.Time{}
	c.headRequest = string(req.Method) == "HEAD"
	c.sent, c.answered = false, false
	c.head.reset()
	c.body = body{}
	c.err = nil
}

// attach lends cn to the call, unless the call is aborted; Abort reaches cn from here on.
func (c *Call) attach(cn *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = cn
	return !c.aborted.Load()
}

// detach takes the connection away: Abort cannot reach it any more.
func (c *Call) detach() *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	cn := c.conn
	c.conn = nil
	return cn
}

// hangUp closes a connection that turned out to be stale and keeps its place in the pool: nothing was sent.
func (c *Call) hangUp() {
	c.detach().free()
	c.head.reset()
	c.sent = false
}

// failNet is fail with the kind that cause tells.
func (c *Call) failNet(phase Phase, cause error) error { return c.fail(phase, kindOf(cause), cause) }

func (c *Call) fail(phase Phase, kind, cause error) error {
	if c.aborted.Load() {
		kind, cause = ErrAborted, nil
	}
	return &Error{Kind: kind, Phase: phase, Sent: c.sent, Endpoint: c.endpoint.name, Cause: cause}
}
