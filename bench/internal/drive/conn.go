package drive

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// conn is one connection and the answer it waits for.
type conn struct {
	id    int32
	fd    int
	busy  bool
	begun int64 // the request's intended time
	first bool  // the body's first byte has come
	out   []byte
	resp  response
}

func (c *conn) hangUp() {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // also takes it out of the epoll set
	}
	c.fd = -1
}

func (e *engine) connect(c *conn) error {
	family, to := address(e.addr)
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot open a socket: %w", err)
	}
	c.fd = fd
	err = unix.Connect(fd, to)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	}
	if err == nil {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: c.id}
		err = unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, fd, &ev)
	}
	if err != nil {
		c.hangUp()
		return fmt.Errorf("cannot connect to %s: %w", e.addr, err)
	}
	return nil
}

func address(a netip.AddrPort) (family int, to unix.Sockaddr) {
	if ip := a.Addr().Unmap(); ip.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: ip.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// send writes the next request; what the socket does not take at once waits for it to become writable.
func (e *engine) send(c *conn, at int64) {
	c.busy, c.begun, c.first = true, at, false
	c.resp.reset()
	if e.inFlight == 0 {
		e.progress = e.now()
	}
	e.inFlight++
	p := e.req.with(e.o.IDs())
	n, err := unix.Write(c.fd, p)
	if err != nil && !temporary(err) {
		e.fail(c, "write")
		return
	}
	if n = max(n, 0); n < len(p) {
		c.out = append(c.out[:0], p[n:]...)
		e.listen(c, unix.EPOLLIN|unix.EPOLLOUT)
	}
}

func (e *engine) flush(c *conn) {
	n, err := unix.Write(c.fd, c.out)
	if err != nil && !temporary(err) {
		e.fail(c, "write")
		return
	}
	c.out = c.out[:copy(c.out, c.out[max(n, 0):])]
	if len(c.out) == 0 {
		e.listen(c, unix.EPOLLIN)
	}
}

func (e *engine) listen(c *conn, events uint32) {
	ev := unix.EpollEvent{Events: events, Fd: c.id}
	_ = unix.EpollCtl(e.epoll, unix.EPOLL_CTL_MOD, c.fd, &ev) // the descriptor is in the set
}

// service handles what epoll reported for a connection.
func (e *engine) service(c *conn, ready uint32) {
	if ready&unix.EPOLLOUT != 0 && len(c.out) > 0 {
		e.flush(c)
	}
	if ready&^unix.EPOLLOUT == 0 || c.fd < 0 {
		return
	}
	n, err := unix.Read(c.fd, e.buf)
	if temporary(err) {
		return
	}
	switch {
	case !c.busy:
		e.reopen(c) // an idle connection was closed by its server
	case err != nil:
		e.fail(c, "reset")
	case n == 0:
		e.ended(c, c.resp.eof())
	default:
		e.received(c, e.buf[:n])
	}
}

func (e *engine) received(c *conn, p []byte) {
	now := e.now()
	e.progress = now
	e.bytes += uint64(len(p))
	if err := c.resp.feed(p, e.start.UnixNano()+now); err != nil {
		e.ended(c, err)
		return
	}
	if !c.first && c.resp.body > 0 {
		c.first = true
		if c.resp.sse {
			e.ttfb.Add(now - c.begun)
		}
	}
	if c.resp.phase == complete {
		e.ended(c, nil)
	}
}

// ended counts an answer that came whole or broke.
func (e *engine) ended(c *conn, err error) {
	switch {
	case errors.Is(err, errTruncated):
		e.fail(c, "truncated")
		return
	case err != nil:
		e.fail(c, "malformed")
		return
	}
	e.count(c)
	if c.resp.close {
		e.reopen(c)
	}
	e.rest(c)
}

func (e *engine) count(c *conn) {
	now := e.now()
	e.last = now
	e.requests++
	e.latency.Add(now - c.begun)
	r := &c.resp
	e.status[r.status]++
	e.events += uint64(r.events.n)
	if len(r.cache) > 0 {
		e.cache[string(r.cache)]++
	}
	switch {
	case r.status >= 400:
		e.errs["status"]++
	case e.o.Stream && !r.sse:
		e.errs["not-a-stream"]++
	case r.sse && r.events.failed:
		e.errs["error-event"]++
	case r.sse && !r.events.done:
		e.errs["incomplete-stream"]++
	case r.sse:
		e.complete++
	}
}

// fail counts a request without an answer and gives its connection a new socket.
func (e *engine) fail(c *conn, kind string) {
	e.last = e.now()
	e.errs[kind]++
	e.reopen(c)
	e.rest(c)
}

// rest makes a connection idle whose request has been counted.
func (e *engine) rest(c *conn) {
	c.busy = false
	e.inFlight--
	if c.fd >= 0 {
		e.idle = append(e.idle, c)
	}
}

// reopen replaces a connection's socket; if that fails, the connection stays without one.
func (e *engine) reopen(c *conn) {
	c.hangUp()
	c.out = c.out[:0]
	e.reconnects++
	if err := e.connect(c); err != nil {
		e.errs["connect"]++
	}
}

func temporary(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }
