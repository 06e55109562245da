package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/wire"
)

const tables = "../../internal/prices/testdata/"

const pricedCatalog = `providers:
  - {name: openai, dialect: openai, base_url: "https://api.openai.com/v1"}
  - {name: mine, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}
models:
  - name: m
    versions:
      - {version: 1.0.0, status: production, targets: [{provider: openai, model: gpt-5}, {provider: mine, model: a}, {provider: mine, model: b, name: other}]}
      - {version: 2.0.0, status: development, targets: [{provider: mine, model: a}]}
  - {name: draft, versions: [{version: 0.1.0, status: development, targets: [{provider: mine, model: a}]}]}
prices:
  - {provider: mine, model: a, input: 0.15, cached_input: 0.01, output: 0.6, tiers: [{above: 1000, input: 0.2}], batch: 50}
  - {provider: mine, model: a, from: 2027-01-01, input: 9, output: 9}
`

func pricedFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(file, []byte(pricedCatalog), 0o600))
	return file
}

func TestPriceExplain(t *testing.T) {
	file := pricedFile(t)
	code, out, errs := runLine("price", "explain", "m", "--catalog", file, "--input", "1200", "--cached", "1000", "--output", "77", "--reasoning", "3", "--at", "2026-11-23")
	require.Zero(t, code, errs)
	_, version, date := prices.Source()
	for _, want := range []string{
		"m@1.0.0, target openai: gpt-5 of openai\nprice: the built-in table's openai/gpt-5, of genai-prices " + version + ", " + date + "\n",
		"m@1.0.0, target mine: a of mine\nprice: " + file + ":11\n",
		"  cached input                         1000  × 0.01 USD per million tokens  = 0.00001 USD\n",
		"  in all                                                                    = 0.0000962 USD\n",
		"  without the provider's prompt cache                                       = 0.0002862 USD\n",
		"m@1.0.0, target other: b of mine\nprice: unknown; put it into the catalog's prices",
	} {
		assert.Contains(t, out, want)
	}
	assert.Regexp(t, `\nprices [0-9a-f]{12} at 2026-11-23T00:00:00Z\n$`, out)
	assert.NotContains(t, out, "2.0.0", "which is not in production")
}

