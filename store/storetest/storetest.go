// Package storetest is what every store.Tier must pass. It knows the contract and no driver.
package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store"
)

// reporter is the part of testing.T that the checks need, so that the suite can be run on wrong tiers.
type reporter interface {
	Errorf(format string, args ...any)
	FailNow()
}

// check proves one promise of the contract on an empty tier.
type check struct {
	name  string
	prove func(t reporter, tier store.Tier)
}

var checks = []check{
	{"unknown keys are not found", proveMiss},
	{"values are appended", proveAppend},
	{"the last value of a key counts", proveOverwrite},
	{"deleted keys are gone", proveDelete},
	{"a prefix is forgotten at once", proveDeletePrefix},
	{"keys are bytes", proveBinaryKeys},
	{"values of all sizes come back whole", proveSizes},
	{"a large batch is stored", proveBatch},
	{"nothing is served after its expiry", proveExpiry},
	{"no slice is shared", proveNoAliasing},
	{"concurrent use mixes nothing up", proveConcurrent},
	{"usage makes sense", proveUsage},
	{"a closed tier says so", proveClosed},
}

// Run proves the contract on tiers from open, which must be empty. A tier that has a Close() error method is
// closed by one of the checks; open registers its own clean-up.
func Run(t *testing.T, open func(t *testing.T) store.Tier) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.prove(t, open(t)) })
	}
}

func set(t reporter, tier store.Tier, key, value string) {
	require.NoError(t, tier.Set(store.Item{Key: []byte(key), Value: []byte(value)}))
}

func requireValue(t reporter, tier store.Tier, key, want string) {
	got, err := tier.AppendGet(nil, []byte(key))
	require.NoError(t, err, "key %q", key)
	require.Equal(t, want, string(got), "key %q", key)
}

func requireMiss(t reporter, tier store.Tier, key string) {
	dst := []byte("dst")
	got, err := tier.AppendGet(dst, []byte(key))
	require.ErrorIs(t, err, store.ErrNotFound, "key %q", key)
	require.Equal(t, "dst", string(got), "a miss returns dst as it was, key %q", key)
}

func proveMiss(t reporter, tier store.Tier) {
	requireMiss(t, tier, "nothing")
	set(t, tier, "something", "value")
	requireMiss(t, tier, "nothing")
	requireMiss(t, tier, "some")
	requireMiss(t, tier, "something else")
}

func proveAppend(t reporter, tier store.Tier) {
	set(t, tier, "k", "value")
	for _, dst := range [][]byte{nil, {}, make([]byte, 0, 3), make([]byte, 0, 64)} {
		got, err := tier.AppendGet(append(dst, "head "...), []byte("k"))
		require.NoError(t, err)
		require.Equal(t, "head value", string(got))
	}
	set(t, tier, "empty", "")
	got, err := tier.AppendGet([]byte("head"), []byte("empty"))
	require.NoError(t, err, "an empty value is a value")
	require.Equal(t, "head", string(got))
}

func proveOverwrite(t reporter, tier store.Tier) {
	for n := range 50 {
		set(t, tier, "k", fmt.Sprint("value ", n))
		requireValue(t, tier, "k", fmt.Sprint("value ", n))
	}
	set(t, tier, "k", "short")
	requireValue(t, tier, "k", "short")
	require.NoError(t, tier.Set(
		store.Item{Key: []byte("twice"), Value: []byte("first")},
		store.Item{Key: []byte("other"), Value: []byte("between")},
		store.Item{Key: []byte("twice"), Value: []byte("second")},
	))
	requireValue(t, tier, "twice", "second")
	requireValue(t, tier, "other", "between")
}

func proveDelete(t reporter, tier store.Tier) {
	for _, k := range []string{"a", "b", "c"} {
		set(t, tier, k, "value of "+k)
	}
	require.NoError(t, tier.Delete([]byte("a"), []byte("unknown"), []byte("c")))
	requireMiss(t, tier, "a")
	requireMiss(t, tier, "c")
	requireValue(t, tier, "b", "value of b")
	require.NoError(t, tier.Delete())
	require.NoError(t, tier.Set())
	set(t, tier, "a", "again")
	requireValue(t, tier, "a", "again")
}

