package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
	"github.com/wedge-proxy/wedge/wire"
)

// written is a catalog as a node gets it, with its modules.
func written(t *testing.T, from source) *wire.Catalog {
	t.Helper()
	t.Chdir("../..")
	dir := t.TempDir()
	path, err := (&lab{provider: "127.0.0.1:7"}).catalog(from, dir)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), "127.0.0.1:9090")
	c, err := wire.ParseCatalog(path, text)
	require.NoError(t, err)
	require.NoError(t, c.LoadModules(dir, os.ReadFile))
	return c
}

func TestModelsOfPoliciesDifferInNothingElse(t *testing.T) {
	c := written(t, file("policies.yaml"))
	plain := func(name string) (m wire.Model, policies int) {
		i := slices.IndexFunc(c.Models, func(m wire.Model) bool { return m.Name == name })
		require.GreaterOrEqual(t, i, 0, name)
		m = c.Models[i]
		policies, m.Name, m.Policies = len(m.Policies), "", nil
		return m, policies
	}
	for _, s := range loads {
		if !strings.HasPrefix(s.name, "policy-") {
			continue
		}
		base, none := plain(s.model)
		assert.Zero(t, none)
		for _, v := range s.variants {
			m, policies := plain(v.model)
			assert.Equal(t, base, m, v.model)
			assert.EqualValues(t, v.policies, policies, v.model)
		}
	}
	seeds := map[string]bool{}
	for _, e := range c.Experiments {
		seeds[e.Seed] = true
	}
	assert.Len(t, seeds, 1, "every model splits its users alike")
}

func TestGrownCatalogsHaveOneKeyForEachModel(t *testing.T) {
	c := written(t, grown(300))
	require.Len(t, c.Models, 300)
	require.Len(t, c.Keys, 300)
	assert.Len(t, c.Experiments, 300)
	last := c.Keys[299]
	assert.Equal(t, []string{"bench-000000000000012b"}, last.Models)
	assert.Equal(t, "bench-000000000000012b", c.Models[299].Name)
	assert.Equal(t, "wk_00000000012b", last.ID)
	assert.Equal(t, wire.HashKey([]byte(grownKey("00000000012b"))), last.Hash)
	assert.Len(t, grownKey(drive.ShortSlot), len(grownKey("00000000012b")))
}

func TestCatalogsAreReadFromTheRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := (&lab{}).catalog(file("catalog.yaml"), ".")
	assert.ErrorContains(t, err, "run this from the repository's root")
	assert.NoFileExists(t, filepath.Join(".", "catalog.yaml"))
}
