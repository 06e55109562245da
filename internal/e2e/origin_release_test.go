package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// release is what an origin tells of a release.
type release struct {
	State, Reason    string
	Percent          float64
	Requests, Errors int64
}

// awaitRelease waits until the model's release has a state.
func (o *originProcess) awaitRelease(t *testing.T, state string) release {
	t.Helper()
	var last release
	testkit.Eventually(t, patience, func() error {
		var all struct{ Items []release }
		require.NoError(t, json.Unmarshal([]byte(o.wedge(t, "get", "releases", "-o", "json")), &all))
		if len(all.Items) == 0 {
			return fmt.Errorf("there is no release")
		}
		if last = all.Items[0]; last.State != state {
			return fmt.Errorf("the release is %+v, not %s", last, state)
		}
		return nil
	})
	return last
}

// TestCanaryRelease: a candidate whose provider fails is taken back by itself while few nodes have it; one that is well
// takes over step by step; and a promotion waits for its time.
func TestCanaryRelease(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	o.apply(t, `models: [{name: m, cache: {mode: exact, ttl: 1h}, versions: [`+
		`{version: 1.2.0, status: staging, targets: [{provider: sim, model: "broken;fail=400"}]}]}]`)
	var nodes []*node
	for i := range 6 {
		nodes = append(nodes, joined(t, fmt.Sprint("shop-", i), o))
	}
	var loads []*load
	for i, n := range nodes {
		c := n.as(t, "ann")
		loads = append(loads, startLoad(c, 1, func(k int64) string {
			time.Sleep(20 * time.Millisecond)
			return ask("m", fmt.Sprint("load ", i, " ", k))
		}))
	}
	canary := []string{"--canary", "--steps", "40,70", "--every", "1s", "--max-error-rate", "0.2", "--min-requests", "10"}

	o.wedge(t, append([]string{"model", "promote", "m", "1.2.0"}, canary...)...)
	r := o.awaitRelease(t, "rolled_back")
	assert.NotContains(t, o.wedge(t, "audit"), "step 2", "it never got further than the first step")
	assert.Regexp(t, `% of \d+ requests failed, and 20\.00 % are allowed`, r.Reason)
	assert.Regexp(t, `(?m)^m +.*rolled_back.* requests failed`, o.wedge(t, "get", "releases"))
	assert.Regexp(t, `(?m)^1\.0\.0 +production `, o.wedge(t, "model", "show", "m"))
	for _, n := range nodes {
		n.arrive(t, o.revision(t))
		assert.Equal(t, "1.0.0", n.as(t, "ann").chat(ask("m", "taken back")).header.Get("X-Wedge-Version"))
	}
	for _, l := range loads {
		for _, fault := range l.end() {
			assert.Contains(t, fault, "1.2.0", "only the candidate's requests fail")
		}
	}

	for i, n := range nodes {
		c := n.as(t, "ann")
		loads[i] = startLoad(c, 1, func(k int64) string {
			time.Sleep(20 * time.Millisecond)
			return ask("m", fmt.Sprint("healthy load ", i, " ", k))
		})
	}
	o.wedge(t, append([]string{"model", "promote", "m", "1.1.0"}, canary...)...)
	r = o.awaitRelease(t, "done")
	assert.InDelta(t, 100, r.Percent, 0.1)
	assert.GreaterOrEqual(t, r.Requests, int64(20), "each step has seen enough")
	assert.Zero(t, r.Errors)
	for i, n := range nodes {
		n.arrive(t, o.revision(t))
		assert.Equal(t, "1.1.0", n.as(t, "ann").chat(ask("m", "released")).header.Get("X-Wedge-Version"))
		assert.Empty(t, loads[i].end())
	}

	o.wedge(t, "model", "rollback", "m")
	o.wedge(t, "model", "promote", "m", "1.1.0", "--to", "production", "--at", "2s")
	assert.Regexp(t, `(?m)^1\.0\.0 +production `, o.wedge(t, "model", "show", "m"), "not yet")
	o.awaitRelease(t, "done")
	assert.Regexp(t, `(?m)^1\.1\.0 +production `, o.wedge(t, "model", "show", "m"))
	nodes[0].arrive(t, o.revision(t))
}
