package wire

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const catalogWithPolicies = `
policies:
  - {name: one, module: "file:one.wasm", hooks: [route]}
  - name: two
    module: file:/elsewhere/two.wasm
    hooks: [chunk]
`

func TestLoadModules(t *testing.T) {
	c, err := ParseCatalog("c.yaml", []byte(catalogWithPolicies))
	require.NoError(t, err)
	bare := c.Digest()
	files := map[string]string{filepath.Join("/conf", "one.wasm"): "1", "/elsewhere/two.wasm": "2"}
	read := func(path string) ([]byte, error) {
		if s, ok := files[path]; ok {
			return []byte(s), nil
		}
		return nil, os.ErrNotExist
	}
	require.NoError(t, c.LoadModules("/conf", read))
	assert.Equal(t, "1", string(c.Policies[0].Code()))
	assert.Equal(t, "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b", c.Policies[0].Digest)
	first := c.Digest()
	assert.NotEqual(t, bare, first)

	files["/elsewhere/two.wasm"] = "another"
	require.NoError(t, c.LoadModules("/conf", read))
	assert.NotEqual(t, first, c.Digest(), "another module is another catalog")

	clear(files)
	err = c.LoadModules("/conf", read)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "c.yaml:3:17: policies[0].module: cannot read the module")
	assert.Contains(t, err.Error(), "c.yaml:5:5: policies[1].module: cannot read the module")
}

func TestLoadModulesByDigest(t *testing.T) {
	c, err := ParseCatalog("c", []byte(`policies: [{name: p, hooks: [route], module: "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}]`))
	require.NoError(t, err)
	assert.ErrorContains(t, c.LoadModules(".", os.ReadFile), "name a file")
}
