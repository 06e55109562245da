package e2e

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// experimentCatalog splits m between three arms; nobody asks the provider.
func experimentCatalog(addr string) string {
	c := (&catalog{}).at("sim", addr, "").key("ann", "may: [arm]").key("bob", "")
	var versions, arms []string
	for i, weight := range []int{50, 30, 20} {
		status := []string{"production", "staging", "staging"}[i]
		versions = append(versions, fmt.Sprintf(`{version: 1.%d.0, status: %s, targets: [%s]}`, i, status, target("sim", fmt.Sprint("arm-", i), "")))
		arms = append(arms, fmt.Sprintf(`{name: arm-%d, version: 1.%d.0, weight: %d}`, i, i, weight))
	}
	c.models = []string{`{name: m, unit: user, cache: {mode: exact, ttl: 1h}, versions: [` + strings.Join(versions, ", ") + `]}`}
	c.experiments = []string{`{name: three, model: m, status: running, arms: [` + strings.Join(arms, ", ") + `]}`}
	return c.String()
}

// assignments asks a node which arm each user gets. The cache may not answer and nobody else is asked: the refusal
// tells the arm.
func assignments(t *testing.T, n *node, users int) []string {
	t.Helper()
	const connections = 8
	ann := n.as(t, "ann")
	out := make([]string, users)
	var failed atomic.Value
	testkit.Hammer(connections, users/connections, func(g, i int) {
		user := i*connections + g
		a, err := ann.try(context.Background(), "POST", chatPath, ask("m", "which arm?"),
			"x-wedge-cache", "only-if-cached", "x-wedge-user", fmt.Sprint("user-", user))
		if err != nil || a.header.Get("X-Wedge-Error") != "not_cached" {
			failed.Store(fmt.Sprint(err, a))
			return
		}
		out[user] = a.header.Get("X-Wedge-Experiment") + " " + a.header.Get("X-Wedge-Version")
	})
	assert.Nil(t, failed.Load())
	return out
}

func TestExperimentSplit(t *testing.T) {
	t.Parallel()
	users := 10_000
	if testing.Short() {
		users = 2000
	}
	text := experimentCatalog(testkit.FreeAddr(t))
	one := assignments(t, startNode(t, text), users)
	two := assignments(t, startNode(t, text), users)
	assert.Equal(t, one, two, "every node assigns alike")

	counts := map[string]int{}
	for _, arm := range one {
		counts[arm]++
	}
	tolerance := 0.01 * float64(users)
	if testing.Short() {
		tolerance *= 3
	}
	assert.Len(t, counts, 3)
	for i, share := range []float64{0.5, 0.3, 0.2} {
		assert.InDelta(t, share*float64(users), counts[fmt.Sprintf("three=arm-%d 1.%d.0", i, i)], tolerance)
	}
}

func TestExperimentUnitsAndArms(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, experimentCatalog(p.addr))
	ann, bob := n.as(t, "ann"), n.as(t, "bob")

	byHeader := ann.chat(ask("m", "unit"), "x-wedge-user", "u7").header.Get("X-Wedge-Experiment")
	assert.Regexp(t, `^three=arm-\d$`, byHeader)
	assert.Equal(t, byHeader, ann.chat(ask("m", "unit", `"user":"u7"`)).header.Get("X-Wedge-Experiment"))
	assert.Equal(t, byHeader, ann.chat(ask("m", "unit", `"metadata":{"user_id":"u7"}`)).header.Get("X-Wedge-Experiment"))
	assert.Equal(t, byHeader, bob.chat(ask("m", "unit"), "x-wedge-user", "u7").header.Get("X-Wedge-Experiment"))

	for i := range 3 {
		arm := fmt.Sprint("arm-", i)
		a := ann.chat(ask("m", "forced"), "x-wedge-arm", arm, "x-wedge-user", "u7")
		assert.Equal(t, 200, a.status, a.brief())
		assert.Equal(t, "three="+arm, a.header.Get("X-Wedge-Experiment"))
		assert.Equal(t, fmt.Sprintf("1.%d.0", i), a.header.Get("X-Wedge-Version"))
		assert.Contains(t, a.body, `"model":"`+arm+`"`)
	}
	bob.chat(ask("m", "forced"), "x-wedge-arm", "arm-1").wantError(t, 403, "forbidden")

	named := ann.chat(ask("m@1.2.0", "named"))
	assert.Equal(t, "1.2.0", named.header.Get("X-Wedge-Version"))
	assert.Empty(t, named.header.Get("X-Wedge-Experiment"), "who names a version takes no part")
}
