package usage

import (
	"testing"
	"time"
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
