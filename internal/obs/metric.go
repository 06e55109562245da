package obs

import (
	"math/bits"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// cacheLine keeps two metrics off one line of the processor's cache: neighbours written by different cores would
// slow each other down.
const cacheLine = 64

// Counter counts up. Its methods may be called from any goroutine and do not allocate.
type Counter struct {
	n atomic.Int64
	_ [cacheLine - 8]byte
}

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n, which must not be negative.
func (c *Counter) Add(n int64) { c.n.Add(n) }

// Value is the count so far.
func (c *Counter) Value() int64 { return c.n.Load() }

func (c *Counter) expose(d desc, labels []string) (prometheus.Metric, error) {
	return prometheus.NewConstMetric(d.prom, prometheus.CounterValue, float64(c.Value())/d.per, labels...)
}

// Gauge is a value that goes up and down. Its methods may be called from any goroutine and do not allocate.
type Gauge struct {
	n atomic.Int64
	_ [cacheLine - 8]byte
}

// Set replaces the value.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) { g.n.Add(n) }

// Value is the present value.
func (g *Gauge) Value() int64 { return g.n.Load() }

func (g *Gauge) expose(d desc, labels []string) (prometheus.Metric, error) {
	return prometheus.NewConstMetric(d.prom, prometheus.GaugeValue, float64(g.Value())/d.per, labels...)
}

const (
	lowestBound = 10 // the first bucket ends at 2^10 ns, about a microsecond
	buckets     = 27 // the last one at 2^36 ns, about 69 seconds; what is longer counts only as +Inf
)

// Histogram counts durations in buckets whose upper bounds double from 2^10 ns to 2^36 ns. Its methods may be
// called from any goroutine and do not allocate.
type Histogram struct {
	sum   atomic.Int64
	count [buckets + 1]atomic.Uint64
	_     [cacheLine - 8*(buckets+2)%cacheLine]byte
}

// Observe counts a duration in nanoseconds; a negative one, as a clock that was set back makes it, counts as 0.
func (h *Histogram) Observe(ns int64) {
	ns = max(ns, 0)
	h.count[bucketOf(ns)].Add(1)
	h.sum.Add(ns)
}

// bucketOf is the index of the first bucket whose upper bound, which belongs to it, is at least ns.
func bucketOf(ns int64) int {
	if ns <= 1<<lowestBound {
		return 0
	}
	return min(bits.Len64(uint64(ns-1))-lowestBound, buckets)
}

func (h *Histogram) expose(d desc, labels []string) (prometheus.Metric, error) {
	var (
		upTo  = make(map[float64]uint64, buckets)
		total uint64
	)
	for i := range buckets {
		total += h.count[i].Load()
		upTo[float64(uint64(1)<<(lowestBound+i))/d.per] = total
	}
	total += h.count[buckets].Load()
	return prometheus.NewConstHistogram(d.prom, total, float64(h.sum.Load())/d.per, upTo, labels...)
}
