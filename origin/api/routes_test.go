package api

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestHealth(t *testing.T) {
	s := newServer(t)
	assert.JSONEq(t, `{"status":"ok","version":"test"}`, string(s.as(anyone, get, "/healthz", "").is(http.StatusOK).body))
	var ready Ready
	s.as(anyone, get, "/readyz", "").is(http.StatusOK).into(&ready)
	assert.Equal(t, s.rev(), ready.Rev)
	s.as(anyone, http.MethodHead, "/readyz", "").is(http.StatusOK)
}

func TestWithoutADatabase(t *testing.T) {
	s := newServer(t)
	admin := s.tokens[vault.Admin]
	require.NoError(t, s.store.Close())
	s.as(anyone, get, "/healthz", "").is(http.StatusOK)
	s.as(anyone, get, "/readyz", "").failed(http.StatusServiceUnavailable, codeUnavailable)
	a := s.do(get, "/api/v1/catalog", "")
	assert.GreaterOrEqual(t, a.status, 500)
	assert.NotContains(t, string(a.body), "sql", "what went wrong inside is not told")
	assert.Contains(t, s.log.String(), a.header.Get("X-Request-Id"))
	assert.NotContains(t, s.log.String(), admin)
}

func TestNoRoute(t *testing.T) {
	s := newServer(t)
	s.as(anyone, get, "/", "").failed(http.StatusNotFound, codeNotFound, pathOpenAPI)
	s.do(get, "/api/v1/colours", "").failed(http.StatusNotFound, codeNotFound)
	for path, allow := range map[string]string{
		"/api/v1/apply": "POST", "/api/v1/catalog": "GET, HEAD", "/api/v1/keys": "GET, HEAD, POST",
		"/api/v1/models/bot": "DELETE, GET, HEAD, PUT", "/healthz": "GET, HEAD",
	} {
		a := s.do(http.MethodPatch, path, "")
		a.failed(http.StatusMethodNotAllowed, codeMethod, allow)
		assert.Equal(t, allow, a.header.Get("Allow"))
	}
}

// No resource can have a name that the API has taken for something else.
func TestNamesThatRoutesTake(t *testing.T) {
	s := newServer(t)
	taken := 0
	for _, r := range routes() {
		for _, k := range kinds {
			word, under := strings.CutPrefix(r.path, v1+k.plural+"/")
			if r.method != get || !under || strings.Contains(word, "{") {
				continue
			}
			taken++
			var catalog string
			switch k.kind {
			case wire.KindBudget:
				catalog = `{"budgets":[{"name":%q,"limit_usd":1,"period":"daily","scope":"total"}]}`
			case wire.KindWebhook:
				catalog = `{"webhooks":[{"name":%q,"url":"https://ops.example/"}]}`
			}
			s.do(post, v1+"apply", fmt.Sprintf(catalog, "x-"+word)).is(http.StatusOK)
			s.do(post, v1+"apply", fmt.Sprintf(catalog, word)).failed(http.StatusBadRequest, codeInvalid)
		}
	}
	assert.Equal(t, 2, taken)
}

func TestHeaders(t *testing.T) {
	s := newServer(t)
	for _, a := range []answer{
		s.do(get, "/api/v1/catalog", "", "Origin", "https://evil.test"), s.do(get, "/nothing", ""), s.as(anyone, get, "/metrics", ""),
		s.do(http.MethodOptions, "/api/v1/catalog", "", "Origin", "https://evil.test", "Access-Control-Request-Method", "GET"),
	} {
		assert.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		assert.Equal(t, "DENY", a.header.Get("X-Frame-Options"))
		assert.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.Contains(t, []string{"no-store", "private, no-cache"}, a.header.Get("Cache-Control"))
		assert.NotEmpty(t, a.header.Get("X-Request-Id"))
		for name := range a.header {
			assert.False(t, strings.HasPrefix(name, "Access-Control-"))
		}
	}
}

