package wasmhost

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	logBurst   = 100              // lines that a policy may write at once
	logEvery   = time.Second / 10 // one more may be written
	logLongest = 1 << 10          // bytes of a line
)

// policyLog writes what one policy and its host have to say, and keeps a talkative guest from flooding the node's log.
type policyLog struct {
	policy string
	write  func(level uint32, policy, text string)
	now    func() time.Time

	mu      sync.Mutex
	full    time.Time // when logBurst lines may be written again
	dropped int
}

// guest writes a line of the guest's, if it has not written too many.
func (l *policyLog) guest(level uint32, text []byte) {
	if len(text) == 0 || !l.admit() {
		return
	}
	line := strings.ToValidUTF8(string(text[:min(len(text), logLongest)]), "�")
	l.write(min(level, abi.LogError), l.policy, line)
}

// guestOutput writes what the guest sent to its standard output or error.
func (l *policyLog) guestOutput(toErr bool, text []byte) {
	level := abi.LogInfo
	if toErr {
		level = abi.LogWarn
	}
	for len(text) > 0 && text[len(text)-1] == '\n' {
		text = text[:len(text)-1]
	}
	l.guest(level, text)
}

// host writes what the node says about the policy; it is never left out.
func (l *policyLog) host(level uint32, format string, args ...any) {
	l.write(level, l.policy, fmt.Sprintf(format, args...))
}

func (l *policyLog) admit() bool {
	l.mu.Lock()
	now := l.now()
	if l.full.Before(now) {
		l.full = now
	}
	if l.full.Sub(now) >= logBurst*logEvery {
		l.dropped++
		l.mu.Unlock()
		return false
	}
	l.full = l.full.Add(logEvery)
	dropped := l.dropped
	l.dropped = 0
	l.mu.Unlock()
	if dropped > 0 {
		l.host(abi.LogWarn, "%d lines of its log were left out: it writes more than %d a second", dropped, time.Second/logEvery)
	}
	return true
}
