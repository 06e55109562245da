package store

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWhole(t *testing.T) {
	for _, n := range []int64{0, 1, half - 1, half, 12_345_678_901_234_567, math.MaxInt64} {
		assert.Equal(t, n, Whole(n/half, n%half))
	}
	assert.Equal(t, int64(math.MaxInt64), Whole(math.MaxInt64/half, 2*half))
	assert.Equal(t, int64(math.MaxInt64), Whole(math.MaxInt64, 0))
	assert.Equal(t, int64(math.MaxInt64), Plus(math.MaxInt64-1, 2))
	assert.Equal(t, int64(5), Plus(2, 3))
}
