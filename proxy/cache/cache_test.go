package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/store"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// mapMemory is a memory tier without bounds.
type mapMemory struct{ m sync.Map }

func (t *mapMemory) Get(k [32]byte) (*Entry, bool) {
	e, ok := t.m.Load(k)
	if !ok {
		return nil, false
	}
	return e.(*Entry), true
}
func (t *mapMemory) Set(k [32]byte, e *Entry, _ time.Duration) { t.m.Store(k, e) }
func (t *mapMemory) Usage() store.Usage                        { return store.Usage{} }
func (t *mapMemory) DeleteFunc(match func(*Entry) bool) (n int) {
	t.m.Range(func(k, v any) bool {
		if match(v.(*Entry)) {
			t.m.Delete(k)
			n++
		}
		return true
	})
	return n
}

// mapDisk is a disk tier that can be slow or broken.
type mapDisk struct {
	mu    sync.Mutex
	m     map[string][]byte
	err   error
	delay time.Duration
	gate  chan struct{} // writes wait for it, if it is there
	gets  atomic.Int32
}

func (d *mapDisk) AppendGet(dst, key []byte) ([]byte, error) {
	d.gets.Add(1)
	time.Sleep(d.delay)
	d.mu.Lock()
	defer d.mu.Unlock()
	v, ok := d.m[string(key)]
	switch {
	case d.err != nil:
		return dst, d.err
	case !ok:
		return dst, store.ErrNotFound
	}
	return append(dst, v...), nil
}

func (d *mapDisk) Set(items ...store.Item) error {
	if d.gate != nil {
		<-d.gate
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	for _, i := range items {
		d.m[string(i.Key)] = append([]byte(nil), i.Value...)
	}
	return nil
}

func (d *mapDisk) Delete(...[]byte) error { return nil }
func (d *mapDisk) DeletePrefix(p []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for k := range d.m {
		if len(k) >= len(p) && k[:len(p)] == string(p) {
			delete(d.m, k)
		}
	}
	return nil
}
func (d *mapDisk) Usage() store.Usage { return store.Usage{} }

func entry(model, body string, now time.Time) *Entry {
	return &Entry{Form: Form{Body: []byte(body)}, Op: dialect.OpChat, Model: model, Provider: "p", Target: "t",
		Created: now, Expires: now.Add(time.Hour), Usage: dialect.Usage{Input: 3, Output: 4, Known: true}}
}

func running(t *testing.T, c *Cache) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- c.Run(ctx) }()
	return func() { cancel(); require.NoError(t, <-done) }
}

func TestTiers(t *testing.T) {
	memory, disk, now := &mapMemory{}, &mapDisk{m: map[string][]byte{}}, time.Now()
	c := New(Options{Memory: memory, Disk: disk})
	stop := running(t, c)
	k := Key{1}
	e, tier, _ := c.Lookup(&k, "m", Want{}, now)
	require.Nil(t, e)
	require.Equal(t, None, tier)
	c.Fill(&k, entry("m", "answer", now))
	e, tier, stale := c.Lookup(&k, "m", Want{}, now)
	require.NotNil(t, e)
	assert.Equal(t, Memory, tier)
	assert.False(t, stale)
	stop() // flushes

	restarted := New(Options{Memory: &mapMemory{}, Disk: disk})
	e, tier, _ = restarted.Lookup(&k, "m", Want{}, now)
	require.NotNil(t, e)
	assert.Equal(t, Disk, tier)
	assert.Equal(t, "answer", string(e.Body))
	assert.Equal(t, dialect.Usage{Input: 3, Output: 4, Known: true}, e.Usage)
	_, tier, _ = restarted.Lookup(&k, "m", Want{}, now)
	assert.Equal(t, Memory, tier, "the disk's entry is in memory now")
	other := Key{1}
	e, _, _ = New(Options{Memory: &mapMemory{}, Disk: disk}).Lookup(&other, "other model", Want{}, now)
	assert.Nil(t, e)
}

func TestAgeAndStaleness(t *testing.T) {
	now := time.Now()
	c := New(Options{Memory: &mapMemory{}})
	k := Key{2}
	c.Fill(&k, entry("m", "x", now))
	for _, x := range []struct {
		after       time.Duration
		want        Want
		found, late bool
	}{
		{0, Want{}, true, false},
		{59 * time.Minute, Want{}, true, false},
		{59 * time.Minute, Want{MaxAge: time.Minute}, false, false},
		{30 * time.Second, Want{MaxAge: time.Minute}, true, false},
		{61 * time.Minute, Want{}, false, false},
		{61 * time.Minute, Want{MaxStale: 2 * time.Minute}, true, true},
		{63 * time.Minute, Want{MaxStale: 2 * time.Minute}, false, false},
	} {
		e, _, stale := c.Lookup(&k, "m", x.want, now.Add(x.after))
		assert.Equal(t, x.found, e != nil, "%+v", x)
		assert.Equal(t, x.late, stale, "%+v", x)
	}
}

func TestPurge(t *testing.T) {
	disk, now := &mapDisk{m: map[string][]byte{}, gate: make(chan struct{}, 10)}, time.Now()
	c := New(Options{Memory: &mapMemory{}, Disk: disk})
	a, b := Key{1}, Key{2}
	c.Fill(&a, entry("a", "x", now))
	c.Fill(&b, entry("b", "y", now))
	n, err := c.Purge("a")
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	for range 10 {
		disk.gate <- struct{}{}
	}
	running(t, c)() // what waited in the queue when the purge came must not reach the disk after it
	assert.Empty(t, disk.m)
	e, _, _ := c.Lookup(&a, "a", Want{}, now)
	assert.Nil(t, e)
	e, _, _ = c.Lookup(&b, "b", Want{}, now)
	assert.NotNil(t, e)
	_, err = c.Purge("")
	require.NoError(t, err)
	assert.Nil(t, inMemory(c, &b))
}

