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
	write   func() error // asked before each Put and Delete, if there is one
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

// errTold is the error of a write that is told to have failed, but did not.
var errTold = errors.New("the disk did not answer")

// change makes a change as far as the disk is willing to.
func (d *disk) change(make func()) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuses {
		return errFull
	}
	if d.write != nil {
		err = d.write()
	}
	if err == nil || errors.Is(err, errTold) {
		make()
	}
	return err
}

func (d *disk) Put(key, value []byte) error {
	return d.change(func() { d.values[string(key)] = bytes.Clone(value) })
}

func (d *disk) Delete(key []byte) error {
	return d.change(func() { delete(d.values, string(key)) })
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
