package examples

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
	"github.com/wedge-proxy/wedge/wasm/internal/guests"
	"github.com/wedge-proxy/wedge/wasm/sdk"
)

// example is a policy that folders of the same name hold in several languages.
type example struct {
	name   string
	hooks  policy.Hook
	langs  []string
	native func(config []byte) (*native, error) // the same policy in Go, without WebAssembly
}

var examples = []example{
	{"route-by-language", policy.Route, []string{"c", "wat", "rust", "go", "assemblyscript", "zig"}, nativeLanguage},
	{"tenant-tiers", policy.Route | policy.Done, []string{"c", "rust"}, nativeTiers},
	{"redact", policy.Prompt | policy.Response | policy.Chunk, []string{"c", "rust"}, nativeRedact},
	{"prompt-guard", policy.Prompt, []string{"cpp", "rust"}, nativeGuard},
	{"sticky-canary", policy.Route, []string{"c", "assemblyscript"}, nativeCanary},
	{"cost-cutter", policy.Route, []string{"d", "go"}, nativeCutter},
	{"js-rules", policy.Route | policy.Prompt, []string{"js", "go"}, nativeRules},
}

const (
	callTime = time.Second // machines that run the tests are slow and busy: the limits are not what is tested
	memory   = 32 << 20
)

// load loads a module into a host of its own, so that no key-values are shared. What is compiled is kept in the folder
// cache, if there is one.
func load(t testing.TB, e *example, module, config []byte, cache string) (*wasmhost.Program, error) {
	t.Helper()
	host, err := wasmhost.New(wasmhost.Options{CacheDir: cache})
	require.NoError(t, err)
	t.Cleanup(host.Close)
	p, err := host.Load(t.Context(), wasmhost.Spec{Name: e.name, Module: module, Config: config, Hooks: e.hooks,
		Memory: memory, Time: callTime, ChunkTime: callTime})
	if err == nil {
		t.Cleanup(p.Release)
	}
	return p, err
}

func readCases(t testing.TB, e *example) []*cases.Case {
	t.Helper()
	all, err := cases.ReadDir(filepath.Join(e.name, "cases"))
	require.NoError(t, err)
	return all
}

// TestCases runs every case through the policy as it is built here, as it is committed, and as it is in Go.
func TestCases(t *testing.T) {
	for i := range examples {
		e := &examples[i]
		for _, c := range readCases(t, e) {
			t.Run(e.name+"/native/"+c.Name, func(t *testing.T) { checkNative(t, e, c) })
		}
		for _, lang := range e.langs {
			dir := filepath.Join(e.name, lang)
			t.Run(dir, func(t *testing.T) {
				module := guests.Build(t, lang, dir)
				keep(t, dir, module)
				checkModule(t, e, module)
			})
			if module, err := os.ReadFile(filepath.Join(dir, sdk.Output)); err == nil {
				t.Run(dir+"/committed", func(t *testing.T) { checkModule(t, e, module) })
			}
		}
	}
}

// keep puts a small module beside its source with -rewrite, for those who want to try it without a toolchain.
func keep(t *testing.T, dir string, module []byte) {
	const small = 64 << 10
	if flag.Lookup("rewrite").Value.String() == "true" && len(module) < small {
		require.NoError(t, os.WriteFile(filepath.Join(dir, sdk.Output), module, 0o644))
	}
}

func checkNative(t *testing.T, e *example, c *cases.Case) {
	p, err := e.native(c.Config)
	if c.Refused {
		require.Error(t, err)
		return
	}
	require.NoError(t, err)
	require.NoError(t, c.Check(cases.Run(p, c)))
}

func checkModule(t *testing.T, e *example, module []byte) {
	cache := filepath.Join(t.TempDir(), "cache")
	for _, c := range readCases(t, e) {
		t.Run(c.Name, func(t *testing.T) {
			p, err := load(t, e, module, c.Config, cache)
			if c.Refused {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.NoError(t, c.Check(cases.Run(p, c)))
		})
	}
}

// TestLanguages holds the table against the folders: no example lies there untested.
func TestLanguages(t *testing.T) {
	for i := range examples {
		e := &examples[i]
		entries, err := os.ReadDir(e.name)
		require.NoError(t, err)
		var langs []string
		for _, entry := range entries {
			if entry.IsDir() && entry.Name() != "cases" {
				langs = append(langs, entry.Name())
			}
		}
		assert.ElementsMatch(t, slices.Clone(e.langs), langs, e.name)
		assert.FileExists(t, filepath.Join(e.name, "README.md"))
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	folders := 0
	for _, entry := range entries {
		if entry.IsDir() && entry.Name() != "testdata" { // rapid's, after a failure
			folders++
		}
	}
	assert.Len(t, examples, folders, "every folder is an example in the table")
}
