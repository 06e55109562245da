package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/wire"
)

const goodCatalog = `providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1:9090/v1"}]
models:
  - name: m
    versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: a}]}]
`

func check(t *testing.T, catalog, format string) (stdout, file string, err error) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "catalog.yaml")
	require.NoError(t, os.WriteFile(file, []byte(catalog), 0o600))
	var out strings.Builder
	err = (&checkCmd{File: file, Output: format}).Run(&out)
	return out.String(), file, err
}

func TestCheckOfAGoodCatalog(t *testing.T) {
	stdout, file, err := check(t, goodCatalog, "text")
	require.NoError(t, err)
	assert.Regexp(t, `^\S+: ok: 1 provider, 1 model, 1 version, 0 experiments, 0 keys, 0 budgets, digest sha256:[0-9a-f]{64}\n$`, stdout)
	assert.True(t, strings.HasPrefix(stdout, file))

	stdout, _, err = check(t, goodCatalog, "json")
	require.NoError(t, err)
	assert.Regexp(t, `^\{\n  "ok": true,\n  "digest": "sha256:[0-9a-f]{64}",\n  "problems": \[\],\n  "warnings": \[\]\n\}\n$`, stdout)
}

func TestCheckOfABadCatalog(t *testing.T) {
	bad := strings.Replace(goodCatalog, "provider: p", "provider: q, weight: -1", 1)
	const first = `4:74: models[0].versions[0].targets[0].provider: there is no provider "q"`
	const second = `4:85: models[0].versions[0].targets[0].weight: -1 is negative; want 0 to 1000000000`

	stdout, file, err := check(t, bad, "text")
	assert.EqualError(t, err, file+" is not a valid catalog: correct its 2 problems")
	assert.Equal(t, file+":"+first+"\n"+file+":"+second+"\n", stdout)

	for format, decode := range map[string]func([]byte, any) error{"json": json.Unmarshal, "yaml": yaml.Unmarshal} {
		stdout, _, err = check(t, bad, format)
		assert.Error(t, err, "problems are an error in every format")
		var v verdict
		require.NoError(t, decode([]byte(stdout), &v), stdout)
		assert.False(t, v.OK)
		assert.Empty(t, v.Digest)
		require.Len(t, v.Problems, 2, format)
		assert.Equal(t, first, v.Problems[0].String())
		assert.Equal(t, second, v.Problems[1].String())
	}
}

func TestCheckOfAListOfPricesThatIsNone(t *testing.T) {
	for list, ok := range map[string]bool{"openai": true, "none": true, "opanai": false} {
		stdout, _, err := check(t, strings.Replace(goodCatalog, "}]", ", prices: "+list+"}]", 1), "text")
		if ok {
			assert.NoError(t, err)
			continue
		}
		assert.Error(t, err)
		assert.Contains(t, stdout, `providers[0].prices: the built-in table of prices has no list "opanai"; wedge price list shows what it has`)
	}
}

// withoutBudgets is a build that serves plain catalogs.
var withoutBudgets = wire.Support{
	Dialects: map[string]bool{"openai": true}, Strategies: map[string]bool{"weighted": true}, Balances: map[string]bool{"weighted": true},
}

func TestCheckWarnsOfWhatTheBuildDoesNot(t *testing.T) {
	v := judge("c.yaml", []byte(goodCatalog+"budgets: [{name: b, limit_usd: 1, period: daily}]\n"), withoutBudgets)
	assert.True(t, v.OK)
	text := v.text()
	assert.Contains(t, text, "c.yaml:5:1: warning: budgets: this build of wedge does not enforce budgets yet; remove the section\n")
	assert.Contains(t, text, "c.yaml: ok, but a node of this build refuses it because of the 1 warning: ")
}

func TestReadInput(t *testing.T) {
	data, err := readInput("-", strings.NewReader(goodCatalog))
	require.NoError(t, err)
	assert.Equal(t, goodCatalog, string(data))
	_, err = readInput("/does/not/exist", nil)
	assert.ErrorContains(t, err, "cannot read the catalog: open /does/not/exist")
}

func TestCheckLoadsModules(t *testing.T) {
	dir := t.TempDir()
	good, err := os.ReadFile("../../wasm/examples/route-by-language/c/policy.wasm")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "good.wasm"), good, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.wasm"), []byte("\x00asm\x0d\x00\x01\x00"), 0o600))
	text := goodCatalog + "policies:\n  - {name: good, module: \"file:good.wasm\", hooks: [route], config: {fr: eu}}\n"
	file := filepath.Join(dir, "c.yaml")

	v := judge(file, []byte(text), proxy.Support)
	assert.True(t, v.OK, v.Problems)
	assert.Empty(t, v.Warnings)

	v = judge(file, []byte(text+"  - {name: gone, module: \"file:gone.wasm\", hooks: [route]}\n"), proxy.Support)
	assert.True(t, v.OK)
	require.Len(t, v.Warnings, 1)
	assert.Equal(t, "policies[1].module", v.Warnings[0].Path)

	v = judge(file, []byte(text+"  - {name: bad, module: \"file:bad.wasm\", hooks: [route]}\n"), proxy.Support)
	assert.False(t, v.OK)
	require.NotEmpty(t, v.Problems)
	assert.Contains(t, v.Problems[0].Message, "component")
}
