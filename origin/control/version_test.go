package control

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// versionOf reads one version of a catalog that has every provider and prompt it may name.
func versionOf(t testing.TB, fields string) *wire.Version {
	t.Helper()
	c, err := wire.ParseCatalog("c", []byte(`
providers:
  - {name: openai, dialect: openai, base_url: "https://openai.test/v1"}
  - {name: azure, dialect: openai, base_url: "https://azure.test/v1"}
  - {name: claude, dialect: anthropic, base_url: "https://claude.test/v1"}
prompts: [{name: p, version: 1.0.0, template: a}, {name: p, version: 2.0.0, template: b}]
models:
  - {name: other, versions: [{version: 1.0.0, status: production, targets: [{provider: openai, model: x}]}]}
  - {name: bot, versions: [{version: 1.0.0, `+fields+`}]}
`))
	require.NoError(t, err)
	return &c.Models[1].Versions[0]
}

func TestBump(t *testing.T) {
	dialect := func(provider string) string {
		return map[string]string{"openai": "openai", "azure": "openai", "claude": "anthropic"}[provider]
	}
	for name, c := range map[string]struct{ was, is, part, why string }{
		"nothing":          {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m}]`, "none", "nothing"},
		"defaults":         {`targets: [{provider: openai, model: m}]`, `strategy: weighted, balance: weighted, targets: [{provider: openai, model: m, weight: 1, name: openai}]`, "none", "nothing"},
		"strategy":         {`targets: [{provider: openai, model: m}]`, `strategy: cost, targets: [{provider: openai, model: m}]`, "major", "strategy was weighted and is cost"},
		"upstream model":   {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: n}]`, "major", "openai/m and are openai/n"},
		"dialect":          {`targets: [{provider: openai, model: m}]`, `targets: [{provider: claude, model: m}]`, "major", "anthropic/m"},
		"one more":         {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m}, {provider: claude, model: n}]`, "major", "upstream models"},
		"one less":         {`targets: [{provider: openai, model: m}, {provider: claude, model: n}]`, `targets: [{provider: openai, model: m}]`, "major", "upstream models"},
		"major over minor": {`targets: [{provider: openai, model: m}]`, `prompt: p@1.0.0, targets: [{provider: openai, model: n}]`, "major", "upstream models"},
		"prompt":           {`prompt: p@1.0.0, targets: [{provider: openai, model: m}]`, `prompt: p@2.0.0, targets: [{provider: openai, model: m}]`, "minor", "prompt"},
		"params":           {`targets: [{provider: openai, model: m}]`, `params: {seed: 1}, targets: [{provider: openai, model: m}]`, "minor", "params"},
		"params' order":    {`params: {a: {x: 1, y: 2}}, targets: [{provider: openai, model: m}]`, `params: {a: {y: 2, x: 1}}, targets: [{provider: openai, model: m}]`, "patch", "way"},
		"force":            {`force: {seed: 1}, targets: [{provider: openai, model: m}]`, `force: {seed: 2}, targets: [{provider: openai, model: m}]`, "minor", "force"},
		"minor over patch": {`targets: [{provider: openai, model: m}]`, `params: {seed: 1}, targets: [{provider: azure, model: m}]`, "minor", "params"},
		"provider":         {`targets: [{provider: openai, model: m}]`, `targets: [{provider: azure, model: m}]`, "patch", "way"},
		"weight":           {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m, weight: 2}]`, "patch", "way"},
		"name":             {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m, name: eu}]`, "patch", "way"},
		"timeout":          {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m, timeout: 5s}]`, "patch", "way"},
		"capabilities":     {`targets: [{provider: openai, model: m}]`, `targets: [{provider: openai, model: m, capabilities: {tools: true}}]`, "patch", "way"},
		"balance":          {`targets: [{provider: openai, model: m}]`, `balance: p2c, targets: [{provider: openai, model: m}]`, "patch", "way"},
		"retry":            {`targets: [{provider: openai, model: m}]`, `retry: {attempts: 3}, targets: [{provider: openai, model: m}]`, "patch", "way"},
		"fallback":         {`targets: [{provider: openai, model: m}]`, `fallback: [other], targets: [{provider: openai, model: m}]`, "patch", "way"},
		"order of targets": {`targets: [{provider: openai, model: m}, {provider: claude, model: n}]`, `targets: [{provider: claude, model: n}, {provider: openai, model: m}]`, "patch", "way"},
	} {
		t.Run(name, func(t *testing.T) {
			part, why := bump(versionOf(t, c.was), versionOf(t, c.is), dialect)
			assert.Equal(t, c.part, part)
			assert.Contains(t, why, c.why)
		})
	}
}

func TestNextNumber(t *testing.T) {
	for _, c := range []struct {
		base, part string
		taken      []string
		want       string
	}{
		{"", bumpFirst, nil, "1.0.0"},
		{"1.2.3", bumpPatch, []string{"1.2.3"}, "1.2.4"},
		{"1.2.3", bumpMinor, []string{"1.2.3"}, "1.3.0"},
		{"1.2.3", bumpMajor, []string{"1.2.3"}, "2.0.0"},
		{"1.2.3", bumpPatch, []string{"1.2.3", "1.2.9", "1.3.7", "2.0.0"}, "1.2.10"},
		{"1.2.3", bumpMinor, []string{"1.2.3", "1.4.0", "2.5.0"}, "1.5.0"},
		{"1.2.3", bumpMajor, []string{"1.2.3", "3.0.1"}, "4.0.0"},
		{"1.2.3", bumpPatch, []string{"1.2.3", "1.2.4-rc.1"}, "1.2.5"},
		{"1.2.3-rc.1", bumpPatch, []string{"1.2.3-rc.1"}, "1.2.4"},
		{"1.2.3+build", bumpMinor, []string{"1.2.3+build"}, "1.3.0"},
	} {
		got, err := nextNumber(c.base, c.part, c.taken)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%+v", c)
	}
}

