// Package cache keeps providers' answers: a key's answer from the memory and disk tiers, what is written back
// off the request path, and which upstream calls equal requests share. It knows answers as bytes with a form,
// not requests, models or providers.
package cache

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/store"
)

// Tier says where an answer was found.
type Tier uint8

const (
	None Tier = iota
	Memory
	Disk
)

// MemoryTier is what the cache needs of its first tier; it keeps entries as they are.
type MemoryTier interface {
	Get(key [32]byte) (*Entry, bool)
	Set(key [32]byte, e *Entry, ttl time.Duration)
	DeleteFunc(func(*Entry) bool) int
	Usage() store.Usage
}

// Options configures a cache; zero values mean the defaults.
type Options struct {
	Memory   MemoryTier
	Disk     store.Tier // nil: memory only
	Log      *slog.Logger
	MaxBody  int // bytes of the largest answer that is kept; default 8 MiB
	QueueLen int // entries on their way to the disk; default 1,024
	QueueMax int // bytes on their way to the disk; default 64 MiB
}

// Stats counts what a cache did since the start.
type Stats struct {
	MemoryHits, DiskHits, Misses     atomic.Int64
	Fills, Dropped, DiskErrors       atomic.Int64
	QueuedEntries, QueuedBytes       atomic.Int64
	DiskSkipped, Corrupt, DiskWrites atomic.Int64
}

// Cache looks answers up and keeps them.
type Cache struct {
	Flights Flights
	Stats   Stats

	o     Options
	queue chan queued
	reads chan struct{} // a token per disk read under way
	slow  atomic.Int64  // unix nanoseconds until which the disk is not asked

	purges atomic.Int64 // what was queued before a purge must not reach the disk after it
	purge  sync.Mutex   // held for writing to the disk, and for purging it
}

type queued struct {
	key    Key
	entry  *Entry
	purges int64
}

// Want is how old an answer may be; the zero value takes only fresh ones, of any age.
type Want struct {
	MaxAge   time.Duration // 0: any
	MaxStale time.Duration // how long after its expiry an answer will still do
}

// grace is how long tiers keep an answer beyond its expiry, for those who take a stale one.
func (e *Entry) grace() time.Duration { return min(e.Expires.Sub(e.Created), 24*time.Hour) }

// does says whether the entry will do, and whether it is stale.
func (w Want) does(e *Entry, now time.Time) (ok, stale bool) {
	if e == nil || (w.MaxAge > 0 && now.Sub(e.Created) > w.MaxAge) {
		return false, false
	}
	over := now.Sub(e.Expires)
	return over < 0 || over < w.MaxStale, over >= 0
}

const (
	diskReaders   = 64                     // disk reads at a time; a slow disk must not hold every request
	diskSlow      = 100 * time.Millisecond // a read that takes longer …
	diskSlowPause = time.Second            // … makes the next ones go without the disk for this long
	writeBatch    = 64
)

