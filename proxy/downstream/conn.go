package downstream

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// maxCork is how many bytes a corked connection holds back at most; what does not fit is written through.
const maxCork = 64 << 10

// corks are buffers of up to maxCork bytes, lent to connections that are corked and have something to hold back.
var corks = sync.Pool{New: func() any { b := make([]byte, 0, 8<<10); return &b }}

// Conn is a client's connection. One goroutine at a time reads and writes it; Close may come from any.
type Conn struct {
	net.Conn
	listener *Listener
	id       uint32 // spreads connections over a Watcher
	closed   atomic.Bool
	lingers  atomic.Bool

	peer     string // the client's IP address, once asked for
	timeout  time.Duration
	deadline atomic.Int64 // the write deadline that is set, if it is the connection's own: Unix time in ns; 0: another one, or none

	mu     sync.Mutex // guards corked and cork against Close, and the read deadline against who wakes a Read
	corked bool
	cork   *[]byte // nil while nothing is held back

	reading   bool
	readUntil time.Time // the read deadline that was asked for
	readSet   time.Time // the one that is set
	readSlack time.Duration

	// The probe is made once, at the accept. fd names the socket to poll; only what probe finds is believed,
	// because a number may be somebody else's once the connection is closed.
	raw   syscall.RawConn
	fd    int32
	probe func(fd uintptr)
	left  bool

	then atomic.Pointer[func()] // what is called when the server is done with the connection
	done atomic.Int32           // how often the server has said so
	dead atomic.Bool            // a write failed
	one  [1]byte

	// What was read ahead of the server, or given back by it.
	rest     []byte
	restOf   *[]byte // of corks, or nil
	restErr  error
	readRest func(fd uintptr) bool // tryRest, made at the first Await
}

// errDetached is what a connection reads while it is being handed over.
var errDetached = errors.New("the connection is being handed over")

// Detach takes the connection from the server that serves it. then is called once the server is done with it, which is when
// Close, which has no effect until then, and Released have been called, or one of them twice.
func (c *Conn) Detach(then func()) {
	c.done.Store(0)
	c.then.Store(&then)
}

// Released says that the server will not touch the connection any more, but may still close it.
func (c *Conn) Released() { c.letGo() }

// letGo says whether the connection is detached.
func (c *Conn) letGo() bool {
	then := c.then.Load()
	if then == nil {
		return false
	}
	if c.done.Add(1) == 2 && c.then.CompareAndSwap(then, nil) {
		(*then)()
	}
	return true
}

// Await waits for another request, and reads its beginning. It holds no buffer while it waits.
func (c *Conn) Await(within time.Duration) error {
	if len(c.rest) > 0 {
		return nil
	}
	if err := c.Uncork(); err != nil {
		return err
	}
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	if err := c.beginRead(); err != nil {
		return err
	}
	defer c.endRead()
	if c.raw == nil {
		n, err := c.Conn.Read(c.one[:])
		c.rest = append(c.rest, c.one[:n]...)
		return err
	}
	if c.readRest == nil {
		c.readRest = c.tryRest
	}
	if err := c.raw.Read(c.readRest); err != nil {
		return err
	}
	return c.restErr
}

// tryRest reads what has come into a buffer of the pool. It returns false if nothing has.
func (c *Conn) tryRest(fd uintptr) bool {
	b := corks.Get().(*[]byte)
	var n int
	for {
		n, c.restErr = syscall.Read(int(fd), (*b)[:cap(*b)])
		if c.restErr != syscall.EINTR {
			break
		}
	}
	switch {
	case c.restErr == nil && n > 0:
		*b = (*b)[:n]
		c.rest, c.restOf = *b, b
		return true
	case c.restErr == nil:
		c.restErr = io.EOF
	}
	corks.Put(b)
	return c.restErr != syscall.EAGAIN
}

// takeRest reads from what was read before.
func (c *Conn) takeRest(p []byte) int {
	n := copy(p, c.rest)
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
		if c.restOf != nil {
			recycle(c.restOf)
			c.restOf = nil
		}
	}
	return n
}

