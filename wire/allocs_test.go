//go:build !race

package wire

import (
	"strings"
	"testing"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestHotFunctionsDoNotAllocate(t *testing.T) {
	e := Experiment{Name: "e", Seed: "s", Layer: "l", Traffic: 50, Arms: []Arm{{Weight: 90}, {Weight: 5}, {Weight: 5}}}
	a := CompileExperiment(&Catalog{}, &e)
	key := []byte("wk_abc123def456_" + strings.Repeat("x", 40))
	for _, unit := range [][]byte{[]byte("user-1"), []byte(strings.Repeat("u", 1000))} {
		testkit.Allocs(t, 0, func() {
			Bucket("s1", unit)
			a.Arm(unit)
			KeyID(key)
			HashKey(key)
		})
	}
}