func TestCreateVersion(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		create := func(v NewVersion) VersionMade {
			t.Helper()
			made, err := o.CreateVersion(ctx, ann, v)
			require.NoError(t, err)
			return made
		}
		made := create(NewVersion{Model: "bot", From: "1.0.0", Body: []byte(`{"params":{"temperature":0.7}}`)})
		assert.Equal(t, "1.1.0", made.Version)
		assert.Equal(t, "minor", made.Bump)
		assert.Equal(t, "compared with 1.0.0: params differ", made.Why)
		assert.Len(t, made.Hash, 7+64)
		assert.Equal(t, map[string]string{"1.0.0": production, "1.1.0": development}, o.statuses("bot"))

		dry := create(NewVersion{Model: "bot", From: "1.1.0", DryRun: true, Body: []byte(`{"targets":[{"provider":"claude","model":"opus"}]}`)})
		assert.Equal(t, "2.0.0", dry.Version)
		assert.True(t, dry.DryRun)
		made = create(NewVersion{Model: "bot", Body: []byte(`{"targets":[{"provider":"azure","model":"gpt"}],"params":{"temperature":0.5}}`)})
		assert.Equal(t, "1.0.1", made.Version, "without From it counts on from production")
		made = create(NewVersion{Model: "bot", Body: []byte(`{"version":"3.0.0-rc.1","status":"staging","targets":[{"provider":"azure","model":"gpt"}]}`)})
		assert.Equal(t, "3.0.0-rc.1", made.Version)

		_, err := o.CreateVersion(ctx, ann, NewVersion{Model: "bot", From: "1.0.0"})
		mustFail(t, err, CodeConflict, "the configuration is that of bot@1.0.0")
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", From: "9.0.0"})
		mustFail(t, err, CodeNotFound, "it has 1.0.0, 1.0.1, 1.1.0, 3.0.0-rc.1")
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", Body: []byte(`{"version":"1.1.0"}`), From: "1.0.0"})
		mustFail(t, err, CodeConflict, "already")
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", Body: []byte(`{"status":"production"}`), From: "1.0.0", Bump: "major"})
		require.Error(t, err)
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", Body: []byte(`{}`), Bump: "huge"})
		mustFail(t, err, CodeInvalid, "huge")
		_, err = o.CreateVersion(ctx, ann, NewVersion{Model: "bot", Body: []byte(`{"targets":[{"provider":"openai","model":"m","weight":-1}]}`)})
		e := mustFail(t, err, CodeInvalid)
		assert.Equal(t, "targets[0].weight", e.Problems[0].Path)

		made = create(NewVersion{Model: "fresh", Body: []byte(`{"targets":[{"provider":"openai","model":"m"}]}`)})
		assert.Equal(t, "1.0.0", made.Version)
		assert.Equal(t, "first", made.Bump)
		assert.Equal(t, map[string]string{"1.0.0": development}, o.statuses("fresh"))
	})
}

// Versions that would answer alike hash alike, and only they.
func TestDiff(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		ctx := t.Context()
		o.apply(basic)
		for _, body := range []string{`{"retry":{"attempts":3}}`, `{"targets":[{"provider":"openai","model":"gpt","weight":7}],"params":{"temperature":1}}`} {
			_, err := o.CreateVersion(ctx, ann, NewVersion{Model: "bot", From: "1.0.0", Body: []byte(body)})
			require.NoError(t, err)
		}
		o.serve("bot@1.0.0", 10, 1)
		o.serve("bot@0.9.0", 4, 0)

		diff, err := o.Diff(ctx, "bot", "", "1.1.0")
		require.NoError(t, err)
		assert.Equal(t, "1.0.0", diff.From)
		assert.Equal(t, "minor", diff.Bump)
		assert.False(t, diff.SameHash)
		assert.Equal(t, []FieldChange{
			{"params.temperature", json.RawMessage("0.5"), json.RawMessage("1")},
			{"targets[0].weight", nil, json.RawMessage("7")},
		}, diff.Fields)
		require.Len(t, diff.Metrics, 2)
		assert.EqualValues(t, 10, diff.Metrics[0].Requests)
		assert.Equal(t, development, diff.Metrics[1].Status)

		diff, err = o.Diff(ctx, "bot", "1.0.1", "1.0.0")
		require.NoError(t, err)
		assert.Equal(t, "patch", diff.Bump)
		assert.True(t, diff.SameHash)
		_, err = o.Diff(ctx, "bot", "", "7.0.0")
		mustFail(t, err, CodeNotFound)

		all, err := o.Metrics(ctx, "bot", time.Hour)
		require.NoError(t, err)
		require.Len(t, all, 4)
		assert.Equal(t, "0.9.0", all[3].Version, "what is gone is told last")
		_, err = o.Metrics(ctx, "nobody", 0)
		mustFail(t, err, CodeNotFound)
	})
}

func TestDiffJSON(t *testing.T) {
	paths := func(a, b string) string {
		var all []string
		for _, f := range diffJSON([]byte(a), []byte(b)) {
			all = append(all, f.Path+":"+string(f.Before)+">"+string(f.After))
		}
		return strings.Join(all, " ")
	}
	assert.Empty(t, paths(`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`))
	assert.Equal(t, `a[1].b:null>2 a[2]:>3`, paths(`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":2},3]}`))
	assert.Equal(t, `a:{"b":1}>[1] c:>null`, paths(`{"a":{"b":1}}`, `{"a":[1],"c":null}`))
	assert.Equal(t, `a:1>1.0`, paths(`{"a":1}`, `{"a":1.0}`))
}
