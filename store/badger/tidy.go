package badger

import (
	"errors"
	"slices"
	"time"
)

// tidy starts a new segment when the newest has its share, seals the ones before it, and deletes the oldest:
// for room, for the disk, or because a purge hides all that they hold. The caller holds db.tidying.
func (t *Tier) tidy() {
	if t.closed.Load() || time.Now().Before(t.retry) {
		return
	}
	if err := t.makeRoom(); err != nil {
		t.retry = time.Now().Add(retryPause)
		t.db.log.Error("cannot make room in the cache on disk", "tier", t.name, "dir", t.dir, "err", err)
	}
}

func (t *Tier) makeRoom() error {
	room := t.measure()
	var errs []error
	dead := t.purgedUpTo()
	newest := t.newest()
	full := newest.bytes.Load() >= t.share.Load()
	purged := newest.seq <= dead && newest.entries.Load() > 0
	if full {
		errs = append(errs, t.evict(shares-1))
	}
	if (full || purged) && t.db.space.forUpkeep() {
		errs = append(errs, t.rotate())
	}
	for n := len(*t.segments.Load()) - 1; n > 0 && t.Usage().Bytes > room; n-- {
		errs = append(errs, t.evict(n))
	}
	for _, s := range (*t.segments.Load())[1:] {
		switch {
		case s.seq <= dead:
			errs = append(errs, t.remove(s))
		case !s.sealed && t.db.space.forUpkeep():
			errs = append(errs, t.seal(s))
		}
	}
	segments := *t.segments.Load()
	errs = append(errs, segments[0].compact(ripeTables))
	return errors.Join(append(errs, t.dropOldPurges(segments[len(segments)-1].seq))...)
}

// measure returns the bytes that the tier may hold, less than its limit where the disk is smaller or others
// fill it, and sets the share of a segment accordingly.
func (t *Tier) measure() int64 {
	room := min(t.limit, t.Usage().Bytes+t.db.space.left()-2*t.db.space.reserve)
	t.share.Store(max(room, MinLimit) / shares)
	return room
}

func (t *Tier) newest() *segment { return (*t.segments.Load())[0] }

// purgedUpTo returns the number of the newest segment that was there when the whole tier was purged, 0 if none.
func (t *Tier) purgedUpTo() (seq uint64) {
	for _, p := range *t.purges.Load() {
		if len(p.prefix) == 0 {
			seq = max(seq, p.segment)
		}
	}
	return seq
}

// evict deletes the oldest segments until only keep are left.
func (t *Tier) evict(keep int) error {
	for {
		segments := *t.segments.Load()
		if len(segments) <= keep {
			return nil
		}
		oldest := segments[len(segments)-1]
		t.evictions.Add(oldest.entries.Load())
		if err := t.remove(oldest); err != nil {
			return err
		}
	}
}

// rotate puts a new segment before the newest.
func (t *Tier) rotate() error {
	next, err := openSegment(t.dir, t.newest().seq+1, t.shape, t.db.space, t.db.badger)
	if err != nil {
		return err
	}
	t.mu.Lock()
	segments := append([]*segment{next}, *t.segments.Load()...)
	t.segments.Store(&segments)
	t.mu.Unlock()
	return nil
}

// seal closes s to writes, or gives it up if it is damaged.
func (t *Tier) seal(s *segment) error {
	err := s.seal(t.shape, t.db.badger)
	if errors.Is(err, ErrCorrupt) {
		return errors.Join(err, t.remove(s))
	}
	return err
}

// remove takes s out of the tier and deletes its folder.
func (t *Tier) remove(s *segment) error {
	t.mu.Lock()
	segments := slices.DeleteFunc(slices.Clone(*t.segments.Load()), func(o *segment) bool { return o == s })
	t.segments.Store(&segments)
	t.mu.Unlock()
	return s.discard()
}
