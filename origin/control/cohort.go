package control

import (
	"context"
	"fmt"

	"github.com/wedge-proxy/wedge/wire"
)

// mostDraws bounds how many seeds are tried: a node out of a few is found in tens of them, even for small shares.
const mostDraws = 10_000

// seed is what the release's cohort is drawn with. It stays the same for all steps: nodes that have the candidate keep it.
func (r *rollout) seed() string {
	seed := fmt.Sprintf("%s@%s/%d", r.Model, r.Version, r.Started.UnixMilli())
	if r.Draw > 0 {
		seed += fmt.Sprintf("/%d", r.Draw)
	}
	return seed
}

// drawCohort draws until a node that can have the candidate is among those of the first step. A tenth of three nodes is
// most often none of them, and a candidate that nobody has is never found to be good or bad.
func (c *Control) drawCohort(ctx context.Context, r *rollout) error {
	if c.options.Nodes == nil {
		return nil
	}
	nodes, err := c.options.Nodes(ctx)
	if err != nil || len(nodes) == 0 {
		return err
	}
	for r.Draw = 0; r.Draw < mostDraws; r.Draw++ {
		cohort := wire.Release{Percent: r.Canary.Steps[0], Seed: r.seed()}
		for _, node := range nodes {
			if cohort.Covers(node) {
				return nil
			}
		}
	}
	r.Draw = 0 // the share is that of a fleet which is yet to come
	return nil
}
