package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/store/badger"
	"github.com/wedge-proxy/wedge/wire"
)

func sampleKey() Key {
	return Key{Hour: 490_000, Model: "support-chat", Version: "1.4.2", Experiment: "tone", Arm: "warm", Key: "team-a",
		Provider: "openai-eu", Target: "openai-eu/gpt-5-mini", Cache: "hit-memory"}
}

func BenchmarkAdd(b *testing.B) {
	u := open(b, newDisk(), Options{})
	k, v := sampleKey(), Values{Requests: 1, Took: 20 * time.Microsecond}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			u.Add(k, v)
		}
	})
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				u.Add(k, v)
			}
		})
	})
}

// BenchmarkFlush is what 50 ms of traffic in 50 rows cost on the disk, and a report every hundredth time.
func BenchmarkFlush(b *testing.B) {
	db, err := badger.Open(b.TempDir(), badger.Options{MinFree: 1 << 20})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, db.Close()) })
	c := newClock()
	u := open(b, db, Options{Now: c.Now})
	k := sampleKey()
	b.ReportAllocs()
	for b.Loop() {
		for i := range 50 {
			k.Hour = int64(i)
			u.Add(k, Values{Requests: 1})
		}
		c.now = c.now.Add(50 * time.Millisecond)
		u.work()
		if r, ok := u.Next(); ok {
			u.Sent(wire.ReportReply{Seq: r.Seq})
		}
	}
}