// Unread gives back what a detached connection's server has read of the next request.
func (c *Conn) Unread(from io.Reader) {
	var back []byte
	for {
		n, err := from.Read(c.one[:])
		back = append(back, c.one[:n]...)
		if err != nil { // errDetached, once the server's buffer is empty
			break
		}
	}
	if len(back) > 0 {
		back = append(back, c.rest...) // which the server has not come to
		c.takeRest(c.rest)
		c.rest = back
	}
}

// PeerIP is the client's IP address as text.
func (c *Conn) PeerIP() string {
	if c.peer == "" {
		if c.peer = c.RemoteAddr().String(); c.peer != "" {
			if host, _, err := net.SplitHostPort(c.peer); err == nil {
				c.peer = host
			}
		}
	}
	return c.peer
}

// NetConn is the connection beneath.
func (c *Conn) NetConn() net.Conn { return c.Conn }

// Cork holds back what is written from here on, until Uncork, the next Read, or Close. The server writes a burst
// of chunks in many small pieces; between Cork and Uncork they become one system call.
func (c *Conn) Cork() {
	c.mu.Lock()
	c.corked = true
	c.mu.Unlock()
}

// Uncork writes what was held back, in one system call, and ends the holding back. While uncorked, and while
// nothing is held back, the connection owns no buffer.
func (c *Conn) Uncork() error { return c.flush(c.release()) }

// release takes what was held back away from the connection; it may be nil.
func (c *Conn) release() *[]byte {
	c.mu.Lock()
	b := c.cork
	c.corked, c.cork = false, nil
	c.mu.Unlock()
	return b
}

// Write writes p, or holds it back while the connection is corked. A client that takes no bytes for WriteTimeout
// makes it fail, at the latest after three times as long. Any failure closes the connection: an answer with a hole
// in it must not go on.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	held := c.cork
	if c.corked && len(p) <= maxCork {
		if held == nil || len(*held)+len(p) <= maxCork {
			c.hold(p)
			c.mu.Unlock()
			return len(p), nil
		}
	}
	c.cork = nil
	c.mu.Unlock()
	if err := c.flush(held); err != nil {
		return 0, err
	}
	return c.write(p)
}

// Chunks writes each part as a chunk of HTTP/1.1.
func (c *Conn) Chunks() io.Writer { return (*chunks)(c) }

// EndChunks writes the last chunk.
func (c *Conn) EndChunks() error {
	_, err := c.Write(lastChunk)
	return err
}

var (
	lastChunk = []byte("0\r\n\r\n")
	crlf      = []byte("\r\n")
)

// chunks is a connection as Chunks sees it.
type chunks Conn

// chunkFrame is more than stands around a chunk, in bytes.
const chunkFrame = 24

// Write is part of io.Writer.
func (w *chunks) Write(p []byte) (int, error) {
	if len(p) == 0 { // which would be the end
		return 0, nil
	}
	c := (*Conn)(w)
	c.mu.Lock()
	if c.corked && (c.cork == nil || len(*c.cork)+len(p)+chunkFrame <= maxCork) && len(p)+chunkFrame <= maxCork {
		if c.cork == nil {
			c.cork = corks.Get().(*[]byte)
		}
		b := append(strconv.AppendUint(*c.cork, uint64(len(p)), 16), crlf...)
		*c.cork = append(append(b, p...), crlf...)
		c.mu.Unlock()
		return len(p), nil
	}
	c.mu.Unlock()
	if _, err := c.Write(append(strconv.AppendUint(nil, uint64(len(p)), 16), crlf...)); err != nil {
		return 0, err
	}
	if n, err := c.Write(p); err != nil {
		return n, err
	}
	_, err := c.Write(crlf)
	return len(p), err
}

// hold is called with mu held.
func (c *Conn) hold(p []byte) {
	if c.cork == nil {
		c.cork = corks.Get().(*[]byte)
	}
	*c.cork = append(*c.cork, p...)
}

// flush writes what was held back and gives its buffer away; b may be nil.
func (c *Conn) flush(b *[]byte) error {
	if b == nil {
		return nil
	}
	_, err := c.write(*b)
	recycle(b)
	return err
}

func recycle(b *[]byte) {
	*b = (*b)[:0]
	corks.Put(b)
}

