package vault

import (
	"crypto/elliptic"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
)

func TestParseKEK(t *testing.T) {
	want := testKEK("x")
	got, err := ParseKEK(" " + hexOf(want) + "\n")
	require.NoError(t, err)
	assert.Equal(t, want, got)
	for _, s := range []string{"", hexOf(want)[1:], hexOf(want) + "00", strings.Repeat("z", 64)} {
		_, err := ParseKEK(s)
		require.Error(t, err)
		if s != "" {
			assert.NotContains(t, err.Error(), s, "what might have been meant as a key is not told")
		}
	}
}

func TestAKEKFileIsMadeOnce(t *testing.T) {
	unsetKEK(t)
	path := filepath.Join(t.TempDir(), "kek")
	keks, errs := make([][32]byte, 8), make([]error, 8)
	var wg sync.WaitGroup
	for i := range keks {
		wg.Go(func() { keks[i], errs[i] = LoadKEK(path) })
	}
	wg.Wait()
	for i := range keks {
		require.NoError(t, errs[i])
		assert.Equal(t, keks[0], keks[i])
	}
	assert.NotZero(t, keks[0])
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	assert.Len(t, files, 1, "nothing else is left")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, hexOf(keks[0])+"\n", string(text))
}

// unsetKEK lets the test see no KEK of the machine's.
func unsetKEK(t *testing.T) {
	t.Setenv(kekVariable, "") // puts it back at the end
	require.NoError(t, os.Unsetenv(kekVariable))
}

func TestTheEnvironmentOverridesTheKEKFile(t *testing.T) {
	path, want := filepath.Join(t.TempDir(), "kek"), testKEK("x")
	t.Setenv(kekVariable, hexOf(want))
	got, err := LoadKEK(path)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.NoFileExists(t, path)
	t.Setenv(kekVariable, "")
	_, err = LoadKEK(path)
	assert.EqualError(t, err, "cannot use WEDGE_KEK: not a key-encryption key: want 64 hexadecimal digits, such as openssl rand -hex 32 prints",
		"an empty one is a mistake, not the wish for a new key")
	assert.NoFileExists(t, path)
}

func TestAKEKFileThatCannotBeUsed(t *testing.T) {
	unsetKEK(t)
	path := filepath.Join(t.TempDir(), "kek")
	require.NoError(t, os.WriteFile(path, []byte("0badc0de"), 0o600))
	_, err := LoadKEK(path)
	assert.EqualError(t, err, "cannot use the file "+path+": not a key-encryption key: want 64 hexadecimal digits, such as openssl rand -hex 32 prints")
	_, err = LoadKEK(filepath.Join(path, "kek"))
	assert.ErrorContains(t, err, "cannot load the key-encryption key: ")
}

func TestRotateKEK(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, now := fresh(t, url)
		other := openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now})
		node := nodeKey(t, elliptic.P256())
		body := put(t, v, "openai", "sk-1")
		require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		want, otherSigns := trustNow(t, v), signerNow(t, other)

		require.NoError(t, v.RotateKEK(t.Context(), testKEK("second")))
		assert.Equal(t, "sk-1", openSealed(t, v, node, "openai", body), "who changed the KEK goes on")
		body2 := put(t, v, "anthropic", "sk-2")

		assert.Equal(t, otherSigns, signerNow(t, other), "other origins go on signing")
		_, err := other.Seal(t.Context(), "openai", &node.PublicKey)
		require.ErrorIs(t, err, ErrKEK)
		err = s.Update(t.Context(), func(tx *store.Tx) error { _, err := other.PutSecret(tx, "x", "y"); return err })
		require.ErrorIs(t, err, ErrKEK, "nothing is encrypted with the old one any more")
		require.ErrorIs(t, other.RotateKEK(t.Context(), testKEK("third")), ErrKEK)

		_, err = Open(t.Context(), s, Options{KEK: testKEK("first")})
		require.ErrorIs(t, err, ErrKEK)
		next := openVault(t, s, Options{KEK: testKEK("second"), Now: now.Now})
		assert.Equal(t, "sk-1", openSealed(t, next, node, "openai", body))
		assert.Equal(t, "sk-2", openSealed(t, next, node, "anthropic", body2))
		assert.Equal(t, want, trustNow(t, next))
		assert.Equal(t, signerNow(t, v), signerNow(t, next))
		assert.Equal(t, v.ca.fingerprint, next.ca.fingerprint)
	})
}

func TestAKEKThatCannotBeChangedStays(t *testing.T) {
	v, s, _ := fresh(t, sqlite(t))
	node := nodeKey(t, elliptic.P256())
	body := put(t, v, "a", "sk-a")
	put(t, v, "b", "sk-b")
	exec(t, s, "update vault_secrets set body = ? where name = 'b'", []byte("damaged"))
	err := v.RotateKEK(t.Context(), testKEK("second"))
	require.ErrorIs(t, err, store.ErrCorrupt)
	assert.Equal(t, "sk-a", openSealed(t, v, node, "a", body))
	openVault(t, s, Options{KEK: testKEK("first")})
}

func TestSecretsArePutWhileTheKEKChanges(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, now := fresh(t, url)
		node := nodeKey(t, elliptic.P256())
		names := []string{"a", "b", "c", "d"}
		bodies, errs := make([][]byte, len(names)), make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() {
				errs[i] = s.Update(t.Context(), func(tx *store.Tx) (err error) {
					bodies[i], err = v.PutSecret(tx, name, "value of "+name)
					return err
				})
			})
		}
		require.NoError(t, v.RotateKEK(t.Context(), testKEK("second")))
		wg.Wait()
		next := openVault(t, s, Options{KEK: testKEK("second"), Now: now.Now})
		for i, name := range names {
			require.NoError(t, errs[i])
			assert.Equal(t, "value of "+name, openSealed(t, next, node, name, bodies[i]))
		}
	})
}
