//go:build !race

package memory

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGetDoesNotAllocate(t *testing.T) {
	c := open(t, 1<<22)
	for n := range uint64(1000) {
		c.Set(key(n), []byte("value"), time.Hour)
	}
	var n uint64
	require.Zero(t, testing.AllocsPerRun(10_000, func() {
		c.Get(key(n % 1500)) // a third are misses
		n++
	}))
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryHeldIsWhatUsageTells(t *testing.T) {
	before := heap()
	c := open(t, 64<<20)
	empty := heap() - before
	t.Logf("an empty cache of 64 MiB holds %d bytes", empty)
	assert.Less(t, empty, int64(64<<10))

	const entries, size = 30_000, 1024
	for n := range uint64(entries) {
		c.Set(key(n), make([]byte, size), time.Hour)
	}
	held := heap() - before
	u := c.Usage()
	require.EqualValues(t, entries, u.Entries)
	t.Logf("%d entries of %d bytes: %d bytes an entry besides the value, Overhead is %d",
		entries, size, held/entries-size, Overhead)
	assert.InEpsilon(t, u.Bytes, held, 0.1)
	runtime.KeepAlive(c)
}
