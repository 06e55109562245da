package memory

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func key(n uint64) (k [32]byte) {
	binary.LittleEndian.PutUint64(k[:], n*0x9e3779b97f4a7c15)
	return k
}

func open(t testing.TB, maxBytes int64) *Cache[[]byte] {
	t.Helper()
	c, err := New(Options[[]byte]{MaxBytes: maxBytes, Weight: func(v []byte) int { return len(v) }})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func TestNewRefusesUselessOptions(t *testing.T) {
	_, err := New(Options[[]byte]{Weight: func(v []byte) int { return len(v) }})
	require.ErrorContains(t, err, "MaxBytes")
	_, err = New(Options[[]byte]{MaxBytes: 1})
	require.ErrorContains(t, err, "Weight")
}

func TestSetGetDelete(t *testing.T) {
	c := open(t, 1<<20)
	_, ok := c.Get(key(1))
	require.False(t, ok)

	require.True(t, c.Set(key(1), []byte("one"), time.Hour))
	require.True(t, c.Set(key(2), []byte("two"), 0))
	require.True(t, c.Set(key(1), []byte("uno"), time.Hour), "an overwrite")
	v, ok := c.Get(key(1))
	require.True(t, ok)
	require.Equal(t, "uno", string(v))

	u := c.Usage()
	assert.EqualValues(t, 2, u.Entries)
	assert.EqualValues(t, 6+2*Overhead, u.Bytes)
	assert.EqualValues(t, 1<<20, u.Limit)

	c.Delete(key(1))
	_, ok = c.Get(key(1))
	require.False(t, ok)
	c.Purge()
	_, ok = c.Get(key(2))
	require.False(t, ok)
	assert.Zero(t, c.Usage().Bytes)
}

func TestExpiredEntriesAreNeverReturned(t *testing.T) {
	c := open(t, 1<<20)
	const ttl = 20 * time.Millisecond
	start := time.Now()
	require.True(t, c.Set(key(1), []byte("soon gone"), ttl))
	require.True(t, c.Set(key(2), []byte("stays"), time.Hour))
	require.True(t, c.Set(key(3), []byte("stays longer"), ttl))
	require.True(t, c.Set(key(3), []byte("stays longer"), time.Hour), "an overwrite renews the lifetime")
	for {
		late := time.Since(start) > ttl+time.Millisecond
		if _, ok := c.Get(key(1)); late {
			require.False(t, ok, "served after its expiry")
			break
		}
		runtime.Gosched()
	}
	_, ok := c.Get(key(2))
	assert.True(t, ok)
	_, ok = c.Get(key(3))
	assert.True(t, ok)
	require.Eventually(t, func() bool { return c.Usage().Entries == 2 }, 5*time.Second, 20*time.Millisecond,
		"an idle cache frees what has expired")
}

func TestBytesStayWithinTheBound(t *testing.T) {
	const limit = 1 << 20
	c := open(t, limit)
	value := make([]byte, 4000)
	for n := range uint64(5000) {
		require.True(t, c.Set(key(n), value[:rand.IntN(len(value))], time.Hour))
		require.LessOrEqual(t, c.Usage().Bytes, int64(limit))
	}
	u := c.Usage()
	assert.Greater(t, u.Bytes, int64(limit/2), "the room is used")
	assert.EqualValues(t, 5000, u.Entries+u.Evictions)
}

func TestHeavierThanTheCacheIsRefused(t *testing.T) {
	c := open(t, 10_000)
	for n := range uint64(10) {
		require.True(t, c.Set(key(n), make([]byte, 500), time.Hour))
	}
	require.False(t, c.Set(key(3), make([]byte, 10_001-Overhead), time.Hour))
	_, ok := c.Get(key(3))
	assert.False(t, ok, "the value that was to be replaced is not served any more")
	u := c.Usage()
	assert.EqualValues(t, 9, u.Entries, "nothing else is evicted for it")
	assert.Zero(t, u.Evictions)
	assert.EqualValues(t, 1, u.Refused)
	require.False(t, c.Set(key(4), nil, -time.Second), "no time left")
	_, ok = c.Get(key(4))
	assert.False(t, ok)
	require.True(t, c.Set(key(5), make([]byte, 10_000-Overhead), time.Hour), "exactly as heavy as the cache")
}

func TestDeleteFunc(t *testing.T) {
	c := open(t, 1<<22)
	for n := range uint64(1000) {
		c.Set(key(n), []byte{byte(n % 4)}, time.Hour)
	}
	require.Equal(t, 250, c.DeleteFunc(func(v []byte) bool { return v[0] == 3 }))
	for n := range uint64(1000) {
		_, ok := c.Get(key(n))
		require.Equal(t, n%4 != 3, ok)
	}
	require.Zero(t, c.DeleteFunc(func(v []byte) bool { return v[0] == 3 }))
}

func TestConcurrentUseServesOnlyTheKeysOwnValues(t *testing.T) {
	c := open(t, 200_000)
	var wg sync.WaitGroup
	for w := range uint64(8) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(w, 1))
			for range 20_000 {
				n := rng.Uint64N(500)
				switch rng.IntN(10) {
				case 0:
					c.Delete(key(n))
				case 1, 2, 3:
					c.Set(key(n), binary.LittleEndian.AppendUint64(make([]byte, 0, 800), n)[:8+rng.IntN(700)], time.Hour)
				default:
					if v, ok := c.Get(key(n)); ok && binary.LittleEndian.Uint64(v) != n {
						t.Errorf("key %d answered %d", n, binary.LittleEndian.Uint64(v))
					}
				}
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, c.Usage().Bytes, int64(200_000))
}

func BenchmarkGet(b *testing.B) {
	c := open(b, 64<<20)
	for n := range uint64(10_000) {
		c.Set(key(n), make([]byte, 1500), time.Hour)
	}
	keys := make([][32]byte, 4096)
	for i := range keys {
		keys[i] = key(uint64(i))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := c.Get(keys[i&4095]); !ok {
			b.Fatal("missed")
		}
		i++
	}
}

func BenchmarkSet(b *testing.B) {
	c := open(b, 16<<20)
	value := make([]byte, 1500)
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		c.Set(key(n), value, time.Hour)
		n++
	}
}
