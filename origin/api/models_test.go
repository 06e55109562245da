package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/wire"
)

func TestLifeOfAVersion(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.seed()
	const model = "/api/v1/models/bot"
	var made control.VersionMade
	dry := s.do(post, model+"/versions", `{"body":{"params":{"temperature":1}},"from":"1.0.0","dry_run":true}`).is(http.StatusOK)
	dry.into(&made)
	assert.True(t, made.DryRun)
	a := s.do(post, model+"/versions", `{"body":{"params":{"temperature":1}},"from":"1.0.0"}`).is(http.StatusCreated)
	a.into(&made)
	fitsRoute(t, document, post, "/api/v1/models/{name}/versions", a.body)
	assert.Equal(t, "1.2.0", made.Version)
	assert.Equal(t, "minor", made.Bump)

	var d control.VersionDiff
	a = s.do(get, model+"/diff?from=1.0.0&to=1.2.0", "").is(http.StatusOK)
	a.into(&d)
	fitsRoute(t, document, get, "/api/v1/models/{name}/diff", a.body)
	assert.Equal(t, "minor", d.Bump)
	s.do(get, model+"/diff?from=1.0.0", "").failed(http.StatusBadRequest, codeInvalid, "both are needed")
	s.do(get, model+"/diff?from=1.0.0&to=9.9.9", "").failed(http.StatusNotFound, codeNotFound)

	var p control.Promoted
	s.do(post, model+"/promote", `{"version":"1.2.0","to":"production"}`).failed(http.StatusUnprocessableEntity, control.CodeStep)
	s.do(post, model+"/promote", `{"version":"1.2.0"}`).is(http.StatusOK).into(&p)
	assert.Equal(t, "staging", p.Status)
	f := s.do(post, model+"/promote", `{"version":"1.2.0","min_requests":5}`).failed(http.StatusUnprocessableEntity, control.CodeGate)
	require.NotEmpty(t, f.Gates)
	a = s.do(post, model+"/promote", `{"version":"1.2.0"}`).is(http.StatusOK)
	a.into(&p)
	fitsRoute(t, document, post, "/api/v1/models/{name}/promote", a.body)
	assert.Equal(t, "1.0.0", p.Former)
	s.do(put, "/api/v1/versions/bot@1.2.0", `{"status":"production","targets":[{"provider":"openai","model":"other"}]}`).
		failed(http.StatusUnprocessableEntity, control.CodeFixed)

	a = s.do(post, model+"/rollback", "").is(http.StatusOK)
	a.into(&p)
	fitsRoute(t, document, post, "/api/v1/models/{name}/rollback", a.body)
	assert.Equal(t, "1.0.0", p.Version)

	s.do(post, model+"/promote", `{"version":"1.2.0","to":"production","at":"2999-01-01T00:00:00Z"}`).is(http.StatusOK)
	var page Page[control.Release]
	a = s.do(get, "/api/v1/releases", "").is(http.StatusOK)
	a.into(&page)
	fitsRoute(t, document, get, "/api/v1/releases", a.body)
	require.Len(t, page.Items, 1)
	assert.Equal(t, "scheduled", page.Items[0].State)
	s.do(del, "/api/v1/releases/bot", "").is(http.StatusOK)
	s.do(del, "/api/v1/releases/bot", "").failed(http.StatusNotFound, codeNotFound)
}

func TestKeysAreToldOnce(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.seed()
	var made, other control.KeyMade
	a := s.do(post, "/api/v1/keys", `{"name":"team-a","models":["bot"]}`, "Idempotency-Key", "k").is(http.StatusCreated)
	a.into(&made)
	fitsRoute(t, document, post, "/api/v1/keys", a.body)
	s.do(post, "/api/v1/keys", `{"name":"team-a","models":["bot"]}`, "Idempotency-Key", "k").failed(http.StatusConflict, codeConflict, "told once")
	s.do(post, "/api/v1/keys", `{"name":"team-a","models":["bot"]}`).failed(http.StatusConflict, codeConflict, "rotate")
	assert.NotContains(t, string(s.do(get, "/api/v1/keys/team-a", "").is(http.StatusOK).body), made.Key)
	s.do(post, "/api/v1/keys/team-a/rotate", "").is(http.StatusCreated).into(&other)
	assert.NotEqual(t, made.Key, other.Key)
	s.do(post, "/api/v1/keys/nobody/rotate", "").failed(http.StatusNotFound, codeNotFound)
	s.do(del, "/api/v1/keys/team-a", "", "If-Match", `"1"`).failed(http.StatusPreconditionFailed, codeConflict)
	s.do(del, "/api/v1/keys/team-a", "").is(http.StatusOK)
	s.do(del, "/api/v1/keys/team-a", "").failed(http.StatusNotFound, codeNotFound)
	assert.NotContains(t, s.log.String(), made.Key)
}

