package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/wedge-proxy/wedge/origin/store"
)

// write is what becomes part of a transaction.
type write struct {
	node string
	do   func(t *store.Tx) error // may run several times; an error that is a *refusal concerns this write alone
	// pulse says that other origins have to look at their sessions afterwards.
	pulse bool
	// after runs when it is committed: in the order of the commits.
	after func()
	done  chan error
}

// writer gathers what many nodes write at the same time into one transaction: while one is being committed, the next
// one fills.
type writer struct {
	store *store.Store
	wake  chan struct{}

	mu      sync.Mutex
	waiting []*write
	closed  bool
}

var errStopped = errors.New("the origin is being stopped")

func (w *writer) init(s *store.Store) { w.store, w.wake = s, make(chan struct{}, 1) }

// put has something written, and waits until it is committed.
func (w *writer) put(ctx context.Context, it *write) error {
	it.done = make(chan error, 1)
	if !w.add(it) {
		return errStopped
	}
	select {
	case err := <-it.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// later has something written without waiting for it. Where that fails, it is lost.
func (w *writer) later(it *write) { w.add(it) }

func (w *writer) add(it *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.waiting = append(w.waiting, it)
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// run writes until ctx is done.
func (w *writer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			w.close()
			return
		case <-w.wake:
			if batch := w.take(); len(batch) > 0 {
				w.commit(ctx, batch)
			}
		}
	}
}

func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	for _, it := range w.waiting {
		it.tell(errStopped)
	}
	w.waiting = nil
}

// maxBatch is how many writes go into one transaction.
const maxBatch = 500

func (w *writer) take() []*write {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := min(len(w.waiting), maxBatch)
	batch := slices.Clone(w.waiting[:n])
	w.waiting = slices.Delete(w.waiting, 0, n)
	if len(w.waiting) > 0 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return batch
}

// commit writes a batch. Where one of them cannot be done, each gets its own chance: it must not stop others.
func (w *writer) commit(ctx context.Context, batch []*write) {
	slices.SortStableFunc(batch, func(a, b *write) int { return strings.Compare(a.node, b.node) }) // so that origins lock rows in one order
	refused, err := w.try(ctx, batch)
	for i, it := range batch {
		switch {
		case err == nil:
			it.finish(refused[i])
		case len(batch) == 1 || outOfReach(err):
			it.tell(err)
		default:
			w.commit(ctx, []*write{it})
		}
	}
}

func (w *writer) try(ctx context.Context, batch []*write) (refused []error, err error) {
	refused = make([]error, len(batch))
	err = w.store.Update(ctx, func(t *store.Tx) error {
		pulse := false
		for i, it := range batch {
			err := it.do(t)
			if _, is := errors.AsType[*refusal](err); !is && err != nil {
				return err
			}
			refused[i] = err
			pulse = pulse || it.pulse && err == nil
		}
		if !pulse {
			return nil
		}
		return quicken(t)
	})
	return refused, err
}

func (it *write) finish(refused error) {
	if refused == nil && it.after != nil {
		it.after()
	}
	it.tell(refused)
}

func (it *write) tell(err error) {
	if it.done != nil {
		it.done <- err
	}
}

// quicken has all origins look at their sessions.
func quicken(t *store.Tx) error {
	_, err := t.Exec("insert into fleet_pulse (id, n) values (1, 1) on conflict (id) do update set n = fleet_pulse.n + 1")
	return err
}
