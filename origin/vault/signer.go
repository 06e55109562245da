package vault

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

const (
	trustName  = "origin" // of the resource of KindTrust
	maxSigners = 8        // that are trusted at once
)

// SignerInfo tells of a signing key that nodes trust.
type SignerInfo struct {
	Name   string    `json:"name"`   // see wire.KeyName
	Public string    `json:"public"` // see wire.FormatPublicKey
	Epoch  int64     `json:"epoch"`  // when the revision was made that told nodes to trust it
	Rev    int64     `json:"rev"`
	Made   time.Time `json:"made"`
	Signs  bool      `json:"signs"` // it is the one that signs from now on
}

// signer is a key that nodes trust once they have reached a position.
type signer struct {
	name    string
	since   wire.Position // without a chain
	made    time.Time
	private ed25519.PrivateKey
}

func signerName(key ed25519.PrivateKey) string {
	return wire.NameOf(key.Public().(ed25519.PublicKey)).String()
}

func (s *signer) public() string { return wire.FormatPublicKey(s.private.Public().(ed25519.PublicKey)) }

// signerCache keeps the signers as they were at a head. No change to them goes without a revision.
type signerCache struct {
	mu   sync.Mutex
	head wire.Position // without a chain
	all  []signer      // from the oldest to the newest; never changed in place
}

// Signer returns the key that signs the head now: the newest one that was trusted before the last revision, so that the
// revision which introduces a key is signed with the one before it.
func (v *Vault) Signer(ctx context.Context) (ed25519.PrivateKey, error) {
	all, head, err := v.loadSigners(ctx)
	if err != nil {
		return nil, err
	}
	return signerAt(all, wire.Position{Epoch: head.Epoch, Rev: head.Rev - 1}), nil
}

// SignerFor returns the key for the head that is sent to a node which stands at a position: the newest one that it
// trusts there. Where it trusts none any more, it is the oldest that other nodes do.
func (v *Vault) SignerFor(ctx context.Context, at wire.Position) (ed25519.PrivateKey, error) {
	all, _, err := v.loadSigners(ctx)
	if err != nil {
		return nil, err
	}
	return signerAt(all, at), nil
}

func signerAt(all []signer, at wire.Position) ed25519.PrivateKey {
	for _, s := range slices.Backward(all) {
		if !at.Before(s.since) {
			return s.private
		}
	}
	return all[0].private
}

// Trust returns the public keys whose heads nodes shall believe now, the oldest first: see wire.TrustOf.
func (v *Vault) Trust(ctx context.Context) ([]string, error) {
	all, _, err := v.loadSigners(ctx)
	return publicKeys(all), err
}

// Signers tells of all signing keys that nodes trust, the oldest first.
func (v *Vault) Signers(ctx context.Context) ([]SignerInfo, error) {
	all, head, err := v.loadSigners(ctx)
	if err != nil {
		return nil, err
	}
	signs := signerAt(all, head)
	infos := make([]SignerInfo, len(all))
	for i, s := range all {
		infos[i] = SignerInfo{Name: s.name, Public: s.public(), Epoch: s.since.Epoch, Rev: s.since.Rev, Made: s.made,
			Signs: s.private.Equal(signs)}
	}
	return infos, nil
}

// loadSigners returns the signers at the head, at least one, and the head's position.
func (v *Vault) loadSigners(ctx context.Context) ([]signer, wire.Position, error) {
	h, err := v.store.Head(ctx)
	if err != nil {
		return nil, wire.Position{}, fmt.Errorf("cannot read the signing keys: %w", err)
	}
	head := wire.Position{Epoch: h.Epoch, Rev: h.Rev}
	v.signers.mu.Lock()
	known, at := v.signers.all, v.signers.head
	v.signers.mu.Unlock()
	if at == head && len(known) > 0 {
		return known, head, nil
	}
	var all []signer
	err = v.store.View(ctx, func(t *store.Tx) (err error) {
		all, err = v.readSigners(t, known)
		if err == nil && len(all) == 0 {
			err = fmt.Errorf("there is none: %w", store.ErrCorrupt)
		}
		return err
	})
	if err != nil {
		return nil, wire.Position{}, fmt.Errorf("cannot read the signing keys: %w", err)
	}
	v.signers.mu.Lock()
	defer v.signers.mu.Unlock()
	if v.signers.head.Before(head) {
		v.signers.head, v.signers.all = head, all
	}
	return all, head, nil
}

// signerRow is a signer before it is decrypted.
type signerRow struct {
	signer
	sealed []byte
}

// readSigners reads and decrypts the signers that are not known. So an origin goes on signing when another one has
// changed the KEK.
func (v *Vault) readSigners(t *store.Tx, known []signer) ([]signer, error) {
	rows, err := signerRows(t)
	if err != nil {
		return nil, err
	}
	all := make([]signer, len(rows))
	for i, row := range rows {
		all[i] = row.signer
		if j := slices.IndexFunc(known, func(s signer) bool { return s.name == row.name }); j >= 0 {
			all[i].private = known[j].private
			continue
		}
		_, kek, err := v.readRoot(t, "")
		if err != nil {
			return nil, err
		}
		seed, err := kek.open(sealedSigner, row.name, row.sealed)
		if err != nil {
			return nil, err
		}
		if len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("the signing key %s has %d bytes: %w", row.name, len(seed), store.ErrCorrupt)
		}
		all[i].private = ed25519.NewKeyFromSeed(seed)
	}
	return all, nil
}

// signerRows reads the rows, the oldest key first.
func signerRows(t *store.Tx) ([]signerRow, error) {
	rows, err := t.Query("select name, epoch, rev, at, private from vault_signers order by epoch, rev, name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []signerRow
	for rows.Next() {
		var row signerRow
		var at int64
		if err := rows.Scan(&row.name, &row.since.Epoch, &row.since.Rev, &at, &row.sealed); err != nil {
			return nil, err
		}
		row.made = time.UnixMilli(at).UTC()
		all = append(all, row)
	}
	return all, rows.Err()
}

func publicKeys(all []signer) []string {
	keys := make([]string, len(all))
	for i := range all {
		keys[i] = all[i].public()
	}
	return keys
}
