//go:build !race

package price

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

func TestNothingAllocates(t *testing.T) {
	p := priced(t, everything)
	ordinary, huge, dst := usageOfAll(), dialect.Usage{Known: true, Input: math.MaxInt64, Output: math.MaxInt64, Images: 1 << 60}, make([]byte, 0, 64)
	for what, f := range map[string]func(){
		"Bill":           func() { p.Bill(&ordinary, now) },
		"Bill of a lot":  func() { p.Bill(&huge, now) },
		"AtMost":         func() { p.AtMost(1<<40, 4096, now) },
		"AtMost of more": func() { p.AtMost(math.MaxInt64, math.MaxInt64, now) },
		"Known, Tokens":  func() { p.Known(now); p.Tokens() },
		"AppendUSD":      func() { dst = AppendUSD(dst[:0], math.MaxInt64) },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, f), what)
	}
}