func proveDeletePrefix(t reporter, tier store.Tier) {
	keys := []string{"t1/a", "t1/b", "t1", "t10/a", "t2/a", "t", "\xff\xff", "\xff"}
	fill := func() {
		for _, k := range keys {
			set(t, tier, k, "value of "+k)
		}
	}
	fill()
	require.NoError(t, tier.DeletePrefix([]byte("t1/")))
	requireMiss(t, tier, "t1/a")
	requireMiss(t, tier, "t1/b")
	for _, k := range []string{"t1", "t10/a", "t2/a", "t"} {
		requireValue(t, tier, k, "value of "+k)
	}
	set(t, tier, "t1/a", "new")
	requireValue(t, tier, "t1/a", "new")
	require.NoError(t, tier.DeletePrefix([]byte("\xff")))
	requireMiss(t, tier, "\xff\xff")
	requireMiss(t, tier, "\xff")
	requireValue(t, tier, "t1/a", "new")

	fill()
	require.NoError(t, tier.DeletePrefix(nil))
	for _, k := range keys {
		requireMiss(t, tier, k)
	}
	fill()
	for _, k := range keys {
		requireValue(t, tier, k, "value of "+k)
	}
}

func proveBinaryKeys(t reporter, tier store.Tier) {
	keys := []string{"\x00", "\x00\x00", "\x00\x01", "a\x00", "a\x00b", "\xff\xff\xff", "é", " ", "a b\r\n", "!badger!x"}
	for b := range 256 {
		keys = append(keys, string([]byte{'x', byte(b)}), string(bytes.Repeat([]byte{byte(b)}, 32)))
	}
	var items []store.Item
	for _, k := range keys {
		items = append(items, store.Item{Key: []byte(k), Value: []byte("value of " + k)})
	}
	require.NoError(t, tier.Set(items...))
	for _, k := range keys {
		requireValue(t, tier, k, "value of "+k)
	}
}

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 0))
	out := make([]byte, n+8)
	for i := 0; i < n; i += 8 {
		binary.LittleEndian.PutUint64(out[i:], rng.Uint64())
	}
	return out[:n]
}

func proveSizes(t reporter, tier store.Tier) {
	for _, n := range []int{0, 1, 2, 100, 500, 511, 512, 513, 4 << 10, 64 << 10, 512 << 10} {
		requireSize(t, tier, n, false)
	}
	for _, n := range []int{1 << 20, 4 << 20, 16 << 20} {
		requireSize(t, tier, n, true)
	}
}

// requireSize stores n bytes and reads them back; a tier may refuse what is too large for it, whole.
func requireSize(t reporter, tier store.Tier, n int, mayRefuse bool) {
	key, value := fmt.Appendf(nil, "size %d", n), noise(n)
	err := tier.Set(store.Item{Key: key, Value: value})
	if err != nil && mayRefuse {
		require.ErrorIs(t, err, store.ErrTooLarge)
		requireMiss(t, tier, string(key))
		return
	}
	require.NoError(t, err, "%d bytes", n)
	got, err := tier.AppendGet(nil, key)
	require.NoError(t, err, "%d bytes", n)
	require.True(t, bytes.Equal(value, got), "%d bytes came back as %d other ones", n, len(got))
}

func proveBatch(t reporter, tier store.Tier) {
	const count = 5000
	var items []store.Item
	for n := range count {
		items = append(items, store.Item{Key: fmt.Appendf(nil, "batch %d", n), Value: noise(n % 1500)})
	}
	require.NoError(t, tier.Set(items...))
	for n, item := range items {
		got, err := tier.AppendGet(nil, item.Key)
		require.NoError(t, err, "item %d of %d", n, count)
		require.True(t, bytes.Equal(item.Value, got), "item %d of %d", n, count)
	}
}

func proveExpiry(t reporter, tier store.Tier) {
	const soon = 60 * time.Millisecond
	put := func(key string, expires time.Time) {
		require.NoError(t, tier.Set(store.Item{Key: []byte(key), Value: []byte("value"), Expires: expires}))
	}
	put("past", time.Now().Add(-time.Second))
	requireMiss(t, tier, "past")
	put("far", time.Now().Add(time.Hour))
	put("never", time.Time{})
	put("renewed", time.Now().Add(soon))
	put("renewed", time.Time{})
	put("cut short", time.Now().Add(time.Hour))
	put("cut short", time.Now().Add(-time.Second))
	requireMiss(t, tier, "cut short")

	expires := time.Now().Add(soon)
	put("soon", expires)
	for {
		over := !time.Now().Before(expires)
		_, err := tier.AppendGet(nil, []byte("soon"))
		if over {
			require.ErrorIs(t, err, store.ErrNotFound, "served after its expiry")
			break
		}
		time.Sleep(time.Millisecond)
	}
	for _, k := range []string{"far", "never", "renewed"} {
		requireValue(t, tier, k, "value")
	}
}

