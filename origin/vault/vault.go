// Package vault keeps the origin's keys and what lies under them: signing keys, the certificate authority, join tokens,
// people's tokens and users' secrets; it knows neither who may do what nor how anything travels.
//
// Private keys and secrets lie in the store's database, encrypted with a key-encryption key (KEK) that does not. Tokens
// are not kept at all, only their digests. All origins on one database and one KEK share one identity.
package vault

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

// The errors that callers tell apart, with errors.Is, besides the store's ErrInvalid and ErrNotFound.
var (
	// ErrKEK says that the key-encryption key is not the one that the database's secrets are encrypted with.
	ErrKEK = errors.New("wrong key-encryption key")
	// ErrToken says that a person's token is none, or has been revoked.
	ErrToken = errors.New("not a valid token")
	// ErrExists says that a name is taken.
	ErrExists = errors.New("there already")
	// ErrCSR says that no certificate is issued for a request.
	ErrCSR = errors.New("certificate request refused")
	// ErrCertificate says that a certificate does not tell which node has come.
	ErrCertificate = errors.New("not a node's certificate")
	// ErrJoinUnknown says that nobody was invited with a join token.
	ErrJoinUnknown = errors.New("unknown join token")
	// ErrJoinUsed says that a node has enrolled with the join token.
	ErrJoinUsed = errors.New("join token used already")
	// ErrJoinExpired says that the join token's time is over.
	ErrJoinExpired = errors.New("join token expired")
	// ErrJoinName says that the join token is not for a node of this name.
	ErrJoinName = errors.New("join token for another name")
)

// Options say what a vault is opened with.
type Options struct {
	KEK [32]byte         // see LoadKEK
	Now func() time.Time // nil means time.Now
}

// Vault is an open vault. It is safe for concurrent use, and needs no closing.
type Vault struct {
	store   *store.Store
	now     func() time.Time
	keks    keyring
	ca      *authority
	signers signerCache
	tokens  tokenCache
	nodes   nodeCache
}

// Schema is the vault's tables. All of them go into a backup, where secrets stay encrypted.
//
// root is one row: which KEK is in use, and the certificate authority. Who writes what is encrypted locks it first, so
// that a new KEK cannot come in between. signers are the keys that nodes trust, each from a revision on; invitations and
// tokens hold digests of what people carry around.
func Schema() store.Schema {
	return store.Schema{
		Name:   "vault",
		Tables: []string{"vault_root", "vault_signers", "vault_invitations", "vault_tokens", "vault_secrets"},
		Steps: []string{`
create table vault_root (
	id bigint primary key check (id = 1),
	kek {text} not null,
	ca_cert {bytes} not null,
	ca_key {bytes} not null -- encrypted
);
create table vault_signers (
	name {text} primary key,
	epoch bigint not null,
	rev bigint not null, -- the revision that told nodes to trust the key
	at bigint not null,
	private {bytes} not null -- encrypted
);
create table vault_invitations (
	id {text} primary key,
	digest {bytes} not null,
	name {text} not null,
	region {text} not null,
	actor {text} not null,
	expires bigint not null,
	used bigint not null -- 0: not yet
);
create index vault_invitations_expires on vault_invitations (expires);
create table vault_tokens (
	name {text} primary key,
	public {text} not null,
	digest {bytes} not null,
	role {text} not null,
	at bigint not null
);
create unique index vault_tokens_public on vault_tokens (public);
create table vault_secrets (
	name {text} primary key,
	at bigint not null,
	body {bytes} not null -- encrypted: the salt and the value
);
`},
	}
}

// Open opens the vault of a store, which must have been opened with Schema. In an empty database it makes the first
// signing key, the certificate authority and the resource that tells nodes whom to trust; of several origins that do so
// at the same time, all get those of one. ErrKEK tells that others used another KEK before.
func Open(ctx context.Context, s *store.Store, o Options) (*Vault, error) {
	v := &Vault{store: s, now: o.Now}
	if v.now == nil {
		v.now = time.Now
	}
	kek, err := v.keks.add(o.KEK)
	if err != nil {
		return nil, fmt.Errorf("cannot open the vault: %w", err)
	}
	first, err := v.newIdentity(kek)
	if err != nil {
		return nil, fmt.Errorf("cannot open the vault: %w", err)
	}
	err = s.Update(ctx, func(t *store.Tx) error { return v.open(t, first) })
	if err != nil {
		return nil, fmt.Errorf("cannot open the vault: %w", err)
	}
	return v, nil
}

// identity is what the first origin of a database puts there.
type identity struct {
	root   root
	signer ed25519.PrivateKey
	sealed []byte // the signer
}

func (v *Vault) newIdentity(kek *sealer) (*identity, error) {
	cert, key, err := newAuthority(v.now())
	if err != nil {
		return nil, err
	}
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	return &identity{
		root:   root{kek: kek.id, cert: cert, key: kek.seal(sealedCA, "", key)},
		signer: signer,
		sealed: kek.seal(sealedSigner, signerName(signer), signer.Seed()),
	}, nil
}

// open makes what is missing, and takes over what is there.
func (v *Vault) open(t *store.Tx, first *identity) error {
	made, err := t.Exec("insert into vault_root (id, kek, ca_cert, ca_key) values (1, ?, ?, ?) on conflict do nothing",
		first.root.kek, first.root.cert, first.root.key)
	if err != nil {
		return err
	}
	if made > 0 {
		if err := v.admit(t, first.signer, first.sealed, "origin", "make the first signing key"); err != nil {
			return err
		}
	}
	r, kek, err := v.lockRoot(t)
	if err != nil {
		return err
	}
	key, err := kek.open(sealedCA, "", r.key)
	if err != nil {
		return err
	}
	if v.ca, err = loadAuthority(r.cert, key); err != nil {
		return err
	}
	return v.ensureTrust(t)
}

// root is the row that all origins share.
type root struct {
	kek       string // the ID of the KEK in use
	cert, key []byte // of the CA: DER, and encrypted
}

// lockRoot keeps the KEK in use from being changed until the transaction ends.
func (v *Vault) lockRoot(t *store.Tx) (root, *sealer, error) { return v.readRoot(t, "{for update}") }

func (v *Vault) readRoot(t *store.Tx, suffix string) (r root, kek *sealer, err error) {
	err = t.Row("select kek, ca_cert, ca_key from vault_root where id = 1 "+suffix).Scan(&r.kek, &r.cert, &r.key)
	if err != nil {
		return root{}, nil, err
	}
	kek, err = v.keks.get(r.kek)
	return r, kek, err
}
