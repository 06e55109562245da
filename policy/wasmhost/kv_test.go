package wasmhost

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/abi"
)

func value(kv *keyValues, key string, now int64) string {
	var dst [abi.MaxKVValue]byte
	n := kv.get([]byte(key), dst[:], now)
	if n < 0 {
		return "none"
	}
	return string(dst[:n])
}

func TestKeyValues(t *testing.T) {
	kv := newKeyValues()
	assert.Equal(t, "none", value(kv, "a", 0))
	require.True(t, kv.put([]byte("a"), []byte("one"), 0, 0))
	require.True(t, kv.put([]byte("b"), nil, 2, 0))
	assert.Equal(t, "one", value(kv, "a", 1e15))
	assert.Empty(t, value(kv, "b", 1999))
	assert.Equal(t, "none", value(kv, "b", 2000))
	require.True(t, kv.put([]byte("a"), []byte("a longer one"), 1, 0))
	assert.Equal(t, "a longer one", value(kv, "a", 999))
	assert.Equal(t, kvOverhead+1+len("a longer one"), kv.bytes())
	assert.Equal(t, "none", value(kv, "a", 1000))
	assert.Zero(t, kv.bytes())
}

func TestKeyValueLimits(t *testing.T) {
	kv := newKeyValues()
	assert.False(t, kv.put(nil, []byte("v"), 0, 0))
	assert.False(t, kv.put(make([]byte, abi.MaxKVKey+1), nil, 0, 0))
	assert.False(t, kv.put([]byte("k"), make([]byte, abi.MaxKVValue+1), 0, 0))
	assert.True(t, kv.put(make([]byte, abi.MaxKVKey), make([]byte, abi.MaxKVValue), 0, 0))
	_, ok := kv.add(nil, 1, 0, 0)
	assert.False(t, ok)
	dst := []byte{7, 7}
	require.True(t, kv.put([]byte("long"), []byte("value"), 0, 0))
	assert.Equal(t, 5, kv.get([]byte("long"), dst, 0), "its length is told")
	assert.Equal(t, []byte{7, 7}, dst, "and nothing of it")
}

func TestAddition(t *testing.T) {
	kv := newKeyValues()
	for i, c := range []struct{ delta, now, want int64 }{{5, 0, 5}, {-2, 500, 3}, {1, 999, 4}, {1, 1000, 1}} {
		sum, ok := kv.add([]byte("n"), c.delta, 1, c.now)
		assert.True(t, ok)
		assert.Equal(t, c.want, sum, "addition %d: only the first sets the time to live", i)
	}
	require.True(t, kv.put([]byte("text"), []byte("abc"), 0, 0))
	sum, _ := kv.add([]byte("text"), 9, 0, 0)
	assert.Equal(t, int64(9), sum, "what is no number counts as 0")
}

func TestAFullShardForgetsTheExpiredAndThenTheOldest(t *testing.T) {
	kv := newKeyValues()
	big := make([]byte, abi.MaxKVValue)
	for i := range 2000 {
		require.True(t, kv.put(fmt.Appendf(nil, "expires %d", i), big, 1, 0))
	}
	require.LessOrEqual(t, kv.bytes(), abi.MaxKVPolicy)
	for i := range 100 {
		require.True(t, kv.put(fmt.Appendf(nil, "stays %d", i), big, 0, 2000))
	}
	for i := range 100 {
		assert.NotEqual(t, "none", value(kv, fmt.Sprintf("stays %d", i), 2000), "%d: there was room among the expired", i)
	}
	for i := range 1000 {
		require.True(t, kv.put(fmt.Appendf(nil, "newer %d", i), big, 0, 2000))
	}
	assert.LessOrEqual(t, kv.bytes(), abi.MaxKVPolicy)
	assert.Equal(t, "none", value(kv, "stays 0", 2000))
	assert.NotEqual(t, "none", value(kv, "newer 999", 2000))
}

// What the host does for a list of key-values counts against no deadline, so it must be little for each of them.
func TestAFullShardIsQuick(t *testing.T) {
	kv := newKeyValues()
	put := func(from, n int) time.Duration {
		began := time.Now()
		for i := range n {
			kv.put(fmt.Appendf(nil, "%d", from+i), nil, 0, time.Now().UnixMilli())
		}
		return time.Since(began)
	}
	empty := put(0, 10_000)
	put(10_000, 10_000)
	require.Greater(t, kv.bytes(), abi.MaxKVPolicy*9/10)
	assert.Less(t, put(20_000, 10_000), 10*empty+20*time.Millisecond)
}

func TestKeyValuesByManyAtOnce(t *testing.T) {
	kv := newKeyValues()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 2000 {
				kv.add([]byte("sum"), 1, 0, 0)
				kv.put(fmt.Appendf(nil, "%d", i%50), []byte("v"), 1, time.Now().UnixMilli())
				kv.get([]byte("7"), nil, time.Now().UnixMilli())
			}
		})
	}
	wg.Wait()
	sum, _ := kv.add([]byte("sum"), 0, 0, 0)
	assert.Equal(t, int64(8000), sum)
}
