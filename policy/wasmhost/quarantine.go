package wasmhost

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	trapsAllowed = 3                // traps in trapWindow put a policy in quarantine
	trapWindow   = 10 * time.Second // and one trap within as long after a quarantine does so again
	firstPause   = 10 * time.Second // the first quarantine; each repetition doubles it
	longestPause = 5 * time.Minute
)

// health counts the traps of one program and decides when it is not called.
type health struct {
	until atomic.Int64 // Unix nanoseconds; 0: not in quarantine

	mu       sync.Mutex
	traps    [trapsAllowed]int64 // a ring of times
	next     int
	pause    time.Duration // the last quarantine's
	released int64         // when the last quarantine ended
}

// well tells whether the program may be called. The hot path reads one word; now is asked for only in quarantine.
func (h *health) well(now func() time.Time) bool {
	until := h.until.Load()
	if until == 0 {
		return true
	}
	t := now().UnixNano()
	if t < until {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.until.CompareAndSwap(until, 0) {
		h.released = t
		h.traps = [trapsAllowed]int64{}
	}
	return true
}

// trap counts one, and returns how long the quarantine lasts that it brings on, or 0.
func (h *health) trap(now time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := now.UnixNano()
	if t < h.until.Load() {
		return 0 // a call that began before the quarantine
	}
	h.traps[h.next] = t
	h.next = (h.next + 1) % trapsAllowed
	oldest := h.traps[h.next]
	again := h.pause > 0 && t-h.released < int64(trapWindow)
	switch {
	case again:
		h.pause = min(2*h.pause, longestPause)
	case oldest != 0 && t-oldest <= int64(trapWindow):
		h.pause = firstPause
	default:
		return 0
	}
	h.until.Store(t + int64(h.pause))
	return h.pause
}
