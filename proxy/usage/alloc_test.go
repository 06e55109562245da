//go:build !race

package usage

import (
	"testing"
	"time"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestAddAllocatesNothing(t *testing.T) {
	u := open(t, newDisk(), Options{})
	k := sampleKey()
	keys := []Key{k, k, k}
	keys[1].Code, keys[2].Key = "upstream_error", "team-b"
	add := func() {
		for _, k := range keys {
			u.Add(k, Values{Requests: 1, Took: 20 * time.Millisecond, FirstToken: time.Millisecond})
		}
	}
	for range 100 * stripes { // until every stripe knows the rows
		add()
	}
	testkit.Allocs(t, 0, add)
}
