//go:build !race

package badger

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadsAllocateLittle(t *testing.T) {
	db := openDB(t, t.TempDir())
	tier := tierOf(t, db, 64<<20)
	for n := range 1000 {
		put(t, tier, fmt.Sprintf("%032d", n), string(make([]byte, 1500)), time.Now().Add(time.Hour))
	}
	turn(t, tier)
	for n := range 1000 {
		put(t, tier, fmt.Sprintf("%032d", 1000+n), string(make([]byte, 1500)), time.Now().Add(time.Hour))
	}
	buf := make([]byte, 0, 4096)
	n := 0
	measure := func(from, count int) float64 {
		return testing.AllocsPerRun(2000, func() {
			key := fmt.Appendf(buf[3000:3000], "%032d", from+n%count)
			if _, err := tier.AppendGet(buf[:0], key); (err == nil) != (from < 2000) {
				t.Error(err)
			}
			n++
		})
	}
	format := testing.AllocsPerRun(2000, func() { _ = fmt.Appendf(buf[3000:3000], "%032d", 1000+n%1000); n++ })
	newest, sealed, miss := measure(1000, 1000)-format, measure(0, 1000)-format, measure(5000, 1000)-format
	t.Logf("allocations of a read from the newest segment %.0f, from a sealed one %.0f, of a miss %.0f", newest, sealed, miss)
	assert.LessOrEqual(t, newest, 8.0)
	assert.LessOrEqual(t, sealed, 18.0)
	assert.LessOrEqual(t, miss, 10.0)
	require.Positive(t, n)
}
