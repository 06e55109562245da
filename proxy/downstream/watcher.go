package downstream

import (
	"context"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Interval is how often a Watcher looks at every connection, and so the longest that a client's leaving stays
// unnoticed, give or take the sweep itself.
const Interval = 200 * time.Millisecond

// stripes is how many lists a Watcher keeps; a sweep holds one list's lock for one system call.
const stripes = 64

// leaving is what poll reports once the client's FIN or reset has arrived, whatever bytes still wait unread.
const leaving = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR | unix.POLLNVAL

// Goner is told that its client has gone. Gone must be quick and must call neither Add nor Remove.
type Goner interface{ Gone() }

// Watcher notices that clients went away while their requests are being answered, without a goroutine or a read
// per request: it polls the sockets of all watches, a stripe per system call, and consumes nothing, so pipelined
// requests survive. The zero value is ready; nothing is noticed unless Run runs.
//
// A client that only closes its sending side (shutdown SHUT_WR) and waits for the answer counts as gone: on the
// wire it cannot be told from one that left, and clients of HTTP/1.1 do not do it.
type Watcher struct {
	stripes [stripes]stripe
}

type stripe struct {
	mu      sync.Mutex
	watches []*Watch
	polls   []unix.PollFd // of the watch with the same index
	_       [64]byte      // stripes on cache lines of their own
}

// Watch is one request's place in a Watcher. The zero value is ready, and ready again after Remove. It must not
// be copied while it is added.
type Watch struct {
	conn   *Conn
	goner  Goner
	stripe *stripe // nil unless added
	index  int
}

// Add has g.Gone called, once, as soon as c's client has gone. A nil c, and a
// watch that is added already, change nothing.
func (w *Watcher) Add(x *Watch, c *Conn, g Goner) {
	if c == nil || c.fd < 0 || x.stripe != nil {
		return
	}
	s := &w.stripes[c.id%stripes]
	x.conn, x.goner, x.stripe = c, g, s
	s.mu.Lock()
	x.index = len(s.watches)
	s.watches = append(s.watches, x)
	s.polls = append(s.polls, unix.PollFd{Fd: c.fd, Events: unix.POLLRDHUP})
	s.mu.Unlock()
}

// Remove ends the watch. When it returns, Gone neither runs nor will run. Removing twice, or what was never added,
// is allowed.
func (w *Watcher) Remove(x *Watch) {
	if x.stripe == nil {
		return
	}
	x.stripe.mu.Lock()
	if x.index >= 0 {
		x.stripe.cut(x.index)
	}
	x.stripe.mu.Unlock()
	*x = Watch{}
}

// Run sweeps until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	t := time.NewTicker(Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			w.sweep()
		}
	}
}

func (w *Watcher) sweep() {
	for i := range w.stripes {
		w.stripes[i].sweep()
	}
}

// sweep tells the watches of clients that have gone, and forgets them.
func (s *stripe) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.polls) == 0 {
		return
	}
	n, err := unix.Poll(s.polls, 0)
	if err != nil { // EINTR, or no memory: the next sweep looks again
		return
	}
	for i := len(s.polls) - 1; i >= 0 && n > 0; i-- { // from the end: cut moves the last one
		if s.polls[i].Revents == 0 {
			continue
		}
		n--
		if x := s.watches[i]; x.conn.clientLeft() {
			s.cut(i)
			x.goner.Gone()
		}
	}
}

// cut is called with mu held.
func (s *stripe) cut(i int) {
	last := len(s.watches) - 1
	s.watches[i].index = -1
	if i != last {
		s.watches[i], s.polls[i] = s.watches[last], s.polls[last]
		s.watches[i].index = i
	}
	s.watches[last] = nil
	s.watches, s.polls = s.watches[:last], s.polls[:last]
}

// mostUnsent is how many bytes the system takes for a client beyond what is on its way, where it would take megabytes.
const mostUnsent = 256 << 10

func (c *Conn) prepareProbe(sc syscall.Conn) {
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	if raw.Control(func(fd uintptr) {
		c.fd = int32(fd)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, mostUnsent) // not TCP: there is no such bound
	}) != nil {
		return
	}
	c.raw = raw
	c.probe = func(fd uintptr) {
		p := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p[:], 0)
		c.left = err == nil && n > 0 && p[0].Revents&leaving != 0
	}
}

// clientLeft asks the connection itself; a closed one has no client. Only a sweep calls it.
func (c *Conn) clientLeft() bool { return c.raw.Control(c.probe) != nil || c.left }
