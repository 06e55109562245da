package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func nodeKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	require.NoError(t, err)
	return key
}

func put(t testing.TB, v *Vault, name, value string) (body []byte) {
	t.Helper()
	update(t, v.store, func(tx *store.Tx) (err error) { body, err = v.PutSecret(tx, name, value); return err })
	return body
}

func commitOf(t testing.TB, body []byte) string {
	t.Helper()
	require.NoError(t, wire.CheckState([]wire.Resource{{Kind: wire.KindSecret, Name: "s", Body: body}}), "nodes can use it")
	var record wire.SecretRecord
	require.NoError(t, json.Unmarshal(body, &record))
	return record.Commit
}

// openSealed has a secret sealed to a node, and opens it there.
func openSealed(t testing.TB, v *Vault, node *ecdsa.PrivateKey, name string, body []byte) string {
	t.Helper()
	sealed, err := v.Seal(t.Context(), name, &node.PublicKey)
	require.NoError(t, err)
	value, err := wire.OpenSecret(node, name, commitOf(t, body), sealed)
	require.NoError(t, err)
	return value
}

func TestASecretReachesTheNodeThatItIsSealedTo(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, _ := fresh(t, url)
		node, other := nodeKey(t, elliptic.P256()), nodeKey(t, elliptic.P256())
		body := put(t, v, "team/openai", "sk-1")
		assert.Equal(t, "sk-1", openSealed(t, v, node, "team/openai", body))
		assert.Equal(t, body, put(t, v, "team/openai", "sk-1"), "to say the same again changes nothing")

		sealed, err := v.Seal(t.Context(), "team/openai", &node.PublicKey)
		require.NoError(t, err)
		_, err = wire.OpenSecret(other, "team/openai", commitOf(t, body), sealed)
		assert.Error(t, err)

		changed := put(t, v, "team/openai", "sk-2")
		assert.NotEqual(t, body, changed)
		assert.Equal(t, "sk-2", openSealed(t, v, node, "team/openai", changed))
		assert.NotEqual(t, changed, put(t, v, "team/anthropic", "sk-2"), "equal secrets do not look equal")

		update(t, v.store, func(tx *store.Tx) error { return v.DeleteSecret(tx, "team/openai") })
		_, err = v.Seal(t.Context(), "team/openai", &node.PublicKey)
		assert.ErrorIs(t, err, store.ErrNotFound)
		err = v.store.Update(t.Context(), func(tx *store.Tx) error { return v.DeleteSecret(tx, "team/openai") })
		assert.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestASecretGoesWithItsTransaction(t *testing.T) {
	v, s, _ := fresh(t, sqlite(t))
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		_, err := v.PutSecret(tx, "openai", "sk-1")
		require.NoError(t, err)
		return assert.AnError
	})
	require.ErrorIs(t, err, assert.AnError)
	_, err = v.Seal(t.Context(), "openai", &nodeKey(t, elliptic.P256()).PublicKey)
	assert.ErrorIs(t, err, store.ErrNotFound)
}

func TestWhatIsNoSecret(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, _ := fresh(t, url)
		node := nodeKey(t, elliptic.P256())
		const value = "sk-never-say-this"
		for what, c := range map[string]struct{ name, value string }{
			"no name":  {"", value},
			"no text":  {"\xff\x00", value},
			"spaces":   {"a b", value},
			"no value": {"a", ""},
			"too long": {"a", strings.Repeat(value, MaxSecret/len(value)+1)},
		} {
			err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := v.PutSecret(tx, c.name, c.value); return err })
			require.ErrorIs(t, err, store.ErrInvalid, what)
			assert.NotContains(t, err.Error(), value, what)
		}
		longest := strings.Repeat("x", MaxSecret)
		assert.Equal(t, longest, openSealed(t, v, node, "longest", put(t, v, "longest", longest)))

		_, err := v.Seal(t.Context(), "\xff\x00", &node.PublicKey)
		assert.ErrorIs(t, err, store.ErrNotFound)
		put(t, v, "a", value)
		for _, key := range []*ecdsa.PublicKey{nil, &nodeKey(t, elliptic.P384()).PublicKey, {}} {
			_, err := v.Seal(t.Context(), "a", key)
			assert.ErrorIs(t, err, store.ErrInvalid)
		}
	})
}
