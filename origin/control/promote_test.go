package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func TestLifeCycle(t *testing.T) {
	all := []string{development, staging, production, deprecated, archived}
	legal := map[string]bool{
		"development>staging": true, "development>archived": true,
		"staging>production": true, "staging>development": true, "staging>archived": true,
		"production>deprecated": true,
		"deprecated>production": true, "deprecated>archived": true,
	}
	for _, from := range all {
		for _, to := range all {
			err := checkStep("m@1.0.0", from, to)
			if from == to || legal[from+">"+to] {
				assert.NoError(t, err, "%s to %s", from, to)
			} else {
				mustFail(t, err, CodeStep, "m@1.0.0")
			}
		}
	}
	mustFail(t, checkStep("m@1.0.0", staging, "live"), CodeInvalid, "live")
}

// staged makes version 1.1.0 of the model bot, in staging.
func (o *origin) staged() {
	o.t.Helper()
	_, err := o.CreateVersion(o.t.Context(), ann, NewVersion{Model: "bot", From: "1.0.0",
		Body: []byte(`{"status":"staging","targets":[{"provider":"claude","model":"opus"}],"version":"1.1.0"}`)})
	require.NoError(o.t, err)
}

func (o *origin) promote(p Promotion) Promoted {
	o.t.Helper()
	made, err := o.Promote(o.t.Context(), ann, p)
	require.NoError(o.t, err)
	return made
}

func gatesOf(gates []Gate) map[string]string {
	all := map[string]string{}
	for _, g := range gates {
		all[g.Name] = map[bool]string{true: "passed", false: "shut"}[g.Passed]
		if g.Skipped {
			all[g.Name] = "skipped"
		}
	}
	return all
}

func TestPromoteAndRollBack(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		rev := o.head().Rev
		dry := o.promote(Promotion{Model: "bot", Version: "1.1.0", DryRun: true})
		assert.Equal(t, rev, o.head().Rev)
		made := o.promote(Promotion{Model: "bot", Version: "1.1.0"})
		assert.Equal(t, rev+1, made.Rev)
		assert.Equal(t, dry.Changes, made.Changes)
		assert.Len(t, made.Changes, 2, "both in one revision")
		assert.Equal(t, production, made.Status)
		assert.Equal(t, "1.0.0", made.Former)
		assert.Equal(t, map[string]string{"catalog": "passed", "lifecycle": "passed", "targets": "passed", "policies": "skipped", "traffic": "skipped"}, gatesOf(made.Gates))
		assert.Equal(t, map[string]string{"1.0.0": deprecated, "1.1.0": production}, o.statuses("bot"))

		again := o.promote(Promotion{Model: "bot", Version: "1.1.0", To: production})
		assert.Empty(t, again.Changes, "it is done")
		_, err := o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0"})
		mustFail(t, err, CodeStep, "say where it shall go: deprecated")

		back, err := o.Rollback(ctx, ann, Rollback{Model: "bot"})
		require.NoError(t, err)
		assert.Equal(t, "1.0.0", back.Version)
		assert.Equal(t, "1.1.0", back.Former)
		assert.Equal(t, map[string]string{"1.0.0": production, "1.1.0": deprecated}, o.statuses("bot"))
		_, err = o.Rollback(ctx, ann, Rollback{Model: "bot"})
		mustFail(t, err, CodeNotFound, "no version of the model")
		back, err = o.Rollback(ctx, ann, Rollback{Model: "bot", To: "1.1.0"})
		require.NoError(t, err)
		assert.Equal(t, "1.1.0", back.Version)
	})
}

