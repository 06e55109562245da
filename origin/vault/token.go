package vault

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Role is what a person may do. Each one may do what those before it may.
type Role string

// The roles, from the least to the most.
const (
	Viewer   Role = "viewer"
	Operator Role = "operator"
	Admin    Role = "admin"
)

var roles = []Role{Viewer, Operator, Admin}

// Covers tells whether who has the role may do what needs another one. No role covers one that there is not.
func (r Role) Covers(needed Role) bool {
	return slices.Contains(roles, needed) && slices.Index(roles, r) >= slices.Index(roles, needed)
}

// Identity is who has come.
type Identity struct {
	Name string
	Role Role
}

// TokenInfo tells of a person's token, without it.
type TokenInfo struct {
	Name   string    `json:"name"`
	Role   Role      `json:"role"`
	Public string    `json:"public"` // the part of the token that is no secret: see NewToken
	Made   time.Time `json:"made"`
}

const (
	tokenPrefix = "wo_"
	publicLen   = 12
	cacheFor    = time.Second
	maxCached   = 1024
)

// NewToken makes a token by which a person, or a program, of this name is known: wo_, a public part of 12 letters and
// digits, an underscore, and the secret. Only a digest is kept: nobody can be told the token again. ErrExists tells that
// the name has one.
func (v *Vault) NewToken(ctx context.Context, name string, role Role) (token string, err error) {
	if err := checkToken(name, role); err != nil {
		return "", fmt.Errorf("cannot make a token: %w: %w", store.ErrInvalid, err)
	}
	public := randomText(8)[:publicLen]
	token = tokenPrefix + public + "_" + randomText(32)
	digest := digestOf(token)
	err = v.store.Update(ctx, func(t *store.Tx) error {
		made, err := t.Exec("insert into vault_tokens (name, public, digest, role, at) values (?, ?, ?, ?, ?) on conflict (name) do nothing",
			name, public, digest[:], string(role), v.now().UnixMilli())
		if err == nil && made == 0 {
			err = fmt.Errorf("%w: revoke it first, or choose another name", ErrExists)
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("cannot make a token named %q: %w", name, err)
	}
	return token, nil
}

func checkToken(name string, role Role) error {
	if !slices.Contains(roles, role) {
		return fmt.Errorf("%q is not a role: choose viewer, operator or admin", role)
	}
	return wire.CheckName(name)
}

// Tokens tells of all tokens, ordered by name.
func (v *Vault) Tokens(ctx context.Context) (infos []TokenInfo, err error) {
	err = v.store.View(ctx, func(t *store.Tx) error {
		infos, err = readTokens(t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the tokens: %w", err)
	}
	return infos, nil
}

func readTokens(t *store.Tx) ([]TokenInfo, error) {
	rows, err := t.Query("select name, role, public, at from vault_tokens order by name")
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	infos := []TokenInfo{}
	for rows.Next() {
		var i TokenInfo
		var at int64
		if err := rows.Scan(&i.Name, &i.Role, &i.Public, &at); err != nil {
			return nil, err
		}
		i.Made = time.UnixMilli(at).UTC()
		infos = append(infos, i)
	}
	return infos, rows.Err()
}

// RevokeToken ends the token of a name: at once at this origin, within a second at others.
func (v *Vault) RevokeToken(ctx context.Context, name string) error {
	err := v.store.Update(ctx, func(t *store.Tx) error { return deleteNamed(t, "vault_tokens", name) })
	v.tokens.forget()
	if err != nil {
		return fmt.Errorf("cannot revoke the token named %q: %w", name, err)
	}
	return nil
}

// deleteNamed deletes a row, or returns ErrNotFound.
func deleteNamed(t *store.Tx, table, name string) error {
	if wire.CheckName(name) != nil {
		return store.ErrNotFound
	}
	gone, err := t.Exec("delete from "+table+" where name = ?", name)
	if err == nil && gone == 0 {
		err = store.ErrNotFound
	}
	return err
}

// Authenticate tells whose token it is. ErrToken tells that it is nobody's.
func (v *Vault) Authenticate(ctx context.Context, token string) (Identity, error) {
	rest, ok := strings.CutPrefix(token, tokenPrefix)
	public, secret, _ := strings.Cut(rest, "_")
	if !ok || !isRandomText(public) || !isRandomText(secret) {
		return Identity{}, ErrToken
	}
	digest := digestOf(token)
	known, asked, ok := v.tokens.get(digest)
	if ok {
		return known, nil
	}
	var i Identity
	var kept []byte
	err := v.store.View(ctx, func(t *store.Tx) error {
		return t.Row("select name, role, digest from vault_tokens where public = ?", public).Scan(&i.Name, &i.Role, &kept)
	})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Identity{}, fmt.Errorf("cannot look a token up: %w", err)
	}
	if subtle.ConstantTimeCompare(digest[:], kept) != 1 {
		return Identity{}, ErrToken
	}
	v.tokens.put(digest, i, asked)
	return i, nil
}

// tokenCache remembers who has come, for cacheFor from the time that the database was asked.
type tokenCache struct {
	mu      sync.Mutex
	round   int // counts the calls of forget
	entries map[[sha256.Size]byte]cachedToken
}

type cachedToken struct {
	Identity
	asked asking
}

// asking is when the database was asked.
type asking struct {
	at    time.Time // the process's own clock, that nobody sets
	round int
}

func (c *tokenCache) get(digest [sha256.Size]byte) (Identity, asking, bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[digest]
	return e.Identity, asking{now, c.round}, ok && now.Sub(e.asked.at) < cacheFor
}

// put remembers an identity, unless a token has been revoked since the database was asked.
func (c *tokenCache) put(digest [sha256.Size]byte, i Identity, asked asking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if asked.round != c.round {
		return
	}
	if len(c.entries) >= maxCached || c.entries == nil {
		c.entries = map[[sha256.Size]byte]cachedToken{}
	}
	c.entries[digest] = cachedToken{i, asked}
}

func (c *tokenCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.round++
	c.entries = nil
}
