package badger

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bg "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/wedge-proxy/wedge/store"
)

const (
	maxPending      = 512      // commits under way in one engine; Badger's own queue takes a thousand
	maxPendingBytes = 64 << 20 // their size
	closePatience   = 30 * time.Second
	maxAttempts     = 3 // opens that may die before an engine counts as corrupt

	ripeTables  = 4  // fresh tables that are worth a compaction
	manyTables  = 32 // so many are compacted whatever it costs
	stallTables = 64 // with so many, Badger holds writes back

	mostMemTable = 256 << 20 // bytes; none was ever made that large
)

var (
	errAbsent = errors.New("badger: no such key here")
	errGone   = errors.New("badger: deleted, expired or damaged")
)

// shape is what differs between the engines of a store.
type shape struct {
	memTable int64 // bytes
	valueLog int64 // bytes of one value log file
	readOnly bool
}

// engine is one Badger database. Versions are given by its user ("managed"), because a Badger that gives them
// itself lets readers wait for stalled writers.
type engine struct {
	dir          string
	space        *space
	use          sync.RWMutex // held for writing only to replace handle
	handle       *handle      // nil while closed
	pending      atomic.Int32
	pendingBytes atomic.Int64
}

type handle struct {
	db       *bg.DB
	readOnly bool
	reads    sync.Pool // of *bg.Txn that see the newest version of everything
}

// tune returns Badger's options for an edge node: values apart from keys, small tables, no caches.
func tune(dir string, s shape, log bg.Logger) bg.Options {
	o := bg.DefaultOptions(dir)
	o.Logger = log
	o.ReadOnly = s.readOnly
	o.MemTableSize = s.memTable
	o.ValueLogFileSize = s.valueLog
	o.ValueThreshold = 512
	o.NumMemtables = 2
	o.NumLevelZeroTables = 3
	o.NumLevelZeroTablesStall = stallTables
	o.NumCompactors = 0 // they wake up twenty times a second each, for good: compact does their work
	o.NumGoroutines = 1
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.MetricsEnabled = false
	o.DetectConflicts = false
	o.SyncWrites = false // the logs are mapped shared: a killed process loses nothing
	return o
}

// openEngine opens or creates the engine in dir. Badger ends the process over some damages, so the attempts are
// counted in a file: an engine that did not survive several counts as corrupt.
func openEngine(dir string, s shape, room *space, log bg.Logger) (e *engine, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, explain(dir, err)
	}
	marker := filepath.Join(dir, "OPENING")
	died := attempts(marker)
	if died >= maxAttempts {
		return nil, fmt.Errorf("badger: cannot open %s: the last %d attempts ended the process: %w", dir, died, ErrCorrupt)
	}
	if err := os.WriteFile(marker, strconv.AppendInt(nil, int64(died+1), 10), 0o644); err != nil {
		return nil, explain(dir, err)
	}
	defer func() {
		if !errors.Is(err, ErrCorrupt) { // where the damage was met, another goroutine may be about to end the process
			_ = os.Remove(marker)
		}
	}()
	if err := removeEmpty(dir); err != nil {
		return nil, explain(dir, err)
	}
	db, err := openBadger(tune(dir, s.holding(dir), log))
	if err != nil {
		return nil, explain(dir, err)
	}
	e = &engine{dir: dir, space: room, handle: &handle{db: db, readOnly: s.readOnly}}
	if db.Opts().MemTableSize == s.memTable || s.readOnly || !room.forUpkeep() {
		return e, nil
	}
	if err := e.close(); err != nil { // which writes the large table to disk
		return nil, err
	}
	if db, err = openBadger(tune(dir, s, log)); err != nil {
		return nil, explain(dir, err)
	}
	return &engine{dir: dir, space: room, handle: &handle{db: db}}, nil
}

// holding is the shape with tables as large as it takes for the logs of tables in memory that a killed process left in
// dir. They may have been made with another shape, by another version or for a tier with another limit, and Badger ends
// the process over a table that does not fit. An untouched log is twice its table; one that was read before, and cut to
// what it holds, takes up to twice that in memory.
func (s shape) holding(dir string) shape {
	logs, err := os.ReadDir(dir)
	if err != nil {
		return s // Badger says why
	}
	most := s.memTable
	for _, log := range logs {
		info, err := log.Info()
		if filepath.Ext(log.Name()) != ".mem" || err != nil || info.Size() == 2*s.memTable {
			continue
		}
		most = max(most, min(2*info.Size(), mostMemTable))
	}
	s.memTable = most
	return s
}

func attempts(marker string) int {
	text, err := os.ReadFile(marker)
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return n
}

// removeEmpty deletes logs without a byte. A process killed while it makes or deletes a log leaves one, and
// Badger does not open next to it.
func removeEmpty(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if ext := filepath.Ext(file.Name()); ext != ".vlog" && ext != ".mem" {
			continue
		}
		info, err := file.Info()
		if err != nil || info.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

func openBadger(o bg.Options) (db *bg.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return bg.OpenManaged(o)
}

// read finds the newest version of stored and gives its bytes to r. A fault of the disk under a mapped file is
// an error here, not the end of the process.
func (e *engine) read(stored []byte, r *reader) (err error) {
	e.use.RLock()
	defer e.use.RUnlock()
	h := e.handle
	if h == nil {
		return errAbsent
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("badger: cannot read %s: %v", e.dir, p)
		}
	}()
	txn, _ := h.reads.Get().(*bg.Txn)
	if txn == nil {
		txn = h.db.NewTransactionAt(math.MaxUint64, false)
	}
	defer h.reads.Put(txn)
	item, err := txn.Get(stored)
	switch {
	case errors.Is(err, bg.ErrKeyNotFound):
		return errAbsent
	case err != nil:
		return fmt.Errorf("badger: cannot read %s: %w", e.dir, err)
	}
	r.version, r.tombstone = item.Version(), item.UserMeta() == tombstone
	return item.Value(r.take)
}

