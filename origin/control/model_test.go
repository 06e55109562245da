package control

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// view is what must hold of versions from one moment to the next.
type view struct {
	status map[string]string
	hash   map[string][32]byte
}

func (o *origin) seen(t require.TestingT) view {
	catalog, _, err := o.Catalog(o.t.Context())
	require.NoError(t, err)
	return viewOf(t, catalog)
}

func viewOf(t require.TestingT, catalog []byte) view {
	c, err := wire.ParseCatalog("c", catalog)
	require.NoError(t, err, "the catalog is valid, and no model has two versions in production")
	v := view{map[string]string{}, map[string][32]byte{}}
	for i := range c.Models {
		for j := range c.Models[i].Versions {
			version := &c.Models[i].Versions[j]
			name := wire.VersionName(c.Models[i].Name, version.Version)
			v.status[name], v.hash[name] = version.Status, c.Models[i].VersionHash(version)
		}
	}
	return v
}

// follows says whether one view may come after another.
func (v view) follows(t require.TestingT, was view) {
	for name, status := range was.status {
		now, there := v.status[name]
		if !there {
			continue
		}
		if now != status {
			require.Contains(t, steps[status], now, "%s went from %s to %s", name, status, now)
		}
		if status != development {
			require.Equal(t, was.hash[name], v.hash[name], "%s changed in %s", name, status)
		}
	}
}

// releasesHold says whether what nodes get of releases is what the origin remembers.
func (o *origin) releasesHold(t require.TestingT) {
	s, err := o.load(o.t.Context())
	require.NoError(t, err)
	d := s.draft()
	for _, model := range []string{"a", "b"} {
		r, ok := d.rollout(model)
		_, shared := d.after[id{wire.KindRelease, model}]
		running := ok && r.State == stateRunning
		require.Equal(t, running, shared)
		if running {
			require.Equal(t, r.From, d.production(model))
			require.Equal(t, r.Status, d.status(model, r.Version))
		}
	}
}

var (
	someModel   = rapid.SampledFrom([]string{"a", "b"})
	someVersion = rapid.SampledFrom([]string{"1.0.0", "1.0.1", "1.1.0", "1.2.0", "2.0.0", "3.0.0"})
	someStatus  = rapid.SampledFrom([]string{"", development, staging, production, deprecated, archived})
	someBody    = rapid.Custom(func(t *rapid.T) string {
		return fmt.Sprintf(`{"targets":[{"provider":%q,"model":%q,"weight":%d}],"params":{"n":%d}}`,
			rapid.SampledFrom([]string{"openai", "claude"}).Draw(t, "provider"), rapid.SampledFrom([]string{"x", "y"}).Draw(t, "upstream"),
			rapid.IntRange(1, 2).Draw(t, "weight"), rapid.IntRange(1, 2).Draw(t, "n"))
	})
)

// stated is a body with a status, where there is one.
func stated(body, status string) []byte {
	if status == "" {
		return []byte(body)
	}
	return []byte(strings.TrimSuffix(body, "}") + `,"status":"` + status + `"}`)
}