// Rollback walks back through what was in production, and knows it after the history has been forgotten.
func TestRollBackFurther(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		for i := 1; i <= 3; i++ {
			made, err := o.CreateVersion(ctx, ann, NewVersion{Model: "bot", From: "1.0.0", Bump: "minor", Body: []byte(`{"status":"staging"}`)})
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("1.%d.0", i), made.Version)
			o.promote(Promotion{Model: "bot", Version: made.Version})
		}
		o.promote(Promotion{Model: "bot", Version: "1.1.0", To: archived})
		_, err := o.store.Compact(ctx, store.Cut{Rev: o.head().Rev})
		require.NoError(t, err)
		for _, want := range []string{"1.2.0", "1.0.0"} {
			back, err := o.Rollback(ctx, ann, Rollback{Model: "bot"})
			require.NoError(t, err)
			assert.Equal(t, want, back.Version, "what is archived is passed over")
		}
		o.promote(Promotion{Model: "bot", Version: "1.3.0", To: production})
		back, err := o.Rollback(ctx, ann, Rollback{Model: "bot"})
		require.NoError(t, err)
		assert.Equal(t, "1.0.0", back.Version)
		_, err = o.Rollback(ctx, ann, Rollback{Model: "bot", To: "1.1.0"})
		mustFail(t, err, CodeStep, "archived")
		_, err = o.Rollback(ctx, ann, Rollback{Model: "bat"})
		mustFail(t, err, CodeNotFound)
	})
}

func TestGatesThatAreShut(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		o.down["claude"] = true
		p := Promotion{Model: "bot", Version: "1.1.0", MinRequests: 10, MaxErrorRate: 0.1}
		_, err := o.Promote(ctx, ann, p)
		e := mustFail(t, err, CodeGate, "claude", "connection refused", "0 requests were seen in the last 24h0m0s, and 10 are asked for")
		assert.Equal(t, map[string]string{"catalog": "passed", "lifecycle": "passed", "targets": "shut", "policies": "skipped", "traffic": "shut"}, gatesOf(e.Gates))
		p.Skip = []string{GateTargets}
		o.serve("bot@1.1.0", 20, 4)
		_, err = o.Promote(ctx, ann, p)
		mustFail(t, err, CodeGate, "20.00 % of 20 requests failed, and 10.00 % are allowed")
		o.serve("bot@1.1.0", 80, 0)
		o.promote(p)

		for _, bad := range []Promotion{
			{Model: "bot", Version: "1.0.0", Skip: []string{GateCatalog}}, {Model: "bot", Version: "1.0.0", MaxErrorRate: 2},
			{Model: "bot", Version: "1.0.0", To: "live"}, {Model: "bot", Version: "1.0.0", Canary: &Canary{Steps: []float64{50, 10}}},
			{Model: "bot", Version: "1.0.0", To: archived, Canary: &Canary{}},
		} {
			_, err := o.Promote(ctx, ann, bad)
			mustFail(t, err, CodeInvalid)
		}
		_, err = o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.0.0", To: staging})
		mustFail(t, err, CodeStep)
		_, err = o.Promote(ctx, By{}, Promotion{Model: "bot", Version: "1.0.0", To: archived})
		mustFail(t, err, CodeInvalid, "actor")
	})
}

// A promotion that would leave a reference without meaning is stopped by the gate of the catalog.
func TestCatalogGate(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		o.staged()
		o.apply("models:\n  - name: other\n    versions: [{version: 1.0.0, fallback: [bot@staging], targets: [{provider: openai, model: gpt}]}]\n")
		for _, p := range []Promotion{{Model: "bot", Version: "1.1.0"}, canary} {
			_, err := o.Promote(t.Context(), ann, p)
			e := mustFail(t, err, CodeGate, "version/other@1.0.0.fallback[0]")
			assert.Equal(t, map[string]string{"catalog": "shut"}, gatesOf(e.Gates))
			assert.Equal(t, http.StatusUnprocessableEntity, e.Status())
		}
	})
}

