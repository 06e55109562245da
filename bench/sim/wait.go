package sim

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	errGone    = errors.New("the client closed the connection")
	errStopped = errors.New("the simulated provider is shutting down")
	errCut     = errors.New("the connection was cut as asked for")
)

// registerFrom is the length from which a wait is ended early by a shutdown; shorter ones just pass.
const registerFrom = 100 * time.Millisecond

// waiters holds the connections whose handlers are waiting, so that a shutdown can wake them.
type waiters struct {
	draining atomic.Bool // waits without an end are over
	stopped  atomic.Bool // all waits are over
	mu       sync.Mutex
	conns    map[net.Conn]time.Time // until when; zero is without an end
}

// wait returns nil at the time until, or earlier errGone when the client closes the connection, or errStopped.
// A zero until waits for one of the two. The handler sleeps in the network poller, so that it notices the
// client's leaving at once and costs no goroutine.
func (w *waiters) wait(c net.Conn, until time.Time) error {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return w.sleep(until)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return errGone
	}
	if !w.arm(c, until) {
		return errStopped
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		gone = hungUp(fd)
		return gone
	})
	w.disarm(c, until)
	switch {
	case gone:
		return errGone
	case w.over(until):
		return errStopped
	case isTimeout(err):
		return nil
	}
	return errGone
}

// over tells whether a shutdown ends a wait until the given time.
func (w *waiters) over(until time.Time) bool {
	return w.stopped.Load() || until.IsZero() && w.draining.Load()
}

// arm sets the deadline that ends the wait, unless it is over already.
func (w *waiters) arm(c net.Conn, until time.Time) bool {
	if !until.IsZero() && time.Until(until) < registerFrom {
		return !w.over(until) && c.SetReadDeadline(until) == nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// Under the lock, or a shutdown's deadline could come before this one and be overwritten.
	if w.over(until) || c.SetReadDeadline(until) != nil {
		return false
	}
	if w.conns == nil {
		w.conns = make(map[net.Conn]time.Time)
	}
	w.conns[c] = until
	return true
}

func (w *waiters) disarm(c net.Conn, until time.Time) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	_ = c.SetReadDeadline(time.Time{}) // fails only on a closed connection, which the next write finds out
}

// drain ends the waits without an end, now and from now on.
func (w *waiters) drain() {
	w.draining.Store(true)
	w.wake(func(until time.Time) bool { return until.IsZero() })
}

// stop ends all waits, now and from now on.
func (w *waiters) stop() {
	w.stopped.Store(true)
	w.wake(func(time.Time) bool { return true })
}

func (w *waiters) wake(which func(until time.Time) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, until := range w.conns {
		if which(until) {
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	}
}

// sleep is wait for a connection that has no socket to watch.
func (w *waiters) sleep(until time.Time) error {
	for until.IsZero() || time.Now().Before(until) {
		if w.over(until) {
			return errStopped
		}
		nap := 10 * time.Millisecond
		if !until.IsZero() {
			nap = min(nap, time.Until(until))
		}
		time.Sleep(nap)
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