func TestLogAndMetrics(t *testing.T) {
	s := newServer(t)
	s.seed()
	a := s.do(get, "/api/v1/models/bot?after=secret-query", "")
	assert.Equal(t, http.StatusBadRequest, a.status)
	text := string(s.as(vault.Viewer, get, "/metrics", "").is(http.StatusOK).body)
	for _, want := range []string{
		`wedge_origin_requests_total{code="400",method="GET",route="/api/v1/models/{name}"} 1`,
		`wedge_origin_requests_total{code="200",method="POST",route="/api/v1/apply"} 1`,
		`wedge_origin_request_seconds_count{route="/api/v1/apply"} 1`, "go_goroutines ", "process_open_fds ",
	} {
		assert.Contains(t, text, want)
	}
	log := s.log.String()
	assert.Contains(t, log, "msg=request id="+a.header.Get("X-Request-Id")+" method=GET path=/api/v1/models/bot status=400")
	assert.Contains(t, log, "actor=the-admin")
	assert.NotContains(t, log, "secret-query")
}

func TestBlobs(t *testing.T) {
	s := newServer(t)
	blob := make([]byte, 1<<20+7)
	_, _ = rand.Read(blob)
	digest := store.DigestOf(blob)
	path := "/api/v1/blobs/" + digest
	s.do(http.MethodHead, path, "").is(http.StatusNotFound)
	s.as(vault.Viewer, put, path, string(blob)).failed(http.StatusForbidden, codeForbidden)
	s.do(put, path, string(blob[1:])).failed(http.StatusBadRequest, codeInvalid, "digest")
	s.do(put, path, "").failed(http.StatusBadRequest, codeInvalid)
	s.do(put, "/api/v1/blobs/sha256:abc", "x").failed(http.StatusBadRequest, codeInvalid)
	var stored BlobStored
	s.do(put, path, string(blob)).is(http.StatusCreated).into(&stored)
	assert.Equal(t, BlobStored{digest, int64(len(blob))}, stored)
	s.do(put, path, string(blob)).is(http.StatusOK)
	head := s.do(http.MethodHead, path, "").is(http.StatusOK)
	assert.Equal(t, fmt.Sprint(len(blob)), head.header.Get("Content-Length"))
	assert.Equal(t, string(blob), string(s.do(get, path, "").is(http.StatusOK).body))
	part := s.do(get, path, "", "Range", "bytes=1048570-").is(http.StatusPartialContent)
	assert.Equal(t, string(blob[1048570:]), string(part.body))

	r := httptest.NewRequest(put, path, io.LimitReader(strings.NewReader(""), 0))
	r.ContentLength = store.MaxBlob + 1
	r.Header.Set("Authorization", "Bearer "+s.tokens[vault.Admin])
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	assert.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
}

func TestNodes(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.fleet.add("n1")
	fitsRoute(t, document, get, "/api/v1/fleet", s.do(get, "/api/v1/fleet", "").is(http.StatusOK).body)
	fitsRoute(t, document, get, "/api/v1/nodes", s.do(get, "/api/v1/nodes", "").is(http.StatusOK).body)
	var n fleet.Node
	a := s.do(post, "/api/v1/nodes/n1/pin", `{"reason":"wait"}`).is(http.StatusOK)
	a.into(&n)
	fitsRoute(t, document, post, "/api/v1/nodes/{name}/pin", a.body)
	assert.True(t, n.Pinned)
	assert.Equal(t, "wait", n.Reason)
	s.do(post, "/api/v1/nodes/n1/unpin?reason=on", "").is(http.StatusOK).into(&n)
	assert.False(t, n.Pinned)
	assert.Equal(t, "on", n.Reason)
	s.do(post, "/api/v1/nodes/n1/drain", "", "X-Reason", "repair").is(http.StatusOK).into(&n)
	assert.True(t, n.Drained)
	assert.Equal(t, "repair", n.Reason)
	s.do(post, "/api/v1/nodes/n1/undrain", "").is(http.StatusOK)
	s.do(get, "/api/v1/nodes/n1", "").is(http.StatusOK).into(&n)
	assert.False(t, n.Drained)
	s.do(post, "/api/v1/nodes/n2/pin", "").failed(http.StatusNotFound, codeNotFound)
	s.do(del, "/api/v1/nodes/n1", "").is(http.StatusOK)
	s.do(get, "/api/v1/nodes/n1", "").failed(http.StatusNotFound, codeNotFound)
	for _, said := range []string{"action=node.pin", "action=node.undrain", "action=node.remove", "actor=the-admin", "reason=repair"} {
		assert.Contains(t, s.log.String(), said)
	}
}