func inMemory(c *Cache, k *Key) *Entry {
	e, _ := c.LookupMemory(k, Want{}, time.Now())
	return e
}

func TestBrokenDiskIsNoReasonNotToServe(t *testing.T) {
	disk, now := &mapDisk{m: map[string][]byte{}, err: errors.New("disk full")}, time.Now()
	c := New(Options{Memory: &mapMemory{}, Disk: disk})
	stop := running(t, c)
	k := Key{3}
	c.Fill(&k, entry("m", "x", now))
	stop()
	e, tier, _ := c.Lookup(&k, "m", Want{}, now)
	require.NotNil(t, e)
	assert.Equal(t, Memory, tier)
	miss := Key{4}
	e, _, _ = c.Lookup(&miss, "m", Want{}, now)
	assert.Nil(t, e)
	assert.EqualValues(t, 2, c.Stats.DiskErrors.Load())
}

func TestSlowDiskIsLeftAlone(t *testing.T) {
	disk := &mapDisk{m: map[string][]byte{}, delay: diskSlow + 20*time.Millisecond}
	c := New(Options{Memory: &mapMemory{}, Disk: disk})
	k := Key{5}
	c.Lookup(&k, "m", Want{}, time.Now())
	for range 10 {
		c.Lookup(&k, "m", Want{}, time.Now())
	}
	assert.EqualValues(t, 1, disk.gets.Load())
	assert.EqualValues(t, 10, c.Stats.DiskSkipped.Load())
}

func TestQueueIsBounded(t *testing.T) {
	now := time.Now()
	c := New(Options{Memory: &mapMemory{}, Disk: &mapDisk{m: map[string][]byte{}}, QueueLen: 100, QueueMax: 1000})
	for i := range 50 {
		k := Key{byte(i)}
		c.Fill(&k, entry("m", fmt.Sprintf("%0100d", i), now))
	}
	assert.EqualValues(t, 10, c.Stats.QueuedEntries.Load())
	assert.EqualValues(t, 40, c.Stats.Dropped.Load())
	running(t, c)()
	assert.Zero(t, c.Stats.QueuedBytes.Load())
}

func TestTooLargeIsNotKept(t *testing.T) {
	c := New(Options{Memory: &mapMemory{}, MaxBody: 10})
	k := Key{6}
	c.Fill(&k, entry("m", "more than ten bytes", time.Now()))
	assert.Nil(t, inMemory(c, &k))
}

func TestEntryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(max int) int { return rapid.IntRange(0, max).Draw(t, "n") }
		body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		e := &Entry{Op: dialect.Op(n(4)), Model: rapid.String().Draw(t, "m"), Provider: rapid.String().Draw(t, "p"), Target: rapid.String().Draw(t, "t"),
			Created: time.Unix(0, int64(n(1<<40))), Expires: time.Unix(0, int64(n(1<<40))),
			Usage: dialect.Usage{Input: int64(n(99)), Cached: int64(n(99)), Output: int64(n(99)), Reasoning: int64(n(99)), Known: n(1) == 1}}
		e.Body, e.Stream = body, n(1) == 1
		if e.Stream {
			e.Tail = n(len(body))
			e.TailEnd = e.Tail + n(len(body)-e.Tail)
			e.Terminal = e.TailEnd + n(len(body)-e.TailEnd)
		}
		encoded := e.AppendTo(nil)
		got, err := decodeEntry(append([]byte(nil), encoded...))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Body) == 0 && len(body) == 0 {
			got.Body = e.Body
		}
		assert.Equal(t, e, got)
		at := n(len(encoded) - 1)
		encoded[at] ^= 1 << n(7)
		if _, err := decodeEntry(encoded); err == nil {
			t.Fatalf("a flipped bit at %d went unnoticed", at)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(entry("m", "answer", time.Unix(1, 2)).AppendTo(nil))
	f.Add([]byte{entryFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeEntry(b); err == nil && e.check() != nil {
			t.Fatal("a bad entry was accepted")
		}
	})
}

// noSource is a source that brings nothing.
type noSource struct{}

func (noSource) Pull(dst []byte) ([]byte, error)      { return dst, errors.New("nothing") }
func (noSource) Marks() (tail, tailEnd, terminal int) { return -1, -1, -1 }
func (noSource) Abort()                               {}
func (noSource) Close()                               {}

func TestFlights(t *testing.T) {
	var flights Flights
	var r1, r2, r3 stream.Reader
	k := Key{7}
	fresh := func(r *stream.Reader) func() *stream.Flight {
		return func() *stream.Flight {
			f := new(stream.Flight)
			f.Reset(noSource{}, r, true)
			return f
		}
	}
	first, leads := flights.Join(&k, &r1, fresh(&r1))
	require.True(t, leads)
	same, leads := flights.Join(&k, &r2, fresh(&r2))
	assert.False(t, leads)
	assert.Same(t, first, same)
	first.Finish(nil, stream.ErrHandover)
	second, leads := flights.Join(&k, &r3, fresh(&r3))
	assert.True(t, leads, "a failed flight takes nobody")
	flights.Remove(&k, first)
	assert.Equal(t, 1, flights.Len(), "removing a flight that was replaced leaves its successor")
	flights.Remove(&k, second)
	assert.Zero(t, flights.Len())
}
