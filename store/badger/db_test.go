package badger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store"
)

func TestDurableValues(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	_, err := db.Get([]byte("nothing"))
	require.ErrorIs(t, err, store.ErrNotFound)
	for n := range 100 {
		require.NoError(t, db.Put(fmt.Appendf(nil, "list/%02d", n), bytes.Repeat([]byte{byte(n)}, n*50)))
	}
	require.NoError(t, db.Put([]byte("blob"), make([]byte, MaxValue)))
	require.NoError(t, db.Put([]byte{}, []byte("of the empty key")))
	require.NoError(t, db.Delete([]byte("list/07")))
	require.NoError(t, db.Delete([]byte("unknown")))
	require.ErrorIs(t, db.Put([]byte("blob"), make([]byte, MaxValue+1)), store.ErrTooLarge)
	require.NoError(t, db.Sync())
	require.NoError(t, db.Close())
	require.NoError(t, db.Close(), "closing twice is no error")

	db = openDB(t, dir)
	var keys []string
	require.NoError(t, db.Each([]byte("list/"), func(key, value []byte) error {
		var n int
		_, err := fmt.Sscanf(string(key), "list/%d", &n)
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{byte(n)}, n*50), append([]byte{}, value...))
		keys = append(keys, string(key))
		return nil
	}))
	assert.Len(t, keys, 99)
	assert.IsIncreasing(t, keys)
	assert.NotContains(t, keys, "list/07")
	stop := errors.New("enough")
	require.ErrorIs(t, db.Each(nil, func(_, _ []byte) error { return stop }), stop)
	value, err := db.Get([]byte("blob"))
	require.NoError(t, err)
	assert.Len(t, value, MaxValue)
	value, err = db.Get([]byte{})
	require.NoError(t, err)
	assert.Equal(t, "of the empty key", string(value))
}

func TestAClosedStoreSaysSo(t *testing.T) {
	db := openDB(t, t.TempDir())
	require.NoError(t, db.Put([]byte("k"), []byte("v")))
	require.NoError(t, db.Close())
	_, err := db.Get([]byte("k"))
	require.ErrorIs(t, err, store.ErrClosed)
	require.ErrorIs(t, db.Put([]byte("k"), nil), store.ErrClosed)
	require.ErrorIs(t, db.Delete([]byte("k")), store.ErrClosed)
	require.ErrorIs(t, db.Each(nil, nil), store.ErrClosed)
	require.ErrorIs(t, db.Sync(), store.ErrClosed)
	_, err = db.Tier([]byte("late"), MinLimit)
	require.ErrorIs(t, err, store.ErrClosed)
	db.tidy()
	db.collect(context.Background())
}

func TestGarbageOfDurableValuesIsCollected(t *testing.T) {
	db := openDB(t, t.TempDir())
	for round := range 12 {
		for n := range 8 {
			require.NoError(t, db.Put(fmt.Append(nil, n), bytes.Repeat([]byte{byte(round)}, 1<<20)))
		}
	}
	_, before := db.Size()
	require.Eventually(t, func() bool {
		for n := range 20_000 { // a memtable must be full before garbage is found
			require.NoError(t, db.Put(fmt.Append(nil, "small", n), bytes.Repeat([]byte{1}, 400)))
		}
		db.collect(context.Background())
		_, after := db.Size()
		return after < before/2
	}, time.Minute, time.Millisecond)
	for n := range 8 {
		value, err := db.Get(fmt.Append(nil, n))
		require.NoError(t, err)
		require.Equal(t, bytes.Repeat([]byte{11}, 1<<20), value)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Run("used by another", func(t *testing.T) {
		dir := t.TempDir()
		openDB(t, dir)
		_, err := Open(dir, Options{MinFree: 1, Recover: true})
		require.ErrorIs(t, err, ErrLocked)
		require.DirExists(t, filepath.Join(dir, "kv"), "a locked store is not moved aside")
	})
	t.Run("not a folder", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		_, err := Open(path, Options{MinFree: 1, Recover: true})
		require.ErrorIs(t, err, syscall.ENOTDIR)
		require.ErrorContains(t, err, path)
	})
	t.Run("full disk", func(t *testing.T) {
		_, err := Open(t.TempDir(), Options{MinFree: 1 << 60})
		require.ErrorIs(t, err, syscall.ENOSPC)
	})
}

func TestReadOnlyDisk(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=16m,ro")
	_, err := Open(filepath.Join(dir, "store"), Options{MinFree: 1, Recover: true})
	require.ErrorIs(t, err, syscall.EROFS)
}

