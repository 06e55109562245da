package control

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// large is a catalog of so many models, whose providers, budgets and keys stand in the wrong order.
func large(models int, upstream string) string {
	var b strings.Builder
	b.WriteString("keys:\n")
	for i := range models {
		fmt.Fprintf(&b, "  - {name: k%d, id: wk_%012d, hash: \"sha256:%064d\", models: [m%d], budgets: [b]}\n", i, i, i, i)
	}
	b.WriteString("budgets: [{name: b, limit_usd: 1, period: daily}]\nmodels:\n")
	for i := range models {
		fmt.Fprintf(&b, "  - {name: m%d, versions: [{version: 1.0.0, targets: [{provider: p, model: %s}]}]}\n", i, upstream)
	}
	b.WriteString("providers: [{name: p, dialect: openai, base_url: \"https://p.test/v1\"}]\n")
	return b.String()
}

func (o *origin) applied(a Apply) (Result, error) { return o.Apply(o.t.Context(), ann, a) }

func TestLargeChanges(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		const models = 800 // 2402 resources
		catalog := Apply{Name: "c.yaml", Catalog: []byte(large(models, "a"))}
		before := o.head()
		dry := catalog
		dry.DryRun = true
		planned, err := o.applied(dry)
		require.NoError(t, err)
		assert.Len(t, planned.Changes, 3*models+2)
		assert.Equal(t, 3, planned.Revisions)
		assert.Equal(t, before, o.head())

		made, err := o.applied(catalog)
		require.NoError(t, err)
		assert.Equal(t, planned.Changes, made.Changes)
		assert.Equal(t, 3, made.Revisions)
		assert.Equal(t, before.Rev+3, made.Rev)
		assert.Equal(t, made.Rev, o.head().Rev)
		o.validAtEachRevision(before.Rev)

		again, err := o.applied(catalog)
		require.NoError(t, err)
		assert.Empty(t, again.Changes)
		assert.Zero(t, again.Revisions)

		// What is named by nothing goes as it came, in parts.
		pruned, err := o.applied(Apply{Catalog: []byte(large(1, "b")), Prune: true})
		require.NoError(t, err)
		assert.Len(t, pruned.Changes, 3*(models-1)+1)
		assert.Equal(t, 3, pruned.Revisions)
		o.validAtEachRevision(before.Rev)
		all, err := o.load(t.Context())
		require.NoError(t, err)
		assert.Len(t, all.there, 5)
	})
}

// validAtEachRevision builds every state after a revision from what was written down, and reads it as nodes do.
func (o *origin) validAtEachRevision(after int64) {
	o.t.Helper()
	there := map[id]wire.Resource{}
	changes, _, err := o.store.Changes(o.t.Context(), after, 0)
	require.NoError(o.t, err)
	for i := range changes {
		require.LessOrEqual(o.t, len(changes[i].Ops), store.MaxOps)
		for _, op := range changes[i].Ops {
			if delete(there, id{op.Kind, op.Name}); !op.Delete {
				there[id{op.Kind, op.Name}] = wire.Resource{Kind: op.Kind, Name: op.Name, Body: op.Body}
			}
		}
		var all []wire.Resource
		for _, r := range there {
			all = append(all, r)
		}
		_, err = read("c.yaml", all, byName)
		require.NoError(o.t, err, "revision %d", changes[i].Rev)
	}
}

// A request that is sent again gets the answer of the first, and another one under its key is refused.
func TestLargeChangesAreMadeOnce(t *testing.T) {
	o := newOrigin(t, databases["sqlite"](t))
	by := By{Actor: "ann", Key: "key"}
	made, err := o.Apply(t.Context(), by, Apply{Catalog: []byte(large(500, "a"))})
	require.NoError(t, err)
	again, err := o.Apply(t.Context(), by, Apply{Catalog: []byte(large(500, "a"))})
	require.NoError(t, err)
	assert.Equal(t, made, again)
	_, err = o.Apply(t.Context(), by, Apply{Catalog: []byte(large(500, "b"))})
	mustFail(t, err, CodeConflict, "another request")
}

// Nothing is made of a change that has a problem anywhere, or would have one in between.
func TestLargeChangesThatAreRefused(t *testing.T) {
	o := newOrigin(t, databases["sqlite"](t))
	chain := "" // each model falls back to the next one
	for i := range 600 {
		chain += fmt.Sprintf("  - {name: m%d, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}], fallback: [m%d@1.0.0]}]}\n", i, i+1)
	}
	chain += "  - {name: m600, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}]}]}\n"
	for catalog, says := range map[string]string{
		large(800, "a") + "prices: [{provider: nobody, model: x, input: 1, output: 1}]\n":                       "nobody",
		"providers: [{name: p, dialect: openai, base_url: \"https://p.test/v1\"}]\nmodels:\n" + chain:           "cannot be made in several",
		"providers: [{name: p, dialect: openai, base_url: \"https://p.test/v1\"}]\nmodels:\n" + oneModel(1_001): "apply it in parts",
	} {
		for _, dry := range []bool{true, false} {
			_, err := o.applied(Apply{Catalog: []byte(catalog), DryRun: dry})
			mustFail(t, err, CodeInvalid, says)
		}
	}
	assert.Zero(t, o.head().Rev)
}

// oneModel is a model of so many versions, which no revision takes apart.
func oneModel(versions int) string {
	var b strings.Builder
	b.WriteString("  - name: m\n    versions:\n")
	for i := range versions {
		fmt.Fprintf(&b, "      - {version: 1.0.%d, targets: [{provider: p, model: a}]}\n", i)
	}
	return b.String()
}

// Where somebody else gets in between, what is made stays made, and the error says how much that is.
func TestUnfinished(t *testing.T) {
	var made Result
	require.Equal(t, context.Canceled, made.unfinished(context.Canceled), "nothing is made yet")
	made.add(&Result{Rev: 7, Changes: []Change{{Kind: "key", Name: "a"}}})
	mustFail(t, made.unfinished(failf(CodeConflict, "others keep changing the catalog")), CodeConflict,
		"1 changes are made, up to revision 7", "apply the same again", "others keep changing")
	require.ErrorIs(t, made.unfinished(context.Canceled), context.Canceled)
	_ = made.unfinished(errTooLarge)
	assert.NotContains(t, errTooLarge.Message, "made", "it is everybody's")
}
