package vault

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func signerNow(t testing.TB, v *Vault) string {
	t.Helper()
	key, err := v.Signer(t.Context())
	require.NoError(t, err)
	return signerName(key)
}

func signerFor(t testing.TB, v *Vault, epoch, rev int64) string {
	t.Helper()
	key, err := v.SignerFor(t.Context(), wire.Position{Epoch: epoch, Rev: rev})
	require.NoError(t, err)
	return signerName(key)
}

func trustNow(t testing.TB, v *Vault) wire.Trust {
	t.Helper()
	keys, err := v.Trust(t.Context())
	require.NoError(t, err)
	trust, err := wire.TrustOf(keys...)
	require.NoError(t, err)
	return trust
}

func TestSigningKeysChangeWithOverlap(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, now := fresh(t, url)
		other := openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now})
		touch(t, s, `{"v":1}`)
		epoch, first := head(t, s).Epoch, signerNow(t, v)
		before := trustNow(t, v)

		require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		changed := head(t, s)
		assert.EqualValues(t, 3, changed.Rev)
		audit, err := s.Audit(t.Context(), 0, 1)
		require.NoError(t, err)
		assert.Equal(t, "ann", audit[0].Actor)
		assert.True(t, strings.HasPrefix(audit[0].Reason, "trust the new signing key "), audit[0].Reason)
		keys, err := v.Trust(t.Context())
		require.NoError(t, err)
		assert.Len(t, keys, 2)
		assert.Equal(t, keys, trustResource(t, s))
		assert.Equal(t, first, signerNow(t, v), "nodes learn of the new key from a revision that the old one signs")

		touch(t, s, `{"v":2}`)
		second := signerNow(t, v)
		assert.NotEqual(t, first, second)
		assert.Equal(t, second, signerNow(t, other), "other origins follow")
		assert.Equal(t, first, signerFor(t, v, epoch, 2), "a node that has not come so far trusts the old one only")
		assert.Equal(t, second, signerFor(t, v, epoch, 3))
		assert.Equal(t, second, signerFor(t, other, epoch, 4))
		assert.Equal(t, first, signerFor(t, v, 0, 0), "a new node trusts both")
		assert.Equal(t, first, signerFor(t, v, epoch-1, 100), "an earlier history did not have the new one")

		key, err := v.SignerFor(t.Context(), wire.Position{Epoch: epoch, Rev: 2})
		require.NoError(t, err)
		signed := wire.SignHead(key, wire.Position{Epoch: epoch, Rev: 4}, nil, now.Now())
		assert.NoError(t, before.Verify(&signed), "who has been away verifies the head with what it knew")

		require.NoError(t, v.RetireSigner(t.Context(), first, "ann"))
		assert.Equal(t, second, signerNow(t, v))
		assert.Equal(t, second, signerFor(t, other, epoch, 2))
		assert.Error(t, trustNow(t, other).Verify(&signed), "the old key counts no more")
		assert.Len(t, trustResource(t, s), 1)
		assert.NoError(t, s.Verify(t.Context()))
	})
}

func TestSignersTellsWhichOneSigns(t *testing.T) {
	v, s, now := fresh(t, sqlite(t))
	require.NoError(t, v.RotateSigner(t.Context(), "ann"))
	infos, err := v.Signers(t.Context())
	require.NoError(t, err)
	require.Len(t, infos, 2)
	keys, err := v.Trust(t.Context())
	require.NoError(t, err)
	for i, want := range []struct {
		rev   int64
		signs bool
	}{{1, false}, {2, true}} {
		trust, err := wire.TrustOf(infos[i].Public)
		require.NoError(t, err)
		for name := range trust {
			assert.Equal(t, name.String(), infos[i].Name)
		}
		assert.Equal(t, SignerInfo{Name: infos[i].Name, Public: keys[i], Epoch: head(t, s).Epoch, Rev: want.rev, Made: now.Now(), Signs: want.signs}, infos[i])
	}
}

func TestWhichSigningKeysStay(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, _ := fresh(t, url)
		only := signerNow(t, v)
		assert.ErrorIs(t, v.RetireSigner(t.Context(), only, "ann"), store.ErrInvalid, "the last one")
		for _, name := range []string{"", "0123456789abcdef", "\xff\x00"} {
			assert.ErrorIs(t, v.RetireSigner(t.Context(), name, "ann"), store.ErrNotFound)
		}
		assert.ErrorIs(t, v.RotateSigner(t.Context(), ""), store.ErrInvalid, "somebody must do it")
		for range maxSigners - 1 {
			require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		}
		err := v.RotateSigner(t.Context(), "ann")
		require.ErrorIs(t, err, store.ErrInvalid)
		assert.EqualError(t, err, "cannot change the signing key: invalid: 8 keys are trusted: retire an old one first")
		infos, err := v.Signers(t.Context())
		require.NoError(t, err)
		err = v.RetireSigner(t.Context(), infos[maxSigners-1].Name, "ann")
		assert.ErrorIs(t, err, store.ErrInvalid, "the newest one signs")
		require.NoError(t, v.RetireSigner(t.Context(), infos[3].Name, "ann"))
		assert.NoError(t, v.RotateSigner(t.Context(), "ann"))
		assert.EqualValues(t, maxSigners+2, head(t, s).Rev, "what was refused made no revision")
	})
}

// Whatever the position, the key that is chosen for a node is one that it trusts there.
func TestANodeTrustsTheKeyThatIsChosenForIt(t *testing.T) {
	v, s, _ := fresh(t, sqlite(t))
	trusted := map[int64]wire.Trust{}
	for i := range 20 {
		if i%5 == 4 {
			require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		} else {
			touch(t, s, fmt.Sprintf(`{"v":%d}`, i))
		}
		trusted[head(t, s).Rev] = trustNow(t, v)
	}
	at := wire.Position{Epoch: head(t, s).Epoch, Rev: head(t, s).Rev}
	chosen := map[string]bool{}
	for rev, trust := range trusted {
		key, err := v.SignerFor(t.Context(), wire.Position{Epoch: at.Epoch, Rev: rev})
		require.NoError(t, err)
		h := wire.SignHead(key, at, nil, v.now())
		assert.NoError(t, trust.Verify(&h), "at %d", rev)
		chosen[signerName(key)] = true
	}
	assert.Len(t, chosen, 5, "each key signs for those who trust no newer one")
}

func TestKeysChangeWhileTheyAreUsed(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, now := fresh(t, url)
		other := openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now})
		first := signerNow(t, v)
		done := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(done)
		for _, who := range []*Vault{v, other, v, other} {
			wg.Go(func() {
				for {
					key, err := who.Signer(t.Context())
					if !assert.NoError(t, err) || !assert.Len(t, key, ed25519.PrivateKeySize) {
						return
					}
					select {
					case <-done:
						return
					default:
					}
				}
			})
		}
		require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		require.NoError(t, other.RotateSigner(t.Context(), "ann"))
		require.NoError(t, other.RetireSigner(t.Context(), first, "ann"))
		assert.Len(t, trustNow(t, v), 2)
	})
}
