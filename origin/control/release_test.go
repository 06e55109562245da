package control

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func TestJudge(t *testing.T) {
	start := time.UnixMilli(1_800_000_000_000)
	canary := Canary{Steps: []float64{10, 50}, Every: wire.Duration(time.Minute), MaxErrorRate: 0.1, MinRequests: 20}
	for name, c := range map[string]struct {
		step             int
		requests, errors int64
		after            time.Duration
		want             verdict
	}{
		"nothing yet":              {0, 0, 0, time.Second, wait},
		"too early":                {0, 100, 0, 59 * time.Second, wait},
		"too few requests":         {0, 19, 0, time.Hour, wait},
		"too few errors to say":    {0, 19, 19, time.Hour, wait},
		"on":                       {0, 20, 2, time.Minute, forward},
		"at the bound":             {0, 100, 10, time.Minute, forward},
		"above the bound":          {0, 100, 11, time.Second, back},
		"above it at the end":      {1, 20, 3, time.Hour, back},
		"through":                  {1, 20, 0, time.Minute, finish},
		"the last step takes time": {1, 20, 0, time.Second, wait},
	} {
		r := &rollout{Release: Release{Promotion: Promotion{Canary: &canary}, Step: c.step, Stepped: start, Requests: c.requests, Errors: c.errors}}
		assert.Equal(t, c.want, r.judge(start.Add(c.after)), name)
	}
}

// tick looks at all releases, as Run does.
func (o *origin) tick() {
	o.t.Helper()
	require.NoError(o.t, o.stepAll(o.t.Context()))
}

func (o *origin) release(model string) Release {
	o.t.Helper()
	all, err := o.Releases(o.t.Context())
	require.NoError(o.t, err)
	for _, r := range all {
		if r.Model == model {
			return r
		}
	}
	return Release{}
}

// shared is what nodes get of a model's release, nil for none.
func (o *origin) shared(model string) *wire.Release {
	o.t.Helper()
	r, err := o.store.Get(o.t.Context(), wire.KindRelease, model)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	require.NoError(o.t, err)
	release := new(wire.Release)
	require.NoError(o.t, wire.DecodeStrict(r.Body, release))
	return release
}

var canary = Promotion{Model: "bot", Version: "1.1.0", Canary: &Canary{Steps: []float64{20, 60}, Every: wire.Duration(time.Minute)}}

func TestCanaryGoesThrough(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		o.serve("bot@1.1.0", 1000, 1000) // in staging, which does not count
		made := o.promote(canary)
		require.NotNil(t, made.Release)
		assert.Equal(t, staging, made.Status)
		assert.EqualValues(t, 20, o.shared("bot").Percent)
		assert.Equal(t, "1.1.0", o.shared("bot").Candidate)
		seed := o.shared("bot").Seed
		assert.NotEmpty(t, seed)

		o.advance(2 * time.Minute)
		rev := o.head().Rev
		o.tick()
		assert.Equal(t, rev, o.head().Rev, "it waits for traffic, and makes no revision")
		o.serve("bot@1.1.0", 100, 2)
		o.tick()
		assert.EqualValues(t, 60, o.shared("bot").Percent)
		assert.Equal(t, seed, o.shared("bot").Seed, "nodes that have it keep it")
		assert.Equal(t, stateRunning, o.release("bot").State)
		assert.EqualValues(t, 100, o.release("bot").Requests)
		o.tick()
		assert.EqualValues(t, 60, o.shared("bot").Percent, "each step takes its time")
		o.advance(time.Minute)
		o.tick()
		assert.Nil(t, o.shared("bot"))
		assert.Equal(t, map[string]string{"1.0.0": deprecated, "1.1.0": production}, o.statuses("bot"))
		done := o.release("bot")
		assert.Equal(t, stateDone, done.State)
		assert.EqualValues(t, 2, done.Errors)
		assert.EqualValues(t, 100, done.Percent)
		records, err := o.store.Audit(t.Context(), 0, 1)
		require.NoError(t, err)
		assert.Equal(t, "origin for ann", records[0].Actor)
		assert.Equal(t, "release of bot@1.1.0: to all nodes", records[0].Reason)

		back, err := o.Rollback(t.Context(), ann, Rollback{Model: "bot"})
		require.NoError(t, err)
		assert.Equal(t, "1.0.0", back.Version)
	})
}

