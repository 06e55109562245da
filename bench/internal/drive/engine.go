package drive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wedge-proxy/wedge/bench/internal/hist"
)

// timerID marks the timer among the epoll events, whose data are otherwise indices into conns.
const timerID = -1

// engine is one run's loop. Times are nanoseconds since its start.
type engine struct {
	o     Options
	addr  netip.AddrPort
	req   *Request
	start time.Time
	epoll int
	timer int // wakes the open loop at the next intended time
	conns []*conn
	idle  []*conn
	buf   []byte

	sent     uint64
	inFlight int
	progress int64 // when the last byte came
	last     int64 // when the last answer ended

	latency, ttfb, delay hist.H
	requests, complete   uint64
	events, bytes        uint64
	reconnects           uint64
	status               map[int]uint64
	cache, errs          map[string]uint64
}

func newEngine(o Options, addr netip.AddrPort, req *Request) (*engine, error) {
	e := &engine{
		o: o, addr: addr, req: req, buf: make([]byte, 64<<10), epoll: -1, timer: -1,
		status: map[int]uint64{}, cache: map[string]uint64{}, errs: map[string]uint64{},
	}
	if err := e.open(); err != nil {
		e.close()
		return nil, fmt.Errorf("cannot begin to send to %s: %w", o.Addr, err)
	}
	return e, nil
}

func (e *engine) open() (err error) {
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if e.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerID}
	if err = unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, e.timer, &ev); err != nil {
		return err
	}
	for i := range e.o.Conns {
		c := &conn{id: int32(i), fd: -1}
		c.resp.events.delay = func(sent, now int64) { e.delay.Add(now - sent) }
		if err = e.connect(c); err != nil {
			return err
		}
		e.conns, e.idle = append(e.conns, c), append(e.idle, c)
	}
	return nil
}

func (e *engine) close() {
	for _, c := range e.conns {
		c.hangUp()
	}
	for _, fd := range []int{e.timer, e.epoll} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func (e *engine) now() int64 { return int64(time.Since(e.start)) }

// loop sends and receives until nothing is left to do.
func (e *engine) loop(ctx context.Context) error {
	ready := make([]unix.EpollEvent, 256)
	e.start = time.Now()
	for {
		more := e.dispatch()
		if !more && e.inFlight == 0 {
			return nil
		}
		if why := e.stuck(ctx); why != "" {
			return e.abandon(why)
		}
		n, err := unix.EpollWait(e.epoll, ready, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("cannot wait for answers: %w", err)
		}
		for _, ev := range ready[:max(n, 0)] {
			if ev.Fd == timerID {
				e.quietTimer()
				continue
			}
			e.service(e.conns[ev.Fd], ev.Events)
		}
	}
}

// dispatch sends what is due on idle connections and tells whether anything is left to send.
func (e *engine) dispatch() bool {
	for {
		now := e.now()
		at, left := e.next(now)
		switch {
		case !left:
			return false
		case at > now:
			e.wakeAt(at)
			return true
		case len(e.idle) == 0:
			return true
		}
		c := e.idle[len(e.idle)-1]
		e.idle = e.idle[:len(e.idle)-1]
		e.sent++
		e.send(c, at)
	}
}

// next is the intended time of the next request, if there is one: now in a closed loop, the schedule's in an
// open one.
func (e *engine) next(now int64) (at int64, left bool) {
	at = now
	if e.o.Rate > 0 {
		at = int64(float64(e.sent) / e.o.Rate * float64(time.Second))
	}
	if e.o.Requests > 0 && e.sent >= e.o.Requests || e.o.Duration > 0 && at >= int64(e.o.Duration) {
		return 0, false
	}
	return at, true
}

// wakeAt sets the timer, which has no slack as a timeout of epoll_wait has.
func (e *engine) wakeAt(at int64) {
	wait := max(at-e.now(), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(wait)}
	_ = unix.TimerfdSettime(e.timer, 0, &spec, nil) // fails only for a bad descriptor or time
}

func (e *engine) quietTimer() {
	var expirations [8]byte
	_, _ = unix.Read(e.timer, expirations[:]) // EAGAIN means that it was set anew meanwhile
}

// stuck tells why the run cannot go on: "" if it can.
func (e *engine) stuck(ctx context.Context) string {
	now, limit := e.now(), int64(e.o.Timeout)
	switch {
	case ctx.Err() != nil:
		return "cancelled"
	case e.inFlight > 0 && now-e.progress > limit:
		return "timeout"
	case e.o.Duration > 0 && now > int64(e.o.Duration)+limit:
		return "unfinished"
	case e.inFlight == 0 && len(e.idle) == 0:
		return "disconnected"
	}
	return ""
}

// abandon counts what did not end, and what an open loop ought to have sent.
func (e *engine) abandon(why string) error {
	e.errs[why] += uint64(e.inFlight)
	if e.o.Rate > 0 && e.o.Duration > 0 {
		due := uint64(e.o.Rate * min(time.Duration(e.now()), e.o.Duration).Seconds())
		if due > e.sent {
			e.errs["unsent"] += due - e.sent
		}
	}
	e.last = e.now()
	if e.requests == 0 {
		return fmt.Errorf("cannot measure %s: no answer came (%s)", e.o.Addr, why)
	}
	return nil
}
