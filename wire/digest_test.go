package wire

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDigestIsOfTheMeaning(t *testing.T) {
	text := string(readFile(t, "testdata/full.yaml"))
	want := parse(t, text).Digest()
	assert.Regexp(t, regexp.MustCompile(`^sha256:[0-9a-f]{64}$`), want)
	same := func(old, new string) {
		t.Helper()
		require.Contains(t, text, old)
		assert.Equal(t, want, parse(t, strings.Replace(text, old, new, 1)).Digest(), new)
	}
	other := func(old, new string) {
		t.Helper()
		require.Contains(t, text, old)
		assert.NotEqual(t, want, parse(t, strings.Replace(text, old, new, 1)).Digest(), new)
	}
	same("# Every field", "# every field")
	same("resume: 0s", `resume: "0h"`)
	same("ttl: 1h", "ttl: 60m")
	same("region: us-east", "'region': us-east")
	same("may: [], passthrough: []", "passthrough: []")
	same("    unit: user\n", "")
	same("v1/", "v1")
	same("{fr: eu, deep: {b: 1, a: [1.50, null, \"x\"]}}", "{deep: {a: [1.50, ~, x], b: 1}, fr: eu}")
	same("input: 0.25", "input: 2.5e-1")
	same("worse_than: -2%", "worse_than: -2.0%")
	same("{name: support-system, version: 2.1.0", "{version: 2.1.0, name: support-system")

	other("weight: 90", "weight: 91")
	other("hooks: [prompt, chunk]", "hooks: [chunk, prompt]")
	other("temperature: 0.20", "temperature: 0.2")
	other("vision: false", "vision: true")
	other("{vision: false}", "{}")
	other("input: 0.02}", "input: 0.02, output: 0}")
	other("strict: false", "strict: true")
	other("e3b0c442", "e3b0c443")
}

func TestDigestTellsFieldsApart(t *testing.T) {
	a := Catalog{Keys: []Key{{Team: "x"}}}
	b := Catalog{Keys: []Key{{Tenant: "x"}}}
	c := Catalog{Keys: []Key{{Name: "x"}, {}}}
	assert.NotEqual(t, a.Digest(), b.Digest())
	assert.NotEqual(t, a.Digest(), c.Digest())
}

func TestVersionHashIsOfTheAnswer(t *testing.T) {
	text := string(readFile(t, "testdata/full.yaml"))
	hash := func(text string) [32]byte {
		c := parse(t, text)
		return c.Models[0].VersionHash(&c.Models[0].Versions[0])
	}
	want := hash(text)
	for old, new := range map[string]string{
		"weight: 90":               "weight: 1",
		"timeout: 20s":             "timeout: 1s",
		"attempts: 3":              "attempts: 1",
		"name: europe":             "name: paris",
		"status: production":       "status: deprecated",
		"balance: weighted":        "balance: round_robin",
		"[support-bot@0.9.0]":      "[]",
		"mode: exact":              "mode: off",
		"{type: json_schema, json": "{type: json_schema,  json",
	} {
		require.Contains(t, text, old)
		assert.Equal(t, want, hash(strings.Replace(text, old, new, 1)), new)
	}
	for old, new := range map[string]string{
		"{provider: openai, model: gpt-5-mini, weight: 90": "{provider: openai, model: gpt-5, weight: 90",
		"{provider: eu, model":                             "{provider: openai, model",
		"temperature: 0.20":                                "temperature: 0.3",
		"max_tokens: 1024":                                 "max_tokens: 1025",
		"        prompt: support-system@2.1.0":             "",
		"strategy: weighted":                               "strategy: cost",
		"strict: false":                                    "strict: true",
	} {
		require.Contains(t, text, old)
		assert.NotEqual(t, want, hash(strings.Replace(text, old, new, 1)), new)
	}
	c := parse(t, minimal)
	renamed := c.Models[0]
	renamed.Name = "n"
	assert.NotEqual(t, c.Models[0].VersionHash(&c.Models[0].Versions[0]), renamed.VersionHash(&c.Models[0].Versions[0]))
}
