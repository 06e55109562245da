package control

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func TestApplyMakesOneRevisionAndNoneWithoutAChange(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		dry, err := o.Apply(t.Context(), ann, Apply{Catalog: []byte(basic), DryRun: true})
		require.NoError(t, err)
		assert.Len(t, dry.Changes, 5)
		assert.EqualValues(t, 0, o.head().Rev)

		r := o.apply(basic)
		assert.EqualValues(t, 1, r.Rev)
		assert.Equal(t, dry.Changes, r.Changes)
		again := o.apply(basic)
		assert.Empty(t, again.Changes)
		assert.EqualValues(t, 1, again.Rev)

		catalog, head, err := o.Catalog(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 1, head.Rev)
		_, err = wire.ParseCatalog("catalog", catalog)
		require.NoError(t, err)
	})
}

// A part of a catalog may name what is there, replaces what has its names, and leaves the rest.
func TestApplyPart(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		r := o.apply("prices:\n  - {provider: openai, model: gpt, input: 1.25}\n")
		require.Len(t, r.Changes, 1)
		assert.Equal(t, "create", r.Changes[0].Action)

		r = o.apply("prices:\n  - {provider: openai, model: gpt, input: 1.5}\n")
		require.Len(t, r.Changes, 1)
		assert.Equal(t, []FieldChange{{"input", json.RawMessage("1.25"), json.RawMessage("1.5")}}, r.Changes[0].Fields)

		_, err := o.Apply(t.Context(), ann, Apply{Name: "c.yaml", Catalog: []byte("prices:\n  - {provider: openai, model: gpt, input: 1}\n  - {provider: opnai, model: x, input: 1}\n")})
		e := mustFail(t, err, CodeInvalid, `there is no provider "opnai"`)
		require.Len(t, e.Problems, 1)
		assert.Equal(t, "prices[1].provider", e.Problems[0].Path)
		assert.Equal(t, 3, e.Problems[0].Line)
		assert.Equal(t, 16, e.Problems[0].Column)

		_, err = o.Apply(t.Context(), ann, Apply{Name: "c.yaml", Catalog: []byte("prices:\n  - {provider: openai, model: m, input: 1, colour: red}\n")})
		e = mustFail(t, err, CodeInvalid)
		assert.Equal(t, "prices[0].colour", e.Problems[0].Path)
	})
}

func TestPrune(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic + "prices:\n  - {provider: openai, model: gpt, input: 1}\n")
		_, err := o.PutSecret(t.Context(), ann, "openai", "s3cret")
		require.NoError(t, err)
		_, err = o.CreateVersion(t.Context(), ann, NewVersion{Model: "bot", From: "1.0.0", Body: []byte(`{"prompt_":1}`), Bump: "minor"})
		mustFail(t, err, CodeInvalid, "prompt_: unknown field")
		_, err = o.CreateVersion(t.Context(), ann, NewVersion{Model: "bot", From: "1.0.0", Bump: "minor"})
		require.NoError(t, err)

		r, err := o.Apply(t.Context(), ann, Apply{Catalog: []byte(basic), Prune: true})
		require.NoError(t, err)
		require.Len(t, r.Changes, 2, "the price and the version in development; the secret stays")
		assert.Equal(t, "price", r.Changes[0].Kind)
		assert.Equal(t, "bot@1.1.0", r.Changes[1].Name)

		without := strings.Replace(basic, "1.0.0", "2.0.0", 1)
		_, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte(without), Prune: true})
		mustFail(t, err, CodeStep)

		r, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte("providers: []"), Prune: true})
		require.NoError(t, err, "a whole model may go")
		assert.Len(t, r.Changes, 5)
	})
}

// What states no status keeps its own, so that a file can be applied again after a promotion.
func TestApplyKeepsStatusesThatItDoesNotState(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		file := "models:\n  - name: bot\n    versions:\n      - {version: 1.0.0, targets: [{provider: openai, model: gpt}], params: {temperature: 0.5}}\n"
		assert.Empty(t, o.apply(file).Changes)
		spelled := strings.Replace(file, "model: gpt", "weight: 1, model: gpt", 1)
		assert.Empty(t, o.apply(spelled).Changes, "a default that is written out changes nothing")

		_, err := o.Apply(t.Context(), ann, Apply{Catalog: []byte(strings.Replace(file, "0.5", "0.6", 1))})
		mustFail(t, err, CodeFixed, "bot@1.0.0 is in production", "params.temperature")
		_, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte(strings.Replace(file, "1.0.0,", "1.0.0, status: staging,", 1))})
		mustFail(t, err, CodeStep, "production to staging")
		_, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte(strings.Replace(file, "1.0.0,", "1.1.0, status: production,", 1))})
		mustFail(t, err, CodeInvalid, "two versions in production")
		_, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte(strings.Replace(file, "1.0.0,", "1.1.0, status: deprecated,", 1))})
		mustFail(t, err, CodeStep, "cannot begin in deprecated")
	})
}

