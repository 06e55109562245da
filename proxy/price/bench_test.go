package price

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// everything is a price that says all that a price can.
const everything = `  - {provider: p, model: a, input: 1.25, cached_input: 0.125, cache_write: 1.5, cache_write_hour: 2, reasoning: 10, audio_input: 40,
     audio_output: 80, image_input: 10, image_output: 40, output: 10, tiers: [{above: 200000, input: 2.5, output: 15}], request_usd: 0.01,
     image_usd: 0.04, second_usd: 0.0001, letters: 15, batch: 50, from: 2026-01-01}
`

func usageOfAll() dialect.Usage {
	return dialect.Usage{Known: true, Input: 250_000, Cached: 1000, CacheWrite: 500, CacheWriteHour: 200, AudioInput: 30, ImageInput: 40,
		Output: 900, Reasoning: 300, AudioOutput: 20, ImageOutput: 10, Images: 1, AudioMillis: 20, Letters: 30}
}

// benchPrice is the price of p/a, without a test.
func benchPrice(b *testing.B, prices string) *Price {
	c, err := wire.ParseCatalog("c.yaml", []byte(`providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1/v1"}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}]}]}]
prices:
`+prices))
	require.NoError(b, err)
	return New(c).Of(&c.Providers[0], "a")
}

func BenchmarkBill(b *testing.B) {
	chat := dialect.Usage{Known: true, Input: 1200, Output: 350}
	cached := dialect.Usage{Known: true, Input: 1200, Cached: 1000, Output: 350, Reasoning: 100}
	all := usageOfAll()
	for _, row := range []struct {
		name  string
		usage *dialect.Usage
	}{{"chat", &chat}, {"cached", &cached}, {"everything", &all}} {
		b.Run(row.name, func(b *testing.B) {
			p := benchPrice(b, everything)
			b.ReportAllocs()
			for b.Loop() {
				p.Bill(row.usage, now)
			}
		})
	}
}

func BenchmarkAtMost(b *testing.B) {
	p := benchPrice(b, everything)
	b.ReportAllocs()
	for b.Loop() {
		p.AtMost(1200, 4096, now)
	}
}

// BenchmarkTable makes the table of a catalog of 10,000 prices, and asks it for 10,000 targets' prices.
func BenchmarkTable(b *testing.B) {
	for _, row := range []struct{ name, provider string }{
		{"catalog", `base_url: "http://127.0.0.1/v1"`}, {"openai", `base_url: "https://api.openai.com/v1"`}, {"openrouter", `base_url: "https://openrouter.ai/api/v1"`},
	} {
		b.Run(row.name, func(b *testing.B) {
			c, err := wire.ParseCatalog("c.yaml", []byte(`providers: [{name: p, dialect: openai, `+row.provider+`}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}]}]}]
`))
			require.NoError(b, err)
			models := make([]string, 10_000)
			for i := range models {
				models[i] = "gpt-5-mini"
				if row.name == "catalog" {
					models[i] = fmt.Sprint("model-", i)
					c.Prices = append(c.Prices, wire.Price{Provider: "p", Model: models[i], Batch: 100})
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				t := New(c)
				for _, m := range models {
					t.Of(&c.Providers[0], m)
				}
			}
		})
	}
}
