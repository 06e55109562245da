package badger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store"
)

// slack is what a store may take on disk besides one and a half times its limits.
const slack = 48 << 20

func put(t testing.TB, tier *Tier, key, value string, expires time.Time) {
	t.Helper()
	require.NoError(t, tier.Set(store.Item{Key: []byte(key), Value: []byte(value), Expires: expires}))
}

func lookup(tier *Tier, key string) string {
	value, err := tier.AppendGet(nil, []byte(key))
	if err != nil {
		return err.Error()
	}
	return string(value)
}

var missing = store.ErrNotFound.Error()

// turn begins a new segment, as if the newest were full.
func turn(t testing.TB, tier *Tier) {
	t.Helper()
	tier.db.tidying.Lock()
	defer tier.db.tidying.Unlock()
	require.NoError(t, tier.rotate())
	require.NoError(t, tier.makeRoom())
}

func TestNewerSegmentsHideOlderOnes(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, 64<<20)
	for _, k := range []string{"kept", "changed", "deleted", "expiring", "purged/a"} {
		put(t, tier, k, "old "+k, time.Time{})
	}
	turn(t, tier)
	put(t, tier, "changed", "new", time.Time{})
	put(t, tier, "expiring", "new", time.Now().Add(-time.Second))
	require.NoError(t, tier.Delete([]byte("deleted")))
	require.NoError(t, tier.DeletePrefix([]byte("purged/")))
	check := func() {
		t.Helper()
		assert.Equal(t, "old kept", lookup(tier, "kept"))
		assert.Equal(t, "new", lookup(tier, "changed"))
		assert.Equal(t, missing, lookup(tier, "deleted"))
		assert.Equal(t, missing, lookup(tier, "expiring"), "the expired version hides the one before it")
		assert.Equal(t, missing, lookup(tier, "purged/a"))
	}
	check()
	turn(t, tier)
	check()
	assert.Len(t, *tier.segments.Load(), 3)
}

func TestTheOldestAreEvictedFirst(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, MinLimit)
	for n := range shares + 2 {
		put(t, tier, fmt.Sprint("k", n), "value", time.Time{})
		(*tier.segments.Load())[0].bytes.Store(MinLimit / shares)
		db.tidy()
	}
	assert.Equal(t, missing, lookup(tier, "k0"))
	assert.Equal(t, missing, lookup(tier, "k1"))
	assert.Equal(t, missing, lookup(tier, "k2"))
	for n := 3; n < shares+2; n++ {
		assert.Equal(t, "value", lookup(tier, fmt.Sprint("k", n)))
	}
	assert.EqualValues(t, 3, tier.Usage().Evictions)
	left, err := filepath.Glob(filepath.Join(tier.dir, "*"))
	require.NoError(t, err)
	assert.Len(t, left, shares)
}

func TestTheDiskStaysBounded(t *testing.T) {
	const limit, size = 32 << 20, 6 << 10
	db := openDB(t, t.TempDir())
	maintain(t, db)
	tier := tierOf(t, db, limit)
	value := make([]byte, size)
	var most int64
	written, refused := 0, 0
	deadline := time.Now().Add(2 * time.Minute)
	for n := 0; written < 10*limit; n++ {
		var items []store.Item
		for i := range 16 {
			for at := 0; at < size; at += 512 {
				value[at] = byte(rand.Uint32())
			}
			items = append(items, store.Item{Key: fmt.Appendf(nil, "%032d", n*16+i), Value: bytes.Clone(value)})
		}
		if err := tier.Set(items...); err != nil {
			require.ErrorIs(t, err, store.ErrRefused)
			refused++
			time.Sleep(time.Millisecond)
			require.True(t, time.Now().Before(deadline), "the tier refuses for good")
			continue
		}
		written += 16 * size
		if n%50 == 0 {
			lsm, vlog := db.Size()
			most = max(most, lsm+vlog)
			require.LessOrEqual(t, lsm+vlog, int64(limit*3/2+slack))
			require.Eventually(t, func() bool { return lookup(tier, string(items[0].Key)) != missing }, 10*time.Second, time.Millisecond,
				"what has just been written is there, but for the moment in which its segment is sealed")
		}
	}
	u := tier.Usage()
	t.Logf("wrote %d MB into a limit of %d MB: at most %d MB on disk, %d batches refused, %+v",
		written>>20, limit>>20, most>>20, refused, u)
	assert.Positive(t, u.Evictions)
	assert.LessOrEqual(t, u.Bytes, int64(limit*3/2))
	assert.Greater(t, u.Bytes, int64(limit/2), "the room is used")
}

func TestATierWithoutMaintenanceRefusesInTime(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, MinLimit)
	put(t, tier, "first", "value", time.Time{})
	var err error
	for n := 0; err == nil && n < 100; n++ {
		err = tier.Set(store.Item{Key: fmt.Append(nil, n), Value: make([]byte, 1<<20)})
	}
	require.ErrorIs(t, err, store.ErrRefused)
	assert.Positive(t, tier.Usage().Refused)
	assert.Equal(t, "value", lookup(tier, "first"), "reads go on")
	require.NoError(t, tier.Delete([]byte("first")), "and so do deletions")
	db.tidy()
	put(t, tier, "second", "value", time.Time{})
}

