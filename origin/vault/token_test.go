package vault

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store"
)

func newToken(t testing.TB, v *Vault, name string, role Role) string {
	t.Helper()
	token, err := v.NewToken(t.Context(), name, role)
	require.NoError(t, err)
	return token
}

func TestATokenTellsWhoItIs(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, now := fresh(t, url)
		token := newToken(t, v, "ann", Admin)
		assert.Regexp(t, `^wo_[a-z2-7]{12}_[a-z2-7]{52}$`, token)
		newToken(t, v, "bob", Viewer)
		for range 2 { // the second time from memory
			id, err := v.Authenticate(t.Context(), token)
			require.NoError(t, err)
			assert.Equal(t, Identity{"ann", Admin}, id)
		}
		infos, err := v.Tokens(t.Context())
		require.NoError(t, err)
		require.Len(t, infos, 2)
		assert.Equal(t, TokenInfo{Name: "ann", Role: Admin, Public: token[3:15], Made: now.Now()}, infos[0])
		assert.Equal(t, "bob", infos[1].Name)

		_, err = v.NewToken(t.Context(), "ann", Viewer)
		require.ErrorIs(t, err, ErrExists)
		assert.EqualError(t, err, `cannot make a token named "ann": there already: revoke it first, or choose another name`)

		require.NoError(t, v.RevokeToken(t.Context(), "ann"))
		_, err = v.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, ErrToken, "at once")
		for _, name := range []string{"ann", "", "\xff\x00"} {
			assert.ErrorIs(t, v.RevokeToken(t.Context(), name), store.ErrNotFound)
		}
		again := newToken(t, v, "ann", Viewer)
		assert.NotEqual(t, token, again)
	})
}

func TestTokensThatAreNone(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, _ := fresh(t, url)
		token, other := newToken(t, v, "ann", Admin), newToken(t, v, "bob", Admin)
		for _, s := range []string{
			"", "wo_", "wo__", token[:15], token[:16], token[:len(token)-1], token + "a", strings.ToUpper(token), " " + token, token + "\n",
			token[:16] + other[16:], other[:16] + token[16:], "wo_\xff\x00" + token[5:], "wo_" + strings.Repeat("a", 12) + token[15:],
			token[:16] + "' or 1=1 --", "wj_" + token[3:],
		} {
			id, err := v.Authenticate(t.Context(), s)
			require.ErrorIs(t, err, ErrToken, "%q", s)
			assert.EqualError(t, err, "not a valid token", "nothing of the token is told")
			assert.Zero(t, id)
		}
		_, err := v.NewToken(t.Context(), "a b", Admin)
		assert.ErrorIs(t, err, store.ErrInvalid)
		for _, role := range []Role{"", "root", "Admin"} {
			_, err := v.NewToken(t.Context(), "eve", role)
			assert.ErrorIs(t, err, store.ErrInvalid)
		}
	})
}

func TestOtherOriginsSeeARevocationSoon(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, _ := fresh(t, url)
		other := openVault(t, s, Options{KEK: testKEK("first")})
		token := newToken(t, v, "ann", Admin)
		_, err := other.Authenticate(t.Context(), token)
		require.NoError(t, err)
		require.NoError(t, v.RevokeToken(t.Context(), "ann"))
		testkit.Eventually(t, 2*time.Second, func() error {
			if _, err := other.Authenticate(t.Context(), token); err == nil {
				return fmt.Errorf("the token is still good")
			}
			return nil
		})
	})
}

func TestAnAnswerFromBeforeARevocationIsNotKept(t *testing.T) {
	var c tokenCache
	digest := digestOf("token")
	_, asked, ok := c.get(digest)
	require.False(t, ok)
	c.forget() // while the database answers
	c.put(digest, Identity{"ann", Admin}, asked)
	_, asked, ok = c.get(digest)
	require.False(t, ok)
	c.put(digest, Identity{"ann", Admin}, asked)
	id, _, ok := c.get(digest)
	assert.True(t, ok)
	assert.Equal(t, Identity{"ann", Admin}, id)
	asked.at = asked.at.Add(-cacheFor)
	c.put(digest, id, asked)
	_, _, ok = c.get(digest)
	assert.False(t, ok, "it counts from when the database was asked")
}

func TestTheTokenCacheIsBounded(t *testing.T) {
	var c tokenCache
	for i := range 3 * maxCached {
		digest := digestOf(fmt.Sprint(i))
		_, asked, _ := c.get(digest)
		c.put(digest, Identity{}, asked)
	}
	assert.LessOrEqual(t, len(c.entries), maxCached)
}

func TestTokensAreUsedAndRevokedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, _ := fresh(t, url)
		stays, goes := newToken(t, v, "ann", Admin), newToken(t, v, "bob", Admin)
		testkit.Hammer(8, 20, func(g, i int) {
			if g == 0 && i == 10 {
				assert.NoError(t, v.RevokeToken(t.Context(), "bob"))
			}
			_, err := v.Authenticate(t.Context(), stays)
			assert.NoError(t, err)
			if _, err = v.Authenticate(t.Context(), goes); err != nil {
				assert.ErrorIs(t, err, ErrToken)
			}
		})
		_, err := v.Authenticate(t.Context(), goes)
		assert.ErrorIs(t, err, ErrToken)
	})
}

func TestRolesCover(t *testing.T) {
	for i, have := range roles {
		for j, need := range roles {
			assert.Equal(t, i >= j, have.Covers(need), "%s for %s", have, need)
		}
		assert.False(t, have.Covers("root"))
		assert.False(t, Role("root").Covers(have))
	}
	assert.False(t, Role("").Covers(""))
}

func BenchmarkAuthenticate(b *testing.B) {
	v, _, _ := fresh(b, sqlite(b))
	token := newToken(b, v, "ann", Admin)
	for b.Loop() {
		if _, err := v.Authenticate(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNodeOf(b *testing.B) {
	v, _, _ := fresh(b, sqlite(b))
	cert, _ := enrol(b, v, "edge-1")
	for b.Loop() {
		if _, err := v.NodeOf(cert); err != nil {
			b.Fatal(err)
		}
	}
}
