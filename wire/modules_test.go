package wire

import (
	"os"
	"path/filepath"
	"strings"
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

func TestLoadBlobs(t *testing.T) {
	c, err := ParseCatalog("c", []byte(`policies:
  - {name: one, hooks: [route], module: "sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}
  - {name: two, hooks: [route], module: "sha256:d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}`))
	require.NoError(t, err)
	blobs := map[string]string{c.Policies[0].Module: "1", c.Policies[1].Module: "2"}
	read := func(digest string) ([]byte, error) {
		if s, ok := blobs[digest]; ok {
			return []byte(s), nil
		}
		return nil, os.ErrNotExist
	}
	bare := c.Digest()
	require.NoError(t, c.LoadBlobs(read))
	assert.Equal(t, "2", string(c.Policies[1].Code()))
	assert.Equal(t, c.Policies[1].Module, c.Policies[1].Digest)
	assert.NotEqual(t, bare, c.Digest())

	blobs[c.Policies[0].Module] = "x"
	delete(blobs, c.Policies[1].Module)
	c = parse(t, catalogWithPolicies+`  - {name: three, hooks: [route], module: "`+c.Policies[0].Module+`"}
  - {name: four, hooks: [route], module: "`+c.Policies[1].Module+`"}`)
	err = c.LoadBlobs(read)
	assert.ErrorContains(t, err, "test:3:17: policies[0].module: cannot read the module: a catalog from an origin names modules by their digests")
	assert.ErrorContains(t, err, "policies[2].module: cannot read the module: what is there is sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881")
	assert.ErrorContains(t, err, "policies[3].module: cannot read the module: file does not exist")
	assert.Nil(t, c.Policies[2].Code(), "what is not what it should be is not kept")
}

func TestPoliciesNameTheirCases(t *testing.T) {
	bare := parse(t, catalogWithPolicies)
	assert.Equal(t, "sha256:b0f6fa0b614b6cb94824de8c1dc1ca2c60da202010c9be9d506af276bcf73373", bare.Digest(), "as before there were cases")
	_, ok := bare.Policies[0].CasesFile("/conf")
	assert.False(t, ok)

	c := parse(t, strings.Replace(catalogWithPolicies, "hooks: [route]", "hooks: [route], cases: file:cases", 1))
	assert.NotEqual(t, bare.Digest(), c.Digest())
	path, ok := c.Policies[0].CasesFile("/conf")
	assert.True(t, ok)
	assert.Equal(t, filepath.Join("/conf", "cases"), path)

	list := problems(t, strings.Replace(catalogWithPolicies, "hooks: [route]", "hooks: [route], cases: cases", 1))
	assert.Equal(t, `3:65: policies[0].cases: "cases" does not name a policy's cases; want file:PATH or sha256: and 64 hexadecimal digits`, list[0].String())
}

func TestBlobsOf(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	for body, want := range map[string][]string{
		`{"module":"` + one + `","cases":"` + two + `"}`: {one, two},
		`{"module":"` + one + `","cases":"` + one + `"}`: {one},
		`{"cases":"` + two + `","module":"file:x"}`:      {two},
		`{"Module":"` + one + `"}`:                       nil,
		`{"module":"sha256:x","cases":7}`:                nil,
	} {
		got, err := BlobsOf(KindPolicy, []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, got, body)
		got, err = BlobsOf(KindKey, []byte(body))
		require.NoError(t, err)
		assert.Empty(t, got)
	}
	_, err := BlobsOf(KindPolicy, []byte(`[]`))
	assert.ErrorContains(t, err, "cannot tell the blobs")
}

func TestCasesInABlob(t *testing.T) {
	blob, err := PackCases(map[string][]byte{"b.json": []byte(` {"z": 1.50, "a": []} `), "a.json": []byte("[]")})
	require.NoError(t, err)
	assert.Equal(t, `{"a.json":[],"b.json":{"a":[],"z":1.50}}`, string(blob))
	files, err := UnpackCases(blob)
	require.NoError(t, err)
	assert.Equal(t, map[string][]byte{"a.json": []byte("[]"), "b.json": []byte(`{"a":[],"z":1.50}`)}, files)

	_, err = PackCases(map[string][]byte{"a.json": []byte("{")})
	assert.EqualError(t, err, "cannot pack the case a.json: it is not JSON")
	_, err = UnpackCases([]byte(`[]`))
	assert.ErrorContains(t, err, "cannot unpack the cases")
}