func TestPriceExplainAsJSON(t *testing.T) {
	file := pricedFile(t)
	code, out, errs := runLine("price", "explain", "m@2.0.0", "--catalog", file, "--input", "100", "--output", "10", "--at", "2027-01-31T00:00:00Z", "-o", "json")
	require.Zero(t, code, errs)
	var got struct {
		Model, Prices string
		Targets       []struct {
			Version, Target, Provider string
			Source                    map[string]any
			Lines                     []map[string]any
			USD                       json.Number `json:"usd"`
			AtMost                    json.Number `json:"at_most_usd"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got), out)
	require.Len(t, got.Targets, 1)
	target := got.Targets[0]
	assert.Equal(t, map[string]any{"kind": "catalog", "file": file, "line": 12.0, "from": "2027-01-01T00:00:00Z"}, target.Source)
	assert.Equal(t, []map[string]any{
		{"what": "input", "count": 100.0, "price_usd": 9.0, "per": "million tokens", "usd": 0.0009},
		{"what": "output", "count": 10.0, "price_usd": 9.0, "per": "million tokens", "usd": 0.00009},
	}, target.Lines)
	assert.Equal(t, "0.00099", target.USD.String())
	assert.Equal(t, "0.00099", target.AtMost.String())
	assert.Equal(t, "2.0.0", target.Version)

	code, out, _ = runLine("price", "explain", "m", "--catalog", file, "--images", "2", "-o", "json")
	require.Zero(t, code)
	assert.Contains(t, out, `"usd": null`, "nobody says what an image costs")
	assert.Contains(t, out, `"source": null`)

	_, whole, _ := runLine("price", "explain", "m@2.0.0", "--catalog", file, "--input", "100", "--at", "2026-11-23", "-o", "json")
	_, batch, _ := runLine("price", "explain", "m@2.0.0", "--catalog", file, "--input", "100", "--at", "2026-11-23", "-o", "json", "--batch")
	assert.Contains(t, whole, `"usd": 0.000015,`)
	assert.Contains(t, batch, `"usd": 0.0000075,`)
}

// Without a catalog, the built-in table tells.
func TestPriceExplainWithoutACatalog(t *testing.T) {
	for _, model := range []string{"gpt-5", "openai/gpt-5"} {
		code, out, errs := runLine("price", "explain", model, "--input", "1000000", "--output", "100000", "--at", "2026-11-23")
		require.Zero(t, code, errs)
		assert.Contains(t, out, "gpt-5 of openai\nprice: the built-in table's openai/gpt-5, of ")
		assert.Contains(t, out, "= 2.25 USD")
		assert.Contains(t, out, "\nat 2026-11-23T00:00:00Z\n")
		code, out, _ = runLine("price", "explain", model, "--input", "1000000", "-o", "json")
		require.Zero(t, code)
		assert.Contains(t, out, `"usd": 1.25,`)
		assert.NotContains(t, out, `"target"`)
	}
	for _, model := range []string{"nobodys", "mistral/gpt-5", "gpt-5@1.0.0"} {
		code, _, errs := runLine("price", "explain", model, "--input", "1")
		assert.Equal(t, exitFailed, code)
		assert.Contains(t, errs, "the built-in table has no price of "+model)
	}
}

func TestPriceExplainRefuses(t *testing.T) {
	file := pricedFile(t)
	for line, want := range map[string]string{
		"n --input 1":                       "there is no model n in " + file,
		"m@3.0.0 --input 1":                 "there is no version 3.0.0 of m in " + file + ": it has 1.0.0 (production), 2.0.0 (development)",
		"draft --input 1":                   "no version of draft in " + file + " is in production: name one with draft@VERSION: 0.1.0 (development)",
		"m":                                 "there is no usage to explain",
		"m --input=-1":                      "cannot explain a usage of -1: want numbers from 0",
		"m --input 10 --cached 11":          "--cached and --cache-write are 11 of 10 tokens",
		"m --input 10 --cache-write-hour 1": "--cache-write-hour are 1 of 0 tokens",
		"m --output 10 --reasoning 9 --audio-output 2": "--reasoning, --audio-output and --image-output are 11 of 10 tokens",
		"m --seconds=-1":                "cannot explain --seconds -1",
		"m --input 1 --at soon":         "cannot understand --at soon: want a date such as 2027-01-31",
		"m --input 9223372036854775807": "want numbers from 0",
	} {
		code, out, errs := runLine(append([]string{"price", "explain", "--catalog", file}, strings.Fields(line)...)...)
		assert.Equal(t, exitFailed, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
	}
	_, _, errs := runLine("price", "explain", "m", "--input", "1", "--catalog", "nowhere.yaml")
	assert.Contains(t, errs, "cannot read the catalog")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	require.NoError(t, os.WriteFile(bad, []byte("models: 7\n"), 0o600))
	code, _, errs := runLine("price", "explain", "m", "--input", "1", "--catalog", bad)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, bad+":1:")
}

func TestPriceList(t *testing.T) {
	code, out, errs := runLine("price", "list", "--provider", "anthropic", "--model", "SONNET-4-5")
	require.Zero(t, code)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 2, out)
	assert.Equal(t, []string{"LIST", "MODEL", "FROM", "INPUT", "CACHED", "OUTPUT", "MORE"}, strings.Fields(lines[0]))
	assert.Contains(t, lines[1], "cache_write 3.75, cache_write_hour 6, above 200000: input 6, cached_input 0.6")
	assert.Regexp(t, `^1 price of genai-prices \d+\.\d+\.\d+, \d{4}-\d\d-\d\d\n$`, errs)

	code, out, _ = runLine("price", "list", "--model", "whisper-1", "-o", "json")
	require.Zero(t, code)
	var list struct {
		Source map[string]string
		Prices []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(out), &list))
	assert.Equal(t, "genai-prices", list.Source["name"])
	assert.Contains(t, list.Prices, map[string]any{"provider": "openai", "model": "whisper-1", "second_usd": 0.0001})

	code, _, errs = runLine("price", "list", "--provider", "nobody")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, "cannot list prices of nobody: the built-in table has the lists anthropic, ")
}

// What import prints is a section of a catalog, which says the same in both formats.
func TestPriceImport(t *testing.T) {
	for _, row := range []struct {
		args string
		n    int
	}{
		{"litellm.json --provider p --list openai", 5},
		{"litellm.json --format litellm --provider anthropic", 1},
		{"modelsdev.json --format modelsdev --provider p --list anthropic", 2},
		{"genai.json --format genai --provider p --list openai", 8},
		{"litellm.json --provider p --list openai --models whisper-1,tts-1", 2},
	} {
		args := append([]string{"price", "import"}, strings.Fields(row.args)...)
		args[2] = tables + args[2]
		code, asYAML, errs := runLine(args...)
		require.Zero(t, code, errs)
		assert.Contains(t, errs, plural(row.n, "price")+" imported\n")
		code, asJSON, _ := runLine(append(args, "-o", "json")...)
		require.Zero(t, code)

		name := args[len(args)-1]
		if strings.Contains(row.args, "--provider p ") {
			name = "p"
		}
		head := `providers: [{name: ` + name + `, dialect: openai, base_url: "http://127.0.0.1/v1"}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: ` + name + `, model: a}]}]}]
