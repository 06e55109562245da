package downstream

import (
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// defaultWriteTimeout is how long a client may take no bytes before its connection is closed.
const defaultWriteTimeout = 30 * time.Second

// Listener wraps every connection it accepts in a *Conn.
type Listener struct {
	net.Listener
	// WriteTimeout is how long a client may take no bytes before its connection is closed; 0 means for ever. It
	// is 30s unless changed before the first Accept.
	WriteTimeout time.Duration

	conns atomic.Int64
	ids   atomic.Uint32
}

// Listen wraps a listener of plain sockets. TLS goes on top of it: tls.NewListener(Listen(l), …).
func Listen(l net.Listener) *Listener {
	return &Listener{Listener: l, WriteTimeout: defaultWriteTimeout}
}

// Accept waits for the next connection; it is a *Conn.
func (l *Listener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: nc, listener: l, timeout: l.WriteTimeout, id: l.ids.Add(1), fd: -1}
	if sc, ok := nc.(syscall.Conn); ok {
		c.prepareProbe(sc)
	}
	l.conns.Add(1)
	return c, nil
}

// Conns is how many accepted connections are open.
func (l *Listener) Conns() int { return int(l.conns.Load()) }

// From finds the *Conn beneath c, which may be TLS; it is nil if a Listener did not accept c.
func From(c net.Conn) *Conn {
	for c != nil {
		if dc, ok := c.(*Conn); ok {
			return dc
		}
		u, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = u.NetConn()
	}
	return nil
}
