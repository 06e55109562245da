package sim

import (
	"bytes"
	"strings"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
)

const (
	memoSlots     = 1 << 10
	memoEntrySize = 64 << 10 // bytes of a request with its answer
)

// memo remembers the answers of the last requests. A request finds only the answer to its very bytes: the
// slot is chosen by hash, then the bodies are compared. It never holds more than memoSlots × memoEntrySize.
type memo struct {
	slots [memoSlots]atomic.Pointer[memoEntry]
}

type memoEntry struct {
	route  *route
	arg    string
	body   []byte
	answer *answer
}

func (m *memo) slot(rt *route, arg string, body []byte) *atomic.Pointer[memoEntry] {
	return &m.slots[(xxhash.Sum64(body)+xxhash.Sum64String(arg)+uint64(len(rt.path)))%memoSlots]
}

func (m *memo) get(rt *route, arg string, body []byte) *answer {
	e := m.slot(rt, arg, body).Load()
	if e == nil || e.route != rt || e.arg != arg || !bytes.Equal(e.body, body) {
		return nil
	}
	return e.answer
}

// put remembers a, unless it is large. It keeps copies of arg and body.
func (m *memo) put(rt *route, arg string, body []byte, a *answer) {
	if len(arg)+len(body)+a.size() > memoEntrySize {
		return
	}
	m.slot(rt, arg, body).Store(&memoEntry{route: rt, arg: strings.Clone(arg), body: bytes.Clone(body), answer: a})
}
