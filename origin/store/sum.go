package store

import (
	"fmt"
	"math"
)

// half is what SumOf divides by.
const half = 1_000_000_000

// SumOf selects the sum of an expression, of whole numbers from zero on, as two columns for Whole: databases refuse a sum
// that is too much for one.
func SumOf(expression string) string {
	return fmt.Sprintf("cast(coalesce(sum((%[1]s) / %[2]d), 0) as bigint), cast(coalesce(sum((%[1]s) %% %[2]d), 0) as bigint)", expression, half)
}

// Whole is the sum that SumOf selected, or as much of it as there are numbers.
func Whole(high, low int64) int64 {
	if high > math.MaxInt64/half {
		return math.MaxInt64
	}
	return Plus(high*half, low)
}

// Plus adds whole numbers from zero on, as far as there are numbers.
func Plus(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
