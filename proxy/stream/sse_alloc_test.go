//go:build !race

package stream

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestScanAllocatesNothing(t *testing.T) {
	in := append(burst(), "event: x\ndata: a\ndata: b\n\n"...)
	scratch := make([]byte, 0, 64)
	allocs := testing.AllocsPerRun(20, func() {
		var s Scanner
		for rest := in; len(rest) > 0; {
			n, _ := s.Next(rest)
			_, _, scratch = Fields(rest[:n], scratch)
			rest = rest[n:]
		}
	})
	assert.Zero(t, allocs)
}
