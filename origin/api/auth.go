package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// identify finds out who asks by the bearer token, and refuses those whose role is not enough.
func (c *call) identify() error {
	if c.route.role == anyone {
		c.x.quiet = true
		return nil
	}
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || strings.TrimSpace(token) == "" {
		return unauthenticated("this needs a token: send Authorization: Bearer wo_…")
	}
	who, err := c.options.Vault.Authenticate(c.r.Context(), strings.TrimSpace(token))
	if errors.Is(err, vault.ErrToken) {
		return unauthenticated("this token is not one of this origin's, or was revoked")
	}
	if err != nil {
		return err
	}
	c.who, c.x.actor = who, who.Name
	if !who.Role.Covers(c.route.role) {
		return faultf(http.StatusForbidden, codeForbidden, "%s is %s; this needs the role %s", who.Name, who.Role, c.route.role)
	}
	return nil
}

func unauthenticated(message string) *fault {
	f := faultf(http.StatusUnauthorized, codeUnauthenticated, "%s", message)
	f.header = http.Header{"Www-Authenticate": {`Bearer realm="wedge"`}}
	return f
}
