//go:build !race

package testkit

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

var escape []byte

func TestAllocs(t *testing.T) {
	allocate := func() { escape = make([]byte, 64) }
	Allocs(t, 0, func() {})
	Allocs(t, 1, allocate)
	failure := failureOf(func(t testing.TB) { Allocs(t, 0, allocate) })
	assert.Equal(t, "1 allocations per call, want at most 0", failure)
}
