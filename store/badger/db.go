// Package badger keeps a node's bytes on its disk: small durable values, and cache tiers that never outgrow
// their limit. It knows Badger; it does not know what is stored.
//
// A tier is a row of segments, one small Badger each. Writes go to the newest; when that has its share of the
// limit it is sealed, and the oldest is deleted as a folder. So a tier's room is bounded without value log
// rewrites, whose success Badger does not promise.
package badger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bg "github.com/dgraph-io/badger/v4"

	"github.com/wedge-proxy/wedge/store"
)

const (
	// MaxValue is the largest value that the store takes, in bytes.
	MaxValue = 8 << 20
	// MaxKey is the longest key, in bytes.
	MaxKey = 60_000

	defaultMinFree = 128 << 20
	gcInterval     = 5 * time.Minute
	gcRounds       = 8
	watchInterval  = 5 * time.Second
	kvPatience     = 10 * time.Second

	userMark  = 'k' // precedes the keys of Put
	purgeMark = 'p' // precedes the tiers' purges
)

// kvShape is the durable part: few and small values, so that opening stays quick.
var kvShape = shape{memTable: 2 << 20, valueLog: 16 << 20}

// Options are a store's settings; the zero value is good.
type Options struct {
	Log     *slog.Logger // nil: silent
	Recover bool         // move a corrupt store aside and begin with an empty one
	MinFree int64        // bytes of disk that durable writes leave free, and tiers twice that; 0: 128 MiB
}

// DB is an open store. It is safe for concurrent use.
type DB struct {
	dir     string
	log     *slog.Logger
	badger  *logger
	recover bool
	aside   string
	space   *space
	wake    chan struct{} // a tier has reached its share

	kv      *engine
	version uint64     // of the last write to kv
	order   sync.Mutex // orders the versions of kv
	tidying sync.Mutex // held by maintenance and by Close

	mu     sync.Mutex
	tiers  []*Tier
	closed atomic.Bool
}

// Open opens the store in dir, or makes one. It wraps ErrLocked, ErrCorrupt, or the system's error.
func Open(dir string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MinFree == 0 {
		o.MinFree = defaultMinFree
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, explain(dir, err)
	}
	db := &DB{
		dir: dir, log: o.Log, badger: &logger{log: o.Log}, recover: o.Recover,
		space: &space{dir: dir, reserve: o.MinFree}, wake: make(chan struct{}, 1),
	}
	if !db.space.forUpkeep() {
		return nil, fmt.Errorf("badger: cannot open %s with %d bytes free on its disk: %w", dir, db.space.left(), syscall.ENOSPC)
	}
	kv, err := openEngine(db.kvDir(), kvShape, db.space, db.badger)
	if errors.Is(err, ErrCorrupt) && o.Recover {
		kv, err = db.startAfresh(err)
	}
	if err != nil {
		return nil, err
	}
	db.kv = kv
	return db, kv.with(func(b *bg.DB) error {
		db.version = b.MaxVersion()
		return nil
	})
}

// Aside is where Open moved a corrupt store, "" if there was none.
func (db *DB) Aside() string { return db.aside }

func (db *DB) kvDir() string { return filepath.Join(db.dir, "kv") }

// startAfresh moves the whole store aside: the tiers cannot stay without the purges that kv remembered.
func (db *DB) startAfresh(cause error) (*engine, error) {
	aside := fmt.Sprintf("%s.corrupt-%d", filepath.Clean(db.dir), time.Now().Unix())
	if err := os.Rename(db.dir, aside); err != nil {
		return nil, fmt.Errorf("badger: cannot move the corrupt store %s to %s: %w", db.dir, aside, err)
	}
	db.aside = aside
	db.log.Error("the node's store is corrupt: it has been moved aside and an empty one takes its place",
		"dir", db.dir, "aside", aside, "cause", cause)
	return openEngine(db.kvDir(), kvShape, db.space, db.badger)
}

// Tier opens the cache tier of the given name, of at most limit bytes on disk (16 MiB or more). A name is
// opened once.
func (db *DB) Tier(name []byte, limit int64) (*Tier, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed.Load() {
		return nil, store.ErrClosed
	}
	for _, t := range db.tiers {
		if t.name == string(name) {
			return nil, fmt.Errorf("badger: cannot open tier %q twice", name)
		}
	}
	t, err := openTier(db, string(name), limit)
	if err != nil {
		return nil, err
	}
	db.tiers = append(db.tiers, t)
	return t, nil
}

// Get returns the durable value of key, or store.ErrNotFound.
func (db *DB) Get(key []byte) ([]byte, error) {
	if db.closed.Load() {
		return nil, store.ErrClosed
	}
	r := newReader(nil, key, userMark)
	defer r.release()
	switch err := db.kv.read(r.stored, r); {
	case r.damaged:
		return nil, fmt.Errorf("badger: cannot read the value of %q: %w", key, ErrCorrupt)
	case errors.Is(err, errAbsent):
		return nil, store.ErrNotFound
	case err != nil:
		return nil, err
	}
	return r.dst, nil
}

// Put stores value under key until it is deleted. It outlives the process when Put returns, and the machine
// after Sync.
func (db *DB) Put(key, value []byte) error {
	if len(value) > MaxValue || len(key) > MaxKey {
		return fmt.Errorf("badger: cannot put %d bytes under a key of %d: %w", len(value), len(key), store.ErrTooLarge)
	}
	if !db.space.forDurable() {
		return fmt.Errorf("badger: cannot put into %s, its disk is full: %w", db.dir, store.ErrRefused)
	}
	return db.writeKV(userMark, key, appendSealed(nil, key, value, time.Time{}))
}

