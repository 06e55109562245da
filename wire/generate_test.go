package wire

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

type jsonObject = map[string]any

// drawCatalog is a valid catalog in JSON: names that look alike, texts of any runes, fields that may be missing.
func drawCatalog(t *rapid.T) []byte {
	digest := "sha256:" + strings.Repeat("ab", 32)
	maybe := func(o jsonObject, name string, value any) {
		if rapid.Bool().Draw(t, name) {
			o[name] = value
		}
	}
	text := rapid.StringN(1, 40, 200)
	providers := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"p", "p1", "p-1", "P", "1p"}), 1, 3, rapid.ID).Draw(t, "providers")
	catalog := jsonObject{}
	var list []jsonObject
	for _, p := range providers {
		o := jsonObject{"name": p, "dialect": rapid.SampledFrom(dialects).Draw(t, "dialect"), "base_url": "https://a.example/v1"}
		maybe(o, "api_key", "${KEY}")
		maybe(o, "headers", jsonObject{"X-Org": "é"})
		list = append(list, o)
	}
	catalog["providers"] = list
	catalog["prompts"] = []jsonObject{{"name": "s", "version": "1.0.0", "template": text.Draw(t, "template")},
		{"name": "s", "version": "1.0.0-rc.1", "template": text.Draw(t, "template")}}
	policy := jsonObject{"name": "p", "module": digest, "hooks": []string{"route"}, "config": jsonObject{text.Draw(t, "key"): text.Draw(t, "value")}}
	maybe(policy, "cases", digest)
	catalog["policies"] = []jsonObject{policy}
	var models []jsonObject
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"m", "m1", "m-1", "m/x", "M", "a:b"}), 1, 4, rapid.ID).Draw(t, "models")
	for _, m := range names {
		o := jsonObject{"name": m, "versions": drawVersions(t, providers)}
		maybe(o, "strict", true)
		maybe(o, "resume", "90m")
		maybe(o, "policies", []string{"p"})
		models = append(models, o)
	}
	catalog["models"] = models
	maybe(catalog, "prices", drawPrices(t, providers[0], text.Filter(isText).Draw(t, "upstream")))
	catalog["keys"] = []jsonObject{{"name": "k", "id": "wk_abc123def456", "hash": digest, "models": []string{"*"}, "team": "blue"}}
	maybe(catalog, "budgets", drawBudgets(t, names[0]))
	maybe(catalog, "rates", []jsonObject{{"name": "r-1", "requests": "7/m"}, {"name": "r", "scope": "team", "match": "blue", "concurrency": 3}})
	maybe(catalog, "webhooks", []jsonObject{{"name": "w-1", "url": "http://[::1]/?é"}, {"name": "w", "url": "https://a.example", "secret": "origin:s", "events": AlertKinds[:2]}})
	data, err := json.Marshal(catalog)
	require.NoError(t, err)
	return data
}

func drawPrices(t *rapid.T, provider, model string) []jsonObject {
	prices := []jsonObject{{"provider": provider, "model": model, "input": json.Number("0.250")}}
	for _, from := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"2027-01-01", "2026-12-31", "2026-12-31T23:59:59+05:30"}), 0, 3, rapid.ID).Draw(t, "from") {
		prices = append(prices, jsonObject{"provider": provider, "model": model, "from": from, "request_usd": json.Number("1e-9"),
			"tiers": []jsonObject{{"above": 1, "output": 2}}})
	}
	return prices
}

func drawBudgets(t *rapid.T, model string) []jsonObject {
	budgets := []jsonObject{{"name": "b", "limit_usd": json.Number("0.10"), "period": "rolling-7h", "alerts": []int{}}}
	o := jsonObject{"name": "b-1", "limit_usd": 5, "period": rapid.SampledFrom(spans).Draw(t, "period"), "scope": "model", "match": model,
		"timezone": rapid.SampledFrom([]string{"UTC", "Asia/Kathmandu"}).Draw(t, "zone"), "on_exhausted": "cache_only"}
	if rapid.Bool().Draw(t, "safe") {
		o["offline"], o["grace_usd"], o["unpriced"], o["flat"] = "safe", json.Number("1.0"), "flat", 3
	}
	return append(budgets, o)
}

func isText(s string) bool { return !strings.ContainsFunc(s, isControl) }

func drawVersions(t *rapid.T, providers []string) []jsonObject {
	numbers := []string{"1.0.0", "1.2.0", "1.10.0", "1.10.0-rc.2", "2.0.0"}
	var versions []jsonObject
	for i, n := range rapid.SliceOfNDistinct(rapid.SampledFrom(numbers), 1, 5, rapid.ID).Draw(t, "versions") {
		status := []string{"production", "staging", "deprecated", "archived", "development"}[i]
		params := jsonObject{"temperature": json.Number(rapid.SampledFrom([]string{"0.20", "1e-3", "-0", "7"}).Draw(t, "temperature")),
			"stop": []any{rapid.String().Draw(t, "stop"), nil, true, jsonObject{"<<": 1}}}
		target := jsonObject{"provider": rapid.SampledFrom(providers).Draw(t, "provider"), "model": rapid.StringN(1, 8, 64).Filter(isText).Draw(t, "model")}
		versions = append(versions, jsonObject{"version": n, "status": status, "targets": []jsonObject{target}, "params": params})
	}
	return versions
}

// drawResources are resources that are no catalog's.
func drawResources(t *rapid.T) []Resource {
	var all []Resource
	for i := range rapid.IntRange(0, 6).Draw(t, "resources") {
		body, err := CanonicalJSON(jsonObject{"x": rapid.String().Draw(t, "x")})
		require.NoError(t, err)
		kind := rapid.SampledFrom([]string{KindModel, KindSecret, KindTrust, "unheard-of"}).Draw(t, "kind")
		all = append(all, Resource{kind, fmt.Sprint(i, rapid.String().Draw(t, "name")), body})
	}
	return all
}

// signer is a key that tests sign with, the same at every run.
var signer = ed25519.NewKeyFromSeed([]byte("wedge tests sign with this seed."))

func signedBy(key ed25519.PrivateKey) Trust {
	public := key.Public().(ed25519.PublicKey)
	return Trust{NameOf(public): public}
}

// headOf signs a state.
func headOf(resources []Resource) SignedHead {
	SortResources(resources)
	state := DigestState(resources)
	return SignHead(signer, Position{Epoch: 1_700_000_000_000, Rev: 7, Chain: Chain{1, 2, 3}}, &state, time.UnixMilli(1_800_000_000_123))
}

// split takes a catalog apart.
func split(t testing.TB, text string) []Resource {
	t.Helper()
	resources, err := SplitCatalog("test", []byte(text))
	require.NoError(t, err)
	return resources
}
