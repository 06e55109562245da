package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestJoinTokensAreOneWord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := JoinToken{ID: rapid.StringN(1, -1, 40).Draw(t, "id"), Secret: rapid.StringN(1, -1, 40).Draw(t, "secret"),
			Expires: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "expires"), 0).UTC()}
		if rapid.Bool().Draw(t, "tls") {
			want.CA = rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "ca")
		}
		word := want.String()
		require.Regexp(t, `^wj_[A-Za-z0-9_-]+$`, word)
		got, err := ParseJoinToken(" " + word + "\n")
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	word := func(json string) string { return joinPrefix + base64.RawURLEncoding.EncodeToString([]byte(json)) }
	good := JoinToken{ID: "i", Secret: "s"}.String()
	for _, bad := range []string{"", "wj_", good[3:], "wo" + good, good + "=", word(`{}`), word(`{"i":"a"}`), word(`{"s":"a"}`),
		word(`{"i":"a","s":"b","x":1}`), word(`{"i":"a","s":"b"}x`), word(`[]`)} {
		_, err := ParseJoinToken(bad)
		assert.ErrorContains(t, err, "this is not a join token", bad)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func TestSealedSecrets(t *testing.T) {
	key, salt := newKey(t), NewSalt()
	commit := CommitSecret(salt, "hush")
	sealed, err := SealSecret(&key.PublicKey, "openai", salt, "hush")
	require.NoError(t, err)
	assert.NotContains(t, string(sealed), "hush")
	got, err := OpenSecret(key, "openai", commit, sealed)
	require.NoError(t, err)
	assert.Equal(t, "hush", got)

	again, err := SealSecret(&key.PublicKey, "openai", salt, "hush")
	require.NoError(t, err)
	assert.NotEqual(t, sealed, again, "nobody sees that it is the same secret")
	empty, err := SealSecret(&key.PublicKey, "openai", salt, "")
	require.NoError(t, err)
	got, err = OpenSecret(key, "openai", CommitSecret(salt, ""), empty)
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestSecretsThatCannotBeOpened(t *testing.T) {
	key, salt := newKey(t), NewSalt()
	commit := CommitSecret(salt, "hush")
	sealed, err := SealSecret(&key.PublicKey, "openai", salt, "hush")
	require.NoError(t, err)
	const notSealed, notCommitted = "cannot open the secret openai: it is not sealed to this node", "cannot use the secret openai: it is not the one that the bundle names"
	refused := func(key *ecdsa.PrivateKey, commit string, sealed []byte, want string) {
		t.Helper()
		got, err := OpenSecret(key, "openai", commit, sealed)
		assert.EqualError(t, err, want)
		assert.Empty(t, got)
	}
	refused(newKey(t), commit, sealed, notSealed)
	refused(key, CommitSecret(NewSalt(), "hush"), sealed, notCommitted)
	refused(key, CommitSecret(salt, "hush "), sealed, notCommitted)
	refused(key, "", sealed, notCommitted)
	for i := range sealed {
		tampered := append([]byte(nil), sealed...)
		tampered[i] ^= 1
		refused(key, commit, tampered, notSealed)
		refused(key, commit, sealed[:i], notSealed)
	}
	_, err = OpenSecret(key, "azure", commit, sealed)
	assert.ErrorContains(t, err, "cannot open the secret azure: it is not sealed to this node")

	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	_, err = SealSecret(&large.PublicKey, "openai", salt, "hush")
	assert.ErrorContains(t, err, "cannot seal the secret openai")
	_, err = OpenSecret(large, "openai", commit, sealed)
	assert.ErrorContains(t, err, "cannot open the secret openai: it is not sealed to this node")
	_, err = SealSecret(&ecdsa.PublicKey{}, "openai", salt, "hush")
	assert.ErrorContains(t, err, "cannot seal the secret openai")
}

func TestSalts(t *testing.T) {
	assert.NotEqual(t, NewSalt(), NewSalt())
	assert.Equal(t, "sha256:fdded6faced1af47fdaaac589602f58e0e040a882627806c42ddcc38da604cf0", CommitSecret([32]byte{}, "x"), "as computed without this package")
	assert.NotEqual(t, CommitSecret([32]byte{}, "x"), CommitSecret([32]byte{1}, "x"))
	assert.True(t, isDigest(CommitSecret([32]byte{}, strings.Repeat("x", 1000))))
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(JoinToken{ID: "i", Secret: "s", CA: []byte{1}}.String())
	f.Add("wj_e30")
	f.Fuzz(func(t *testing.T, word string) {
		token, err := ParseJoinToken(word)
		if err != nil {
			return
		}
		again, err := ParseJoinToken(token.String())
		require.NoError(t, err)
		require.True(t, token.Expires.Equal(again.Expires))
		again.Expires = token.Expires
		if len(token.CA) == 0 {
			token.CA, again.CA = nil, nil
		}
		require.Equal(t, token, again)
	})
}
