// Package memory keeps decoded values in the node's own memory, bounded by bytes and by age. It knows otter;
// it does not know what the values are.
package memory

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/wedge-proxy/wedge/store"
)

// Overhead is what an entry costs besides its value, in bytes: the key, the policy's links and its share of
// the hash table, as measured with a hundred thousand entries.
const Overhead = 160

// never is the lifetime of an entry without one: otter saturates the deadline.
const never = time.Duration(math.MaxInt64)

// Options are a cache's settings.
type Options[V any] struct {
	MaxBytes int64       // the most that all entries may weigh together, at least 1
	Weight   func(V) int // bytes that a value holds, without Overhead; called once a Set
}

// Cache maps keys to values and forgets the least useful ones for room. It is safe for concurrent use. The
// values are handed out as they are, not copied: treat them as immutable.
type Cache[V any] struct {
	entries   *otter.Cache[[32]byte, entry[V]]
	weight    func(V) int
	max       int64
	evictions atomic.Int64
	refused   atomic.Int64
}

// entry carries the lifetime and the weight to otter's callbacks, which see nothing but the value.
type entry[V any] struct {
	value  V
	ttl    time.Duration
	weight uint32
}

// New returns an empty cache; Close stops its clean-up.
func New[V any](o Options[V]) (*Cache[V], error) {
	if o.MaxBytes < 1 {
		return nil, fmt.Errorf("memory: cannot bound a cache to %d bytes: MaxBytes must be positive", o.MaxBytes)
	}
	if o.Weight == nil {
		return nil, fmt.Errorf("memory: cannot weigh values: Weight must be set")
	}
	c := &Cache[V]{weight: o.Weight, max: o.MaxBytes}
	entries, err := otter.New(&otter.Options[[32]byte, entry[V]]{
		MaximumWeight:    uint64(o.MaxBytes),
		Weigher:          func(_ [32]byte, e entry[V]) uint32 { return e.weight },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[[32]byte, entry[V]]) time.Duration { return e.Value.ttl }),
		OnAtomicDeletion: c.count,
		// Set does the evicting itself; what is left is to note what was read, which is less than a goroutine costs.
		Executor: func(task func()) { task() },
	})
	if err != nil {
		return nil, fmt.Errorf("memory: cannot make the cache: %w", err)
	}
	c.entries = entries
	return c, nil
}

// count runs under a lock of otter and must not call it.
func (c *Cache[V]) count(e otter.DeletionEvent[[32]byte, entry[V]]) {
	if e.Cause == otter.CauseOverflow {
		c.evictions.Add(1)
	}
}

// Get returns the value of key unless it has expired. It does not allocate.
func (c *Cache[V]) Get(key [32]byte) (V, bool) {
	e, ok := c.entries.GetIfPresent(key)
	return e.value, ok
}

// Set keeps value under key for ttl, or until room is needed if ttl is 0. It tells whether it did: a value
// that is heavier than the whole cache or has no time left is refused, and what key held before is forgotten.
func (c *Cache[V]) Set(key [32]byte, value V, ttl time.Duration) bool {
	weight := int64(c.weight(value)) + Overhead
	if weight > c.max || weight > math.MaxUint32 || ttl < 0 {
		c.refused.Add(1)
		c.entries.Invalidate(key)
		return false
	}
	if ttl == 0 {
		ttl = never
	}
	c.entries.Set(key, entry[V]{value: value, ttl: ttl, weight: uint32(weight)})
	// Left to otter's background, a burst of large values would outgrow the bound by hundreds of them.
	c.entries.CleanUp()
	return true
}

// Delete forgets key.
func (c *Cache[V]) Delete(key [32]byte) {
	c.entries.Invalidate(key)
}

// DeleteFunc forgets the entries whose value matches and tells how many. It sees every entry that was set
// before the call; of those set meanwhile it may miss some.
func (c *Cache[V]) DeleteFunc(match func(V) bool) int {
	n := 0
	for key, e := range c.entries.All() {
		if !match(e.value) {
			continue
		}
		if _, ok := c.entries.Invalidate(key); ok {
			n++
		}
	}
	return n
}

// Purge forgets everything.
func (c *Cache[V]) Purge() {
	c.entries.InvalidateAll()
}

// Usage tells how much the cache holds. Entries may count expired ones for up to a second.
func (c *Cache[V]) Usage() store.Usage {
	return store.Usage{
		Entries:   int64(c.entries.EstimatedSize()),
		Bytes:     int64(c.entries.WeightedSize()),
		Limit:     c.max,
		Evictions: c.evictions.Load(),
		Refused:   c.refused.Load(),
	}
}

// Close stops the clean-up and forgets everything. A cache that is used afterwards still works, but frees
// expired entries only as it is used.
func (c *Cache[V]) Close() {
	c.entries.StopAllGoroutines()
	c.entries.InvalidateAll()
}
