package store

import (
	"context"
	"sync"
	"time"
)

// watchers are told of new revisions.
type watchers struct {
	mu     sync.Mutex
	rev    int64 // the last one told
	closed bool
	all    map[chan int64]func() bool // what ends each one's wait for its context
}

// Watch returns a channel that tells the last revision, each time that there is a new one, and the present one at
// first. Who is slow misses those in between. It tells of changes by this process at once, and of others' within a
// second. The channel is closed when ctx is done or the store is closed.
func (s *Store) Watch(ctx context.Context) <-chan int64 { return s.watch.add(ctx) }

func (w *watchers) add(ctx context.Context) <-chan int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	told := make(chan int64, 1)
	if w.closed {
		close(told)
		return told
	}
	if w.rev > 0 {
		told <- w.rev
	}
	if w.all == nil {
		w.all = map[chan int64]func() bool{}
	}
	w.all[told] = context.AfterFunc(ctx, func() { w.remove(told) })
	return told
}

func (w *watchers) remove(told chan int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, there := w.all[told]; there {
		delete(w.all, told)
		close(told)
	}
}

// tell tells everybody of a revision, unless they know it or a later one.
func (w *watchers) tell(rev int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if rev <= w.rev {
		return
	}
	w.rev = rev
	for told := range w.all {
		select {
		case <-told: // nobody has read it
		default:
		}
		told <- rev
	}
}

func (w *watchers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for told, end := range w.all {
		end()
		close(told)
	}
	w.all = nil
}

// follow asks for the head when another process announces a revision, and every now and then, for announcements get
// lost. It runs until the store is closed.
func (s *Store) follow() {
	heard := make(chan struct{}, 1)
	var listener sync.WaitGroup
	listener.Go(func() {
		for s.ctx.Err() == nil {
			_ = s.listen(s.ctx, func() {
				select {
				case heard <- struct{}{}:
				default:
				}
			})
			sleep(s.ctx, s.options.poll)
		}
	})
	defer listener.Wait()
	for tick := time.Tick(s.options.poll); ; {
		select {
		case <-s.ctx.Done():
			return
		case <-heard:
		case <-tick:
		}
		// Where the database cannot be reached, whoever reads or writes learns it; here the next tick asks again.
		if head, err := s.Head(s.ctx); err == nil {
			s.watch.tell(head.Rev)
		}
	}
}

// sleep waits until the time is up or ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
