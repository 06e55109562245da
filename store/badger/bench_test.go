package badger

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store"
)

func benchTier(b *testing.B, segments int) *Tier {
	db := openDB(b, b.TempDir())
	tier := tierOf(b, db, 1<<30)
	for s := range segments {
		if s > 0 {
			db.tidying.Lock()
			require.NoError(b, tier.rotate())
			require.NoError(b, tier.makeRoom())
			db.tidying.Unlock()
		}
		for n := range 10_000 {
			put(b, tier, fmt.Sprintf("%d%031d", s, n), string(make([]byte, 1500)), time.Now().Add(time.Hour))
		}
	}
	return tier
}

func BenchmarkAppendGet(b *testing.B) {
	tier := benchTier(b, shares)
	var buf []byte
	for segment, name := range []string{"oldest", "old", "older", "newest", "miss"} {
		keys := make([][]byte, 10_000)
		for n := range keys {
			keys[n] = fmt.Appendf(nil, "%d%031d", segment, n)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				var err error
				buf, err = tier.AppendGet(buf[:0], keys[n%len(keys)])
				if (err == nil) == (name == "miss") {
					b.Fatal(err)
				}
				n++
			}
		})
	}
}

func BenchmarkSet(b *testing.B) {
	db := openDB(b, b.TempDir())
	maintain(b, db)
	tier := tierOf(b, db, 256<<20)
	value := make([]byte, 1500)
	b.ReportAllocs()
	n, refused := 0, 0
	for b.Loop() {
		err := tier.Set(store.Item{Key: fmt.Appendf(nil, "%032d", n), Value: value})
		if err != nil {
			refused++
		}
		n++
	}
	b.ReportMetric(float64(refused)/float64(b.N), "refused/op")
}

func BenchmarkOpenEmpty(b *testing.B) {
	for b.Loop() {
		db, err := Open(b.TempDir(), Options{MinFree: 1})
		require.NoError(b, err)
		_, err = db.Tier([]byte("cache"), 1<<30)
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, db.Close())
		b.StartTimer()
	}
}
