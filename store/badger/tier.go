package badger

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	bg "github.com/dgraph-io/badger/v4"

	"github.com/wedge-proxy/wedge/store"
)

const (
	// MinLimit is the smallest limit of a tier, in bytes.
	MinLimit = 16 << 20

	shares        = 4   // segments of a full tier; dropping one frees a quarter
	entryOverhead = 160 // bytes an entry takes besides its key and value: log headers, pointer, index
	tierPatience  = 2 * time.Second
	retryPause    = time.Second
)

// Tier is a cache tier on disk. It implements store.Tier; its oldest entries are forgotten first.
type Tier struct {
	db    *DB
	name  string
	dir   string
	limit int64
	shape shape

	mu       sync.Mutex // orders versions; guards the replacement of segments and purges, and closed
	version  uint64     // of the last write or purge
	closed   atomic.Bool
	segments atomic.Pointer[[]*segment]            // newest first, replaced whole
	purges   atomic.Pointer[[]purge]               // replaced whole
	share    atomic.Int64                          // bytes of one segment: a part of the limit, or of what the disk has
	hides    func(key []byte, version uint64) bool // forgotten, bound once: a read must not allocate it
	retry    time.Time                             // no maintenance before; guarded by db.tidying

	evictions, refused, damaged atomic.Int64
}

var _ store.Tier = (*Tier)(nil)

func openTier(db *DB, name string, limit int64) (*Tier, error) {
	if limit < MinLimit || name == "" || len(name) > 60 {
		return nil, fmt.Errorf("badger: cannot open tier %q of %d bytes: the limit must be %d or more, the name 1 to 60 bytes",
			name, limit, MinLimit)
	}
	share := limit / shares
	t := &Tier{
		db: db, name: name, limit: limit,
		dir: filepath.Join(db.dir, "tiers", url.PathEscape(name)),
		shape: shape{
			memTable: min(max(share/8, 2<<20), 4<<20),
			valueLog: min(max(share/4, 16<<20), 64<<20),
		},
	}
	t.hides = t.forgotten
	t.share.Store(share)
	if err := os.MkdirAll(t.dir, 0o755); err != nil {
		return nil, explain(t.dir, err)
	}
	newest, err := t.loadPurges()
	if err != nil {
		return nil, err
	}
	seqs, err := listSegments(t.dir)
	if err != nil {
		return nil, err
	}
	segments, err := t.openSegments(seqs)
	if err != nil {
		return nil, err
	}
	t.segments.Store(&segments)
	t.version = newest
	for _, s := range segments {
		t.version = max(t.version, s.version)
	}
	return t, nil
}

// openSegments opens the newest segment for writing and the others sealed, one after the other, so that one that
// ends the process can be told from the rest. It leaves out damaged ones if the store may recover, and makes a
// new one if the newest is left out.
func (t *Tier) openSegments(seqs []uint64) (segments []*segment, err error) {
	defer func() {
		if err != nil {
			for _, s := range segments {
				err = errors.Join(err, s.close())
			}
		}
	}()
	shape := t.shape
	for _, seq := range seqs {
		s, err := openSegment(t.dir, seq, shape, t.db.space, t.db.badger)
		shape.readOnly = true
		if errors.Is(err, ErrCorrupt) && t.db.recover {
			if err := t.abandon(seq, err); err != nil {
				return segments, err
			}
			continue
		}
		if err != nil {
			return segments, err
		}
		segments = append(segments, s)
	}
	if len(segments) > 0 && segments[0].seq == seqs[0] {
		return segments, nil
	}
	next := uint64(1)
	if len(seqs) > 0 {
		next = seqs[0] + 1
	}
	s, err := openSegment(t.dir, next, t.shape, t.db.space, t.db.badger)
	if err != nil {
		return segments, err
	}
	return append([]*segment{s}, segments...), nil
}

// abandon deletes a damaged segment: it is a part of a cache.
func (t *Tier) abandon(seq uint64, cause error) error {
	t.db.log.Error("a part of the cache on disk is corrupt and has been deleted",
		"tier", t.name, "segment", seq, "cause", cause)
	return (&segment{engine: &engine{dir: segmentDir(t.dir, seq)}}).discard()
}

// AppendGet appends the value of key to dst, or returns dst and store.ErrNotFound. While a segment is being
// sealed, for some milliseconds, its entries are not found.
func (t *Tier) AppendGet(dst, key []byte) ([]byte, error) {
	if t.closed.Load() {
		return dst, store.ErrClosed
	}
	r := newReader(dst, key, keyMark)
	defer r.release()
	r.forgotten = t.hides
	for _, s := range *t.segments.Load() {
		switch err := s.read(r.stored, r); {
		case err == nil:
			return r.dst, nil
		case errors.Is(err, errAbsent):
		case errors.Is(err, errGone):
			if r.damaged {
				t.damaged.Add(1)
				t.db.badger.Warningf("a damaged value in segment %s is not served", s.dir)
			}
			return dst, store.ErrNotFound
		default:
			return dst, err
		}
	}
	return dst, store.ErrNotFound
}