func TestPoliciesAreTried(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		module, err := o.store.PutBytes(ctx, []byte("\x00asm"))
		require.NoError(t, err)
		cases, err := o.store.PutBytes(ctx, []byte(`{"one":{}}`))
		require.NoError(t, err)
		policy := "policies: [{name: p, module: \"" + module + "\", cases: \"" + cases + "\", hooks: [route]}]\nmodels:\n" +
			"  - {name: bot, policies: [p], versions: [{version: 1.0.0, targets: [{provider: openai, model: gpt}], params: {temperature: 0.5}}]}\n"
		var tried []string
		refuse := errors.New("case 3 failed")
		o.policies = func(p *wire.Policy, module, cases []byte) error {
			tried = append(tried, p.Name+string(module)+string(cases))
			return refuse
		}
		_, err = o.Apply(ctx, ann, Apply{Catalog: []byte(policy)})
		mustFail(t, err, CodeGate, `the policy "p": case 3 failed`)
		refuse = nil
		r := o.apply(policy)
		assert.Equal(t, "passed", gatesOf(r.Gates)[GatePolicies])
		refuse = errors.New("it broke")
		_, err = o.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0"})
		mustFail(t, err, CodeGate, "it broke")
		assert.Equal(t, slices.Repeat([]string{"p\x00asm" + `{"one":{}}`}, 3), tried)
		missing := "sha256:" + fmt.Sprintf("%064d", 7)
		_, err = o.Put(ctx, ann, wire.KindPolicy, "q", []byte(`{"module":"`+missing+`","hooks":["route"]}`), store.Any)
		mustFail(t, err, CodeGate, "upload it first")
	})
}

// Of origins that do the same at the same time, one does it and the others find it done: none carries it further.
func TestOriginsThatRace(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		o.staged()
		controls := []*Control{o.Control}
		if o.url[:4] == "post" {
			controls = append(controls, o.another(), o.another())
		}
		race := func(do func(c *Control) (Result, error)) (did int) {
			var mu sync.Mutex
			var running sync.WaitGroup
			for range 3 {
				for _, c := range controls {
					running.Go(func() {
						r, err := do(c)
						mu.Lock()
						defer mu.Unlock()
						if e := new(Error); err != nil && assert.ErrorAs(t, err, &e) {
							assert.Contains(t, []string{CodeConflict, CodeStep}, e.Code)
						}
						if err == nil && len(r.Changes) > 0 {
							did++
						}
					})
				}
			}
			running.Wait()
			return did
		}
		rev := o.head().Rev
		assert.Equal(t, 1, race(func(c *Control) (Result, error) {
			made, err := c.Promote(ctx, ann, Promotion{Model: "bot", Version: "1.1.0", To: production})
			return made.Result, err
		}))
		assert.Equal(t, rev+1, o.head().Rev)
		assert.Equal(t, map[string]string{"1.0.0": deprecated, "1.1.0": production}, o.statuses("bot"))

		back := race(func(c *Control) (Result, error) {
			made, err := c.Rollback(ctx, By{Actor: "ann", Key: "back"}, Rollback{Model: "bot"})
			return made.Result, err
		})
		assert.Equal(t, len(controls)*3, back, "one rollback, told to everybody")
		assert.Equal(t, rev+2, o.head().Rev)

		// Different changes all come true, and the whole stays valid.
		n := len(controls) * 3
		var next int
		var mu sync.Mutex
		assert.Equal(t, n, race(func(c *Control) (Result, error) {
			mu.Lock()
			next++
			name := fmt.Sprint("b", next)
			mu.Unlock()
			return c.Put(ctx, ann, wire.KindBudget, name, []byte(`{"limit_usd":1,"period":"daily","scope":"total"}`), store.Absent)
		}))
	})
}

func TestIdempotencyKeys(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		by := By{Actor: "ann", Reason: "retry", Key: "k1"}
		v := NewVersion{Model: "bot", From: "1.0.0", Bump: "minor"}
		first, err := o.CreateVersion(ctx, by, v)
		require.NoError(t, err)
		again, err := o.CreateVersion(ctx, by, v)
		require.NoError(t, err)
		assert.Equal(t, first, again)
		assert.Len(t, o.statuses("bot"), 2)
		_, err = o.CreateVersion(ctx, by, NewVersion{Model: "bot", From: "1.0.0", Bump: "major"})
		mustFail(t, err, CodeConflict, "another request")

		by.Key = "k2"
		made, err := o.CreateKey(ctx, by, []byte(`{"name":"team","models":["bot"]}`))
		require.NoError(t, err)
		_, err = o.CreateKey(ctx, by, []byte(`{"name":"team","models":["bot"]}`))
		mustFail(t, err, CodeConflict, "told once")
		_, err = o.RotateKey(ctx, by, "team")
		mustFail(t, err, CodeConflict, "another request")
		var kept string
		require.NoError(t, o.store.View(ctx, func(tx *store.Tx) error {
			return tx.Row("select answer from control_answers where token = 'k2'").Scan(&kept)
		}))
		assert.NotContains(t, kept, made.Key)

		o.advance(25 * time.Hour)
		by.Key = "k1"
		later, err := o.CreateVersion(ctx, by, v)
		require.NoError(t, err)
		assert.Equal(t, "1.2.0", later.Version, "after a day the key means nothing any more")
		by.Key = "\xff"
		_, err = o.CreateVersion(ctx, by, v)
		mustFail(t, err, CodeInvalid)
	})
}

