package obs

import (
	"math"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestBucketOf(t *testing.T) {
	for ns, want := range map[int64]int{
		0: 0, 1: 0, 1023: 0, 1024: 0,
		1025: 1, 2048: 1, 2049: 2,
		1 << 36: buckets - 1, 1<<36 + 1: buckets, math.MaxInt64: buckets,
	} {
		assert.Equal(t, want, bucketOf(ns), "%d ns", ns)
	}
}

func TestMetricsFillWholeCacheLines(t *testing.T) {
	assert.Zero(t, reflect.TypeFor[Counter]().Size()%cacheLine)
	assert.Zero(t, reflect.TypeFor[Gauge]().Size()%cacheLine)
	assert.Zero(t, reflect.TypeFor[Histogram]().Size()%cacheLine)
}

func BenchmarkCounter(b *testing.B) {
	c := NewRegistry().Counter(Opts{Name: "c", Help: "x"})
	for b.Loop() {
		c.Inc()
	}
}

func BenchmarkHistogram(b *testing.B) {
	h := NewRegistry().Histogram(Opts{Name: "h", Help: "x"})
	for ns := int64(1); b.Loop(); ns = (ns*7 + 13) & (1<<34 - 1) {
		h.Observe(ns)
	}
}

func BenchmarkWith(b *testing.B) {
	f := NewRegistry().CounterFamily(Opts{Name: "f", Help: "x", Labels: []string{"a", "b", "c"}})
	b.ReportAllocs()
	for b.Loop() {
		f.With("support-bot", "1.0.0", "openai").Inc()
	}
}