// Set stores the items as one batch. It wraps store.ErrTooLarge, or store.ErrRefused when the disk has no room
// or does not keep up.
func (t *Tier) Set(items ...store.Item) error {
	size := int64(0)
	for _, item := range items {
		if len(item.Value) > MaxValue || len(item.Key) > MaxKey {
			return fmt.Errorf("badger: cannot keep %d bytes under a key of %d: %w", len(item.Value), len(item.Key), store.ErrTooLarge)
		}
		size += int64(2*len(item.Key) + len(item.Value) + envelope + entryOverhead)
	}
	if err := t.roomFor(); err != nil {
		t.refused.Add(int64(len(items)))
		return err
	}
	b := newBatch(len(items), size)
	for _, item := range items {
		b.add(item.Key, item.Value, item.Expires, 0)
	}
	return t.write(b)
}

// Delete forgets the keys. Sealed segments do not change, so a tombstone in the newest one hides what they hold.
func (t *Tier) Delete(keys ...[]byte) error {
	b := newBatch(len(keys), 0)
	for _, key := range keys {
		if len(key) <= MaxKey {
			b.add(key, nil, time.Time{}, tombstone)
		}
	}
	return t.write(b)
}

// roomFor refuses a write to a tier whose maintenance lags behind, or whose disk has no room.
func (t *Tier) roomFor() error {
	newest, share := t.newest().bytes.Load(), t.share.Load()
	if newest >= share {
		t.nudge()
	}
	if newest >= share+share/2 {
		return fmt.Errorf("badger: tier %q is being tidied: %w", t.name, store.ErrRefused)
	}
	if !t.db.space.forCache() {
		t.nudge()
		return fmt.Errorf("badger: cannot write to tier %q, the disk of %s is full: %w", t.name, t.db.dir, store.ErrRefused)
	}
	return nil
}

func (t *Tier) nudge() {
	select {
	case t.db.wake <- struct{}{}:
	default:
	}
}

// write commits b to the newest segment and waits for it.
func (t *Tier) write(b *batch) error {
	t.mu.Lock()
	if t.closed.Load() {
		t.mu.Unlock()
		return store.ErrClosed
	}
	s := t.newest()
	c, err := s.admit(b.size)
	if err == nil {
		t.version++
		err = s.send(c, t.version, b.entries)
		c.ack(err)
	}
	t.mu.Unlock()
	finished := false
	if err == nil {
		s.bytes.Add(b.size)
		s.entries.Add(int64(len(b.entries)))
		finished, err = c.wait(tierPatience)
	}
	if errors.Is(err, store.ErrRefused) {
		t.refused.Add(int64(len(b.entries)))
	}
	if finished { // otherwise Badger may still read the buffer
		b.release()
	}
	return err
}

// DeletePrefix forgets the keys that begin with prefix: they are hidden at once and for good, and their room is
// freed with their segments; that of an empty prefix soon.
func (t *Tier) DeletePrefix(prefix []byte) error {
	t.mu.Lock()
	if t.closed.Load() {
		t.mu.Unlock()
		return store.ErrClosed
	}
	t.version++
	p := purge{prefix: slices.Clone(prefix), version: t.version, segment: t.newest().seq}
	needless := t.addPurge(p)
	p = (*t.purges.Load())[len(*t.purges.Load())-1]
	t.mu.Unlock()
	if len(p.prefix) == 0 {
		t.nudge()
	}
	return t.savePurge(p, needless)
}

// Usage tells how much the tier holds, with what is overwritten or expired but not yet freed.
func (t *Tier) Usage() store.Usage {
	u := store.Usage{Limit: t.limit, Evictions: t.evictions.Load(), Refused: t.refused.Load()}
	for _, s := range *t.segments.Load() {
		u.Entries += s.entries.Load()
		u.Bytes += s.bytes.Load()
	}
	return u
}

// close ends the tier. The caller holds db.tidying.
func (t *Tier) close() error {
	t.mu.Lock()
	t.closed.Store(true)
	t.mu.Unlock()
	var errs []error
	for _, s := range *t.segments.Load() {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// batch is the stored form of some items.
type batch struct {
	entries []bg.Entry
	bytes   []byte
	size    int64 // bytes accounted to the tier
}

// maxPooled is the largest buffer kept for the next write.
const maxPooled = 64 << 10

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch(items int, size int64) *batch {
	b := batches.Get().(*batch)
	b.size = size
	b.entries = slices.Grow(b.entries[:0], items)
	b.bytes = slices.Grow(b.bytes[:0], int(size))
	return b
}

// add appends an item; the buffer may move, but what earlier entries point to stays as it is.
func (b *batch) add(key, value []byte, expires time.Time, meta byte) {
	start := len(b.bytes)
	b.bytes = append(append(b.bytes, keyMark), key...)
	end := len(b.bytes)
	b.bytes = appendSealed(b.bytes, key, value, expires)
	b.entries = append(b.entries, bg.Entry{Key: b.bytes[start:end:end], Value: b.bytes[end:len(b.bytes):len(b.bytes)], UserMeta: meta})
}

// release gives the buffer back; nobody may hold an entry any more.
func (b *batch) release() {
	clear(b.entries)
	if cap(b.bytes) <= maxPooled && cap(b.entries) <= 256 {
		batches.Put(b)
	}
}