func TestApplyRefusesWhatNodesCannotDo(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		_, err := o.Apply(t.Context(), ann, Apply{Catalog: []byte("policies:\n  - {name: p, module: \"file:p.wasm\", hooks: [route]}\n")})
		e := mustFail(t, err, CodeInvalid, "upload the blob")
		assert.Equal(t, "policies[0].module", e.Problems[0].Path)

		withSecret := "providers:\n  - {name: openai, dialect: openai, base_url: \"https://api.openai.test/v1\", api_key: \"origin:openai\"}\n"
		_, err = o.Apply(t.Context(), ann, Apply{Catalog: []byte(withSecret)})
		e = mustFail(t, err, CodeInvalid, `there is no secret "openai"; put it first`)
		assert.Equal(t, "providers[0].api_key", e.Problems[0].Path)
		_, err = o.PutSecret(t.Context(), ann, "openai", "s3cret")
		require.NoError(t, err)
		o.apply(withSecret)
		_, err = o.DeleteSecret(t.Context(), ann, "openai")
		mustFail(t, err, CodeInvalid, "provider/openai.api_key")

		o.options.Support.OriginSecrets = false
		_, err = o.Put(t.Context(), ann, wire.KindProvider, "azure", []byte(`{"dialect":"openai","base_url":"https://x.test/v1","api_key":"origin:openai"}`), store.Any)
		mustFail(t, err, CodeInvalid, "does not take secrets from an origin")
	})
}

func TestPutAndDelete(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		put := func(kind, name, body string, expect int64) error {
			_, err := o.Put(ctx, ann, kind, name, []byte(body), expect)
			return err
		}
		require.NoError(t, put("budget", "team", `{"limit_usd":5,"period":"daily","scope":"total"}`, store.Absent))
		mustFail(t, put("budget", "team", `{"limit_usd":5,"period":"daily"}`, store.Absent), CodeConflict, "it is there already")
		b, err := o.Get(ctx, "budget", "team")
		require.NoError(t, err)
		assert.JSONEq(t, `{"name":"team","limit_usd":5,"period":"daily","scope":"total"}`, string(b.Body))
		require.NoError(t, put("budget", "team", `{"limit_usd":6,"period":"daily","scope":"total"}`, b.Version))
		mustFail(t, put("budget", "team", `{"limit_usd":7,"period":"daily"}`, b.Version), CodeConflict)

		mustFail(t, put("secret", "s", `{"commit":"x"}`, store.Any), CodeInvalid, "no kind of the catalog")
		mustFail(t, put("trust", "origin", `{"keys":[]}`, store.Any), CodeInvalid)
		mustFail(t, put("release", "bot", `{}`, store.Any), CodeInvalid)
		mustFail(t, put("budget", "a", `[]`, store.Any), CodeInvalid, "JSON object")
		mustFail(t, put("budget", "a", `{"period":"daily","period":"weekly"}`, store.Any), CodeInvalid, "twice")
		mustFail(t, put("budget", "a", `{"name":"b"}`, store.Any), CodeInvalid, "by another name")
		mustFail(t, put("price", "a", `{}`, store.Any), CodeInvalid, "PROVIDER/MODEL")
		e := mustFail(t, put("budget", "a", `{"limit_usd":-1,"period":"daily"}`, store.Any), CodeInvalid)
		assert.Equal(t, "limit_usd", e.Problems[0].Path)

		_, err = o.Delete(ctx, ann, "provider", "openai", store.Any)
		mustFail(t, err, CodeInvalid, "version/bot@1.0.0.targets[0].provider", "there is no provider")
		_, err = o.Delete(ctx, ann, "provider", "nobody", store.Any)
		mustFail(t, err, CodeNotFound)
		_, err = o.Delete(ctx, ann, "version", "bot@1.0.0", store.Any)
		mustFail(t, err, CodeInvalid, "model/bot.versions: the list needs at least 1")
		require.NoError(t, put("version", "bot@1.0.1", `{"targets":[{"provider":"openai","model":"x"}]}`, store.Absent))
		_, err = o.Delete(ctx, ann, "version", "bot@1.0.0", store.Any)
		mustFail(t, err, CodeStep, "archive it first")
		_, err = o.Delete(ctx, ann, "budget", "team", store.Any)
		require.NoError(t, err)
	})
}