// Delete removes the durable value of key; an unknown key is no error.
func (db *DB) Delete(key []byte) error {
	return db.writeKV(userMark, key, nil)
}

// writeKV writes one value, or removes it if sealed is nil.
func (db *DB) writeKV(mark byte, key, sealed []byte) error {
	c, err := db.kv.admit(int64(len(sealed)))
	if err != nil {
		return err
	}
	entry := []bg.Entry{{Key: append([]byte{mark}, key...), Value: sealed}}
	db.order.Lock()
	db.version++
	err = db.kv.send(c, db.version, entry)
	db.order.Unlock()
	c.ack(err)
	if err != nil {
		return err
	}
	_, err = c.wait(kvPatience)
	return err
}

// Each calls visit with the durable values whose key begins with prefix, in the order of the keys, until visit
// fails. Visit may keep the slices and use the store; what is written meanwhile may or may not be visited.
func (db *DB) Each(prefix []byte, visit func(key, value []byte) error) error {
	return db.eachKV(userMark, prefix, visit)
}

// pageBytes is about how much eachKV holds in memory.
const pageBytes = 1 << 20

type pair struct{ key, value []byte }

func (db *DB) eachKV(mark byte, prefix []byte, visit func(key, value []byte) error) error {
	stored := append([]byte{mark}, prefix...)
	from := stored
	for from != nil {
		var page []pair
		err := db.kv.with(func(b *bg.DB) (err error) {
			page, from, err = readPage(b, stored, from)
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range page {
			if err := visit(p.key, p.value); err != nil {
				return err
			}
		}
	}
	return nil
}

// readPage copies some values under prefix, from the key from on, and returns where the next page begins, nil
// if there is none.
func readPage(b *bg.DB, prefix, from []byte) (page []pair, next []byte, err error) {
	txn := b.NewTransactionAt(math.MaxUint64, false)
	defer txn.Discard()
	o := bg.DefaultIteratorOptions
	o.PrefetchValues = false
	o.Prefix = prefix
	it := txn.NewIterator(o)
	defer it.Close()
	size := 0
	for it.Seek(from); it.Valid(); it.Next() {
		stored := it.Item().KeyCopy(nil)
		if size >= pageBytes {
			return page, stored, nil
		}
		sealed, err := it.Item().ValueCopy(nil)
		if err != nil {
			return nil, nil, fmt.Errorf("badger: cannot read the value of %q: %w", stored[1:], err)
		}
		value, _, ok := unseal(stored[1:], sealed)
		if !ok {
			return nil, nil, fmt.Errorf("badger: cannot read the value of %q: %w", stored[1:], ErrCorrupt)
		}
		page = append(page, pair{stored[1:], value})
		size += len(stored) + len(sealed)
	}
	return page, nil, nil
}

// Sync returns when everything that Put and Delete acknowledged outlives a power cut.
func (db *DB) Sync() error {
	err := db.kv.with((*bg.DB).Sync)
	if err != nil && !errors.Is(err, store.ErrClosed) {
		return fmt.Errorf("badger: cannot sync %s: %w", db.dir, err)
	}
	return err
}

// Size tells the bytes that the store takes on the disk: tables with their logs, and values.
func (db *DB) Size() (lsm, vlog int64) {
	return occupied(db.dir)
}

// Run keeps the tiers within their limits and collects garbage until ctx ends. Without it, tiers refuse writes
// soon after they are full.
func (db *DB) Run(ctx context.Context) error {
	watch := time.NewTicker(watchInterval)
	defer watch.Stop()
	collect := time.NewTicker(gcInterval)
	defer collect.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-collect.C:
			db.collect(ctx)
		case <-watch.C:
			db.tidy()
		case <-db.wake:
			db.tidy()
		}
	}
}

// tidy makes room in every tier that needs it, and compacts.
func (db *DB) tidy() {
	db.tidying.Lock()
	defer db.tidying.Unlock()
	db.mu.Lock()
	tiers := slices.Clone(db.tiers)
	db.mu.Unlock()
	for _, t := range tiers {
		t.tidy()
	}
	if err := db.kv.compact(ripeTables); err != nil && !errors.Is(err, store.ErrClosed) {
		db.log.Warn("cannot compact the node's store", "dir", db.dir, "err", err)
	}
}

// collect rewrites value logs of kv that are half garbage. It is a compaction that finds the garbage.
func (db *DB) collect(ctx context.Context) {
	db.tidying.Lock()
	defer db.tidying.Unlock()
	db.order.Lock()
	newest := db.version
	db.order.Unlock()
	err := db.kv.with(func(b *bg.DB) error {
		b.SetDiscardTs(newest)
		return nil
	})
	if err == nil {
		err = db.kv.compact(2)
	}
	for range gcRounds {
		if ctx.Err() != nil || !db.space.forDurable() {
			return
		}
		if err == nil {
			err = db.kv.with(func(b *bg.DB) error { return b.RunValueLogGC(0.5) })
		}
		if errors.Is(err, bg.ErrNoRewrite) || errors.Is(err, bg.ErrRejected) || errors.Is(err, store.ErrClosed) {
			return
		}
		if err != nil {
			db.log.Warn("cannot collect the garbage of the node's store", "dir", db.dir, "err", err)
			return
		}
	}
}

// Close flushes and closes the store and its tiers; closing twice is no error. End Run before.
func (db *DB) Close() error {
	db.tidying.Lock()
	defer db.tidying.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	db.closed.Store(true)
	var errs []error
	for _, t := range db.tiers {
		errs = append(errs, t.close())
	}
	return errors.Join(append(errs, db.kv.close())...)
}
