package uplink

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/wedge-proxy/wedge/store"
)

// memory is a KV that can die: after so many writes nothing works any more, until it is opened again on what was
// written.
type memory struct {
	mu     sync.Mutex
	values map[string]string
	writes int // so far
	limit  int // writes that succeed; 0: all
	died   bool
}

var errDead = errors.New("the process is dead")

func newMemory() *memory { return &memory{values: map[string]string{}} }

// again is the store as another process finds it, which dies after some writes; 0: never.
func (m *memory) again(limit int) *memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &memory{values: maps.Clone(m.values), limit: limit}
}

func (m *memory) dead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.died
}

func (m *memory) keys() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.values))
}

func (m *memory) Get(key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.died {
		return nil, errDead
	}
	value, ok := m.values[string(key)]
	if !ok {
		return nil, store.ErrNotFound
	}
	return []byte(value), nil
}

func (m *memory) write(change func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.died = m.died || m.limit > 0 && m.writes >= m.limit
	if m.died {
		return errDead
	}
	m.writes++
	change()
	return nil
}

func (m *memory) Put(key, value []byte) error {
	return m.write(func() { m.values[string(key)] = string(value) })
}

func (m *memory) Delete(key []byte) error {
	return m.write(func() { delete(m.values, string(key)) })
}

func (m *memory) Each(prefix []byte, visit func(key, value []byte) error) error {
	for _, key := range m.keys() {
		value, err := m.Get([]byte(key))
		if err != nil {
			return err
		}
		if !bytes.HasPrefix([]byte(key), prefix) {
			continue
		}
		if err := visit([]byte(key), value); err != nil {
			return err
		}
		clear(value) // it is the visitor's only for as long as it is visited
	}
	return nil
}

func (m *memory) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.died {
		return errDead
	}
	return nil
}