func TestInvite(t *testing.T) {
	for _, plain := range []bool{false, true} {
		s := newServer(t, func(o *Options) { o.Plain = plain })
		var i Invited
		a := s.do(post, "/api/v1/nodes/invite", `{"name":"n1","region":"eu","ttl":"2h"}`).is(http.StatusCreated)
		a.into(&i)
		token, err := wire.ParseJoinToken(i.Token)
		require.NoError(t, err)
		assert.Equal(t, plain, len(token.CA) == 0)
		assert.WithinDuration(t, time.Now().Add(2*time.Hour), i.Expires, time.Minute)
		require.NoError(t, s.store.Update(t.Context(), func(tx *store.Tx) error {
			redeemed, err := s.vault.Redeem(tx, token, "")
			assert.Equal(t, "the-admin", redeemed.Actor)
			assert.Equal(t, "eu", redeemed.Region)
			return err
		}))
		s.do(post, "/api/v1/nodes/invite", "").is(http.StatusCreated).into(&i)
		assert.WithinDuration(t, time.Now().Add(time.Hour), i.Expires, time.Minute)
		for _, ttl := range []string{"-1h", "31d", "1ms"} {
			s.do(post, "/api/v1/nodes/invite", `{"ttl":"`+ttl+`"}`).failed(http.StatusBadRequest, codeInvalid)
		}
		assert.NotContains(t, s.log.String(), i.Token)
	}
}

func TestDownloads(t *testing.T) {
	s := newServer(t)
	s.seed()
	s.fleet.bundle = func(w io.Writer) error {
		_, err := io.WriteString(w, "the bundle")
		return err
	}
	a := s.do(get, "/api/v1/bundle", "").is(http.StatusOK)
	assert.Equal(t, "the bundle", string(a.body))
	assert.Equal(t, mediaBytes, a.header.Get("Content-Type"))
	assert.Contains(t, a.header.Get("Content-Disposition"), "wedge.bundle")
	assert.Empty(t, s.do(http.MethodHead, "/api/v1/bundle", "").is(http.StatusOK).body)

	s.fleet.bundle = func(io.Writer) error { return errors.New("no key") }
	a = s.do(get, "/api/v1/bundle", "")
	a.failed(http.StatusInternalServerError, codeInternal)
	assert.Empty(t, a.header.Get("Content-Disposition"))
	s.fleet.bundle = func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return errors.New("broke off")
	}
	response := s.open(vault.Viewer, get, "/api/v1/bundle", "")
	_, err := io.Copy(io.Discard, response.Body)
	require.Error(t, err, "half a bundle must not look like a whole one")
	require.NoError(t, response.Body.Close())

	backup := s.do(post, "/api/v1/backup", "").is(http.StatusOK)
	head, err := store.Restore(t.Context(), store.Options{URL: t.TempDir() + "/restored.db", Schemas: schemasOf}, strings.NewReader(string(backup.body)))
	require.NoError(t, err)
	assert.Equal(t, s.rev(), head.Rev)
}

func TestPanics(t *testing.T) {
	s := newServer(t)
	s.fleet.bundle = func(io.Writer) error { panic("secret state") }
	a := s.do(get, "/api/v1/bundle", "")
	a.failed(http.StatusInternalServerError, codeInternal)
	assert.NotContains(t, string(a.body), "secret state")
	assert.Contains(t, s.log.String(), "secret state")
	s.do(get, "/api/v1/catalog", "").is(http.StatusOK)
}

