package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// The line that wedge key new prints is a catalog entry of the key that it prints.
func TestKeyNew(t *testing.T) {
	var out, errs bytes.Buffer
	require.Zero(t, run([]string{"key", "new", "team-a", "--models", "m,n"}, &out, &errs), errs.String())
	entry, key, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	c, err := wire.ParseCatalog("test", []byte(`
providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1/v1"}]
models:
  - {name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: x}]}]}
  - {name: n, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: x}]}]}
keys:
  `+entry+"\n"))
	require.NoError(t, err)
	assert.Equal(t, wire.HashKey([]byte(key)), c.Keys[0].Hash)
	assert.Equal(t, "team-a", c.Keys[0].Name)
	assert.Equal(t, []string{"m", "n"}, c.Keys[0].Models)
}

func TestKeyNewRefuses(t *testing.T) {
	for name, args := range map[string][]string{
		"no name":         {""},
		"a space":         {"team a"},
		"a quote":         {`team"a`},
		"two lines":       {"team\na"},
		"no model":        {"team-a", "--models", ""},
		"an odd model":    {"team-a", "--models", "a model"},
		"one model twice": {"team-a", "--models", "m,n,m"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runLine(append([]string{"key", "new"}, args...)...)
			assert.Equal(t, exitFailed, code)
			assert.Empty(t, stdout)
			assert.True(t, strings.HasPrefix(stderr, "wedge: cannot make a key"), stderr)
		})
	}
}
