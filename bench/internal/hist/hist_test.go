package hist

import (
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEmptyHistogramAnswersZero(t *testing.T) {
	var h H
	assert.Zero(t, h.Quantile(0.5))
	assert.Zero(t, h.Mean())
	assert.Zero(t, h.Max())
}

func TestSmallValuesAreExact(t *testing.T) {
	var h H
	for v := range int64(101) {
		h.Add(v)
	}
	assert.EqualValues(t, 101, h.N())
	assert.EqualValues(t, 50, h.Quantile(0.5))
	assert.EqualValues(t, 0, h.Quantile(0))
	assert.EqualValues(t, 98, h.Quantile(0.98))
	assert.EqualValues(t, 99, h.Quantile(0.99))
	assert.EqualValues(t, 100, h.Quantile(1))
	assert.InDelta(t, 50, h.Mean(), 1e-9)
}

func TestOneValueIsEveryQuantile(t *testing.T) {
	for _, v := range []int64{0, 1, 255, 256, 257, 1_000_003, math.MaxInt64} {
		var h H
		h.Add(v)
		for _, q := range []float64{0, 0.5, 0.999, 1} {
			assert.Equal(t, v, h.Quantile(q), "quantile %v of the single value %d", q, v)
		}
	}
}

func TestBucketsTileTheIntegers(t *testing.T) {
	for i := 1; i < buckets; i++ {
		low := upper(i-1) + 1
		if low < 0 {
			break
		}
		require.Equal(t, i, index(uint64(low)), "lower bound %d", low)
		require.Equal(t, i, index(uint64(upper(i))), "upper bound %d", upper(i))
	}
}

func TestQuantilesAgreeWithSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h H
	values := make([]int64, 20_000)
	for i := range values {
		values[i] = int64(math.Exp(rng.Float64() * 25))
		h.Add(values[i])
	}
	sort.Slice(values, func(i, j int) bool { return values[i] < values[j] })
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		exact := values[int(math.Ceil(q*float64(len(values))))-1]
		got := h.Quantile(q)
		assert.GreaterOrEqual(t, got, exact)
		assert.LessOrEqual(t, float64(got), float64(exact)*1.008+1)
	}
	assert.Equal(t, values[len(values)-1], h.Max())
}
