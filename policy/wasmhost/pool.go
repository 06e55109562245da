package wasmhost

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	perProcessor = 4                      // instances
	longestWait  = time.Millisecond       // for one that is free
	quickStart   = 250 * time.Microsecond // an instance that starts so soon is made by the call that lacks it
	retryMaking  = 10 * time.Second       // after an instance could not be made
	drainStep    = 50 * time.Microsecond  // between two looks at an instance that is in use
)

// pool holds a program's instances. Who moves an instance from idle to taken owns it. The slots keep instances alive,
// which wazero does too until they are closed; hint only remembers which one this processor used last.
type pool struct {
	program *Program
	slots   []atomic.Pointer[instance]
	hint    sync.Pool
	waiting atomic.Int32 // the length of queue

	mu      sync.Mutex
	queue   []chan *instance // of callers; who sends has taken the caller out
	making  bool             // an instance, one at a time
	closed  bool
	started time.Duration // how long the last instance took to make
	failed  time.Time
	makers  sync.WaitGroup
}

func newPool(p *Program) *pool {
	return &pool{program: p, slots: make([]atomic.Pointer[instance], perProcessor*runtime.GOMAXPROCS(0))}
}

// take returns an instance that now belongs to the caller.
func (l *pool) take() (*instance, error) {
	if in, _ := l.hint.Get().(*instance); in != nil && in.state.CompareAndSwap(idle, taken) {
		return in, nil
	}
	if in := l.find(); in != nil {
		return in, nil
	}
	if in := l.makeNow(); in != nil {
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

// wait has another instance made, if there is room, and returns the first that is free within longestWait.
func (l *pool) wait() (*instance, error) {
	mine := make(chan *instance, 1)
	l.mu.Lock()
	l.queue = append(l.queue, mine)
	l.waiting.Add(1)
	l.mu.Unlock()
	l.makeOne()
	l.wake(l.find()) // what came back before the queue was seen
	timer := time.NewTimer(longestWait)
	defer timer.Stop()
	select {
	case in := <-mine:
		return in, nil
	case <-timer.C:
	}
	l.mu.Lock()
	i := slices.Index(l.queue, mine)
	if i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		l.waiting.Add(-1)
	}
	l.mu.Unlock()
	if i >= 0 {
		return nil, policy.ErrBusy
	}
	return <-mine, nil
}

// put gives an instance back.
func (l *pool) put(in *instance) {
	if l.waiting.Load() > 0 {
		l.wake(in)
		return
	}
	in.state.Store(idle)
	l.hint.Put(in)
	if l.waiting.Load() > 0 {
		l.wake(l.find())
	}
}

// wake hands an instance, which may be nil, to who waits longest, or makes it idle.
func (l *pool) wake(in *instance) {
	if in == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		in.state.Store(idle)
		return
	}
	l.queue[0] <- in
	l.queue = slices.Delete(l.queue, 0, 1)
	l.waiting.Add(-1)
}

// drop closes an instance that cannot be used again, and has another made in its place.
func (l *pool) drop(in *instance) {
	l.slots[in.slot].Store(nil)
	in.close()
	l.makeOne()
}

// add puts a new instance, which belongs to the caller, into a free slot.
func (l *pool) add(in *instance) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	slot := l.freeSlot()
	if l.closed || slot < 0 {
		return false
	}
	in.slot = slot
	l.slots[slot].Store(in)
	return true
}

func (l *pool) freeSlot() int {
	for i := range l.slots {
		if l.slots[i].Load() == nil {
			return i
		}
	}
	return -1
}

// makeNow makes an instance for the caller if that takes no longer than waiting would.
func (l *pool) makeNow() *instance {
	if !l.mayMake(quickStart) {
		return nil
	}
	defer l.makers.Done()
	return l.make()
}

// makeOne has an instance made in the background.
func (l *pool) makeOne() {
	if !l.mayMake(loadTime) {
		return
	}
	go func() {
		defer l.makers.Done()
		if in := l.make(); in != nil {
			l.put(in)
		}
	}()
}

// mayMake admits one maker, who must call make and then makers.Done, if an instance takes at most the given time.
func (l *pool) mayMake(within time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.making || l.closed || l.started > within || time.Since(l.failed) < retryMaking || l.freeSlot() < 0 {
		return false
	}
	l.making = true
	l.makers.Add(1)
	return true
}

// make returns a new instance that belongs to the caller and has a slot, or nil.
func (l *pool) make() *instance {
	began := time.Now()
	in, faults := l.program.newInstance(context.Background(), loadTime)
	if in != nil {
		in.rest()
	}
	l.mu.Lock()
	l.making = false
	l.started = time.Since(began)
	if faults != nil {
		l.failed = time.Now()
	}
	l.mu.Unlock()
	if faults != nil {
		l.program.log.host(abi.LogError, "cannot make another instance: %s", faults[0].Text)
		return nil
	}
	if !l.add(in) {
		in.close()
		return nil
	}
	return in
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
			l.put(in)
		}
	}
	return n
}
