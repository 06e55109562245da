package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func TestPolicyTrial(t *testing.T) {
	const folder = "../../wasm/examples/route-by-language"
	bench, err := newWorkbench() // modules are compiled here, not in a child: a test binary has no such command
	require.NoError(t, err)
	trial := &policyTrial{bench}
	defer trial.close()
	module, err := os.ReadFile(filepath.Join(folder, "c", "policy.wasm"))
	require.NoError(t, err)
	files := map[string][]byte{}
	for _, file := range must(filepath.Glob(filepath.Join(folder, "cases", "*.json")))(t) {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		files[filepath.Base(file)] = text
	}
	require.NotEmpty(t, files)
	p := &wire.Policy{Name: "by-language", Hooks: []string{"route"}, Isolation: "shared", Memory: 16 << 20, Time: time.Second}
	packed, err := wire.PackCases(files)
	require.NoError(t, err)
	require.NoError(t, trial.check(t.Context(), p, module, nil))
	require.NoError(t, trial.check(t.Context(), p, module, packed))

	for name, text := range files {
		if wrong := bytes.Replace(text, []byte(`"expect": {}`), []byte(`"expect": {"deny": {"status": 403}}`), 1); !bytes.Equal(wrong, text) {
			files[name] = wrong
		}
	}
	broken, err := wire.PackCases(files)
	require.NoError(t, err)
	require.NotEqual(t, packed, broken, "a case was changed")
	assert.ErrorContains(t, trial.check(t.Context(), p, module, broken), "fails:")
	assert.ErrorContains(t, trial.check(t.Context(), p, module[:100], nil), `cannot load policy "by-language"`)
}

// must is what a call returned, unless it failed.
func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		require.NoError(t, err)
		return v
	}
}
