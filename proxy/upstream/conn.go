package upstream

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bufferSize is what one read takes from a socket, and what a joined request may measure, in bytes.
const bufferSize = 32 << 10

type buffer [bufferSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// conn is a connection that reads without holding a buffer while it waits: each attempt to read borrows one and
// gives it back if the socket has nothing to say.
type conn struct {
	tcp net.Conn
	raw syscall.RawConn
	tls *tls.Conn // nil for http

	buf  *buffer // nil while no unread bytes are here
	r, w int     // buf[r:w] is unread
	full bool    // the last read filled the buffer: more is likely to be waiting

	idleSince time.Time
	vec       net.Buffers
	vecMem    [2][]byte

	// The read attempt's arguments and results; the functions are made once, at the dial.
	into []byte // where to read; nil means into a buffer of the pool
	fd   int    // of the attempt that is running, else -1
	n    int
	err  error
	wait func(fd uintptr) bool
	once func(fd uintptr)
}

func newConn(nc net.Conn) (*conn, error) {
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return nil, err
	}
	cn := &conn{tcp: nc, raw: raw, fd: -1}
	cn.wait = cn.attempt
	cn.once = func(fd uintptr) {
		if !cn.attempt(fd) {
			cn.err = errAgain
		}
	}
	return cn, nil
}

// fill waits until the socket is readable and reads once, into a buffer. It must be called with no unread bytes.
func (cn *conn) fill() error {
	if err := cn.raw.Read(cn.wait); err != nil {
		return err
	}
	return cn.err
}

// fillInto is fill into p.
func (cn *conn) fillInto(p []byte) (int, error) {
	cn.into = p
	err := cn.fill()
	cn.into = nil
	if err != nil {
		return 0, err
	}
	return cn.n, nil
}

// fillNow reads what the socket has, or returns errAgain.
func (cn *conn) fillNow() error {
	if err := cn.raw.Control(cn.once); err != nil {
		return err
	}
	return cn.err
}

// attempt reads once without blocking; false means that there was nothing to read. The runtime parks the
// goroutine then, with no buffer in its hands.
func (cn *conn) attempt(fd uintptr) bool {
	if cn.into != nil {
		cn.n, cn.err = cn.readNow(int(fd), cn.into)
		return cn.err != errAgain
	}
	b := buffers.Get().(*buffer)
	n, err := cn.readNow(int(fd), b[:])
	cn.err = err
	if n == 0 {
		buffers.Put(b)
		return err != errAgain
	}
	cn.buf, cn.r, cn.w = b, 0, n
	// A TLS read ends at its record's end, whatever else has arrived.
	cn.full = n == len(b) || cn.tls != nil
	return true
}

// readNow reads once. Bytes come without an error: that is told by the next attempt.
func (cn *conn) readNow(fd int, p []byte) (n int, err error) {
	if cn.tls == nil {
		return readSocket(fd, p)
	}
	cn.fd = fd
	n, err = cn.tls.Read(p)
	cn.fd = -1
	if n > 0 {
		err = nil
	}
	return n, err
}

// alive reports whether an idle connection may carry another request: nothing has been said on it. A FIN, a
// reset, and bytes that nobody asked for (a late 408, an attempt to answer the next request) all end it.
func (cn *conn) alive() bool { return cn.fillNow() == errAgain }

func (cn *conn) unread() []byte {
	if cn.buf == nil {
		return nil
	}
	return cn.buf[cn.r:cn.w]
}

// discard drops n unread bytes, and the buffer with the last of them.
func (cn *conn) discard(n int) {
	if cn.r += n; cn.r == cn.w && cn.buf != nil {
		buffers.Put(cn.buf)
		cn.buf = nil
	}
}

// write sends head and body, in one system call where the connection allows it.
func (cn *conn) write(head, body []byte) error {
	if cn.tls != nil {
		_, err := cn.tls.Write(head)
		if err == nil && len(body) > 0 {
			_, err = cn.tls.Write(body)
		}
		return err
	}
	if len(body) == 0 {
		_, err := cn.tcp.Write(head)
		return err
	}
	cn.vecMem = [2][]byte{head, body}
	cn.vec = cn.vecMem[:]
	_, err := cn.vec.WriteTo(cn.tcp)
	cn.vecMem = [2][]byte{}
	return err
}

// close ends the connection at once. It may be called while another goroutine reads or writes.
func (cn *conn) close() { cn.tcp.Close() }

// free closes the connection and gives its buffer back; for the owner only.
func (cn *conn) free() {
	cn.discard(cn.w - cn.r)
	cn.close()
}

// transport is the connection beneath TLS. During a read attempt it never blocks.
type transport struct {
	net.Conn
	cn *conn
}

func (t transport) Read(p []byte) (int, error) {
	if t.cn.fd < 0 {
		return t.Conn.Read(p)
	}
	return readSocket(t.cn.fd, p)
}

// readSocket reads what a socket has, or returns errAgain.
func readSocket(fd int, p []byte) (int, error) {
	for {
		n, err := unix.Read(fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return 0, errAgain
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// errAgain says that a socket has nothing to read now. It is a temporary net.Error because crypto/tls keeps its
// state after those, and after no others.
var errAgain error = againError{}

type againError struct{}

func (againError) Error() string   { return "nothing to read yet" }
func (againError) Timeout() bool   { return true }
func (againError) Temporary() bool { return true }