// A model's body has its versions, and its ETag is that of the youngest of them.
func TestModelsHaveTheirVersions(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		m, err := o.Get(ctx, "model", "bot")
		require.NoError(t, err)
		assert.EqualValues(t, 1, m.Version)
		_, err = o.Put(ctx, ann, "model", "bot", m.Body, m.Version)
		require.NoError(t, err, "what was read can be put")

		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", From: "1.0.0", Bump: "patch"})
		require.NoError(t, err)
		_, err = o.Put(ctx, ann, "model", "bot", []byte(`{"strict":true}`), m.Version)
		mustFail(t, err, CodeConflict)
		m, err = o.Get(ctx, "model", "bot")
		require.NoError(t, err)
		assert.EqualValues(t, 2, m.Version)
		var body struct{ Versions []struct{ Version string } }
		require.NoError(t, json.Unmarshal(m.Body, &body))
		require.Len(t, body.Versions, 2)
		assert.Equal(t, "1.0.1", body.Versions[1].Version)

		_, err = o.Put(ctx, ann, "version", "none@1.0.0", []byte(`{"targets":[{"provider":"openai","model":"x"}]}`), store.Any)
		mustFail(t, err, CodeNotFound, `there is no model "none"`)
		_, err = o.Put(ctx, ann, "model", "empty", []byte(`{}`), store.Any)
		mustFail(t, err, CodeInvalid, "versions")
		_, err = o.Put(ctx, ann, "model", "full", []byte(`{"versions":[{"version":"1.0.0","targets":[{"provider":"openai","model":"x"}]}]}`), store.Absent)
		require.NoError(t, err)
		_, err = o.Delete(ctx, ann, "model", "full", store.Any)
		require.NoError(t, err)
	})
}

func TestListPages(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.apply(basic)
		first, next, err := o.List(t.Context(), "provider", "", 2)
		require.NoError(t, err)
		require.Len(t, first, 2)
		assert.Equal(t, "claude", next)
		rest, next, err := o.List(t.Context(), "provider", next, 2)
		require.NoError(t, err)
		require.Len(t, rest, 1)
		assert.Equal(t, "openai", rest[0].Name)
		assert.Empty(t, next)
		o.apply(strings.ReplaceAll(basic, "name: bot", "name: ant"))
		models, next, err := o.List(t.Context(), "model", "ant", 0)
		require.NoError(t, err)
		require.Len(t, models, 1)
		assert.Contains(t, string(models[0].Body), `"versions":[{`)
		assert.Empty(t, next)
		_, next, err = o.List(t.Context(), "model", "", 1)
		require.NoError(t, err)
		assert.Equal(t, "ant", next)
		for _, kind := range []string{"model", "provider", "secret"} {
			_, err = o.Get(t.Context(), kind, "nobody")
			assert.Equal(t, http.StatusNotFound, mustFail(t, err, CodeNotFound).Status())
		}
		_, _, err = o.List(t.Context(), "rollout", "", 0)
		mustFail(t, err, CodeInvalid)
	})
}

// Problems are told where people wrote what is wrong, however they wrote it.
func TestPlaces(t *testing.T) {
	o := newOrigin(t, databases["sqlite"](t))
	o.apply(basic)
	for document, want := range map[string]string{
		"x: &x {provider: nobody, model: m}\n": "1:1: x: unknown field",
		"prompts: [{name: p, version: 1.0.0, template: t}]\nmodels:\n- name: m\n  versions:\n  - version: 1.0.0\n    prompt: p@2.0.0\n    targets: [{provider: openai, model: m}]\n": `6:13: models[0].versions[0].prompt: there is no prompt "p@2.0.0"`,
		"models:\n- name: m\n  versions:\n  - version: 1.0.0\n    targets: &t [{provider: nobody, model: m}]\n  - version: 1.1.0\n    targets: *t\n":                                 `5:29: models[0].versions[0].targets[0].provider: there is no provider`,
		`{"keys":[{"name":"k","id":"wk_abcabcabcabc","hash":"sha256:` + strings.Repeat("0", 64) + `","models":["bat"]}]}`:                                                            `keys[0].models[0]: there is no model "bat"`,
	} {
		_, err := o.Apply(t.Context(), ann, Apply{Name: "c.yaml", Catalog: []byte(document)})
		mustFail(t, err, CodeInvalid, want)
	}
}
