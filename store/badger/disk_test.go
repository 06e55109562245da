package badger

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/wedge-proxy/wedge/store"
)

// mountTmpfs puts a small disk on dir for the test, or skips it where that is not allowed.
func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	flags := uintptr(0)
	if filepath.Ext(options) == "" && len(options) > 3 && options[len(options)-3:] == ",ro" {
		flags, options = unix.MS_RDONLY, options[:len(options)-3]
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", flags, options); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
}

func TestAFullDiskStopsWritesOnly(t *testing.T) {
	dir := t.TempDir()
	mountTmpfs(t, dir, "size=96m")
	db, err := Open(dir, Options{MinFree: 32 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	maintain(t, db)
	tier, err := db.Tier([]byte("cache"), 1<<30) // far more than there is
	require.NoError(t, err)
	refused := 0
	for n := range 400 {
		err := tier.Set(store.Item{Key: fmt.Append(nil, n), Value: make([]byte, 512<<10)})
		if err != nil {
			require.ErrorIs(t, err, store.ErrRefused)
			refused++
			time.Sleep(time.Millisecond)
		}
	}
	assert.Positive(t, refused)
	require.NoError(t, db.Put([]byte("k"), nil), "tiers make room for the rest of the store")

	time.Sleep(200 * time.Millisecond)       // no compaction is to be hit: that would end the process
	ballast := filepath.Join(dir, "ballast") // somebody else fills the disk to the last byte
	file, err := os.Create(ballast)
	require.NoError(t, err)
	for err == nil {
		_, err = file.Write(make([]byte, 64<<10))
	}
	require.NoError(t, file.Close())
	time.Sleep(50 * time.Millisecond)
	require.ErrorIs(t, tier.Set(store.Item{Key: []byte("x"), Value: []byte("y")}), store.ErrRefused)
	require.ErrorIs(t, db.Put([]byte("k"), []byte("v")), store.ErrRefused)
	_, err = db.Get([]byte("k"))
	require.NoError(t, err)
	_, err = tier.AppendGet(nil, []byte("399"))
	assert.True(t, err == nil || err == store.ErrNotFound, "reads go on: %v", err)

	require.NoError(t, os.Remove(ballast))
	require.Eventually(t, func() bool {
		return tier.Set(store.Item{Key: []byte("x"), Value: []byte("y")}) == nil
	}, 20*time.Second, 10*time.Millisecond, "writes go on when there is room")
	assert.Equal(t, "y", lookup(tier, "x"))
}
