package vault

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func redeem(t testing.TB, v *Vault, token wire.JoinToken, name string) (i Invitation, err error) {
	t.Helper()
	err = v.store.Update(t.Context(), func(tx *store.Tx) (err error) { i, err = v.Redeem(tx, token, name); return err })
	return i, err
}

func invite(t testing.TB, v *Vault, i Invitation) wire.JoinToken {
	t.Helper()
	token, err := v.Invite(t.Context(), i)
	require.NoError(t, err)
	return token
}

func TestAJoinTokenLetsOneNodeJoinOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, now := fresh(t, url)
		expires := now.Now().Add(time.Hour)
		token := invite(t, v, Invitation{Region: "eu", Expires: expires, Actor: "ann"})
		assert.Equal(t, expires, token.Expires)
		assert.Equal(t, v.ca.fingerprint[:], token.CA)
		carried, err := wire.ParseJoinToken(token.String())
		require.NoError(t, err)
		require.Equal(t, token, carried)

		i, err := redeem(t, v, carried, "edge-1")
		require.NoError(t, err)
		assert.Equal(t, Invitation{Name: "edge-1", Region: "eu", Expires: expires, Actor: "ann"}, i)
		_, err = redeem(t, v, carried, "edge-1")
		require.ErrorIs(t, err, ErrJoinUsed)
		assert.EqualError(t, err, `cannot let the node "edge-1" join: join token used already, at 2027-01-15T08:00:00Z: `+
			"each lets one node join: make another with wedge node invite")
	})
}

func TestAJoinTokenIsUsedOnceHoweverManyTry(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, now := fresh(t, url)
		token := invite(t, v, Invitation{Expires: now.Now().Add(time.Hour), Actor: "ann"})
		var joined, refused atomic.Int64
		testkit.Hammer(16, 1, func(int, int) {
			err := v.store.Update(t.Context(), func(tx *store.Tx) error { _, err := v.Redeem(tx, token, "edge-1"); return err })
			switch {
			case err == nil:
				joined.Add(1)
			case errors.Is(err, ErrJoinUsed):
				refused.Add(1)
			default:
				assert.NoError(t, err)
			}
		})
		assert.EqualValues(t, 1, joined.Load())
		assert.EqualValues(t, 15, refused.Load())
	})
}

func TestAJoinTokenGoesWithItsTransaction(t *testing.T) {
	v, s, now := fresh(t, sqlite(t))
	token := invite(t, v, Invitation{Expires: now.Now().Add(time.Hour), Actor: "ann"})
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		_, err := v.Redeem(tx, token, "edge-1")
		require.NoError(t, err)
		return assert.AnError
	})
	require.ErrorIs(t, err, assert.AnError)
	_, err = redeem(t, v, token, "edge-1")
	assert.NoError(t, err, "who failed may try again")
}

func TestJoinTokensThatAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, _, now := fresh(t, url)
		token := invite(t, v, Invitation{Name: "edge-1", Expires: now.Now().Add(time.Hour), Actor: "ann"})
		open := invite(t, v, Invitation{Expires: now.Now().Add(time.Hour), Actor: "ann"})
		wrong, unknown, noText := token, token, token
		wrong.Secret = open.Secret
		unknown.ID = "aaaaaaaaaaaaaaaa"
		noText.ID = "\xff\x00"
		for what, c := range map[string]struct {
			token wire.JoinToken
			name  string
			err   error
		}{
			"a wrong secret":        {wrong, "edge-1", ErrJoinUnknown},
			"an unknown ID":         {unknown, "edge-1", ErrJoinUnknown},
			"an impossible ID":      {noText, "edge-1", ErrJoinUnknown},
			"nothing":               {wire.JoinToken{}, "edge-1", ErrJoinUnknown},
			"another name":          {token, "edge-2", ErrJoinName},
			"no name":               {open, "", ErrJoinName},
			"what cannot be a name": {open, "\xff\x00", ErrJoinName},
		} {
			_, err := redeem(t, v, c.token, c.name)
			require.ErrorIs(t, err, c.err, what)
			for _, secret := range []string{token.Secret, open.Secret} {
				assert.NotContains(t, err.Error(), secret)
			}
		}
		later := token
		later.Expires = now.Now().Add(48 * time.Hour)
		now.advance(time.Hour)
		_, err := redeem(t, v, later, "edge-1")
		require.ErrorIs(t, err, ErrJoinExpired, "what the token says of its end does not count")
		now.advance(-time.Second)
		i, err := redeem(t, v, token, "")
		require.NoError(t, err, "what was refused has not been used")
		assert.Equal(t, "edge-1", i.Name)

		now.advance(keepInvitations + time.Hour)
		invite(t, v, Invitation{Expires: now.Now().Add(time.Hour), Actor: "ann"})
		_, err = redeem(t, v, token, "edge-1")
		assert.ErrorIs(t, err, ErrJoinUnknown, "old ones are forgotten")
	})
}

func TestInvitationsThatMakeNoSense(t *testing.T) {
	v, _, now := fresh(t, sqlite(t))
	in := now.Now().Add(time.Hour)
	for what, i := range map[string]Invitation{
		"a name":     {Name: "a b", Expires: in},
		"a region":   {Region: "a b", Expires: in},
		"no end":     {},
		"an end now": {Expires: now.Now()},
		"no text":    {Expires: in, Actor: "\xff"},
		"a NUL":      {Expires: in, Actor: "\x00"},
	} {
		_, err := v.Invite(t.Context(), i)
		assert.ErrorIs(t, err, store.ErrInvalid, what)
	}
}
