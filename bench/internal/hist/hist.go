// Package hist counts durations in a log-linear histogram and reads quantiles from it; it knows no clock and
// no HTTP.
package hist

import (
	"math"
	"math/bits"
)

// Every power of two is split into 1<<subBits buckets, so a quantile is at most 1/128 too high.
const subBits = 7

const buckets = (64-subBits)<<subBits + 1<<subBits

// H is a histogram of non-negative integers, here always nanoseconds. The zero value is empty and ready. It is
// not safe for concurrent use.
type H struct {
	counts   [buckets]uint64
	n        uint64
	sum      float64
	min, max int64
}

// Add counts v; a negative v counts as 0.
func (h *H) Add(v int64) {
	v = max(v, 0)
	h.counts[index(uint64(v))]++
	if h.n == 0 || v < h.min {
		h.min = v
	}
	h.max = max(h.max, v)
	h.n++
	h.sum += float64(v)
}

// N is the number of values counted.
func (h *H) N() uint64 { return h.n }

// Max is the largest value counted, exactly; 0 if there is none.
func (h *H) Max() int64 { return h.max }

// Mean is the arithmetic mean, exactly; 0 if nothing was counted.
func (h *H) Mean() float64 {
	if h.n == 0 {
		return 0
	}
	return h.sum / float64(h.n)
}

// Quantile is the smallest bucket bound that at least the fraction q of all values do not exceed, clipped to
// the smallest and largest value counted; 0 if nothing was counted. It never understates, and overstates by
// less than 0.8 %.
func (h *H) Quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	rank := max(uint64(math.Ceil(q*float64(h.n))), 1)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(max(upper(i), h.min), h.max)
		}
	}
	return h.max
}

// index of the bucket that holds v: v itself below 256, then 128 buckets for each power of two.
func index(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// upper is the largest value that bucket i holds.
func upper(i int) int64 {
	if i < 2<<subBits {
		return int64(i)
	}
	shift := i>>subBits - 1
	low := uint64(i-shift<<subBits) << shift
	return int64(min(low+1<<shift-1, math.MaxInt64))
}
