package badger

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

const (
	logBurst  = 20 // messages of Badger in one window
	logWindow = time.Minute
)

// logger passes Badger's warnings and errors on. Badger repeats an error for each key it cannot read and each
// second that a disk is full, so there is a limit.
type logger struct {
	log    *slog.Logger
	mu     sync.Mutex
	window time.Time
	count  int
}

func (l *logger) allow() (suppressed int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.window) > logWindow {
		suppressed = max(0, l.count-logBurst)
		l.window, l.count = now, 0
	}
	l.count++
	return suppressed, l.count <= logBurst
}

func (l *logger) emit(level func(string, ...any), format string, args []any) {
	if suppressed, ok := l.allow(); ok {
		level("badger: "+strings.TrimSpace(fmt.Sprintf(format, args...)), "suppressed", suppressed)
	}
}

func (l *logger) Errorf(format string, args ...any)   { l.emit(l.log.Error, format, args) }
func (l *logger) Warningf(format string, args ...any) { l.emit(l.log.Warn, format, args) }
func (l *logger) Infof(string, ...any)                {}
func (l *logger) Debugf(string, ...any)               {}