`
		c, err := wire.ParseCatalog("c.yaml", []byte(head+asYAML))
		require.NoError(t, err, asYAML)
		require.Len(t, c.Prices, row.n)
		assert.Equal(t, row.n+1, strings.Count(asYAML, "\n"), "a line each")
		var section struct{ Prices []map[string]any }
		require.NoError(t, json.Unmarshal([]byte(asJSON), &section))
		require.Len(t, section.Prices, row.n)
		assert.Equal(t, name, section.Prices[0]["provider"])
	}
}

func TestPriceImportTellsWhatItLeavesOut(t *testing.T) {
	_, _, errs := runLine("price", "import", tables+"litellm.json", "--provider", "p", "--list", "openai")
	assert.Equal(t, `left out 1024-x-1024/dall-e-2: it has no price
left out gpt-4o-2024-08-06: the table has it twice
left out of 1 model: cache_read_input_token_cost_priority: service tiers have no prices of their own
left out of 1 model: input_cost_per_pixel: no price of a catalog can say it
5 prices imported
`, errs)
}

func TestPriceImportRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"genai.json --provider openai":                                 tables + "genai.json is not what --format litellm stands for: cannot read LiteLLM's prices",
		"litellm.json --provider nobody":                               "there is no price of nobody in " + tables + "litellm.json: name one of its lists with --list: aiml, anthropic, dashscope",
		"litellm.json --provider openai --models gpt-9":                "there is no price of gpt-9 of openai in " + tables + "litellm.json",
		"litellm.json --provider openai --models 1024-x-1024/dall-e-2": "cannot import the price of 1024-x-1024/dall-e-2 from " + tables + "litellm.json: it has no price",
		"nowhere.json --provider openai":                               "cannot read the table: open ",
		"litellm.json --provider @b":                                   `cannot name a provider "@b"`,
	} {
		args := append([]string{"price", "import"}, strings.Fields(line)...)
		args[2] = tables + args[2]
		code, out, errs := runLine(args...)
		assert.Equal(t, exitFailed, code, line)
		assert.Empty(t, out, line)
		assert.Contains(t, errs, want, line)
	}
	code, _, _ := runLine("price", "import", tables+"litellm.json")
	assert.Equal(t, exitUsage, code, "whose prices they are must be said")
}
