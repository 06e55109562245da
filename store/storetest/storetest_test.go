package storetest

import (
	"bytes"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// table is the smallest right tier, and with a fault a wrong one.
type table struct {
	mu     sync.Mutex
	items  map[string]store.Item
	closed bool
	fault  string
}

func newTable(fault string) *table {
	return &table{items: map[string]store.Item{}, fault: fault}
}

func (m *table) ready() error {
	if m.closed && m.fault != "works though closed" {
		return store.ErrClosed
	}
	return nil
}

func (m *table) AppendGet(dst, key []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(); err != nil {
		return dst, err
	}
	item, ok := m.items[string(key)]
	expired := !item.Expires.IsZero() && !time.Now().Before(item.Expires) && m.fault != "serves the expired"
	switch {
	case !ok || expired:
		if m.fault == "drops dst on a miss" {
			return nil, store.ErrNotFound
		}
		return dst, store.ErrNotFound
	case m.fault == "overwrites dst":
		return append(dst[:0], item.Value...), nil
	case m.fault == "hands out its own":
		if len(dst) == 0 {
			return item.Value, nil
		}
	case m.fault == "answers empty as a miss" && len(item.Value) == 0:
		return dst, store.ErrNotFound
	case m.fault == "truncates" && len(item.Value) > 100<<10:
		return append(dst, item.Value[:100<<10]...), nil
	}
	return append(dst, item.Value...), nil
}

func (m *table) Set(items ...store.Item) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(); err != nil {
		return err
	}
	for n, item := range items {
		key := string(item.Key)
		switch m.fault {
		case "text keys only":
			key = strings.TrimRight(key, "\x00")
		case "keeps the first":
			if _, ok := m.items[key]; ok {
				continue
			}
		case "stores a part of the batch":
			if n >= 1000 {
				return nil
			}
		case "mixes up keys":
			if n == 1 {
				item.Value = items[0].Value
			}
		case "never expires on overwrite":
			if old, ok := m.items[key]; ok {
				item.Expires = old.Expires
			}
		}
		if m.fault != "keeps slices" {
			item.Value = bytes.Clone(item.Value)
		}
		m.items[key] = item
	}
	return nil
}

func (m *table) Delete(keys ...[]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(); err != nil {
		return err
	}
	for _, key := range keys {
		if _, ok := m.items[string(key)]; !ok && m.fault == "minds unknown keys" {
			return store.ErrNotFound
		}
		if m.fault != "deletes nothing" {
			delete(m.items, string(key))
		}
	}
	return nil
}

func (m *table) DeletePrefix(prefix []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.ready(); err != nil {
		return err
	}
	if m.fault == "takes the separator for the end" {
		prefix = bytes.TrimSuffix(prefix, []byte("/"))
	}
	forget := func() {
		for key := range m.items {
			if strings.HasPrefix(key, string(prefix)) {
				delete(m.items, key)
			}
		}
	}
	switch {
	case m.fault == "forgets a prefix later":
		time.AfterFunc(50*time.Millisecond, func() { m.mu.Lock(); forget(); m.mu.Unlock() })
	case m.fault == "an empty prefix forgets nothing" && len(prefix) == 0:
	default:
		forget()
	}
	return nil
}

func (m *table) Usage() store.Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := store.Usage{Entries: int64(len(m.items))}
	for key, item := range m.items {
		u.Bytes += int64(len(key) + len(item.Value))
	}
	if m.fault == "evicts for nothing" {
		u.Evictions = 1
	}
	return u
}

func (m *table) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func TestARightTierPasses(t *testing.T) {
	Run(t, func(*testing.T) store.Tier { return newTable("") })
}

// verdict collects what a check says of a wrong tier.
type verdict struct {
	mu     sync.Mutex
	failed bool
}

func (v *verdict) Errorf(string, ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = true
}

func (v *verdict) FailNow() {
	v.Errorf("")
	runtime.Goexit()
}

func refused(c check, tier store.Tier) bool {
	v := new(verdict)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.prove(v, tier)
	}()
	<-done
	return v.failed
}

func TestEachFaultIsFound(t *testing.T) {
	faults := []string{
		"drops dst on a miss", "overwrites dst", "hands out its own", "answers empty as a miss", "truncates",
		"text keys only", "keeps the first", "stores a part of the batch", "mixes up keys", "keeps slices",
		"serves the expired", "never expires on overwrite", "minds unknown keys", "deletes nothing",
		"takes the separator for the end", "forgets a prefix later", "an empty prefix forgets nothing",
		"evicts for nothing", "works though closed",
	}
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			noticed := slices.ContainsFunc(checks, func(c check) bool { return refused(c, newTable(fault)) })
			require.True(t, noticed, "no check notices a tier that %s", fault)
		})
	}
}

func TestEachCheckFindsSomething(t *testing.T) {
	for _, c := range checks {
		require.True(t, refused(c, useless{}), "%q passes a tier that does nothing", c.name)
	}
}

// useless stores nothing and says that all went well.
type useless struct{}

func (useless) AppendGet([]byte, []byte) ([]byte, error) { return []byte("?"), nil }
func (useless) Set(...store.Item) error                  { return nil }
func (useless) Delete(...[]byte) error                   { return nil }
func (useless) DeletePrefix([]byte) error                { return nil }
func (useless) Usage() store.Usage                       { return store.Usage{Entries: -1, Bytes: 1 << 30, Evictions: 1} }
func (useless) Close() error                             { return nil }
