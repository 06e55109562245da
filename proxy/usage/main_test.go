package usage

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/store"
)

func TestMain(m *testing.M) {
	runChildIfAsked()
	testkit.Main(m)
}

// open begins a life on a disk.
func open(t testing.TB, kv KV, o Options) *Usage {
	t.Helper()
	u, err := New(kv, o)
	require.NoError(t, err)
	return u
}

var errFull = errors.New("no space left on device")

// disk is a KV in memory that refuses writes while it is told to.
type disk struct {
	mu      sync.Mutex
	values  map[string][]byte
	refuses bool
	syncs   int
	write   func(key string) error // asked before each Put and Delete, if there is one
}

func newDisk() *disk { return &disk{values: map[string][]byte{}} }

func (d *disk) refuse(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refuses = on
}

func (d *disk) Get(key []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if v, ok := d.values[string(key)]; ok {
		return bytes.Clone(v), nil
	}
	return nil, store.ErrNotFound
}

func (d *disk) allowed(key []byte) error {
	if d.refuses {
		return errFull
	}
	if d.write != nil {
		return d.write(string(key))
	}
	return nil
}

func (d *disk) Put(key, value []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.allowed(key); err != nil {
		return err
	}
	d.values[string(key)] = bytes.Clone(value)
	return nil
}

func (d *disk) Delete(key []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.allowed(key); err != nil {
		return err
	}
	delete(d.values, string(key))
	return nil
}

func (d *disk) keys(prefix string) (keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.values {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func (d *disk) Each(prefix []byte, visit func(key, value []byte) error) error {
	for _, k := range d.keys(string(prefix)) {
		v, err := d.Get([]byte(k))
		if err == nil {
			err = visit([]byte(k), v)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (d *disk) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.refuses {
		return errFull
	}
	return nil
}
