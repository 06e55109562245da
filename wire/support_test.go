package wire

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func all(words []string) map[string]bool {
	m := map[string]bool{}
	for _, w := range words {
		m[w] = true
	}
	return m
}

func TestUnsupportedFeaturesAreReported(t *testing.T) {
	c, err := ParseCatalog("full.yaml", readFile(t, "testdata/full.yaml"))
	require.NoError(t, err)
	err = c.CheckSupported(Support{})
	require.Error(t, err)
	testkit.Golden(t, "testdata/unsupported.golden", append([]byte(err.Error()), '\n'))

	assert.NoError(t, c.CheckSupported(Support{
		Policies: true, Prompts: true, Budgets: true, Rates: true, Webhooks: true, Resume: true, ActiveHealth: true, OriginSecrets: true,
		Guardrails: true, Capabilities: true, Dialects: all(dialects), Strategies: all(strategies),
		Balances: all(balances), CacheModes: all(cacheModes),
	}))
}

func TestSupportOfWhatTheFullCatalogLacks(t *testing.T) {
	s := Support{Dialects: all(dialects), Strategies: all(strategies), Balances: all(balances)}
	assert.NoError(t, parse(t, minimal).CheckSupported(s), "a cache that is off needs no support")
	c := parse(t, `providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1/v1", api_key: "origin:p"}]
models: [{name: m, resume: 5s, versions: [{version: 1.0.0, targets: [{provider: p, model: a}]}]}]`)
	assert.EqualError(t, c.CheckSupported(s), `test:1:73: providers[0].api_key: this build of wedge does not take secrets from an origin yet; remove the field
test:2:20: models[0].resume: this build of wedge does not resume streams yet; remove the field`)
	made := &Catalog{Models: c.Models}
	assert.ErrorContains(t, made.CheckSupported(s), ":1:1: models[0].resume:", "a catalog that was not read has no places")
}
