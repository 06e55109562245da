package proxy

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

// secretCatalog is a catalog whose provider p has a secret.
func secretCatalog(t *testing.T) *wire.Catalog {
	t.Helper()
	c, err := wire.ParseCatalog("test", []byte(`
providers: [{name: p, dialect: openai, base_url: "http://127.0.0.1:1/v1", api_key: "file:secret"}]
models: [{name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: x}]}]}]
`))
	require.NoError(t, err)
	return c
}

// An equal catalog is compiled again when asked for, with the secrets of the moment; a refusal keeps the last good ones.
func TestRepublish(t *testing.T) {
	s := newTestServer(t, testCatalog("127.0.0.1:1"))
	c := secretCatalog(t)
	secret, fault := "first", error(nil)
	s.o.Secret = func(string) (string, error) { return secret, fault }
	auth := func() string { return string(s.snap.Load().providers["p"].head) }

	require.NoError(t, s.Publish(c, "test"))
	secret = "second"
	require.NoError(t, s.Publish(c, "test"))
	assert.Contains(t, auth(), "first", "Publish leaves an equal catalog alone")
	require.NoError(t, s.Republish(c, "test"))
	assert.Contains(t, auth(), "second")

	fault = errors.New("the file is gone")
	require.ErrorIs(t, s.Republish(c, "test"), fault)
	assert.Contains(t, auth(), "second")
	assert.Contains(t, s.refusal.Load().Reason, "the file is gone")
	fault = nil
	require.NoError(t, s.Republish(c, "test"))
	assert.Nil(t, s.refusal.Load())
}

// Before the first catalog there is nothing to stay in use, and the caller has the reason.
func TestRepublishFirst(t *testing.T) {
	s := newTestServer(t, testCatalog("127.0.0.1:1"))
	empty := new(Snapshot)
	s.snap.Store(empty)
	require.ErrorContains(t, s.Republish(secretCatalog(t), "test"), "provider p: ")
	assert.Nil(t, s.refusal.Load())
	assert.Same(t, empty, s.snap.Load())
}
