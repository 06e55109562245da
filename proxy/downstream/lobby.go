package downstream

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// ErrFull is reported when as many connections are open as there may be.
var ErrFull = errors.New("as many connections are open as there may be")

// Lobby is a listener whose connections wait in it until their clients have sent something, so that a server has buffers
// only for clients that speak. It outlives what may go wrong with accepting, such as a process's having too many open files.
type Lobby struct {
	Patience time.Duration // how long a client may take for its first byte
	MaxConns int           // open at once, those that were accepted included; further ones wait in the system's queue
	Report   func(error)   // told why no connection is taken, every ten seconds; may be nil

	from   *Listener
	start  sync.Once
	ready  chan *Conn
	shut   chan struct{} // closed by Close
	ended  chan struct{} // closed by End
	broken chan struct{} // closed when no connection can be taken any more, for err
	err    error

	mu      sync.Mutex
	waiting map[*Conn]struct{}
	over    bool // End was called
	work    sync.WaitGroup
}

// NewLobby makes a lobby before l. Its fields are set before the first Accept.
func NewLobby(l *Listener) *Lobby {
	return &Lobby{from: l, ready: make(chan *Conn), shut: make(chan struct{}), ended: make(chan struct{}), broken: make(chan struct{}), waiting: map[*Conn]struct{}{}}
}

// Accept waits for the next connection whose client has sent something, until End; it is a *Conn.
func (l *Lobby) Accept() (net.Conn, error) {
	l.start.Do(func() { l.goWhileOpen(l.acceptAll) })
	runtime.Gosched() // those that were accepted before go first: a burst is served with few goroutines and buffers
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.broken:
		return nil, l.err
	case <-l.ended:
		return nil, net.ErrClosed
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Addr is the address that is listened on.
func (l *Lobby) Addr() net.Addr { return l.from.Addr() }

// Close takes no further connections. Those that wait may still say something, and be accepted, until End. It may be called
// more than once.
func (l *Lobby) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isClosed(l.shut) {
		return nil
	}
	close(l.shut)
	return l.from.Close()
}

// End closes the lobby and the connections that wait, ends Accept, and returns when nobody works for the lobby any more.
// It may be called more than once.
func (l *Lobby) End() {
	_ = l.Close() // nothing hangs on it any more
	l.mu.Lock()
	if !l.over {
		l.over = true
		close(l.ended)
	}
	for c := range l.waiting {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.work.Wait()
}

// goWhileOpen runs work beside, unless the lobby has ended.
func (l *Lobby) goWhileOpen(work func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over {
		l.work.Go(work)
	}
	return !l.over
}

// How long to wait before another attempt to accept a connection, and before another report.
const (
	leastPause  = 5 * time.Millisecond
	mostPause   = 500 * time.Millisecond
	reportEvery = 10 * time.Second
)

func (l *Lobby) acceptAll() {
	var pause time.Duration
	var reported time.Time
	for {
		c, err := l.acceptOne()
		switch {
		case err == nil:
			pause = 0
			if !l.goWhileOpen(func() { l.await(c) }) {
				_ = c.Close()
				return
			}
			continue
		case isClosed(l.shut):
			return
		case isDead(err):
			l.err = err
			close(l.broken)
			return
		case l.Report != nil && time.Since(reported) > reportEvery:
			reported = time.Now()
			l.Report(err)
		}
		pause = min(max(2*pause, leastPause), mostPause)
		select {
		case <-time.After(pause):
		case <-l.shut:
		}
	}
}

// isDead says that a listener will never accept again, by what accept failed with.
func isDead(err error) bool {
	for _, e := range [...]error{net.ErrClosed, syscall.EBADF, syscall.EINVAL, syscall.ENOTSOCK, syscall.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (l *Lobby) acceptOne() (*Conn, error) {
	if l.from.Conns() >= l.MaxConns {
		return nil, ErrFull
	}
	c, err := l.from.Accept()
	if err != nil {
		return nil, err
	}
	return c.(*Conn), nil
}

// await hands c on once its client has sent something.
func (l *Lobby) await(c *Conn) {
	l.mu.Lock()
	l.waiting[c] = struct{}{}
	over := l.over
	l.mu.Unlock()
	err := net.ErrClosed
	if !over {
		err = c.Await(l.Patience)
	}
	l.mu.Lock()
	delete(l.waiting, c)
	l.mu.Unlock()
	if err == nil {
		select {
		case l.ready <- c:
			return
		case <-l.ended:
		}
	}
	_ = c.Close() // it may be closed
}
