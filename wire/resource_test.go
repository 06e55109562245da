package wire

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// rejoin takes a catalog apart and puts it together again.
func rejoin(t require.TestingT, data []byte) (*Catalog, []Resource) {
	resources, err := SplitCatalog("split", data)
	require.NoError(t, err)
	whole, err := JoinCatalog(resources)
	require.NoError(t, err)
	c, err := ParseCatalog("joined", whole)
	require.NoError(t, err, "%s", whole)
	return c, resources
}

// sorted is the catalog with its records in the order in which they are joined.
func sorted(c *Catalog) *Catalog {
	c = &Catalog{slices.Clone(c.Providers), slices.Clone(c.Models), slices.Clone(c.Experiments), slices.Clone(c.Policies),
		slices.Clone(c.Prompts), slices.Clone(c.Prices), slices.Clone(c.Keys), slices.Clone(c.Budgets), slices.Clone(c.Rates), slices.Clone(c.Webhooks), "", nil}
	byName(c.Providers, func(p *Provider) string { return p.Name })
	byName(c.Models, func(m *Model) string { return m.Name })
	byName(c.Experiments, func(e *Experiment) string { return e.Name })
	byName(c.Policies, func(p *Policy) string { return p.Name })
	byName(c.Prompts, func(p *Prompt) string { return p.Name + "@" + p.Version })
	byName(c.Prices, func(p *Price) string { return p.Provider + "/" + p.Model + p.since() })
	byName(c.Keys, func(k *Key) string { return k.Name })
	byName(c.Budgets, func(b *Budget) string { return b.Name })
	byName(c.Rates, func(r *RateRule) string { return r.Name })
	byName(c.Webhooks, func(w *Webhook) string { return w.Name })
	for i := range c.Models {
		c.Models[i].Versions = slices.Clone(c.Models[i].Versions)
		slices.SortFunc(c.Models[i].Versions, func(a, b Version) int { return compareVersions("@"+a.Version, "@"+b.Version) })
	}
	return c
}

func byName[T any](items []T, name func(*T) string) {
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(name(&a), name(&b)) })
}

// What a catalog says is the same after it was taken apart and put together, and the second time not a byte changes.
func checkRejoin(t require.TestingT, data []byte) {
	original, err := ParseCatalog("original", data)
	require.NoError(t, err)
	joined, resources := rejoin(t, data)
	require.Equal(t, sorted(original).Digest(), joined.Digest())

	whole, err := JoinCatalog(resources)
	require.NoError(t, err)
	again, err := SplitCatalog("again", whole)
	require.NoError(t, err)
	require.Equal(t, resources, again)
	slices.Reverse(again)
	shuffled, err := JoinCatalog(again)
	require.NoError(t, err)
	require.Equal(t, string(whole), string(shuffled), "the order of resources does not count")
}

func TestCatalogsComeApartAndTogether(t *testing.T) {
	checkRejoin(t, readFile(t, "testdata/full.yaml"))
	checkRejoin(t, []byte(minimal))
	checkRejoin(t, []byte("{}"))
	rapid.Check(t, func(t *rapid.T) { checkRejoin(t, drawCatalog(t)) })
}

func TestNamesOfResources(t *testing.T) {
	var names []string
	for _, r := range split(t, string(readFile(t, "testdata/full.yaml"))) {
		names = append(names, r.Kind+" "+r.Name)
	}
	assert.Equal(t, []string{"budget away", "budget everything", "budget team-a", "experiment bigger-model", "experiment next", "key operator", "key team-a",
		"model support-bot", "policy redact", "policy route-by-language", "price openai/embed", "price openai/gpt-5-mini",
		"price openai/gpt-5@2026-01-01",
		"prompt support-system@2.1.0", "provider eu", "provider openai", "rate blues", "version support-bot@0.9.0", "version support-bot@1.0.0",
		"version support-bot@1.1.0", "webhook ops"}, names)
}

