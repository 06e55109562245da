package sim

import (
	"bytes"
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
	path   string
	body   []byte
	answer *answer
}

func (m *memo) slot(path string, body []byte) *atomic.Pointer[memoEntry] {
	return &m.slots[(xxhash.Sum64(body)+uint64(len(path)))%memoSlots]
}

func (m *memo) get(path string, body []byte) *answer {
	e := m.slot(path, body).Load()
	if e == nil || e.path != path || !bytes.Equal(e.body, body) {
		return nil
	}
	return e.answer
}

// put remembers a, unless it is large. It keeps a copy of body.
func (m *memo) put(path string, body []byte, a *answer) {
	if len(body)+a.size() > memoEntrySize {
		return
	}
	m.slot(path, body).Store(&memoEntry{path: path, body: bytes.Clone(body), answer: a})
}
