package api

import (
	"net/http"
	"regexp"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// NewToken asks for a token.
type NewToken struct {
	Name string     `json:"name"` // of the person or program
	Role vault.Role `json:"role"`
}

// MadeToken is a new token. It is told once.
type MadeToken struct {
	Name  string     `json:"name"`
	Role  vault.Role `json:"role"`
	Token string     `json:"token"`
}

func (c *call) tokens() (page Page[vault.TokenInfo], err error) {
	items, err := c.options.Vault.Tokens(c.r.Context())
	return pageOf(items, ""), err
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$`)

func (c *call) newToken(t NewToken) (MadeToken, error) {
	if !tokenName.MatchString(t.Name) {
		return MadeToken{}, invalid("the name of a token is 1 to 100 letters, digits and . _ @ + -, and begins with a letter or digit")
	}
	if !t.Role.Covers(vault.Viewer) {
		return MadeToken{}, invalid("the role is %q; want viewer, operator or admin", t.Role)
	}
	if err := c.toldOnce("token.create", t.Name); err != nil {
		return MadeToken{}, err
	}
	token, err := c.options.Vault.NewToken(c.r.Context(), t.Name, t.Role)
	if err != nil {
		return MadeToken{}, err
	}
	c.note("token.create", t.Name, string(t.Role))
	return MadeToken{t.Name, t.Role, token}, nil
}

func (c *call) revokeToken() (Done, error) {
	return c.once("token.revoke", func() error { return c.options.Vault.RevokeToken(c.r.Context(), c.name()) })
}

func (c *call) signers() (page Page[vault.SignerInfo], err error) {
	items, err := c.options.Vault.Signers(c.r.Context())
	return pageOf(items, ""), err
}

func (c *call) rotateSigner() (page Page[vault.SignerInfo], err error) {
	_, err = c.once("signer.rotate", func() error { return c.options.Vault.RotateSigner(c.r.Context(), c.who.Name) })
	if err != nil {
		return page, err
	}
	return c.signers()
}

func (c *call) retireSigner() (Done, error) {
	return c.once("signer.retire", func() error { return c.options.Vault.RetireSigner(c.r.Context(), c.name(), c.who.Name) })
}

func (c *call) backup() error {
	c.note("backup", "", "")
	return c.download("wedge.backup", func(w http.ResponseWriter) error {
		_, err := c.store.Backup(c.r.Context(), w)
		return err
	})
}
