package spend

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

// BenchmarkRates tells of ten thousand keys' limits, from one of three nodes.
func BenchmarkRates(b *testing.B) {
	for name, url := range map[string]func(b *testing.B) string{
		"sqlite":   func(b *testing.B) string { return filepath.Join(b.TempDir(), "origin.db") },
		"postgres": func(b *testing.B) string { return pgtest.Database(b) },
	} {
		b.Run(name, func(b *testing.B) {
			o := open(b, url(b))
			wants := make([]wire.RateDemand, 10_000)
			for i := range wants {
				wants[i] = wire.RateDemand{Rate: fmt.Sprintf("key/k%d", i), Requests: 1}
			}
			for _, node := range []string{"a", "b", "c"} {
				_, err := o.Lease(context.Background(), node, &wire.LeaseRequest{Purse: node, Rates: wants})
				require.NoError(b, err)
			}
			for b.Loop() {
				_, err := o.Lease(context.Background(), "a", &wire.LeaseRequest{Purse: "a", Rates: wants})
				require.NoError(b, err)
			}
		})
	}
}
