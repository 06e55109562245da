package badger

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	bg "github.com/dgraph-io/badger/v4"

	"github.com/wedge-proxy/wedge/store"
)

// segment is one engine of a tier: the newest takes writes, the others are sealed.
type segment struct {
	*engine
	seq     uint64 // grows by one with each segment
	sealed  bool   // guarded by db.tidying
	version uint64 // the newest when it was opened
	bytes   atomic.Int64
	entries atomic.Int64
}

// deadSuffix marks folders of segments that must not be opened again, should the deletion be interrupted.
const deadSuffix = ".dead"

func segmentDir(tierDir string, seq uint64) string {
	return filepath.Join(tierDir, fmt.Sprintf("%08d", seq))
}

// listSegments returns the numbers of the segments in tierDir, newest first, and finishes interrupted deletions.
func listSegments(tierDir string) ([]uint64, error) {
	files, err := os.ReadDir(tierDir) // sorted by name
	if err != nil {
		return nil, explain(tierDir, err)
	}
	var seqs []uint64
	for i := len(files) - 1; i >= 0; i-- {
		name := files[i].Name()
		if strings.HasSuffix(name, deadSuffix) {
			if err := os.RemoveAll(filepath.Join(tierDir, name)); err != nil {
				return nil, explain(tierDir, err)
			}
			continue
		}
		if seq, err := strconv.ParseUint(name, 10, 64); err == nil {
			seqs = append(seqs, seq)
		}
	}
	return seqs, nil
}

// openSegment opens a segment for writing, or sealed. A sealed one that the last process left unflushed is
// flushed first.
func openSegment(tierDir string, seq uint64, s shape, room *space, log *logger) (*segment, error) {
	dir := segmentDir(tierDir, seq)
	if s.readOnly && !flushed(dir) {
		writable := s
		writable.readOnly = false
		e, err := openEngine(dir, writable, room, log)
		if err != nil {
			return nil, err
		}
		if err := e.close(); err != nil {
			return nil, err
		}
	}
	e, err := openEngine(dir, s, room, log)
	if err != nil {
		return nil, err
	}
	out := &segment{engine: e, seq: seq, sealed: s.readOnly}
	out.count()
	return out, nil
}

// flushed tells whether dir has no write-ahead log, which a read-only Badger could not replay.
func flushed(dir string) bool {
	logs, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	return err == nil && len(logs) == 0
}

// count takes the segment's size from its files.
func (s *segment) count() {
	lsm, vlog := occupied(s.dir)
	s.bytes.Store(lsm + vlog)
	_ = s.with(func(b *bg.DB) error {
		var entries int64
		for _, table := range b.Tables() {
			entries += int64(table.KeyCount)
		}
		s.entries.Store(entries)
		s.version = b.MaxVersion()
		return nil
	})
}

// seal compacts the segment, closes it and opens it again read-only, which frees its write buffers. Reads in
// between miss it. When it fails, it may be tried again.
func (s *segment) seal(shape shape, log *logger) error {
	if err := s.compact(2); err != nil && !errors.Is(err, store.ErrClosed) {
		return err
	}
	if err := s.close(); err != nil {
		return err
	}
	shape.readOnly = true
	e, err := openEngine(s.dir, shape, s.space, log)
	if err != nil {
		return err
	}
	s.use.Lock()
	s.handle = e.handle
	s.use.Unlock()
	s.sealed = true
	s.count()
	return nil
}

// discard closes the segment and deletes its folder, for good as soon as it is renamed.
func (s *segment) discard() error {
	closing := s.close()
	dead := s.dir + deadSuffix
	if err := os.Rename(s.dir, dead); err != nil {
		return errors.Join(closing, fmt.Errorf("badger: cannot delete segment %s: %w", s.dir, err))
	}
	if err := os.RemoveAll(dead); err != nil {
		return errors.Join(closing, fmt.Errorf("badger: cannot delete segment %s: %w", dead, err))
	}
	return closing
}
