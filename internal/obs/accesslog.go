package obs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	flushEvery = 100 * time.Millisecond
	flushAt    = 64 << 10 // bytes that wait at most, before the writer is woken
	maxPending = 2 << 20  // bytes in one of the two buffers; a line that might not fit is dropped
	maxLine    = 40 << 10 // bytes of a line whose every field is cut and escaped
	keepBuffer = 4 * flushAt
)

// AccessLog writes one line of JSON per request to a writer that may be slow, without making a request wait for it:
// lines gather in one buffer while Run writes the other. When the writer does not keep up, lines are dropped and
// counted; both buffers together never hold more than 4 MiB.
type AccessLog struct {
	w    io.Writer
	wake chan struct{} // holds a token when enough lines wait

	mu      sync.Mutex
	front   []byte
	stamper stamper
	dropped int64
	closed  bool
	err     error

	// back and torn belong to Run.
	back []byte
	torn bool // the writer stopped inside a line
}

// NewAccessLog returns a log to w. Lines wait until Run is called.
func NewAccessLog(w io.Writer) *AccessLog {
	return &AccessLog{w: w, wake: make(chan struct{}, 1)}
}

// Write adds a line for r, which it does not keep. It never waits for the writer.
func (l *AccessLog) Write(r *AccessRecord) {
	l.mu.Lock()
	before := len(l.front)
	if l.closed || before > maxPending-maxLine {
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.front = appendRecord(l.front, r, l.stamper.stamp(r.Time))
	full := before < flushAt && len(l.front) >= flushAt
	l.mu.Unlock()
	if full {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Dropped is the number of lines that were not written because the writer was too slow or failed, or because the
// log had ended.
func (l *AccessLog) Dropped() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// Err is the last write's error, nil when it went well: a full disk shows here until there is room again.
func (l *AccessLog) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Run writes waiting lines every 100 ms, or as soon as 64 KiB wait, until ctx ends; then it writes the rest and
// returns nil. Lines that come later are dropped. A failed write does not end it: see Err.
func (l *AccessLog) Run(ctx context.Context) error {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush(true)
			return nil
		case <-tick.C:
		case <-l.wake:
		}
		l.flush(false)
	}
}

// flush swaps the buffers and writes what had waited. With last, no line is taken afterwards.
func (l *AccessLog) flush(last bool) {
	l.mu.Lock()
	l.front, l.back = l.back[:0], l.front
	l.closed = last
	l.mu.Unlock()
	if len(l.back) == 0 {
		return
	}
	lost, err := l.writeOut()
	if cap(l.back) > keepBuffer {
		l.back = nil // grown while the writer was stuck
	}
	l.mu.Lock()
	l.dropped += lost
	l.err = err
	l.mu.Unlock()
}

// writeOut hands the back buffer to the writer, and returns how many lines did not reach it whole.
func (l *AccessLog) writeOut() (lost int64, err error) {
	if l.torn {
		if _, err := l.w.Write([]byte{'\n'}); err != nil {
			return countLines(l.back), fmt.Errorf("cannot write access log: %w", err)
		}
		l.torn = false
	}
	n, err := l.w.Write(l.back)
	if err == nil {
		return 0, nil
	}
	n = min(max(n, 0), len(l.back))
	l.torn = n > 0 && l.back[n-1] != '\n'
	return countLines(l.back[n:]), fmt.Errorf("cannot write access log: %w", err)
}

func countLines(b []byte) int64 { return int64(bytes.Count(b, []byte{'\n'})) }