// randomly does one random thing. What it may answer is that it was refused.
func (o *origin) randomly(t *rapid.T) error {
	ctx, model, version := o.t.Context(), someModel.Draw(t, "model"), someVersion.Draw(t, "version")
	name, body, status := wire.VersionName(model, version), someBody.Draw(t, "body"), someStatus.Draw(t, "status")
	var err error
	switch do := rapid.SampledFrom([]string{"create", "promote", "promote", "promote", "rollback", "put", "apply", "prune", "delete", "canary", "later", "cancel", "time"}).Draw(t, "do"); do {
	case "create":
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: model, Body: stated(body, status)})
	case "promote":
		_, err = o.Promote(ctx, ann, Promotion{Model: model, Version: version, To: status})
	case "rollback":
		_, err = o.Rollback(ctx, ann, Rollback{Model: model, To: rapid.SampledFrom([]string{"", version}).Draw(t, "to")})
	case "put":
		_, err = o.Put(ctx, ann, wire.KindVersion, name, stated(body, status), store.Any)
	case "apply", "prune":
		document := fmt.Sprintf(`{"providers":[{"name":"openai","dialect":"openai","base_url":"https://o.test/v1"},{"name":"claude","dialect":"anthropic","base_url":"https://c.test/v1"}],"models":[{"name":%q,"versions":[%s]}]}`,
			model, strings.TrimSuffix(string(stated(body, status)), "}")+`,"version":"`+version+`"}`)
		_, err = o.Apply(ctx, ann, Apply{Catalog: []byte(document), Prune: do == "prune"})
	case "delete":
		_, err = o.Delete(ctx, ann, wire.KindVersion, name, store.Any)
	case "canary":
		_, err = o.Promote(ctx, ann, Promotion{Model: model, Version: version, To: production, Canary: &Canary{}})
	case "later":
		at := o.clock().Add(time.Minute)
		_, err = o.Promote(ctx, ann, Promotion{Model: model, Version: version, To: status, At: &at})
	case "cancel":
		err = o.CancelRelease(ctx, ann, model)
	case "time":
		o.serve(name, 30, rapid.Int64Range(0, 3).Draw(t, "errors"))
		o.advance(10 * time.Minute)
		err = o.stepAll(ctx)
	}
	return err
}

const basicAB = `
providers:
  - {name: openai, dialect: openai, base_url: "https://o.test/v1"}
  - {name: claude, dialect: anthropic, base_url: "https://c.test/v1"}
models:
  - name: a
    versions:
      - {version: 1.0.0, status: production, targets: [{provider: openai, model: x}]}
      - {version: 1.1.0, status: staging, targets: [{provider: openai, model: y}]}
`

// Whatever is done in whatever order: the catalog stays valid, a model has at most one version in production, versions
// go only where the life cycle leads, and outside of development they do not change.
func TestAnySequence(t *testing.T) {
	var codes []string
	rapid.Check(t, func(r *rapid.T) {
		o := newOrigin(t, databases["sqlite"](t))
		o.apply(basicAB)
		was := o.seen(r)
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			if err := o.randomly(r); err != nil {
				var e *Error
				require.ErrorAs(r, err, &e, "whatever is refused is refused for a reason")
				codes = append(codes, e.Code)
			}
			now := o.seen(r)
			now.follows(r, was)
			o.releasesHold(r)
			was = now
		}
		require.NoError(r, o.store.Close())
	})
	// Other refusals come too, but no run is sure to meet one; each has a test of its own.
	require.Subset(t, codes, []string{CodeNotFound, CodeStep}, "the sequences get somewhere")
}

// Several processes do random things at the same time. Every revision that comes of it holds what one alone would.
func TestOriginsTogether(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basicAB)
		all := []*origin{o}
		if o.url[:4] == "post" {
			for range 2 {
				all = append(all, o.beside())
			}
		}
		var running sync.WaitGroup
		for n, one := range all {
			running.Go(func() {
				for i := range 120 / len(all) {
					do := rapid.Custom(func(t *rapid.T) error { return one.randomly(t) }).Example(n*1000 + i)
					if e := new(Error); do != nil && !assert.ErrorAs(t, do, &e) {
						return
					}
				}
			})
		}
		running.Wait()
		o.replay()
	})
}

// replay goes through every revision there was.
func (o *origin) replay() {
	o.t.Helper()
	resources := map[id]wire.Resource{}
	var was view
	for rev := int64(0); ; {
		changes, head, err := o.store.Changes(o.t.Context(), rev, 100)
		require.NoError(o.t, err)
		for _, change := range changes {
			rev = change.Rev
			for _, op := range change.Ops {
				delete(resources, id{op.Kind, op.Name})
				if !op.Delete {
					resources[id{op.Kind, op.Name}] = wire.Resource{Kind: op.Kind, Name: op.Name, Body: op.Body}
				}
			}
			joined, err := wire.JoinCatalog(slices.Collect(maps.Values(resources)))
			require.NoError(o.t, err)
			now := viewOf(o.t, joined)
			now.follows(o.t, was)
			was = now
		}
		if rev == head.Rev {
			require.Greater(o.t, rev, int64(10), "something happened")
			return
		}
	}
}
