package price

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func served(t *testing.T, provider, prices string) *wire.Catalog {
	t.Helper()
	c, err := wire.ParseCatalog("c.yaml", []byte(`providers: [{name: p, dialect: openai, `+provider+`}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: gpt-5}]}]}]
`+prices))
	require.NoError(t, err)
	return c
}

func TestWhichListHolds(t *testing.T) {
	for provider, want := range map[string]string{
		`base_url: "https://api.openai.com/v1"`:                     "openai",
		`base_url: "https://api.openai.com/v1", prices: azure`:      "azure",
		`base_url: "https://api.openai.com/v1", prices: none`:       "",
		`base_url: "http://127.0.0.1:9090/v1"`:                      "",
		`base_url: "http://127.0.0.1:9090/v1", prices: openai`:      "openai",
		`base_url: "https://gateway.example.com/v1"`:                "",
		`base_url: "https://api.openai.com.example.com/v1"`:         "",
		`base_url: "https://a.openai.azure.com/openai/deployments"`: "azure",
	} {
		c := served(t, provider, "")
		assert.Equal(t, want, List(&c.Providers[0]), provider)
		known := New(c).Of(&c.Providers[0], "gpt-5").Known(now)
		assert.Equal(t, want != "", known, provider)
		assert.False(t, New(c).Of(&c.Providers[0], "nobody-sells-this").Known(now))
	}
}

func TestTheCatalogWinsOverTheBuiltInTable(t *testing.T) {
	const openai = `base_url: "https://api.openai.com/v1"`
	c := served(t, openai, "prices: [{provider: p, model: gpt-5, input: 7, output: 9}]\n")
	w, builtIn, ok := New(c).Of(&c.Providers[0], "gpt-5").At(now)
	assert.True(t, ok && !builtIn)
	assert.Equal(t, int64(7_000_000), w.Input)
	_, builtIn, ok = New(c).Of(&c.Providers[0], "gpt-5-mini").At(now)
	assert.True(t, ok && builtIn, "of which the catalog says nothing")

	c = served(t, openai, "prices: [{provider: p, model: gpt-5, input: 7, output: 9, from: 2027-01-01}]\n")
	p := New(c).Of(&c.Providers[0], "gpt-5")
	w, builtIn, ok = p.At(now)
	assert.True(t, ok && builtIn, "until the catalog's begins")
	assert.NotEqual(t, int64(7_000_000), w.Input)
	w, builtIn, _ = p.At(now.AddDate(1, 0, 0))
	assert.False(t, builtIn)
	assert.Equal(t, int64(7_000_000), w.Input)
}

func TestDigest(t *testing.T) {
	const one = "  - {provider: p, model: a, input: 1, output: 2}\n"
	const two = "  - {provider: p, model: a, input: 3, output: 4, from: 2027-01-01}\n  - {provider: p, model: b, input: 1, tiers: [{above: 5, input: 2}]}\n"
	base := New(catalog(t, one+two)).Digest()
	assert.Regexp(t, "^[0-9a-f]{12}$", base)
	assert.Equal(t, base, New(catalog(t, one+two)).Digest())
	assert.Equal(t, base, New(catalog(t, two+one)).Digest(), "the order says nothing")
	seen := []string{base}
	for _, other := range []string{
		one, two, strings.Replace(one, "1", "1.000001", 1) + two, one + strings.Replace(two, "above: 5", "above: 6", 1),
		one + strings.Replace(two, "2027", "2028", 1), strings.Replace(one, "}", ", batch: 50}", 1) + two, strings.Replace(one, "}", ", request_usd: 1}", 1) + two,
	} {
		d := New(catalog(t, other)).Digest()
		assert.False(t, slices.Contains(seen, d), other)
		seen = append(seen, d)
	}
	for _, provider := range []string{`base_url: "https://api.openai.com/v1"`, `base_url: "https://api.openai.com/v1", prices: azure`} {
		d := New(served(t, provider, "")).Digest()
		assert.False(t, slices.Contains(seen, d), "a list of the built-in table: %s", provider)
		seen = append(seen, d)
	}
	assert.Equal(t, New(served(t, `base_url: "https://a.example.com"`, "")).Digest(), New(served(t, `base_url: "http://127.0.0.1"`, "")).Digest())
	assert.Empty(t, (*Table)(nil).Digest())
}

func TestATableDoesNotChangeItsCatalog(t *testing.T) {
	c := catalog(t, "  - {provider: p, model: b, input: 1}\n  - {provider: p, model: a, input: 1}\n")
	before := slices.Clone(c.Prices)
	New(c)
	assert.Equal(t, before, c.Prices)
}
