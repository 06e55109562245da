package vault

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// keepInvitations is how long after its end an invitation is remembered, to tell late comers what is wrong.
const keepInvitations = 30 * 24 * time.Hour

// Invitation lets one node enrol.
type Invitation struct {
	Name    string    // "" lets the node choose
	Region  string    // may be empty
	Expires time.Time // in whole seconds
	Actor   string    // who invites
}

// Invite makes a join token. Its secret is not kept: nobody can be told the token again. The token names the CA; who
// offers plain HTTP takes that out.
func (v *Vault) Invite(ctx context.Context, i Invitation) (wire.JoinToken, error) {
	now := v.now()
	i.Expires = i.Expires.UTC().Truncate(time.Second)
	if err := i.check(now); err != nil {
		return wire.JoinToken{}, fmt.Errorf("cannot invite a node: %w: %w", store.ErrInvalid, err)
	}
	token := wire.JoinToken{ID: randomText(10), Secret: randomText(32), Expires: i.Expires, CA: v.ca.fingerprint[:]}
	digest := digestOf(token.Secret)
	err := v.store.Update(ctx, func(t *store.Tx) error {
		if _, err := t.Exec("delete from vault_invitations where expires < ?", now.Add(-keepInvitations).Unix()); err != nil {
			return err
		}
		_, err := t.Exec("insert into vault_invitations (id, digest, name, region, actor, expires, used) values (?, ?, ?, ?, ?, ?, 0)",
			token.ID, digest[:], i.Name, i.Region, i.Actor, i.Expires.Unix())
		return err
	})
	if err != nil {
		return wire.JoinToken{}, fmt.Errorf("cannot invite a node: %w", err)
	}
	return token, nil
}

func (i *Invitation) check(now time.Time) error {
	if i.Name != "" {
		if err := wire.CheckName(i.Name); err != nil {
			return err
		}
	}
	if i.Region != "" {
		if err := wire.CheckName(i.Region); err != nil {
			return fmt.Errorf("the region: %w", err)
		}
	}
	if !utf8.ValidString(i.Actor) || strings.ContainsRune(i.Actor, 0) {
		return errors.New("who invites it is not text")
	}
	if !i.Expires.After(now) {
		return errors.New("it would have expired already")
	}
	return nil
}

// Redeem takes a join token for a node, in the caller's transaction: the token is used when that commits. name is what
// the node wants to be called; "" takes the invitation's. The invitation that it returns has the node's name. The
// errors are ErrJoinUnknown, ErrJoinUsed, ErrJoinExpired and ErrJoinName.
func (v *Vault) Redeem(t *store.Tx, token wire.JoinToken, name string) (Invitation, error) {
	i, err := v.redeem(t, token, name)
	if err != nil {
		return Invitation{}, fmt.Errorf("cannot let the node %q join: %w", name, err)
	}
	return i, nil
}

var errJoinUnknown = fmt.Errorf("%w: make another with wedge node invite", ErrJoinUnknown)

func (v *Vault) redeem(t *store.Tx, token wire.JoinToken, name string) (i Invitation, err error) {
	if !isRandomText(token.ID) {
		return i, errJoinUnknown
	}
	var digest []byte
	var expires, used int64
	err = t.Row("select digest, name, region, actor, expires, used from vault_invitations where id = ? {for update}", token.ID).
		Scan(&digest, &i.Name, &i.Region, &i.Actor, &expires, &used)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return i, err
	}
	given := digestOf(token.Secret)
	now := v.now()
	i.Expires = time.Unix(expires, 0).UTC()
	switch same := subtle.ConstantTimeCompare(given[:], digest) == 1; {
	case !same:
		return i, errJoinUnknown
	case used != 0:
		return i, fmt.Errorf("%w, at %s: each lets one node join: make another with wedge node invite",
			ErrJoinUsed, time.Unix(used, 0).UTC().Format(time.RFC3339))
	case !now.Before(i.Expires):
		return i, fmt.Errorf("%w, at %s: make another with wedge node invite", ErrJoinExpired, i.Expires.Format(time.RFC3339))
	case i.Name != "" && name != "" && name != i.Name:
		return i, fmt.Errorf("%w: it is for %q: give the node that name, or none", ErrJoinName, i.Name)
	}
	if i.Name == "" {
		i.Name = name
	}
	if err := wire.CheckName(i.Name); err != nil {
		return i, fmt.Errorf("%w: %w", ErrJoinName, err)
	}
	_, err = t.Exec("update vault_invitations set used = ? where id = ?", now.Unix(), token.ID)
	return i, err
}

func digestOf(secret string) [sha256.Size]byte { return sha256.Sum256([]byte(secret)) }

const textAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

var textEncoding = base32.NewEncoding(textAlphabet).WithPadding(base32.NoPadding)

// randomText draws n random bytes and writes them in letters and digits.
func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return textEncoding.EncodeToString(b)
}

// isRandomText keeps from the database what it could not even compare, such as bytes that are no text.
func isRandomText(s string) bool { return s != "" && strings.Trim(s, textAlphabet) == "" }
