package wire

import (
	"crypto/sha256"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewKey(t *testing.T) {
	form := regexp.MustCompile(`^wk_[0-9a-z]{12}_[0-9A-Za-z]{40}$`)
	seen := map[string]bool{}
	used := map[byte]bool{}
	for range 200 {
		key, id, hash, err := NewKey()
		require.NoError(t, err)
		require.Regexp(t, form, key)
		require.Equal(t, sha256.Sum256([]byte(key)), hash)
		found, ok := KeyID([]byte(key))
		require.True(t, ok)
		require.Equal(t, id, string(found))
		require.False(t, seen[id])
		seen[id] = true
		for _, c := range []byte(key[16:]) {
			used[c] = true
		}
	}
	assert.Len(t, used, 62, "every character of the alphabet is drawn")
}

func TestKeyID(t *testing.T) {
	for _, bad := range []string{
		"", "wk_", "wk_abc123def456", "wk_abc123def456_", "wk_abc123def45_secret", "wk_abc123def4567_secret",
		"wk_ABC123def456_secret", "sk_abc123def456_secret", "wk_abc123def45-_secret", "wk_abc123def456-secret",
	} {
		_, ok := KeyID([]byte(bad))
		assert.False(t, ok, bad)
	}
	key := []byte("wk_abc123def456_s_e")
	id, ok := KeyID(key)
	require.True(t, ok)
	assert.Equal(t, "wk_abc123def456", string(id))
	assert.Same(t, &key[0], &id[0], "the id is borrowed")
	assert.Equal(t, len(id), cap(id))
}
