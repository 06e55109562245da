package ledger

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

// nodesAtOnce is how many nodes of a large fleet report at the same moment.
const nodesAtOnce = 64

// BenchmarkBook books reports of 20 rows from many nodes at once, and folds them.
func BenchmarkBook(b *testing.B) {
	for name, url := range map[string]func(b *testing.B) string{
		"sqlite":   func(b *testing.B) string { return filepath.Join(b.TempDir(), "origin.db") },
		"postgres": func(b *testing.B) string { return pgtest.Database(b) },
	} {
		b.Run(name, func(b *testing.B) {
			l := open(b, url(b))
			var rows []wire.Usage
			for i := range 20 {
				u := row("1.0.0", 10)
				u.Key, u.Latency = fmt.Sprint("k", i), []int64{1, 2, 3, 4}
				rows = append(rows, u)
			}
			var node atomic.Int64
			b.SetParallelism(nodesAtOnce / runtime.GOMAXPROCS(0))
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				name := fmt.Sprint("node-", node.Add(1))
				for seq := int64(1); p.Next(); seq++ {
					_, err := l.Book(b.Context(), name, report(seq, rows...))
					require.NoError(b, err)
				}
			})
			booked := b.Elapsed()
			require.NoError(b, l.Fold(b.Context()))
			b.ReportMetric(float64(b.N)/booked.Seconds(), "booked/s")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "both/s")
			b.ReportMetric(float64(b.N)/(b.Elapsed()-booked).Seconds(), "folded/s")
			require.Equal(b, int64(b.N)*200, all(b, l)[0].Requests)
		})
	}
}