// However a catalog is spelt, its resources say the same.
func TestSpellingsSurviveTheSplit(t *testing.T) {
	plain := `{"models": [{"name": "m", "resume": "1h", "versions": [
			{"version": "1.0.0", "status": "production", "targets": [{"provider": "p", "model": "a", "weight": 2, "timeout": "500ms"}], "params": {"a": "b", "n": 1.50}},
			{"version": "1.1.0", "targets": [{"provider": "p", "model": "a", "weight": 3, "timeout": "500ms"}], "params": {"n": 2, "a": "b"}}]}],
		"prices": [{"provider": "p", "model": "2024-01-01", "input": 0.250}],
		"prompts": [{"name": "007", "version": "1.0.0", "template": "two\nlines: \u0001\n"}, {"name": "true", "version": "1.0.0", "template": "a b"}],
		"providers": [{"name": "p", "dialect": "openai", "base_url": "http:\/\/127.0.0.1\/v1"}],
		"keys": [{"name": "k", "id": "wk_abc123def456", "hash": "sha256:` + strings.Repeat("ab", 32) + `", "models": ["*"], "rate": {"requests": "10k/m"}}]}`
	spelt := `
providers:
  - name: p
    dialect: openai
    base_url: "http://127.0.0.1/v1"
models:
  - name: 'm'
    resume: 1h
    versions:
      - version: 1.0.0
        status: production
        targets: [&target {provider: p, model: a, weight: 2, timeout: 500ms}]
        params: &params {n: 1.50, a: "\u0062"}
      - version: 1.1.0
        targets: [{<<: *target, weight: 3}]
        params:
          n: 2
          <<: [*params]
prices:
  - {provider: p, model: 2024-01-01, input: 0.250}
keys:
  - {name: k, id: wk_abc123def456, hash: "sha256:` + strings.Repeat("ab", 32) + `", models: ["*"], rate: {requests: 10k/m}}
prompts:
  - name: '007'
    version: 1.0.0
    template: "two\nlines: \x01\n"
  - name: !!str true
    version: 1.0.0
    template: >-
      a
      b
`
	want, got := split(t, plain), split(t, spelt)
	require.Len(t, got, len(want))
	for i := range want {
		assert.Equal(t, want[i].Kind+" "+want[i].Name+" "+string(want[i].Body), got[i].Kind+" "+got[i].Name+" "+string(got[i].Body))
	}
	c, _ := rejoin(t, []byte(spelt))
	assert.Equal(t, []Param{{"a", []byte(`"b"`)}, {"n", []byte("1.50")}}, c.Models[0].Versions[0].Params, "numbers keep their literals")
	assert.Equal(t, 500*time.Millisecond, c.Models[0].Versions[1].Targets[0].Timeout)
	assert.Equal(t, "2024-01-01", c.Prices[0].Model)
	assert.EqualValues(t, 10_000, c.Keys[0].Rate.Requests)
}

func TestSplitCatalogRefusesWhatTheReaderRefuses(t *testing.T) {
	bad := readFile(t, "testdata/bad.yaml")
	_, want := ParseCatalog("bad.yaml", bad)
	_, err := SplitCatalog("bad.yaml", bad)
	assert.Equal(t, want, err)
	deep := minimal + "policies: [{name: p, module: file:x, hooks: [route], config: " + strings.Repeat("[", 70) + strings.Repeat("]", 70) + "}]"
	_, err = SplitCatalog("c", []byte(deep))
	assert.Error(t, err)
}

// A member that stands twice in a body could mean one thing here and another there.
func TestMembersThatStandTwiceAreRefused(t *testing.T) {
	for name, edit := range map[string]func(r *Resource){
		"at the top":         func(r *Resource) { r.Body = bytes.Replace(r.Body, []byte(`{`), []byte(`{"dialect":"gemini",`), 1) },
		"inside":             func(r *Resource) { r.Body = bytes.Replace(r.Body, []byte(`{"in`), []byte(`{"in_flight":1,"in`), 1) },
		"spelt another way":  func(r *Resource) { r.Body = bytes.Replace(r.Body, []byte(`{`), []byte(`{"\u0064ialect":"gemini",`), 1) },
		"versions of models": func(r *Resource) { r.Body = bytes.Replace(r.Body, []byte(`{`), []byte(`{"versions":[],`), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			resources := split(t, strings.Replace(minimal, "v1\"", "v1\", limits: {in_flight: 2}", 1))
			kind := KindProvider
			if name == "versions of models" {
				kind = KindModel
			}
			i := slices.IndexFunc(resources, func(r Resource) bool { return r.Kind == kind })
			edit(&resources[i])
			whole, err := JoinCatalog(resources)
			require.NoError(t, err)
			_, err = ParseCatalog("joined", whole)
			require.ErrorContains(t, err, "is given twice")
			SortResources(resources)
			assert.ErrorContains(t, CheckState(resources), "not canonical")
		})
	}
}