// write writes all of p. The deadline bounds the wait for progress, not the whole: it starts anew when a part of p
// was taken.
func (c *Conn) write(p []byte) (int, error) {
	total := 0
	if c.dead.Load() { // there would be a hole
		return 0, c.broken(net.ErrClosed)
	}
	for {
		if err := c.extend(); err != nil {
			return total, c.broken(err)
		}
		n, err := c.Conn.Write(p[total:])
		total += n
		switch {
		case err == nil:
			return total, nil
		case n > 0 && c.timeout > 0 && errors.Is(err, os.ErrDeadlineExceeded):
			c.deadline.Store(0)
		default:
			return total, c.broken(err)
		}
	}
}

func (c *Conn) broken(err error) error {
	c.dead.Store(true)
	_ = c.Close()
	return err
}

// extend renews the write deadline once it is nearer than the timeout; it is set half as far again, so that a
// stream of small writes renews it seldom.
func (c *Conn) extend() error {
	if c.timeout <= 0 {
		return nil
	}
	now := time.Now()
	if time.Duration(c.deadline.Load()-now.UnixNano()) >= c.timeout {
		return nil
	}
	until := now.Add(c.timeout + c.timeout/2)
	c.deadline.Store(until.UnixNano())
	return c.Conn.SetWriteDeadline(until)
}

// Read reads from the client; what is held back is written first, because a client may be waiting for it.
func (c *Conn) Read(p []byte) (int, error) {
	if c.then.Load() != nil {
		return 0, errDetached
	}
	if len(c.rest) > 0 {
		return c.takeRest(p), nil
	}
	if err := c.Uncork(); err != nil {
		return 0, err
	}
	if err := c.beginRead(); err != nil {
		return 0, err
	}
	defer c.endRead()
	return c.Conn.Read(p)
}

func (c *Conn) endRead() {
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
}

func (c *Conn) beginRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = true
	return c.setReadDeadline()
}

// SetReadDeadline bounds the Read under way, or the next one. The server moves the deadline twice a request, mostly
// with the next request already in its buffer: a deadline that no Read meets is never set, and one that moves on by
// less than a sixty-fourth of its distance stays where it is, so a Read may end by that much too early.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readUntil = t
	if !c.reading {
		return nil
	}
	return c.setReadDeadline()
}

// setReadDeadline is called with mu held.
func (c *Conn) setReadDeadline() error {
	if moved := c.readUntil.Sub(c.readSet); c.readUntil.IsZero() == c.readSet.IsZero() && moved >= 0 && moved <= c.readSlack {
		return nil
	}
	c.readSet, c.readSlack = c.readUntil, 0
	if !c.readSet.IsZero() {
		c.readSlack = max(0, time.Until(c.readSet)/64)
	}
	return c.Conn.SetReadDeadline(c.readSet)
}

// SetDeadline sets both deadlines; the next Write replaces the one for writing unless WriteTimeout is 0.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetWriteDeadline sets a deadline that the next Write replaces unless WriteTimeout is 0.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.deadline.Store(0)
	return c.Conn.SetWriteDeadline(t)
}

// Close writes what is held back, if the client takes it at once, and closes the connection.
func (c *Conn) Close() error {
	if c.letGo() {
		return nil
	}
	if !c.closed.CompareAndSwap(false, true) {
		return net.ErrClosed
	}
	defer c.listener.conns.Add(-1)
	if b := c.release(); b != nil {
		// The writer's deadline is not touched: Close may run beside it.
		_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		_, _ = c.Conn.Write(*b)
		recycle(b)
	}
	if c.lingers.Load() {
		c.linger()
	}
	return c.Conn.Close()
}

// Linger makes Close take in what the client still sends, for a moment. It is for answers to requests that were not
// read to their end: a connection that is closed while bytes wait to be read is reset, and the answer may be lost
// with it.
func (c *Conn) Linger() { c.lingers.Store(true) }

func (c *Conn) linger() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && tcp.CloseWrite() == nil && tcp.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.Copy(io.Discard, tcp)
	}
}

// closeTimeout bounds the last write of a connection that is closed while corked.
const closeTimeout = time.Second

// lingerTimeout bounds how long Close takes in what nobody will read.
const lingerTimeout = 2 * time.Second
