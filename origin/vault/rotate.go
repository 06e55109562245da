package vault

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// RotateSigner makes a new signing key. The revision that tells nodes to trust it is signed with the key before it, all
// that follow with the new one (see Signer). The old key stays trusted, and signs for nodes that have not come that far
// (see SignerFor), until RetireSigner.
func (v *Vault) RotateSigner(ctx context.Context, by string) error {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return fmt.Errorf("cannot make a signing key: %w", err)
	}
	name := signerName(key)
	err = v.store.Update(ctx, func(t *store.Tx) error {
		_, kek, err := v.lockRoot(t)
		if err != nil {
			return err
		}
		return v.admit(t, key, kek.seal(sealedSigner, name, key.Seed()), by, "trust the new signing key "+name)
	})
	if err != nil {
		return fmt.Errorf("cannot change the signing key: %w", err)
	}
	return nil
}

// RetireSigner ends the trust in a signing key that does not sign any more, and forgets it. A node that has not yet
// reached the revision which introduced a newer key must enrol again: look first whether there are such nodes. Name is
// the key's: see Signers.
func (v *Vault) RetireSigner(ctx context.Context, name, by string) error {
	err := v.store.Update(ctx, func(t *store.Tx) error {
		if _, _, err := v.lockRoot(t); err != nil {
			return err
		}
		all, err := v.readSigners(t, nil)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(s signer) bool { return s.name == name })
		switch i {
		case -1:
			return store.ErrNotFound
		case len(all) - 1:
			return fmt.Errorf("%w: it is the one that signs: rotate first", store.ErrInvalid)
		}
		if _, err := t.Exec("delete from vault_signers where name = ?", name); err != nil {
			return err
		}
		_, err = applyTrust(t, slices.Delete(all, i, i+1), by, "trust the signing key "+name+" no more")
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot retire the signing key %q: %w", name, err)
	}
	return nil
}

// admit adds a signer, in a revision of its own.
func (v *Vault) admit(t *store.Tx, key ed25519.PrivateKey, sealed []byte, by, reason string) error {
	all, err := v.readSigners(t, nil)
	if err != nil {
		return err
	}
	if len(all) == maxSigners {
		return fmt.Errorf("%w: %d keys are trusted: retire an old one first", store.ErrInvalid, len(all))
	}
	s := signer{name: signerName(key), private: key}
	head, err := applyTrust(t, append(all, s), by, reason)
	if err != nil {
		return err
	}
	_, err = t.Exec("insert into vault_signers (name, epoch, rev, at, private) values (?, ?, ?, ?, ?)",
		s.name, head.Epoch, head.Rev, v.now().UnixMilli(), sealed)
	return err
}

// ensureTrust puts the resource that tells nodes whom to trust, if it is not there.
func (v *Vault) ensureTrust(t *store.Tx) error {
	_, err := t.Get(wire.KindTrust, trustName)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	all, err := v.readSigners(t, nil)
	if err != nil {
		return err
	}
	_, err = applyTrust(t, all, "origin", "say again which signing keys to trust")
	return err
}

// applyTrust tells nodes whom to trust from a new revision on.
func applyTrust(t *store.Tx, all []signer, by, reason string) (store.Head, error) {
	body, err := json.Marshal(wire.TrustRecord{Keys: publicKeys(all)})
	if err != nil {
		return store.Head{}, err
	}
	return t.Apply(store.ChangeSet{Actor: by, Reason: reason,
		Ops: []store.Op{store.Put(wire.KindTrust, trustName, body, store.Any)}})
}

// RotateKEK encrypts everything anew, in one transaction. This vault knows both keys from then on; other origins go on
// signing, but must be started again with the new key before they can give out secrets. newKEK must be kept in a safe
// place before: without it nothing can be decrypted any more.
func (v *Vault) RotateKEK(ctx context.Context, newKEK [32]byte) error {
	next, err := v.keks.add(newKEK)
	if err == nil {
		err = v.store.Update(ctx, func(t *store.Tx) error { return v.reseal(t, next) })
	}
	if err != nil {
		return fmt.Errorf("cannot change the key-encryption key: %w", err)
	}
	return nil
}

func (v *Vault) reseal(t *store.Tx, next *sealer) error {
	r, kek, err := v.lockRoot(t)
	if err != nil {
		return err
	}
	key, err := kek.open(sealedCA, "", r.key)
	if err != nil {
		return err
	}
	if _, err := t.Exec("update vault_root set kek = ?, ca_key = ? where id = 1", next.id, next.seal(sealedCA, "", key)); err != nil {
		return err
	}
	if err := resealColumn(t, kek, next, sealedSigner, "vault_signers", "private"); err != nil {
		return err
	}
	return resealColumn(t, kek, next, sealedSecret, "vault_secrets", "body")
}

// resealColumn encrypts a column anew. Names are read first: all bodies at once might not fit into memory.
func resealColumn(t *store.Tx, from, to *sealer, kind, table, column string) error {
	names, err := namesOf(t, table)
	if err != nil {
		return err
	}
	for _, name := range names {
		var sealed []byte
		if err := t.Row("select "+column+" from "+table+" where name = ?", name).Scan(&sealed); err != nil {
			return err
		}
		plain, err := from.open(kind, name, sealed)
		if err != nil {
			return err
		}
		if _, err := t.Exec("update "+table+" set "+column+" = ? where name = ?", to.seal(kind, name, plain), name); err != nil {
			return err
		}
	}
	return nil
}

func namesOf(t *store.Tx, table string) (names []string, err error) {
	rows, err := t.Query("select name from " + table + " order by name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