func TestAudit(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.seed()
	const path = "/api/v1/providers/x"
	s.as(vault.Operator, put, path+"?reason=make", provider).is(http.StatusCreated)
	s.as(vault.Operator, put, path+"?reason=turn", strings.Replace(provider, "other", "new", 1)).is(http.StatusOK)
	s.as(vault.Operator, del, path+"?reason=end", "").is(http.StatusOK)
	rev := s.rev()

	var trail Trail
	a := s.as(vault.Viewer, get, "/api/v1/audit?limit=2", "").is(http.StatusOK)
	a.into(&trail)
	fitsRoute(t, document, get, "/api/v1/audit", a.body)
	require.Len(t, trail.Items, 2)
	assert.Equal(t, "end", trail.Items[0].Reason)
	assert.Equal(t, "the-operator", trail.Items[0].Actor)
	assert.Equal(t, []Touched{{"provider", "x", "delete"}}, trail.Items[0].Items)
	seen := 2
	for trail.Next > 0 {
		before := trail.Next
		trail = Trail{}
		s.do(get, fmt.Sprintf("/api/v1/audit?limit=2&before=%d", before), "").is(http.StatusOK).into(&trail)
		seen += len(trail.Items)
	}
	assert.EqualValues(t, rev, seen)

	for _, kind := range []string{"provider", "providers"} {
		var page Page[Past]
		a = s.do(get, "/api/v1/audit/"+kind+"/x?limit=2", "").is(http.StatusOK)
		a.into(&page)
		fitsRoute(t, document, get, "/api/v1/audit/{kind}/{name}", a.body)
		require.Len(t, page.Items, 2)
		assert.Nil(t, page.Items[0].Body)
		assert.Contains(t, string(page.Items[1].Body), "new.test")
		s.do(get, "/api/v1/audit/"+kind+"/x?limit=2&after="+page.Next, "").is(http.StatusOK).into(&page)
		require.Len(t, page.Items, 1)
		assert.Equal(t, "make", page.Items[0].Reason)
	}
	assert.JSONEq(t, `{"items":[]}`, string(s.do(get, "/api/v1/audit/provider/nobody", "").body))
	s.do(get, "/api/v1/audit?before=0", "").failed(http.StatusBadRequest, codeInvalid)
}

func TestActionsAreWrittenDown(t *testing.T) {
	document, _ := documentOf(t)
	now := time.Now()
	s := newServer(t, func(o *Options) { o.Now = func() time.Time { now = now.Add(time.Second); return now } })
	s.fleet.add("n1")
	s.as(vault.Operator, post, "/api/v1/nodes/n1/pin", `{"reason":"wait"}`).is(http.StatusOK)
	s.as(vault.Operator, post, "/api/v1/nodes/n1/unpin?reason=go", "").is(http.StatusOK)
	s.as(vault.Operator, post, "/api/v1/nodes/invite", `{"region":"eu"}`).is(http.StatusCreated)
	s.do(post, "/api/v1/tokens?reason=hired", `{"name":"ann","role":"viewer"}`).is(http.StatusCreated)
	s.do(post, "/api/v1/tokens", `{"name":"ann","role":"viewer"}`).is(http.StatusConflict)
	var seen []string
	for after := ""; ; {
		var page Page[Action]
		a := s.as(vault.Viewer, get, "/api/v1/audit/actions?limit=3&after="+after, "").is(http.StatusOK)
		a.into(&page)
		fitsRoute(t, document, get, "/api/v1/audit/actions", a.body)
		for _, a := range page.Items {
			seen = append(seen, strings.Join([]string{a.Actor, a.Action, a.Subject, a.Reason}, " "))
		}
		if after = page.Next; after == "" {
			break
		}
	}
	assert.Equal(t, []string{
		"the-admin token.create ann hired", "the-operator node.invite  ", "the-operator node.unpin n1 go", "the-operator node.pin n1 wait",
	}, seen)
	now = now.Add(keepActions)
	s.do(del, "/api/v1/nodes/n1", "").is(http.StatusOK)
	var page Page[Action]
	s.do(get, "/api/v1/audit/actions", "").into(&page)
	require.Len(t, page.Items, 1)
}

func TestFailuresHaveOneShape(t *testing.T) {
	for _, err := range []error{
		store.ErrNotFound, store.ErrUnknown, &store.ConflictError{Kind: "a", Name: "b", Expected: 1}, vault.ErrExists,
		errors.New("x"), &http.MaxBytesError{Limit: 5}, invalid("no"), fmt.Errorf("deep: %w", store.ErrInvalid),
	} {
		f := faultOf(err)
		assert.Contains(t, codes, f.Code)
		assert.GreaterOrEqual(t, f.status, 400)
		text, jsonErr := json.Marshal(Failure{f.FailureDetail})
		require.NoError(t, jsonErr)
		assert.Contains(t, string(text), `{"error":{"code":"`+f.Code+`","message":"`)
	}
}
