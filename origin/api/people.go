package api

import (
	"net/http"
	"regexp"
)

// NewToken asks for a token.
type NewToken struct {
	Name string `json:"name"` // of the person or program
	Role Role   `json:"role"`
}

// MadeToken is a new token. It is told once.
type MadeToken struct {
	Name  string `json:"name"`
	Role  Role   `json:"role"`
	Token string `json:"token"`
}

func (c *call) tokens() (page Page[TokenInfo], err error) {
	items, err := c.options.Users.Tokens(c.r.Context())
	return pageOf(items, ""), err
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$`)

func (c *call) newToken(t NewToken) (MadeToken, error) {
	if !tokenName.MatchString(t.Name) {
		return MadeToken{}, invalid("the name of a token is 1 to 100 letters, digits and . _ @ + -, and begins with a letter or digit")
	}
	if ranks[t.Role] == 0 {
		return MadeToken{}, invalid("the role is %q; want viewer, operator or admin", t.Role)
	}
	token, err := c.options.Users.NewToken(c.r.Context(), t.Name, t.Role)
	if err != nil {
		return MadeToken{}, err
	}
	c.note("token made", "name", t.Name, "role", t.Role)
	return MadeToken{t.Name, t.Role, token}, nil
}

func (c *call) revokeToken() (Done, error) {
	err := c.options.Users.RevokeToken(c.r.Context(), c.name())
	if err == nil {
		c.note("token revoked", "name", c.name())
	}
	return Done{Name: c.name()}, err
}

// Signers are the public keys that nodes believe.
type Signers struct {
	Keys []string `json:"keys"`
}

func (c *call) rotateSigner() (s Signers, err error) {
	if err := c.options.Users.RotateSigner(c.r.Context(), c.who.Name, c.reason()); err != nil {
		return s, err
	}
	c.note("signing key rotated", "reason", c.reason())
	s.Keys, err = c.options.Users.Trust(c.r.Context())
	return s, err
}

func (c *call) backup() error {
	c.note("backup taken", "reason", c.reason())
	return c.download("wedge.backup", func(w http.ResponseWriter) error {
		_, err := c.store.Backup(c.r.Context(), w)
		return err
	})
}
