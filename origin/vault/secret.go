package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/subtle"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// MaxSecret is how many bytes a user's secret has at most.
const MaxSecret = 64 << 10

// PutSecret keeps a secret and returns the body of its resource, a wire.SecretRecord, which the caller puts in the same
// transaction. The body of a secret that has not changed is the same as before. A name that is no catalog's name and a
// value that is empty or too long are store.ErrInvalid.
func (v *Vault) PutSecret(t *store.Tx, name, value string) (body []byte, err error) {
	body, err = v.putSecret(t, name, value)
	if err != nil {
		return nil, fmt.Errorf("cannot keep the secret %q: %w", name, err)
	}
	return body, nil
}

func (v *Vault) putSecret(t *store.Tx, name, value string) ([]byte, error) {
	if err := wire.CheckName(name); err != nil {
		return nil, fmt.Errorf("%w: %w", store.ErrInvalid, err)
	}
	if value == "" || len(value) > MaxSecret {
		return nil, fmt.Errorf("%w: it has %d bytes; want 1 to %d", store.ErrInvalid, len(value), MaxSecret)
	}
	_, kek, err := v.lockRoot(t)
	if err != nil {
		return nil, err
	}
	salt, old, err := readSecret(t, kek, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if err != nil || subtle.ConstantTimeCompare([]byte(old), []byte(value)) != 1 {
		salt = wire.NewSalt()
		_, err = t.Exec("insert into vault_secrets (name, at, body) values (?, ?, ?) on conflict (name) do update set at = excluded.at, body = excluded.body",
			name, v.now().UnixMilli(), kek.seal(sealedSecret, name, append(salt[:], value...)))
		if err != nil {
			return nil, err
		}
	}
	return json.Marshal(wire.SecretRecord{Commit: wire.CommitSecret(salt, value)})
}

// DeleteSecret forgets a secret; the caller deletes its resource in the same transaction.
func (v *Vault) DeleteSecret(t *store.Tx, name string) error {
	if err := deleteNamed(t, "vault_secrets", name); err != nil {
		return fmt.Errorf("cannot delete the secret %q: %w", name, err)
	}
	return nil
}

// Seal returns a secret that only who has the private key of an ECDSA P-256 key can open: see wire.OpenSecret.
func (v *Vault) Seal(ctx context.Context, name string, to *ecdsa.PublicKey) ([]byte, error) {
	if to == nil || to.Curve != elliptic.P256() {
		return nil, fmt.Errorf("cannot seal the secret %q: %w: not to an ECDSA P-256 key", name, store.ErrInvalid)
	}
	var salt [32]byte
	var value string
	err := v.store.View(ctx, func(t *store.Tx) error {
		_, kek, err := v.readRoot(t, "")
		if err == nil {
			salt, value, err = readSecret(t, kek, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot seal the secret %q: %w", name, err)
	}
	return wire.SealSecret(to, name, salt, value)
}

func readSecret(t *store.Tx, kek *sealer, name string) (salt [32]byte, value string, err error) {
	if wire.CheckName(name) != nil {
		return salt, "", store.ErrNotFound
	}
	var sealed []byte
	err = t.Row("select body from vault_secrets where name = ?", name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return salt, "", store.ErrNotFound
	}
	if err != nil {
		return salt, "", err
	}
	plain, err := kek.open(sealedSecret, name, sealed)
	if err != nil {
		return salt, "", err
	}
	if len(plain) < len(salt) {
		return salt, "", fmt.Errorf("it has %d bytes with its salt: %w", len(plain), store.ErrCorrupt)
	}
	return [32]byte(plain), string(plain[len(salt):]), nil
}

// Secret is the value of a secret, for the origin's own use. An unknown one is store.ErrNotFound.
func (v *Vault) Secret(ctx context.Context, name string) (value string, err error) {
	err = v.store.View(ctx, func(t *store.Tx) error {
		_, kek, err := v.readRoot(t, "")
		if err == nil {
			_, value, err = readSecret(t, kek, name)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("cannot read the secret %q: %w", name, err)
	}
	return value, nil
}