func TestCanaryIsRolledBack(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		o.promote(canary)
		o.serve("bot@1.1.0", 30, 10)
		o.tick()
		assert.Nil(t, o.shared("bot"))
		r := o.release("bot")
		assert.Equal(t, stateRolledBack, r.State)
		assert.Equal(t, "33.33 % of 30 requests failed, and 5.00 % are allowed", r.Reason)
		assert.Equal(t, map[string]string{"1.0.0": production, "1.1.0": staging}, o.statuses("bot"))
		rev := o.head().Rev
		o.tick()
		assert.Equal(t, rev, o.head().Rev)
		o.promote(canary)
		o.tick()
		assert.Equal(t, stateRunning, o.release("bot").State, "what was counted before does not count again")
	})
}

// While a release runs, its versions stay what they are; everything else may change.
func TestNothingPullsVersionsAwayFromReleases(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		o.promote(canary)
		for _, do := range []func() error{
			func() error { _, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0"}); return err },
			func() error {
				_, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0", To: archived})
				return err
			},
			func() error {
				_, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.0.0", To: deprecated})
				return err
			},
			func() error {
				at := o.clock().Add(time.Hour) // it would take the running release's place
				_, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0", To: archived, At: &at})
				return err
			},
			func() error { _, err := o.Delete(ctx, ann, "model", "bot", store.Any); return err },
		} {
			mustFail(t, do(), CodeConflict, "a release of bot@1.1.0 is running")
		}
		o.apply("prices: [{provider: openai, model: gpt, input: 1}]")
		// This is a catalog, but on nodes that have the candidate nothing is in staging any more.
		_, err := o.Apply(ctx, ann, Apply{Catalog: []byte("models:\n  - name: other\n    versions: [{version: 1.0.0, fallback: [bot@staging], targets: [{provider: openai, model: gpt}]}]\n")})
		mustFail(t, err, CodeInvalid, "on nodes that a running release has reached", "models[0].versions[0].fallback[0]")

		back, err := o.Rollback(ctx, By{Actor: "ann", Reason: "looks odd"}, Rollback{Model: "bot"})
		require.NoError(t, err)
		assert.Equal(t, "1.0.0", back.Version)
		assert.Equal(t, stateRolledBack, back.Release.State)
		assert.Equal(t, "looks odd", o.release("bot").Reason)
		assert.Nil(t, o.shared("bot"))
		assert.Equal(t, map[string]string{"1.0.0": production, "1.1.0": staging}, o.statuses("bot"))
		_, err = o.Delete(ctx, ann, "model", "bot", store.Any)
		require.NoError(t, err)
		assert.Empty(t, o.release("bot"))
	})
}

func TestScheduledPromotion(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		at := o.clock().Add(time.Hour)
		made := o.promote(Promotion{Model: "bot", Version: "1.1.0", At: &at})
		assert.Equal(t, stateScheduled, made.Release.State)
		assert.Equal(t, "1.0.0", made.Release.From)
		_, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0"})
		mustFail(t, err, CodeConflict, "scheduled")
		require.NoError(t, o.CancelRelease(ctx, ann, "bot"))
		mustFail(t, o.CancelRelease(ctx, ann, "bot"), CodeNotFound)
		assert.Equal(t, stateCanceled, o.release("bot").State)

		o.down["claude"] = true
		o.promote(Promotion{Model: "bot", Version: "1.1.0", At: &at})
		o.tick()
		assert.Equal(t, stateScheduled, o.release("bot").State)
		o.advance(time.Hour)
		o.tick()
		failed := o.release("bot")
		assert.Equal(t, stateFailed, failed.State)
		assert.Contains(t, failed.Reason, "connection refused")

		o.down["claude"] = false
		at = at.Add(time.Minute)
		o.promote(Promotion{Model: "bot", Version: "1.1.0", At: &at})
		o.advance(2 * time.Minute)
		o.tick()
		assert.Equal(t, stateDone, o.release("bot").State)
		assert.Equal(t, map[string]string{"1.0.0": deprecated, "1.1.0": production}, o.statuses("bot"))
	})
}

