package vault

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// trustResource is whom the resource tells nodes to trust.
func trustResource(t testing.TB, s *store.Store) []string {
	t.Helper()
	r, err := s.Get(t.Context(), wire.KindTrust, trustName)
	require.NoError(t, err)
	require.NoError(t, wire.CheckState([]wire.Resource{{Kind: r.Kind, Name: r.Name, Body: r.Body}}), "nodes can use it")
	var record wire.TrustRecord
	require.NoError(t, json.Unmarshal(r.Body, &record))
	return record.Keys
}

func TestAnIdentityIsMadeOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, _ := fresh(t, url)
		key, err := v.Signer(t.Context())
		require.NoError(t, err)
		trust, err := v.Trust(t.Context())
		require.NoError(t, err)
		assert.Equal(t, publicKeys([]signer{{private: key}}), trust)
		assert.Equal(t, trust, trustResource(t, s))
		assert.EqualValues(t, 1, head(t, s).Rev)

		again := openVault(t, s, Options{KEK: testKEK("first")})
		other, err := again.Signer(t.Context())
		require.NoError(t, err)
		assert.True(t, key.Equal(other))
		pem, print := v.CA()
		pem2, print2 := again.CA()
		assert.Equal(t, pem, pem2)
		assert.Equal(t, print, print2)
		assert.EqualValues(t, 1, head(t, s).Rev, "nothing has changed")
		assert.NoError(t, s.Verify(t.Context()))
	})
}

func TestOriginsThatOpenAtOnceAgree(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		const origins = 8
		stores, vaults, errs := make([]*store.Store, origins), make([]*Vault, origins), make([]error, origins)
		if filepath.IsAbs(url) {
			stores = slices.Repeat([]*store.Store{openStore(t, url)}, origins) // a file is one origin's
		}
		var wg sync.WaitGroup
		for i := range origins {
			wg.Go(func() {
				if stores[i] == nil {
					if stores[i], errs[i] = store.Open(t.Context(), storeOptions(url)); errs[i] != nil {
						return
					}
					t.Cleanup(func() { assert.NoError(t, stores[i].Close()) })
				}
				vaults[i], errs[i] = Open(t.Context(), stores[i], Options{KEK: testKEK("first")})
			})
		}
		wg.Wait()
		for i := range origins {
			require.NoError(t, errs[i])
			assert.Equal(t, vaults[0].ca.fingerprint, vaults[i].ca.fingerprint)
			want, err := vaults[0].Signer(t.Context())
			require.NoError(t, err)
			got, err := vaults[i].Signer(t.Context())
			require.NoError(t, err)
			assert.True(t, want.Equal(got))
		}
		assert.EqualValues(t, 1, head(t, stores[0]).Rev, "one of them made the trust resource")
		assert.Len(t, trustResource(t, stores[0]), 1)
	})
}

func TestAWrongKEKIsToldAsSuch(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		_, s, _ := fresh(t, url)
		_, err := Open(t.Context(), s, Options{KEK: testKEK("another")})
		require.ErrorIs(t, err, ErrKEK)
		assert.EqualError(t, err, "cannot open the vault: wrong key-encryption key: the secrets in the database are encrypted with another one: "+
			"start every origin with the KEK of the first, from its file or in WEDGE_KEK, and after a change of the KEK with the new one")
	})
}

func TestTrustThatIsNotThereIsPutAgain(t *testing.T) {
	v, s, _ := fresh(t, sqlite(t))
	want := trustResource(t, s)
	_, err := s.Apply(t.Context(), store.ChangeSet{Actor: "tester", Ops: []store.Op{store.Delete(wire.KindTrust, trustName, store.Any)}})
	require.NoError(t, err)
	openVault(t, s, Options{KEK: testKEK("first"), Now: v.now})
	assert.Equal(t, want, trustResource(t, s))
}

func TestWhatIsEncryptedIsBoundToWhatItIs(t *testing.T) {
	v, s, _ := fresh(t, sqlite(t))
	for _, name := range []string{"one", "two"} {
		update(t, s, func(tx *store.Tx) error { _, err := v.PutSecret(tx, name, "value of "+name); return err })
	}
	node, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)

	exec(t, s, "update vault_secrets set body = (select body from vault_secrets where name = 'one') where name = 'two'")
	_, err = v.Seal(t.Context(), "two", &node.PublicKey)
	require.ErrorIs(t, err, store.ErrCorrupt)
	assert.EqualError(t, err, `cannot seal the secret "two": cannot decrypt the secret "two": corrupt: the database has been tampered with or damaged: restore a backup`)

	exec(t, s, "update vault_signers set private = (select body from vault_secrets where name = 'one')")
	second := openVault(t, s, Options{KEK: testKEK("first")})
	_, err = second.Signer(t.Context())
	require.ErrorIs(t, err, store.ErrCorrupt)
	_, err = v.Signer(t.Context())
	assert.ErrorIs(t, err, store.ErrCorrupt, "it has not been asked for before")

	exec(t, s, "update vault_root set ca_key = (select private from vault_signers)")
	_, err = Open(t.Context(), s, Options{KEK: testKEK("first")})
	assert.ErrorIs(t, err, store.ErrCorrupt)
}

