package api

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/vault"
)

// Each route with each role: who may not, gets 401 or 403, and nothing happens; who may, gets something else.
func TestEveryRouteWithEveryRole(t *testing.T) {
	s := newServer(t)
	s.seed()
	s.fleet.bundle = func(w io.Writer) error {
		_, err := io.WriteString(w, "bundle")
		return err
	}
	rank := map[vault.Role]int{anyone: 0, vault.Viewer: 1, vault.Operator: 2, vault.Admin: 3}
	for i := range s.api.routes {
		r := &s.api.routes[i]
		require.Contains(t, rank, r.role)
		if r.changes() {
			require.GreaterOrEqual(t, rank[r.role], rank[vault.Operator], "%s %s changes something", r.method, r.path)
		}
		path := wildcard.ReplaceAllString(r.path, "nothing")
		for role, has := range rank {
			head, err := s.store.Head(t.Context())
			require.NoError(t, err)
			response := s.open(role, r.method, path, `{"nobody":"reads this"}`)
			if r.path != pathChanges {
				_, err := io.Copy(io.Discard, response.Body)
				require.NoError(t, err)
			}
			require.NoError(t, response.Body.Close())
			switch {
			case has >= rank[r.role]:
				assert.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, response.StatusCode, "%s %s as %q", r.method, path, role)
				assert.Less(t, response.StatusCode, 500, "%s %s as %q", r.method, path, role)
				continue
			case role == anyone:
				assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "%s %s", r.method, path)
				assert.True(t, strings.HasPrefix(response.Header.Get("Www-Authenticate"), "Bearer"))
			default:
				assert.Equal(t, http.StatusForbidden, response.StatusCode, "%s %s as %q", r.method, path, role)
			}
			after, err := s.store.Head(t.Context())
			require.NoError(t, err)
			assert.Equal(t, head, after)
		}
	}
}

func TestOnlyTheSecretsOfOthersAndKeysOfTheOriginNeedAnAdmin(t *testing.T) {
	var admins []string
	for _, r := range routes() {
		if r.role == vault.Admin {
			admins = append(admins, r.method+" "+r.path)
		}
	}
	assert.ElementsMatch(t, []string{
		"GET /api/v1/tokens", "POST /api/v1/tokens", "DELETE /api/v1/tokens/{name}", "GET /api/v1/signer",
		"DELETE /api/v1/signer/{name}", "POST /api/v1/signer/rotate", "POST /api/v1/backup", "DELETE /api/v1/secrets/{name...}",
	}, admins)
}

func TestTokens(t *testing.T) {
	s := newServer(t)
	for _, header := range []string{"", "Bearer", "Bearer ", "Basic YTpi", "Bearer wo_abc", s.tokens[vault.Admin]} {
		s.as(anyone, get, "/api/v1/catalog", "", "Authorization", header).failed(http.StatusUnauthorized, codeUnauthenticated)
	}
	s.as(anyone, get, "/api/v1/catalog", "", "Authorization", "bearer  "+s.tokens[vault.Viewer]).is(http.StatusOK)

	var made MadeToken
	s.do(post, "/api/v1/tokens", `{"name":"ci","role":"operator"}`).is(http.StatusCreated).into(&made)
	assert.Equal(t, vault.Operator, made.Role)
	s.do(post, "/api/v1/tokens", `{"name":"ci","role":"operator"}`).failed(http.StatusConflict, codeConflict)
	s.do(post, "/api/v1/tokens", `{"name":"x","role":"root"}`).failed(http.StatusBadRequest, codeInvalid, "viewer, operator or admin")
	s.do(post, "/api/v1/tokens", `{"name":" ","role":"viewer"}`).failed(http.StatusBadRequest, codeInvalid, "name")
	bearer := "Bearer " + made.Token
	s.as(anyone, post, "/api/v1/apply", basic, "Authorization", bearer).is(http.StatusOK)

	list := s.do(get, "/api/v1/tokens", "").is(http.StatusOK)
	var page Page[vault.TokenInfo]
	list.into(&page)
	require.Len(t, page.Items, 4)
	assert.NotContains(t, string(list.body), strings.Split(made.Token, "_")[2])

	s.do(del, "/api/v1/tokens/ci", "").is(http.StatusOK)
	s.as(anyone, get, "/api/v1/catalog", "", "Authorization", bearer).failed(http.StatusUnauthorized, codeUnauthenticated, "revoked")
	s.do(del, "/api/v1/tokens/ci", "").failed(http.StatusNotFound, codeNotFound)
	for _, secret := range append([]string{made.Token}, s.tokens[vault.Admin], s.tokens[vault.Viewer]) {
		assert.NotContains(t, s.log.String(), secret)
	}
	assert.Contains(t, s.log.String(), `action=token.create subject=ci detail=operator`)
}

func TestSigners(t *testing.T) {
	s := newServer(t)
	var page Page[vault.SignerInfo]
	s.do(get, "/api/v1/signer", "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 1)
	old := page.Items[0].Name
	s.do(del, "/api/v1/signer/"+old, "").failed(http.StatusBadRequest, codeInvalid, "rotate first")
	s.do(post, "/api/v1/signer/rotate", "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 2)
	s.do(del, "/api/v1/signer/"+old, "").is(http.StatusOK)
	s.do(get, "/api/v1/signer", "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 1)
	assert.NotEqual(t, old, page.Items[0].Name)
}