func TestScheduledCanary(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		at := o.clock().Add(time.Hour)
		p := canary
		p.At = &at
		o.promote(p)
		o.advance(time.Hour)
		o.tick()
		assert.EqualValues(t, 20, o.shared("bot").Percent)
		require.NoError(t, o.CancelRelease(t.Context(), By{Actor: "ann", Reason: "no more"}, "bot"))
		assert.Nil(t, o.shared("bot"))
		assert.Equal(t, "no more", o.release("bot").Reason)
	})
}

// A release that cannot end as it should ends all the same, and says why.
func TestReleaseThatFails(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		o.promote(canary)
		o.serve("bot@1.1.0", 100, 0)
		o.advance(time.Minute)
		o.tick()
		o.advance(time.Minute)
		o.options.Support.Dialects = map[string]bool{"openai": true} // as after an older Wedge took over
		o.tick()
		failed := o.release("bot")
		assert.Equal(t, stateFailed, failed.State)
		assert.Contains(t, failed.Reason, "does not speak the dialect anthropic")
		assert.Nil(t, o.shared("bot"))
		assert.Equal(t, map[string]string{"1.0.0": production, "1.1.0": staging}, o.statuses("bot"))
	})
}

// Of several processes one steps the releases, and another goes on where it ends.
func TestRun(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		at := o.clock().Add(time.Hour)
		o.promote(Promotion{Model: "bot", Version: "1.1.0", At: &at})
		run := func(c *Control) (stop func()) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- c.Run(ctx) }()
			return func() {
				cancel()
				require.NoError(t, <-ended)
			}
		}
		first := run(o.Control)
		if o.url[:4] == "post" {
			second := o.another()
			time.Sleep(20 * time.Millisecond)
			first()
			first = run(second)
		}
		defer first()
		o.advance(time.Hour)
		require.Eventually(t, func() bool { return o.release("bot").State == stateDone }, 10*time.Second, 5*time.Millisecond)
	})
}

func TestRolloutsAreNotForNodes(t *testing.T) {
	assert.False(t, wire.Shared(kindRollout))
	raw, err := json.Marshal(rollout{})
	require.NoError(t, err)
	assert.Contains(t, string(raw), `"state"`)
}

// A tenth of a few nodes is none of them, more often than not. The candidate goes to one nevertheless, and stays there.
func TestCanaryReachesANode(t *testing.T) {
	for _, nodes := range [][]string{{"up"}, {"shop-1", "shop-2", "shop-3"}} {
		for range 20 {
			o := newOrigin(t, databases["sqlite"](t))
			o.options.Nodes = func(context.Context) ([]string, error) { return nodes, nil }
			o.advance(time.Duration(rand.N(int64(time.Hour))))
			o.apply(basic)
			o.staged()
			o.promote(Promotion{Model: "bot", Version: "1.1.0", Canary: &Canary{Steps: []float64{10, 50}, Every: wire.Duration(time.Minute)}})
			first := o.shared("bot")
			require.True(t, slices.ContainsFunc(nodes, first.Covers), "%v", first)
			o.serve("bot@1.1.0", 100, 0)
			o.advance(2 * time.Minute)
			o.tick()
			require.EqualValues(t, 50, o.shared("bot").Percent)
			require.Equal(t, first.Seed, o.shared("bot").Seed)
		}
	}
}

// Where there is no node yet, or none of so small a share, a release begins as well.
func TestCanaryOfNobody(t *testing.T) {
	for _, nodes := range [][]string{nil, {"up"}} {
		o := newOrigin(t, databases["sqlite"](t))
		o.options.Nodes = func(context.Context) ([]string, error) { return nodes, nil }
		o.apply(basic)
		o.staged()
		o.promote(Promotion{Model: "bot", Version: "1.1.0", Canary: &Canary{Steps: []float64{1e-9}}})
		assert.Equal(t, stateRunning, o.release("bot").State)
	}
}