// commit is a write on its way into an engine.
type commit struct {
	engine *engine
	size   int64
	left   atomic.Int32
	failed atomic.Pointer[error]
	done   chan struct{}
}

// admit reserves room for a write of size bytes, or refuses it when the engine does not keep up.
func (e *engine) admit(size int64) (*commit, error) {
	waiting, bytes := e.pending.Add(1), e.pendingBytes.Add(size)
	if waiting > maxPending || (waiting > 1 && bytes > maxPendingBytes) {
		e.pending.Add(-1)
		e.pendingBytes.Add(-size)
		return nil, fmt.Errorf("badger: %s does not keep up with %d writes: %w", e.dir, waiting-1, store.ErrRefused)
	}
	c := &commit{engine: e, size: size, done: make(chan struct{})}
	c.left.Store(1)
	return c, nil
}

// send gives the entries to Badger under one version; an entry without a value is deleted. The caller orders
// the versions, and ends c with ack whatever send returns.
func (e *engine) send(c *commit, version uint64, entries []bg.Entry) error {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.handle == nil {
		return store.ErrClosed
	}
	db := e.handle.db
	txn := db.NewTransactionAt(math.MaxUint64, true)
	for i := range entries {
		err := stage(txn, &entries[i])
		if errors.Is(err, bg.ErrTxnTooBig) {
			c.left.Add(1)
			_ = txn.CommitAt(version, c.ack)
			txn = db.NewTransactionAt(math.MaxUint64, true)
			err = stage(txn, &entries[i])
		}
		if err != nil {
			txn.Discard()
			return fmt.Errorf("badger: cannot write to %s: %w", e.dir, err)
		}
	}
	c.left.Add(1)
	return txn.CommitAt(version, c.ack)
}

func stage(txn *bg.Txn, entry *bg.Entry) error {
	if entry.Value == nil {
		return txn.Delete(entry.Key)
	}
	return txn.SetEntry(entry)
}

// ack ends one part of the write.
func (c *commit) ack(err error) {
	if err != nil {
		c.failed.CompareAndSwap(nil, &err)
	}
	if c.left.Add(-1) == 0 {
		c.engine.pending.Add(-1)
		c.engine.pendingBytes.Add(-c.size)
		close(c.done)
	}
}

// wait returns when the write is done or patience is over; then Badger may still hold the entries.
func (c *commit) wait(patience time.Duration) (finished bool, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-c.done:
	case <-timer.C:
		return false, fmt.Errorf("badger: %s has not taken a write within %s: %w", c.engine.dir, patience, store.ErrRefused)
	}
	if failed := c.failed.Load(); failed != nil {
		return true, fmt.Errorf("badger: cannot write to %s: %w", c.engine.dir, *failed)
	}
	return true, nil
}

// with calls use with the open Badger, which is not closed meanwhile; use must not come back to the engine.
func (e *engine) with(use func(db *bg.DB) error) error {
	e.use.RLock()
	defer e.use.RUnlock()
	if e.handle == nil {
		return store.ErrClosed
	}
	return use(e.handle.db)
}

// compact merges fresh tables into the older ones when there are at least ripe of them. It waits until they are a
// third of the older ones, so that the work stays in proportion to what is written.
func (e *engine) compact(ripe int) error {
	return e.with(func(db *bg.DB) error {
		var fresh int
		var freshKeys, olderKeys int64
		for _, table := range db.Tables() {
			if table.Level == 0 {
				fresh++
				freshKeys += int64(table.KeyCount)
			} else {
				olderKeys += int64(table.KeyCount)
			}
		}
		if fresh < ripe || (3*freshKeys < olderKeys && fresh < manyTables) || e.handle.readOnly || !e.space.forUpkeep() {
			return nil
		}
		if err := db.Flatten(1); err != nil {
			return fmt.Errorf("badger: cannot compact %s: %w", e.dir, err)
		}
		return nil
	})
}

// close lets running reads end and closes Badger, which flushes. Where the disk has no room for that, Badger is
// left as it is, and where it does not finish, close gives up: nothing acknowledged is lost, for the next open
// reads the write-ahead log.
func (e *engine) close() error {
	e.use.Lock()
	h := e.handle
	e.handle = nil
	e.use.Unlock()
	if h == nil {
		return nil
	}
	if !h.readOnly && !e.space.forUpkeep() {
		return fmt.Errorf("badger: cannot flush %s, its disk is full: %w", e.dir, syscall.ENOSPC)
	}
	done := make(chan error, 1)
	go func() { done <- h.db.Close() }()
	timer := time.NewTimer(closePatience)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("badger: cannot close %s: %w", e.dir, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("badger: cannot close %s within %s: is its disk full?", e.dir, closePatience)
	}
}
