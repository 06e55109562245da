package fleet

import (
	"context"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
)

// metrics are what an origin counts of its nodes. Each origin tells of the whole fleet's state, and of the answers that
// came to itself.
type metrics struct {
	acks  *obs.Counter
	nacks *obs.Family[obs.Counter]
}

// stageNumbers are how far a roll-out is, as a number.
var stageNumbers = map[string]float64{stageDone: 0, stageCanary: 1, stageTenth: 2, stageAll: 3, stageHeld: 4}

// readTime is how long the database may take to tell how the fleet is.
const readTime = 2 * time.Second

func newMetrics(r *obs.Registry, f *Fleet) *metrics {
	r.GaugeFunc(obs.Opts{Name: "wedge_origin_nodes", Help: "Nodes of the fleet.", Labels: []string{"state"}}, f.emitNodes)
	r.GaugeFunc(obs.Opts{Name: "wedge_origin_revision", Help: "The last revision, and those that each wave may have.", Labels: []string{"wave"}},
		func(emit obs.Emit) {
			if v := f.feed.view(); v != nil {
				emit(float64(v.head.Rev), "head")
				if !f.o.NoWaves {
					emit(float64(v.waves.canary), stageCanary)
					emit(float64(v.waves.tenth), stageTenth)
					emit(float64(v.waves.all), stageAll)
				}
			}
		})
	r.GaugeFunc(obs.Opts{Name: "wedge_origin_rollout_stage", Help: "How far the head has come: 0 done, 1 canary, 2 tenth, 3 all, 4 held."},
		func(emit obs.Emit) {
			if v := f.feed.view(); v != nil {
				emit(stageNumbers[f.stageOf(v)])
			}
		})
	return &metrics{
		acks: r.Counter(obs.Opts{Name: "wedge_origin_acks_total", Help: "Answers of nodes, refusals among them."}),
		nacks: r.CounterFamily(obs.Opts{Name: "wedge_origin_nacks_total", Help: "Revisions that nodes refused.",
			Labels: []string{"code"}}),
	}
}

func (f *Fleet) emitNodes(emit obs.Emit) {
	ctx, cancel := context.WithTimeout(context.Background(), readTime)
	defer cancel()
	counts := map[string]int{StateOnline: 0, stateOffline: 0, stateHeld: 0}
	for after := ""; ; {
		nodes, err := f.Nodes(ctx, after, 0)
		if err != nil {
			f.complain(ctx, "cannot count the nodes", err)
			return
		}
		if len(nodes) == 0 {
			break
		}
		for i := range nodes {
			counts[nodes[i].State]++
		}
		after = nodes[len(nodes)-1].Name
	}
	for state, n := range counts {
		emit(float64(n), state)
	}
}

// stageOf is how far the roll-out is, without asking whether everybody has answered.
func (f *Fleet) stageOf(v *view) string {
	stage := v.waves.stage()
	if f.o.NoWaves || stage == stageAll && v.waves.all >= v.head.Rev {
		return stageDone
	}
	return stage
}