// New returns a cache over its tiers.
func New(o Options) *Cache {
	if o.MaxBody == 0 {
		o.MaxBody = 8 << 20
	}
	if o.QueueLen == 0 {
		o.QueueLen = 1024
	}
	if o.QueueMax == 0 {
		o.QueueMax = 64 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Cache{o: o, queue: make(chan queued, o.QueueLen), reads: make(chan struct{}, diskReaders)}
}

// LookupMemory returns the entry of k in the memory tier if it will do, or nil.
func (c *Cache) LookupMemory(k *Key, w Want, now time.Time) (e *Entry, stale bool) {
	e, _ = c.o.Memory.Get(*k)
	if ok, stale := w.does(e, now); ok {
		return e, stale
	}
	return nil, false
}

// Lookup returns the entry of k that will do and the tier it was found in; one from the disk is put into memory.
func (c *Cache) Lookup(k *Key, model string, w Want, now time.Time) (e *Entry, t Tier, stale bool) {
	if e, stale := c.LookupMemory(k, w, now); e != nil {
		c.Stats.MemoryHits.Add(1)
		return e, Memory, stale
	}
	e = c.lookupDisk(k, model, now)
	if ok, stale := w.does(e, now); ok {
		c.Stats.DiskHits.Add(1)
		c.o.Memory.Set(*k, e, e.Expires.Add(e.grace()).Sub(now))
		return e, Disk, stale
	}
	c.Stats.Misses.Add(1)
	return nil, None, false
}

func (c *Cache) lookupDisk(k *Key, model string, now time.Time) *Entry {
	if c.o.Disk == nil {
		return nil
	}
	if now.UnixNano() < c.slow.Load() {
		c.Stats.DiskSkipped.Add(1)
		return nil
	}
	select {
	case c.reads <- struct{}{}:
		defer func() { <-c.reads }()
	default:
		c.Stats.DiskSkipped.Add(1)
		return nil
	}
	var dk [diskKeySize]byte
	began := time.Now()
	b, err := c.o.Disk.AppendGet(nil, appendDiskKey(dk[:0], model, k))
	if took := time.Since(began); took > diskSlow {
		c.slow.Store(began.Add(took + diskSlowPause).UnixNano())
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		c.Stats.DiskErrors.Add(1)
		return nil
	}
	e, err := decodeEntry(b)
	if err != nil || e.Model != model {
		c.Stats.Corrupt.Add(1)
		return nil
	}
	return e
}

// Keepable says whether an answer of n bytes is kept at all.
func (c *Cache) Keepable(n int) bool { return n <= c.o.MaxBody }

// Fill keeps an entry: in memory before it returns, on the disk soon after.
func (c *Cache) Fill(k *Key, e *Entry) {
	if !c.Keepable(len(e.Body)) {
		return
	}
	c.Stats.Fills.Add(1)
	c.o.Memory.Set(*k, e, time.Until(e.Expires.Add(e.grace())))
	if c.o.Disk == nil {
		return
	}
	size := int64(len(e.Body))
	if c.Stats.QueuedBytes.Add(size) > int64(c.o.QueueMax) {
		c.Stats.QueuedBytes.Add(-size)
		c.Stats.Dropped.Add(1)
		return
	}
	select {
	case c.queue <- queued{*k, e, c.purges.Load()}:
		c.Stats.QueuedEntries.Add(1)
	default:
		c.Stats.QueuedBytes.Add(-size)
		c.Stats.Dropped.Add(1)
	}
}

// Run writes queued entries to the disk until ctx ends, then what is left in the queue.
func (c *Cache) Run(ctx context.Context) error {
	for {
		select {
		case q := <-c.queue:
			c.writeSome(q)
		case <-ctx.Done():
			for {
				select {
				case q := <-c.queue:
					c.writeSome(q)
				default:
					return nil
				}
			}
		}
	}
}

// writeSome writes one entry and those that wait behind it.
func (c *Cache) writeSome(q queued) {
	batch := append(make([]queued, 0, writeBatch), q)
	for len(batch) < writeBatch {
		select {
		case q := <-c.queue:
			batch = append(batch, q)
			continue
		default:
		}
		break
	}
	bytes := int64(0)
	for _, q := range batch {
		bytes += int64(len(q.entry.Body))
	}
	err := c.write(batch)
	c.Stats.QueuedEntries.Add(-int64(len(batch)))
	c.Stats.QueuedBytes.Add(-bytes)
	if err == nil {
		c.Stats.DiskWrites.Add(int64(len(batch)))
	} else if c.Stats.DiskErrors.Add(1) == 1 {
		c.o.Log.Error("cannot write answers to the disk cache; serving goes on without", "error", err)
	}
}

func (c *Cache) write(batch []queued) error {
	c.purge.Lock()
	defer c.purge.Unlock()
	items := make([]store.Item, 0, len(batch))
	for _, q := range batch {
		if q.purges != c.purges.Load() {
			continue
		}
		items = append(items, store.Item{
			Key: appendDiskKey(nil, q.entry.Model, &q.key), Value: q.entry.AppendTo(nil),
			Expires: q.entry.Expires.Add(q.entry.grace()),
		})
	}
	return c.o.Disk.Set(items...)
}

// Purge forgets a model's answers in every tier, or all of them if model is "". It returns how many the memory
// tier held.
func (c *Cache) Purge(model string) (int, error) {
	c.purge.Lock()
	defer c.purge.Unlock()
	c.purges.Add(1)
	n := c.o.Memory.DeleteFunc(func(e *Entry) bool { return model == "" || e.Model == model })
	if c.o.Disk == nil {
		return n, nil
	}
	var prefix []byte
	if model != "" {
		prefix = appendModelPrefix(nil, model)
	}
	return n, c.o.Disk.DeletePrefix(prefix)
}

// MemoryUsage and DiskUsage tell the tiers' sizes.
func (c *Cache) MemoryUsage() store.Usage { return c.o.Memory.Usage() }

// DiskUsage tells the disk tier's size; ok is false without one.
func (c *Cache) DiskUsage() (u store.Usage, ok bool) {
	if c.o.Disk == nil {
		return u, false
	}
	return c.o.Disk.Usage(), true
}

// diskKeySize is a prefix that gathers a model's answers, and the key.
const diskKeySize = 8 + 32

func appendModelPrefix(dst []byte, model string) []byte {
	h := xxhash.Sum64String(model)
	return append(dst, byte(h>>56), byte(h>>48), byte(h>>40), byte(h>>32), byte(h>>24), byte(h>>16), byte(h>>8), byte(h))
}

func appendDiskKey(dst []byte, model string, k *Key) []byte {
	return append(appendModelPrefix(dst, model), k[:]...)
}