func TestSecretsNeverComeOut(t *testing.T) {
	s := newServer(t)
	s.seed()
	const value = "sk-very-secret"
	answers := []answer{
		s.do(put, "/api/v1/secrets/openai", `{"value":"`+value+`"}`).is(http.StatusCreated),
		s.do(get, "/api/v1/secrets/openai", "").is(http.StatusOK),
		s.do(get, "/api/v1/secrets", "").is(http.StatusOK),
		s.do(get, "/api/v1/catalog", "").is(http.StatusOK),
		s.do(get, "/api/v1/audit", "").is(http.StatusOK),
		s.do(get, "/api/v1/audit/secrets/openai", "").is(http.StatusOK),
	}
	for _, a := range answers {
		assert.NotContains(t, string(a.body), value)
	}
	assert.Contains(t, string(answers[1].body), "sha256:")
	backup := s.do(post, "/api/v1/backup", "").is(http.StatusOK)
	assert.NotContains(t, string(backup.body), value)
	assert.NotContains(t, s.log.String(), value)
	s.do(put, "/api/v1/secrets/openai", `{"value":""}`).failed(http.StatusBadRequest, codeInvalid, "value")
	s.do(del, "/api/v1/secrets/openai", "").is(http.StatusOK)
	s.do(del, "/api/v1/secrets/openai", "").failed(http.StatusNotFound, codeNotFound)
}

func TestUsage(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.seed()
	now := time.Now()
	_, err := s.ledger.Book(t.Context(), "n1", &wire.Report{Incarnation: "i", Seq: 1, Usage: []wire.Usage{
		{Hour: now.Unix() / 3600, Model: "bot", Version: "1.0.0", Key: "k", Provider: "openai", Requests: 3, Input: 30, Output: 6, CostNano: 9},
		{Hour: now.Unix() / 3600, Model: "bot", Version: "1.1.0", Key: "k", Provider: "openai", Requests: 2, Code: "upstream_error"},
	}})
	require.NoError(t, err)
	require.NoError(t, s.ledger.Fold(t.Context()))
	var page Page[ledger.Row]
	a := s.do(get, "/api/v1/usage", "").is(http.StatusOK)
	a.into(&page)
	fitsRoute(t, document, get, "/api/v1/usage", a.body)
	require.Len(t, page.Items, 1)
	assert.EqualValues(t, 5, page.Items[0].Requests)
	s.do(get, "/api/v1/usage?by=model,version&since=7d&until="+now.Add(time.Hour).UTC().Format(time.RFC3339), "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 2)
	assert.EqualValues(t, 9, page.Items[0].CostNano)
	s.do(get, "/api/v1/usage?by=model,version&version=1.1.0", "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 1)
	s.do(get, "/api/v1/usage?by=model,version&where=version:1.1.0", "").is(http.StatusOK).into(&page)
	assert.Len(t, page.Items, 1)
	s.do(get, "/api/v1/usage?limit=1&by=version", "").is(http.StatusOK).into(&page)
	require.Len(t, page.Items, 1)
	for query, says := range map[string]string{
		"by=colour": "colour", "by=model,model": "model", "since=yesterday": "since", "since=1h&until=2h": "not before until", "limit=0": "limit",
	} {
		s.do(get, "/api/v1/usage?"+query, "").failed(http.StatusBadRequest, codeInvalid, says)
	}

	a = s.do(get, "/api/v1/models/bot/metrics?since=2h", "").is(http.StatusOK)
	fitsRoute(t, document, get, "/api/v1/models/{name}/metrics", a.body)
	s.do(get, "/api/v1/models/bot/metrics?since=-2h", "").failed(http.StatusBadRequest, codeInvalid, "time span")
	s.do(get, "/api/v1/models/none/metrics", "").failed(http.StatusNotFound, codeNotFound)
}
