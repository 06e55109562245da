// Package drive sends HTTP/1.1 requests over raw sockets from one epoll loop, in a closed or an open loop, and
// reports latencies, answers and what the measured processes used; it knows no subject and no target figure.
package drive

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/proc"
)

// Options says what to send and for how long. Requests, Duration or both bound a run.
type Options struct {
	Addr     string   // IP address and port of the subject
	Path     string   // by default /v1/chat/completions
	Body     string   // may hold Slot any number of times
	Key      string   // bearer token; "" sends none
	Headers  []string // "Name: value"
	IDs      IDs      // fills the slots; by default always 0
	Conns    int      // connections, each with one request in flight; by default 64
	Requests uint64   // stop after so many; 0 means no such bound
	Duration time.Duration
	Rate     float64       // requests a second of an open loop; 0 is a closed loop
	Stream   bool          // every good answer must be an event stream with its dialect's proper end
	Timeout  time.Duration // longest time without any byte, and longest time after the end; by default 10 s
	PIDs     []int         // processes whose trees are measured
}

func (o Options) withDefaults() (Options, error) {
	if o.Path == "" {
		o.Path = "/v1/chat/completions"
	}
	if o.Conns == 0 {
		o.Conns = 64
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.IDs == nil {
		o.IDs = func() uint64 { return 0 }
	}
	switch {
	case o.Requests == 0 && o.Duration <= 0:
		return o, fmt.Errorf("cannot run without an end: give a number of requests or a duration")
	case o.Conns < 0 || o.Rate < 0:
		return o, fmt.Errorf("cannot run with %d connections at %v requests a second: neither may be negative", o.Conns, o.Rate)
	}
	return o, nil
}

// Run sends requests until its bounds are met and every answer has come, or ctx ends. Failures of single
// requests are counted in the report; an error means that there is nothing to report.
func Run(ctx context.Context, o Options) (*Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddrPort(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot send to %q: %w: write an IP address and a port", o.Addr, err)
	}
	req, err := NewRequest(o.Addr, o.Path, o.Body, o.Key, o.Headers)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread() // the loop sleeps in epoll_wait: let it keep its thread
	defer runtime.UnlockOSThread()
	e, err := newEngine(o, addr, req)
	if err != nil {
		return nil, err
	}
	defer e.close()
	return e.measure(ctx)
}

// measure runs the loop between two readings of the processes' usage.
func (e *engine) measure(ctx context.Context) (*Report, error) {
	before, err := proc.Of(e.o.PIDs...)
	if err != nil {
		return nil, err
	}
	own := ownCPU()
	if err := e.loop(ctx); err != nil {
		return nil, err
	}
	own = ownCPU() - own
	after, err := proc.Of(e.o.PIDs...)
	if err != nil {
		return nil, err
	}
	return e.report(after.CPU-before.CPU, own, after), nil
}
