package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// inRegion runs a node of a region.
func inRegion(t *testing.T, o *originProcess, name, region string, more ...string) *node {
	t.Helper()
	n := invited(t, name, o)
	n.args = append(append(n.args, "--region", region), more...)
	n.start(t)
	return n
}

// awaitRollout waits until the head's roll-out is at a stage.
func (o *originProcess) awaitRollout(t *testing.T, stage string) (held struct{ Node, Code, Message string }) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		var fleet struct {
			Rollout struct {
				Stage string
				Held  struct{ Node, Code, Message string }
			}
		}
		o.get(t, "/api/v1/fleet", &fleet)
		if fleet.Rollout.Stage != stage {
			return fmt.Errorf("the roll-out is at %s, not at %s", fleet.Rollout.Stage, stage)
		}
		held = fleet.Rollout.Held
		return nil
	})
	return held
}

// TestWaves: a revision that the only node of a region refuses stops there. Nodes beyond the first wave never see it.
func TestWaves(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	secret := filepath.Join(t.TempDir(), "provider.key")
	require.NoError(t, os.WriteFile(secret, []byte("sk-own"), 0o600))
	o.apply(t, originCatalog(p))
	allow := []string{"--secrets-allow", "file:" + secret}
	lone := inRegion(t, o, "lone", "asia")
	nodes := []*node{
		lone, inRegion(t, o, "eu-1", "eu", allow...), inRegion(t, o, "eu-2", "eu", allow...),
		inRegion(t, o, "us-1", "us", allow...), inRegion(t, o, "us-2", "us", allow...),
	}
	o.awaitRollout(t, "done")
	good := o.revision(t)
	var loads []*load
	for _, n := range nodes {
		n.arrive(t, good)
		loads = append(loads, startLoad(n.as(t, "ann"), 1, func(i int64) string { return ask("m", fmt.Sprint("load ", i)) }))
	}

	bad := (&catalog{}).at("own", p.addr, `, api_key: "file:`+secret+`"`)
	o.apply(t, bad.String())
	held := o.awaitRollout(t, "held")
	assert.Equal(t, "lone", held.Node)
	assert.Equal(t, "resource", held.Code)
	assert.Regexp(t, `(?m)^held +revision \d+ by the node lone: resource: .*secrets_allow`, o.wedge(t, "fleet"))
	assert.Regexp(t, `(?m)^lone +asia +held `, o.wedge(t, "node", "list"))
	untouched := 0
	for _, n := range nodes {
		if n.link(t).Rev == good {
			untouched++
		}
	}
	assert.Equal(t, 3, untouched, "the one that refuses, and the second of each other region")
	assert.Equal(t, good, lone.link(t).Rev)
	require.NotNil(t, lone.link(t).Refused)

	o.apply(t, (&catalog{}).at("own", p.addr, "").String())
	o.awaitRollout(t, "done")
	for i, n := range nodes {
		n.arrive(t, o.revision(t))
		assert.Empty(t, loads[i].end())
	}
}

// TestNodeSteps pins, drains and removes nodes that have enrolled.
func TestNodeSteps(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	a, b := joined(t, "a", o), joined(t, "b", o)
	c := a.as(t, "ann")

	o.wedge(t, "node", "pin", "a", "--reason", "audit")
	a.awaitLink(t, "pinned", func(l link) bool { return l.Pinned && l.Reason == "audit" })
	before := a.link(t).Rev
	o.wedge(t, "model", "promote", "m", "1.1.0")
	b.arrive(t, o.revision(t))
	assert.Equal(t, before, a.link(t).Rev)
	assert.Equal(t, "1.0.0", c.chat(ask("m", "pinned")).header.Get("X-Wedge-Version"))
	o.wedge(t, "node", "unpin", "a")
	a.arrive(t, o.revision(t))
	assert.Equal(t, "1.1.0", c.chat(ask("m", "unpinned")).header.Get("X-Wedge-Version"))

	o.wedge(t, "node", "drain", "a", "--reason", "new disk")
	a.awaitLink(t, "drained", func(l link) bool { return l.Drained && l.Reason == "new disk" })
	assert.Equal(t, 503, a.operator(t).get("/readyz").status)
	c.chat(ask("m", "drained")).wantError(t, 503, "draining")
	o.wedge(t, "node", "undrain", "a")
	a.awaitLink(t, "in service", func(l link) bool { return !l.Drained })
	assert.Equal(t, 200, a.operator(t).get("/readyz").status)
	assert.Equal(t, 200, c.chat(ask("m", "undrained")).status)

	o.wedge(t, "node", "remove", "a", "--reason", "stolen")
	a.awaitLink(t, "removed", func(l link) bool { return l.Link == "down" })
	a.terminate()
	a.start(t)
	a.awaitLink(t, "removed", func(l link) bool { return l.Link == "down" && l.Error != "" })
	assert.Contains(t, a.link(t).Error, "join token")
	assert.Equal(t, 200, a.as(t, "ann").chat(ask("m", "removed")).status, "it goes on with what it has")
	assert.NotRegexp(t, `(?m)^a `, o.wedge(t, "node", "list"))
	again := joined(t, "a", o)
	again.arrive(t, o.revision(t))
	assert.Regexp(t, `(?m)^a +\S+ +online `, o.wedge(t, "node", "list"))
	a.awaitLink(t, "removed still", func(l link) bool { return l.Link == "down" })
}