func TestNothingSecretLiesInTheDatabase(t *testing.T) {
	v, s, now := fresh(t, sqlite(t))
	token, err := v.NewToken(t.Context(), "ann", Admin)
	require.NoError(t, err)
	join, err := v.Invite(t.Context(), Invitation{Expires: now.Now().Add(time.Hour), Actor: "ann"})
	require.NoError(t, err)
	update(t, s, func(tx *store.Tx) error { _, err := v.PutSecret(tx, "openai", "sk-very-secret"); return err })
	key, err := v.Signer(t.Context())
	require.NoError(t, err)
	caKey, err := v.ca.key.Bytes()
	require.NoError(t, err)
	kek := testKEK("first")

	var stored bytes.Buffer
	update(t, s, func(tx *store.Tx) error {
		for _, table := range Schema().Tables {
			require.NoError(t, dump(&stored, tx, table))
		}
		return nil
	})
	for what, secret := range map[string][]byte{
		"a person's token": []byte(token), "its secret": []byte(token[len(token)-52:]), "a join token": []byte(join.Secret),
		"a secret": []byte("sk-very-secret"), "the signing key": key.Seed(), "the CA's key": caKey, "the KEK": kek[:], "the KEK in hex": []byte(hexOf(kek)),
	} {
		assert.False(t, bytes.Contains(stored.Bytes(), secret), what)
	}
	assert.True(t, bytes.Contains(stored.Bytes(), []byte("openai")), "names do")
}

// dump writes all values of a table.
func dump(b *bytes.Buffer, t *store.Tx, table string) error {
	rows, err := t.Query("select * from " + table)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values, to := make([][]byte, len(columns)), make([]any, len(columns))
	for i := range values {
		to[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(to...); err != nil {
			return err
		}
		b.Write(bytes.Join(values, []byte("|")))
	}
	return rows.Err()
}

func TestABackupCarriesTheVault(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		v, s, now := fresh(t, url)
		token, err := v.NewToken(t.Context(), "ann", Operator)
		require.NoError(t, err)
		join, err := v.Invite(t.Context(), Invitation{Name: "edge-1", Expires: now.Now().Add(time.Hour), Actor: "ann"})
		require.NoError(t, err)
		require.NoError(t, v.RotateSigner(t.Context(), "ann"))
		var body []byte
		update(t, s, func(tx *store.Tx) (err error) { body, err = v.PutSecret(tx, "openai", "sk-1"); return err })
		var backup bytes.Buffer
		_, err = s.Backup(t.Context(), &backup)
		require.NoError(t, err)

		// The copy lies in the other kind of database.
		copied := sqlite(t)
		_, err = store.Restore(t.Context(), storeOptions(copied), &backup)
		require.NoError(t, err)
		s2 := openStore(t, copied)
		v2 := openVault(t, s2, Options{KEK: testKEK("first"), Now: now.Now})
		assert.Equal(t, v.ca.fingerprint, v2.ca.fingerprint)
		trust, err := v.Trust(t.Context())
		require.NoError(t, err)
		trust2, err := v2.Trust(t.Context())
		require.NoError(t, err)
		assert.Equal(t, trust, trust2)
		id, err := v2.Authenticate(t.Context(), token)
		require.NoError(t, err)
		assert.Equal(t, Identity{"ann", Operator}, id)
		update(t, s2, func(tx *store.Tx) error { _, err := v2.Redeem(tx, join, ""); return err })
		node, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		assert.Equal(t, "sk-1", openSealed(t, v2, node, "openai", body))
		_, err = Open(t.Context(), s2, Options{KEK: testKEK("another")})
		assert.ErrorIs(t, err, ErrKEK)
	})
}

func TestOpenEndsWithItsContext(t *testing.T) {
	s := openStore(t, sqlite(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, s, Options{})
	assert.ErrorIs(t, err, context.Canceled)
}
