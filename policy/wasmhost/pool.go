package wasmhost

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	perProcessor = 4                     // instances
	longestWait  = time.Millisecond      // for one that is free
	retryMaking  = 10 * time.Second      // after an instance could not be made
	drainStep    = 50 * time.Microsecond // between two looks at an instance that is in use
)

// pool holds a program's instances. Who moves an instance from idle to taken owns it. The slots keep instances alive,
// which wazero does too until they are closed; hint only remembers which one this processor used last.
type pool struct {
	program *Program
	slots   []atomic.Pointer[instance]
	hint    sync.Pool
	waiting atomic.Int32
	freed   chan struct{}

	mu     sync.Mutex
	making bool // an instance, in the background
	closed bool
	failed time.Time
	makers sync.WaitGroup
}

func newPool(p *Program) *pool {
	n := perProcessor * runtime.GOMAXPROCS(0)
	return &pool{program: p, slots: make([]atomic.Pointer[instance], n), freed: make(chan struct{}, n)}
}

// take returns an instance that now belongs to the caller.
func (l *pool) take() (*instance, error) {
	if in, _ := l.hint.Get().(*instance); in != nil && in.state.CompareAndSwap(idle, taken) {
		return in, nil
	}
	if in := l.find(); in != nil {
		return in, nil
	}
	return l.wait()
}

func (l *pool) find() *instance {
	for i := range l.slots {
		if in := l.slots[i].Load(); in != nil && in.state.Load() == idle && in.state.CompareAndSwap(idle, taken) {
			return in
		}
	}
	return nil
}

// wait has another instance made, if there is room, and takes the first that is free within longestWait.
func (l *pool) wait() (*instance, error) {
	l.waiting.Add(1)
	defer l.waiting.Add(-1)
	l.makeOne()
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	for {
		if in := l.find(); in != nil {
			return in, nil
		}
		select {
		case <-l.freed:
		case <-timer.C:
			return nil, policy.ErrBusy
		}
	}
}

// put gives an instance back.
func (l *pool) put(in *instance) {
	in.state.Store(idle)
	l.hint.Put(in)
	l.wake()
}

func (l *pool) wake() {
	if l.waiting.Load() > 0 {
		select {
		case l.freed <- struct{}{}:
		default: // as many are woken already as there are instances
		}
	}
}

// drop closes an instance that cannot be used again, and has another made in its place.
func (l *pool) drop(in *instance) {
	l.slots[in.slot].CompareAndSwap(in, nil)
	in.close()
	l.makeOne()
}

// add puts a new instance, which belongs to the caller, into a free slot.
func (l *pool) add(in *instance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.slots {
		if !l.closed && l.slots[i].Load() == nil {
			in.slot = i
			l.slots[i].Store(in)
			return true
		}
	}
	return false
}

// makeOne has an instance made in the background, one at a time: a guest may take long to start.
func (l *pool) makeOne() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.making || l.closed || time.Since(l.failed) < retryMaking || !l.room() {
		return
	}
	l.making = true
	l.makers.Go(func() {
		in, faults := l.program.newInstance(context.Background(), loadTime)
		l.mu.Lock()
		l.making = false
		if faults != nil {
			l.failed = time.Now()
		}
		l.mu.Unlock()
		switch {
		case faults != nil:
			l.program.log.host(abi.LogError, "cannot make another instance: %s", faults[0].Text)
		case !l.add(in):
			in.close()
		default:
			l.put(in)
		}
	})
}

func (l *pool) room() bool {
	for i := range l.slots {
		if l.slots[i].Load() == nil {
			return true
		}
	}
	return false
}

// close waits for every instance to come back and closes it. Calls that come later get policy.ErrBusy.
func (l *pool) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.makers.Wait()
	for i := range l.slots {
		in := l.slots[i].Load()
		for in != nil && !in.state.CompareAndSwap(idle, taken) {
			time.Sleep(drainStep)
			in = l.slots[i].Load() // it may have been dropped
		}
		if in != nil {
			l.slots[i].Store(nil)
			in.close()
		}
	}
}

// each calls visit with every instance that is not in use, and returns how many there are.
func (l *pool) each(visit func(*instance)) (n int) {
	for i := range l.slots {
		in := l.slots[i].Load()
		if in == nil {
			continue
		}
		n++
		if in.state.CompareAndSwap(idle, taken) {
			visit(in)
			in.state.Store(idle)
			l.wake()
		}
	}
	return n
}