func TestKeys(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		made, err := o.CreateKey(ctx, ann, []byte(`{"name":"team","models":["bot"],"team":"core"}`))
		require.NoError(t, err)
		own, ok := wire.KeyID([]byte(made.Key))
		require.True(t, ok)
		assert.Equal(t, made.ID, string(own))
		key := func() *wire.Key {
			catalog, _, err := o.Catalog(ctx)
			require.NoError(t, err)
			assert.NotContains(t, string(catalog), made.Key)
			c, err := wire.ParseCatalog("c", catalog)
			require.NoError(t, err)
			require.Len(t, c.Keys, 1)
			return &c.Keys[0]
		}
		assert.Equal(t, wire.HashKey([]byte(made.Key)), key().Hash)

		rotated, err := o.RotateKey(ctx, ann, "team")
		require.NoError(t, err)
		assert.NotEqual(t, made.Key, rotated.Key)
		assert.Equal(t, rotated.ID, key().ID)
		assert.Equal(t, "core", key().Team)

		_, err = o.Put(ctx, ann, wire.KindKey, "team", []byte(`{"models":["*"]}`), store.Any)
		require.NoError(t, err, "settings change without the id and the hash")
		assert.Equal(t, rotated.ID, key().ID)
		_, err = o.CreateKey(ctx, ann, []byte(`{"name":"team","models":["bot"]}`))
		mustFail(t, err, CodeConflict, "rotate it")
		_, err = o.CreateKey(ctx, ann, []byte(`{"name":"x","models":["bat"]}`))
		e := mustFail(t, err, CodeInvalid, `there is no model "bat"`)
		assert.Equal(t, "models[0]", e.Problems[0].Path)
		_, err = o.CreateKey(ctx, ann, []byte(`{"name":"x","id":"wk_abcabcabcabc","models":["bot"]}`))
		mustFail(t, err, CodeInvalid, "leave them out")
		_, err = o.RevokeKey(ctx, ann, "team")
		require.NoError(t, err)
		_, err = o.RotateKey(ctx, ann, "team")
		mustFail(t, err, CodeNotFound)
	})
}

func TestSecrets(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		for i, action := range []string{"create", "update"} {
			r, err := o.PutSecret(ctx, ann, "openai", fmt.Sprint("s3cret", i))
			require.NoError(t, err)
			assert.Equal(t, []Change{{Kind: "secret", Name: "openai", Action: action}}, r.Changes)
			assert.EqualValues(t, i+1, r.Rev)
			s, err := o.Get(ctx, "secret", "openai")
			require.NoError(t, err)
			assert.NotContains(t, string(s.Body), "s3cret")
			assert.Contains(t, string(s.Body), `"commit":"sha256:`)
		}
		assert.Equal(t, "s3cret1", o.secrets["openai"])
		_, err := o.PutSecret(ctx, ann, "no name", "x")
		mustFail(t, err, CodeInvalid)
		_, err = o.PutSecret(ctx, ann, "empty", "")
		mustFail(t, err, CodeInvalid)
		r, err := o.DeleteSecret(ctx, ann, "openai")
		require.NoError(t, err)
		assert.Nil(t, r.Changes[0].Before)
		assert.Empty(t, o.secrets)
		_, err = o.DeleteSecret(ctx, ann, "openai")
		mustFail(t, err, CodeNotFound)
	})
}

func TestDeadlines(t *testing.T) {
	o := newOrigin(t, databases["sqlite"](t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.Apply(ctx, ann, Apply{Catalog: []byte(basic)})
	require.ErrorIs(t, err, context.Canceled)
}
