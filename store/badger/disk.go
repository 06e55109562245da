package badger

import (
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// space knows how much room the disk has. Badger writes into mapped sparse files: a page that the disk cannot
// back ends the process, so whoever makes Badger write asks here first.
type space struct {
	dir     string
	reserve int64 // bytes that stay free, for what Badger does in the background
	seen    atomic.Int64
	free    atomic.Int64
}

// left returns the free bytes of the disk. It asks the system at most every few milliseconds, far less time
// than filling the reserve takes.
func (s *space) left() int64 {
	now := time.Now().UnixNano()
	if seen := s.seen.Load(); now-seen > int64(20*time.Millisecond) || now < seen {
		var stat syscall.Statfs_t
		if err := syscall.Statfs(s.dir, &stat); err != nil {
			return 0
		}
		s.free.Store(int64(stat.Bavail) * int64(stat.Bsize))
		s.seen.Store(now)
	}
	return s.free.Load()
}

// forDurable tells whether durable values may be written.
func (s *space) forDurable() bool { return s.left() > s.reserve }

// forCache tells whether tiers may grow: they stop before durable values must.
func (s *space) forCache() bool { return s.left() > 2*s.reserve }

// forUpkeep tells whether engines may be opened, and closed with a flush.
func (s *space) forUpkeep() bool { return s.left() > s.reserve/2 }

// occupied returns the bytes that the files below dir take on the disk: the tables with their logs, and the
// value logs. Sparse parts count nothing.
func occupied(dir string) (lsm, vlog int64) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // files come and go while we look
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		size := info.Size()
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			size = stat.Blocks * 512
		}
		if filepath.Ext(path) == ".vlog" {
			vlog += size
		} else {
			lsm += size
		}
		return nil
	})
	return lsm, vlog
}