// damage overwrites the files that match below dir.
func damage(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, path := range files {
		require.NoError(t, os.WriteFile(path, []byte("this is not what Badger wrote"), 0o644))
	}
}

func TestACorruptStoreIsMovedAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	db := openDB(t, dir)
	require.Empty(t, db.Aside())
	require.NoError(t, db.Put([]byte("k"), []byte("v")))
	require.NoError(t, db.Close())
	damage(t, filepath.Join(dir, "kv", "MANIFEST"))

	_, err := Open(dir, Options{MinFree: 1})
	require.ErrorIs(t, err, ErrCorrupt)
	var said strings.Builder
	db, err = Open(dir, Options{MinFree: 1, Recover: true, Log: slog.New(slog.NewTextHandler(&said, nil))})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	_, err = db.Get([]byte("k"))
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, db.Put([]byte("k"), []byte("new")))
	aside, err := filepath.Glob(dir + ".corrupt-*")
	require.NoError(t, err)
	require.Len(t, aside, 1)
	assert.FileExists(t, filepath.Join(aside[0], "kv", "MANIFEST"))
	assert.Contains(t, said.String(), "level=ERROR")
	assert.Contains(t, said.String(), aside[0])
	assert.Equal(t, aside[0], db.Aside())
}

func TestACorruptSegmentIsDeleted(t *testing.T) {
	for _, segment := range []string{"00000001", "00000003"} { // a sealed one, the newest
		dir := t.TempDir()
		db := openDB(t, dir)
		tier := tierOf(t, db, 64<<20)
		for n := range 3 {
			put(t, tier, fmt.Sprint("k", n+1), "value", time.Time{})
			if n < 2 {
				turn(t, tier)
			}
		}
		require.NoError(t, db.Close())
		damage(t, filepath.Join(dir, "tiers", "cache", segment, "MANIFEST"))

		db = openDB(t, dir)
		_, err := db.Tier([]byte("cache"), 64<<20)
		require.ErrorIs(t, err, ErrCorrupt)
		require.NoError(t, db.Close())
		db, err = Open(dir, Options{MinFree: 1, Recover: true})
		require.NoError(t, err)
		tier = tierOf(t, db, 64<<20)
		assert.Equal(t, missing, lookup(tier, "k"+segment[7:]))
		assert.Equal(t, "value", lookup(tier, "k2"))
		put(t, tier, "more", "value", time.Time{})
		assert.Equal(t, "value", lookup(tier, "more"))
		require.NoError(t, db.Close())
	}
}

func TestAnOpeningThatEndsTheProcessCountsAsCorrupt(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	require.NoError(t, openDB(t, dir).Close())
	marker := filepath.Join(dir, "kv", "OPENING")
	require.NoError(t, os.WriteFile(marker, []byte("2"), 0o644))
	db := openDB(t, dir)
	require.NoFileExists(t, marker, "an opening that succeeds is not counted")
	require.NoError(t, db.Close())
	require.NoError(t, os.WriteFile(marker, []byte("3"), 0o644))
	_, err := Open(dir, Options{MinFree: 1})
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestEmptyLogsOfAKilledProcessDoNotMatter(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	tier := tierOf(t, db, 64<<20)
	require.NoError(t, db.Put([]byte("k"), bytes.Repeat([]byte("v"), 1000)))
	put(t, tier, "sealed", strings.Repeat("v", 1000), time.Time{})
	turn(t, tier)
	put(t, tier, "newest", strings.Repeat("v", 1000), time.Time{})
	require.NoError(t, db.Close())
	for _, engine := range []string{"kv", "tiers/cache/00000001", "tiers/cache/00000002"} {
		for _, name := range []string{"000009.vlog", "00009.mem"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, engine, name), nil, 0o644))
		}
	}
	db = openDB(t, dir)
	tier = tierOf(t, db, 64<<20)
	value, err := db.Get([]byte("k"))
	require.NoError(t, err)
	assert.Len(t, value, 1000)
	assert.Len(t, lookup(tier, "sealed"), 1000)
	assert.Len(t, lookup(tier, "newest"), 1000)
}

func TestMessagesOfBadgerAreLimited(t *testing.T) {
	var said strings.Builder
	l := &logger{log: slog.New(slog.NewTextHandler(&said, nil))}
	for range 10 * logBurst {
		l.Errorf("cannot do %s\n", "it")
	}
	l.Infof("nobody needs this")
	assert.Equal(t, logBurst, strings.Count(said.String(), "cannot do it"))
	assert.NotContains(t, said.String(), "nobody")
	l.window = l.window.Add(-2 * logWindow)
	l.Warningf("again")
	assert.Contains(t, said.String(), fmt.Sprint("suppressed=", 9*logBurst))
}