func TestWhatCannotBeJoined(t *testing.T) {
	for body, want := range map[string]string{
		``:                                 "is no object",
		`[]`:                               "is no object",
		`null`:                             "is no object",
		`"x"`:                              "is no object",
		`{"name":"p"},{"name":"q"}`:        "is no object",
		` {"name":"p"}`:                    "is no object",
		`{"name":"p"} `:                    "is no object",
		`{"name":"q"}`:                     `its body is that of "q"`,
		`{"name":1}`:                       `its body is that of "1"`,
		`{}`:                               `its body is that of ""`,
		`{"name":"p"}],"models":[{"x":[1]`: "is no object",
	} {
		_, err := JoinCatalog([]Resource{{KindProvider, "p", []byte(body)}})
		assert.ErrorContains(t, err, want, body)
		assert.ErrorContains(t, err, `cannot join the provider "p": `, body)
	}
	whole, err := JoinCatalog([]Resource{{KindProvider, "p", []byte(`{"\u006eame":"\u0070"}`)}})
	require.NoError(t, err, "spellings do not count")
	assert.Equal(t, `{"providers":[{"\u006eame":"\u0070"}]}`, string(whole))

	_, err = JoinCatalog([]Resource{{KindVersion, "m@1.0.0", []byte(`{"version":"1.0.0"}`)}})
	assert.EqualError(t, err, `cannot join the versions of "m": there is no such model`)
	_, err = JoinCatalog([]Resource{{KindVersion, "m", []byte(`{"version":"1.0.0"}`)}})
	assert.EqualError(t, err, `cannot join the version "m": its body is that of "m@1.0.0"`)
	_, err = JoinCatalog([]Resource{{KindModel, "m", []byte(`{"name":"m"}`)}, {KindVersion, "m@1.0.1", []byte(`{"version":"1.0.0"}`)}})
	assert.EqualError(t, err, `cannot join the version "m@1.0.1": its body is that of "m@1.0.0"`)
	whole, err = JoinCatalog([]Resource{{KindSecret, "s", []byte(`not read`)}, {"unheard-of", "x", nil}})
	require.NoError(t, err)
	assert.Equal(t, "{}", string(whole))
}

func TestVersionsAreJoinedByTheirNumbers(t *testing.T) {
	c, _ := rejoin(t, []byte(strings.Replace(minimal, "1.1.0", "1.10.0, targets: [{provider: p, model: b}]}\n      - {version: 1.9.0-rc.1", 1)))
	var numbers []string
	for _, v := range c.Models[0].Versions {
		numbers = append(numbers, v.Version)
	}
	assert.Equal(t, []string{"1.0.0", "1.9.0-rc.1", "1.10.0"}, numbers)
}

func TestCanonicalJSON(t *testing.T) {
	for in, want := range map[string]string{
		` {"b": 1.50, "a": [ null , 1e400 ], "<&>": "\u00e9\/\u2028"} `: `{"<&>":"é/\u2028","a":[null,1e400],"b":1.50}`,
		`123456789012345678901234567890`:                                `123456789012345678901234567890`,
		`"x"`:                                                           `"x"`,
	} {
		got, err := CanonicalJSON([]byte(in))
		require.NoError(t, err)
		assert.Equal(t, want, string(got))
	}
	got, err := CanonicalJSON(struct {
		B, A int
	}{1, 2})
	require.NoError(t, err)
	assert.Equal(t, `{"A":2,"B":1}`, string(got))
	for _, bad := range []string{``, `{`, `{"a":1} x`, `{"a":1}]`, `1 2`} {
		_, err := CanonicalJSON([]byte(bad))
		assert.Error(t, err, bad)
	}
}

func TestKindsAndSections(t *testing.T) {
	for _, section := range sections {
		kind, ok := CatalogKind(section)
		require.True(t, ok, section)
		assert.Equal(t, section, sectionOf[kind])
		assert.Equal(t, kind != KindWebhook, Shared(kind), kind)
	}
	_, ok := CatalogKind("versions")
	assert.False(t, ok)
	assert.True(t, Shared(KindVersion) && Shared(KindSecret) && Shared(KindRelease) && Shared(KindTrust))
	assert.False(t, Shared("unheard-of"))
}

// bigCatalog has n models.
func bigCatalog(n int) []byte {
	var b strings.Builder
	b.WriteString("providers: [{name: p, dialect: openai, base_url: \"http://127.0.0.1:9090/v1\"}]\nmodels:\n")
	for i := range n {
		_, _ = fmt.Fprintf(&b, "  - {name: model-%d, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a, weight: 90}, {provider: p, name: q, model: b}], params: {temperature: 0.2}}, {version: 1.1.0, targets: [{provider: p, model: b}]}]}\n", i)
	}
	return []byte(b.String())
}

func BenchmarkJoinAndParse(b *testing.B) {
	resources := split(b, string(bigCatalog(2000)))
	b.Run("join", func(b *testing.B) {
		for b.Loop() {
			_, _ = JoinCatalog(resources)
		}
	})
	whole, err := JoinCatalog(resources)
	require.NoError(b, err)
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(whole)))
		for b.Loop() {
			_, _ = ParseCatalog("x", whole)
		}
	})
}