func proveNoAliasing(t reporter, tier store.Tier) {
	for _, size := range []int{16, 4096} {
		key, value := fmt.Appendf(nil, "aliased %d", size), noise(size)
		want := bytes.Clone(value)
		item := store.Item{Key: bytes.Clone(key), Value: value}
		require.NoError(t, tier.Set(item))
		clear(item.Key)
		clear(item.Value)

		first, err := tier.AppendGet(nil, key)
		require.NoError(t, err, "the tier keeps the key's slice")
		require.Equal(t, want, first, "the tier keeps the value's slice")
		clear(first)
		second, err := tier.AppendGet(nil, key)
		require.NoError(t, err)
		require.Equal(t, want, second, "the tier hands out what it keeps")

		deleted := bytes.Clone(key)
		require.NoError(t, tier.Delete(deleted))
		clear(deleted)
		requireMiss(t, tier, string(key))

		prefix := bytes.Clone(key)
		set(t, tier, string(key), "again")
		require.NoError(t, tier.DeletePrefix(prefix))
		clear(prefix)
		requireMiss(t, tier, string(key))
	}
}

// sealed is a value that tells by itself which key it belongs to and whether it is whole.
func sealed(key []byte, size int, seed uint64) []byte {
	out := binary.LittleEndian.AppendUint64(nil, seed)
	for len(out) < 8+size {
		out = append(out, byte(len(out)*31)^byte(seed))
	}
	return binary.LittleEndian.AppendUint64(out, digest(key, out))
}

func digest(key, body []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	h.Write(body)
	return h.Sum64()
}

func intact(key, value []byte) bool {
	if len(value) < 16 {
		return false
	}
	body := value[:len(value)-8]
	return binary.LittleEndian.Uint64(value[len(body):]) == digest(key, body)
}

func proveConcurrent(t reporter, tier store.Tier) {
	var wg sync.WaitGroup
	for w := range uint64(6) {
		wg.Go(func() { hammer(t, tier, w) })
	}
	wg.Wait()
}

// hammer mixes all operations on keys that it shares with others, and checks those of its own.
func hammer(t reporter, tier store.Tier, worker uint64) {
	rng := rand.New(rand.NewPCG(worker, 7))
	own := fmt.Appendf(nil, "own/%d", worker)
	var buf []byte
	for range 300 {
		shared := fmt.Appendf(nil, "shared/%d", rng.IntN(40))
		seed, size := rng.Uint64(), rng.IntN(3000)
		var err error
		switch rng.IntN(12) {
		case 0:
			err = tier.Delete(shared)
		case 1:
			err = tier.DeletePrefix([]byte("shared/1"))
		case 2, 3, 4, 5:
			mine := sealed(own, size, seed)
			err = tier.Set(store.Item{Key: shared, Value: sealed(shared, size, seed)}, store.Item{Key: own, Value: mine})
			if got, err := tier.AppendGet(nil, own); assert.NoError(t, err) {
				assert.True(t, bytes.Equal(mine, got), "a worker reads what it has just written")
			}
		default:
			buf, err = tier.AppendGet(buf[:0], shared)
			if err == nil {
				assert.True(t, intact(shared, buf), "key %q answers with bytes that are not its own", shared)
			} else {
				assert.ErrorIs(t, err, store.ErrNotFound)
				err = nil
			}
		}
		assert.NoError(t, err)
	}
}

func proveUsage(t reporter, tier store.Tier) {
	u := tier.Usage()
	require.GreaterOrEqual(t, u.Bytes, int64(0))
	require.GreaterOrEqual(t, u.Entries, int64(-1))
	require.GreaterOrEqual(t, u.Limit, int64(0))
	for n := range 100 {
		set(t, tier, fmt.Sprint("used ", n), string(noise(2000)))
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		u = tier.Usage()
		if u.Bytes >= 100*2000 && (u.Entries == -1 || u.Entries >= 100) {
			break
		}
		require.True(t, time.Now().Before(deadline), "usage does not count: %+v", u)
		time.Sleep(10 * time.Millisecond)
	}
	require.Zero(t, u.Evictions, "there was room")
	require.Zero(t, u.Refused)
}

func proveClosed(t reporter, tier store.Tier) {
	closer, ok := tier.(interface{ Close() error })
	if !ok {
		return
	}
	set(t, tier, "k", "value")
	require.NoError(t, closer.Close())
	got, err := tier.AppendGet([]byte("dst"), []byte("k"))
	require.ErrorIs(t, err, store.ErrClosed)
	require.Equal(t, "dst", string(got))
	require.ErrorIs(t, tier.Set(store.Item{Key: []byte("k"), Value: []byte("v")}), store.ErrClosed)
	require.ErrorIs(t, tier.Delete([]byte("k")), store.ErrClosed)
	require.ErrorIs(t, tier.DeletePrefix([]byte("k")), store.ErrClosed)
	tier.Usage()
	require.NoError(t, closer.Close(), "closing twice is no error")
}
