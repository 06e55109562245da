package badger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"
)

// maxPurges is how many purges a tier remembers; one more forgets everything instead, so that reads stay quick.
const maxPurges = 128

// purge hides the versions up to version whose key begins with prefix. It is kept, here and durably, until the
// segments that may hold such versions are gone.
type purge struct {
	prefix  []byte
	version uint64
	segment uint64 // the newest segment at that time
}

func (p purge) hides(key []byte, version uint64) bool {
	return version <= p.version && bytes.HasPrefix(key, p.prefix)
}

// forgotten tells whether a purge hides the version of key.
func (t *Tier) forgotten(key []byte, version uint64) bool {
	for _, p := range *t.purges.Load() {
		if p.hides(key, version) {
			return true
		}
	}
	return false
}

// addPurge makes p count at once and returns the purges that it makes needless. The caller holds t.mu.
func (t *Tier) addPurge(p purge) (needless []purge) {
	old := *t.purges.Load()
	if len(old) >= maxPurges {
		p.prefix = nil
	}
	var kept []purge
	for _, q := range old {
		if bytes.HasPrefix(q.prefix, p.prefix) {
			needless = append(needless, q)
		} else {
			kept = append(kept, q)
		}
	}
	kept = append(kept, p)
	t.purges.Store(&kept)
	return needless
}

// savePurge makes p outlive the machine, and then lets go of the needless ones.
func (t *Tier) savePurge(p purge, needless []purge) error {
	value := binary.BigEndian.AppendUint64(nil, p.segment)
	value = append(value, p.prefix...)
	key := t.purgeKey(p.version)
	if err := t.db.writeKV(purgeMark, key, appendSealed(nil, key, value, time.Time{})); err != nil {
		return err
	}
	if err := t.db.Sync(); err != nil {
		return err
	}
	return t.removePurges(needless)
}

func (t *Tier) removePurges(needless []purge) error {
	for _, q := range needless {
		if err := t.db.writeKV(purgeMark, t.purgeKey(q.version), nil); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tier) purgeKey(version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(t.name), 0), version)
}

// loadPurges reads what earlier processes have purged and returns the newest version among it.
func (t *Tier) loadPurges() (newest uint64, err error) {
	purges := []purge{}
	prefix := append([]byte(t.name), 0)
	err = t.db.eachKV(purgeMark, prefix, func(key, value []byte) error {
		if len(key) != len(prefix)+8 || len(value) < 8 {
			return fmt.Errorf("badger: cannot read a purge of tier %q: %w", t.name, ErrCorrupt)
		}
		p := purge{
			prefix:  bytes.Clone(value[8:]),
			version: binary.BigEndian.Uint64(key[len(prefix):]),
			segment: binary.BigEndian.Uint64(value),
		}
		purges = append(purges, p)
		newest = max(newest, p.version)
		return nil
	})
	t.purges.Store(&purges)
	return newest, err
}

// dropOldPurges forgets the purges that only concern segments before oldest.
func (t *Tier) dropOldPurges(oldest uint64) error {
	old := func(p purge) bool { return p.segment < oldest }
	t.mu.Lock()
	all := *t.purges.Load()
	kept := slices.DeleteFunc(slices.Clone(all), old)
	t.purges.Store(&kept)
	t.mu.Unlock()
	if len(kept) == len(all) {
		return nil
	}
	return t.removePurges(slices.DeleteFunc(slices.Clone(all), func(p purge) bool { return !old(p) }))
}