func TestATierComesBackAsItWas(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	tier := tierOf(t, db, 64<<20)
	for n := range 3 {
		put(t, tier, fmt.Sprint("k", n), fmt.Sprint("value ", n), time.Time{})
		put(t, tier, fmt.Sprint("purged/", n), "value", time.Time{})
		put(t, tier, "changed", fmt.Sprint("value ", n), time.Time{})
		if n < 2 {
			turn(t, tier)
		}
	}
	require.NoError(t, tier.DeletePrefix([]byte("purged/")))
	put(t, tier, "purged/1", "new", time.Time{})
	require.NoError(t, db.Close())

	db = openDB(t, dir)
	tier = tierOf(t, db, 64<<20)
	for n := range 3 {
		assert.Equal(t, fmt.Sprint("value ", n), lookup(tier, fmt.Sprint("k", n)))
	}
	assert.Equal(t, "value 2", lookup(tier, "changed"))
	assert.Equal(t, missing, lookup(tier, "purged/0"))
	assert.Equal(t, "new", lookup(tier, "purged/1"), "what was set after the purge")
	put(t, tier, "changed", "again", time.Time{})
	assert.Equal(t, "again", lookup(tier, "changed"), "versions go on after a restart")
	assert.EqualValues(t, 11, tier.Usage().Entries)
}

func TestTiersAreApart(t *testing.T) {
	db := openDB(t, t.TempDir())
	a := tierOf(t, db, MinLimit)
	b, err := db.Tier([]byte("../b c"), MinLimit)
	require.NoError(t, err)
	put(t, a, "k", "of a", time.Time{})
	assert.Equal(t, missing, lookup(b, "k"))
	put(t, b, "k", "of b", time.Time{})
	require.NoError(t, a.DeletePrefix(nil))
	assert.Equal(t, missing, lookup(a, "k"))
	assert.Equal(t, "of b", lookup(b, "k"))
	_, err = db.Tier([]byte("cache"), MinLimit)
	require.ErrorContains(t, err, "twice")
	_, err = db.Tier([]byte("tiny"), MinLimit-1)
	require.ErrorContains(t, err, "limit")
	_, err = db.Tier(nil, MinLimit)
	require.ErrorContains(t, err, "name")
}

func TestAPurgedTierFreesItsDisk(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, 64<<20)
	for n := range 8 {
		put(t, tier, fmt.Sprint("k", n), string(make([]byte, 1<<20)), time.Time{})
		if n == 3 {
			turn(t, tier)
		}
	}
	require.NoError(t, tier.DeletePrefix(nil))
	put(t, tier, "after", "value", time.Time{})
	maintain(t, db)
	require.Eventually(t, func() bool { return tier.Usage().Bytes < 1<<20 }, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, missing, lookup(tier, "k0"))
	assert.Zero(t, tier.Usage().Evictions, "a purge is no eviction")
}

func TestManyPurgesAreBoundedAndForgotten(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, 64<<20)
	put(t, tier, "other", "value", time.Time{})
	for n := range maxPurges {
		put(t, tier, fmt.Sprintf("p%03d/x", n), "value", time.Time{})
		require.NoError(t, tier.DeletePrefix(fmt.Appendf(nil, "p%03d/", n)))
	}
	assert.Len(t, *tier.purges.Load(), maxPurges)
	assert.Equal(t, "value", lookup(tier, "other"))
	require.NoError(t, tier.DeletePrefix([]byte("one too many")))
	assert.Len(t, *tier.purges.Load(), 1)
	assert.Equal(t, missing, lookup(tier, "other"), "rather forget too much than serve what was purged")

	turn(t, tier)
	assert.Empty(t, *tier.purges.Load(), "no segment is left that they concern")
	kept := 0
	require.NoError(t, db.eachKV(purgeMark, nil, func(_, _ []byte) error { kept++; return nil }))
	assert.Zero(t, kept)
}

func TestDamagedValuesAreNotServed(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, dir)
	tier := tierOf(t, db, 64<<20)
	for n := range 50 {
		put(t, tier, fmt.Sprint("k", n), string(bytes.Repeat([]byte{'x'}, 4000)), time.Time{})
	}
	turn(t, tier)
	require.NoError(t, db.Close())
	logs, err := filepath.Glob(filepath.Join(dir, "tiers", "cache", "00000001", "*.vlog"))
	require.NoError(t, err)
	require.NotEmpty(t, logs)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, bytes.ReplaceAll(text, []byte("xxxxxxxxx"), []byte("xxxxyxxxx")), 0o644))
	}
	db = openDB(t, dir)
	tier = tierOf(t, db, 64<<20)
	for n := range 50 {
		assert.Equal(t, missing, lookup(tier, fmt.Sprint("k", n)))
	}
	assert.EqualValues(t, 50, tier.damaged.Load())
	put(t, tier, "k1", "whole", time.Time{})
	assert.Equal(t, "whole", lookup(tier, "k1"))
}

func TestTooLargeIsRefusedWhole(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, 64<<20)
	most := make([]byte, MaxValue)
	most[7], most[MaxValue-1] = 1, 2
	require.NoError(t, tier.Set(store.Item{Key: []byte("most"), Value: most}))
	got, err := tier.AppendGet(nil, []byte("most"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(most, got))
	err = tier.Set(store.Item{Key: []byte("small"), Value: []byte("v")}, store.Item{Key: []byte("big"), Value: append(most, 0)})
	require.ErrorIs(t, err, store.ErrTooLarge)
	assert.Equal(t, missing, lookup(tier, "small"), "the whole batch is refused")
	require.ErrorIs(t, tier.Set(store.Item{Key: make([]byte, MaxKey+1)}), store.ErrTooLarge)
	require.NoError(t, tier.Set(store.Item{Key: make([]byte, MaxKey), Value: []byte("v")}))
	assert.Equal(t, "v", lookup(tier, string(make([]byte, MaxKey))))
	require.NoError(t, tier.Delete(make([]byte, MaxKey+1)), "an unknown key is no error")
}
