package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestApply(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	var r control.Result
	s.do(post, "/api/v1/apply?dry_run", basic).is(http.StatusOK).into(&r)
	assert.True(t, r.DryRun)
	assert.Len(t, r.Changes, 5)
	before := r.Rev

	a := s.as(vault.Operator, post, "/api/v1/apply?reason=first", basic).is(http.StatusOK)
	a.into(&r)
	assert.Equal(t, before+1, r.Rev)
	fitsRoute(t, document, post, "/api/v1/apply", a.body)

	s.do(post, "/api/v1/apply?prune=true", strings.Split(basic, "prices:")[0]).is(http.StatusOK).into(&r)
	require.Len(t, r.Changes, 1)
	assert.Equal(t, "delete", r.Changes[0].Action)

	f := s.do(post, "/api/v1/apply", "providers:\n  - {name: openai, dialect: nonsense}\n").failed(http.StatusBadRequest, codeInvalid)
	require.NotEmpty(t, f.Problems)
	assert.Equal(t, 2, f.Problems[0].Line)
	s.do(post, "/api/v1/apply?dryrun=true", basic).failed(http.StatusBadRequest, codeInvalid, "dryrun", "dry_run, prune, reason")
	s.do(post, "/api/v1/apply?dry_run=maybe", basic).failed(http.StatusBadRequest, codeInvalid, "true or false")
	s.do(post, "/api/v1/apply?prune=true&prune=false", basic).failed(http.StatusBadRequest, codeInvalid, "twice")
	s.do(post, "/api/v1/apply?%zz", basic).failed(http.StatusBadRequest, codeInvalid, "query")
	s.do(post, "/api/v1/apply", "#"+strings.Repeat("x", maxCatalog)).failed(http.StatusRequestEntityTooLarge, codeTooLarge)
}

func TestCatalogComesOutAsItWentIn(t *testing.T) {
	s := newServer(t)
	s.seed()
	whole := s.do(get, "/api/v1/catalog", "").is(http.StatusOK)
	assert.Equal(t, mediaJSON, whole.header.Get("Content-Type"))
	asYAML := s.do(get, "/api/v1/catalog?format=yaml", "").is(http.StatusOK)
	assert.Equal(t, mediaYAML, asYAML.header.Get("Content-Type"))
	assert.NotEqual(t, whole.header.Get("Etag"), asYAML.header.Get("Etag"))
	want, err := wire.SplitCatalog("json", whole.body)
	require.NoError(t, err)
	got, err := wire.SplitCatalog("yaml", asYAML.body)
	require.NoError(t, err)
	assert.Equal(t, want, got)
	assert.Contains(t, string(asYAML.body), "  - name: bot\n")
	assert.Contains(t, string(asYAML.body), "version: 1.0.0\n")
	var r control.Result
	s.do(post, "/api/v1/apply?prune", string(asYAML.body)).is(http.StatusOK).into(&r)
	assert.Empty(t, r.Changes)

	unchanged := s.do(get, "/api/v1/catalog", "", "If-None-Match", whole.header.Get("Etag")).is(http.StatusNotModified)
	assert.Empty(t, unchanged.body)
	s.do(get, "/api/v1/catalog", "", "If-None-Match", asYAML.header.Get("Etag")).is(http.StatusOK)
	s.do(get, "/api/v1/catalog?format=toml", "").failed(http.StatusBadRequest, codeInvalid, "json or yaml")
}

// What YAML would take for something else stays a text.
func TestYAMLKeepsTypes(t *testing.T) {
	const text = `{"models":[{"name":"1.5","on":"yes","n":1.50,"big":12345678901234567890,"t":"true","z":"null","e":{},"l":[],"s":"a\nb: c","d":"2001-01-01","u":"é #"}]}`
	out, err := yamlOf([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, `models:
  - name: "1.5"
    on: yes
    n: 1.50
    big: 12345678901234567890
    t: "true"
    z: "null"
    e: {}
    l: []
    s: |-
      a
      b: c
    d: "2001-01-01"
    u: 'é #'
`, string(out))
}

func TestResources(t *testing.T) {
	document, _ := documentOf(t)
	s := newServer(t)
	s.seed()
	for plural, name := range map[string]string{"providers": "openai", "models": "bot", "versions": "bot@1.0.0", "prices": "openai%2Fgpt"} {
		path := "/api/v1/" + plural + "/" + name
		list := s.as(vault.Viewer, get, "/api/v1/"+plural, "").is(http.StatusOK)
		fitsRoute(t, document, get, "/api/v1/"+plural, list.body)
		var page Page[control.Resource]
		list.into(&page)
		require.NotEmpty(t, page.Items)

		a := s.as(vault.Viewer, get, path, "").is(http.StatusOK)
		fitsRoute(t, document, get, "/api/v1/"+plural+"/{name}", a.body)
		var r control.Resource
		a.into(&r)
		assert.Equal(t, page.Items[0], r)
		assert.Equal(t, strings.ReplaceAll(name, "%2F", "/"), r.Name)
		assert.Equal(t, fmt.Sprintf(`"%d"`, r.Version), a.header.Get("Etag"))
		s.do(get, path, "", "If-None-Match", a.header.Get("Etag")).is(http.StatusNotModified)
		s.do(get, path, "", "If-None-Match", `"1", W/`+a.header.Get("Etag")).is(http.StatusNotModified)
		s.do(get, path, "", "If-None-Match", `"1"`).is(http.StatusOK)
		head := s.do(http.MethodHead, path, "").is(http.StatusOK)
		assert.Empty(t, head.body)
		assert.Equal(t, a.header.Get("Content-Length"), head.header.Get("Content-Length"))
		s.do(get, path+"x", "").failed(http.StatusNotFound, codeNotFound)
	}
	s.do(get, "/api/v1/prices/openai/gpt", "").is(http.StatusOK) // people write it so, too
}

const provider = `{"dialect":"openai","base_url":"https://other.test/v1"}`

func TestPutAndDelete(t *testing.T) {
	s := newServer(t)
	s.seed()
	const path = "/api/v1/providers/other"
	a := s.do(put, path, provider, "X-Reason", "because").is(http.StatusCreated)
	tag := a.header.Get("Etag")
	s.do(put, path, provider).is(http.StatusOK)
	s.do(put, path, provider, "If-None-Match", "*").failed(http.StatusPreconditionFailed, codeConflict, "there already")
	s.do(put, path, strings.Replace(provider, "other", "new", 1), "If-Match", tag).is(http.StatusOK)
	s.do(put, path, provider, "If-Match", tag).failed(http.StatusPreconditionFailed, codeConflict, "read it again")
	s.do(put, path, provider, "If-Match", "*").is(http.StatusOK)
	s.do(put, path+"2", provider, "If-Match", "*").failed(http.StatusPreconditionFailed, codeConflict)
	s.do(put, path+"2", provider, "If-Match", `"7"`).failed(http.StatusPreconditionFailed, codeConflict)
	for _, wrong := range []string{"7", `W/"7"`, `"x"`, `"0"`, `"-1"`, `"1", "2"`} {
		s.do(put, path, provider, "If-Match", wrong).failed(http.StatusBadRequest, codeInvalid, "If-Match")
	}
	s.do(put, path, provider, "If-None-Match", `"7"`).failed(http.StatusBadRequest, codeInvalid, "If-None-Match")
	s.do(put, path, provider, "If-None-Match", "*", "If-Match", tag).failed(http.StatusBadRequest, codeInvalid, "exclude")

	s.do(del, path, "", "If-Match", tag).failed(http.StatusPreconditionFailed, codeConflict)
	s.do(del, path, "").is(http.StatusOK)
	s.do(del, path, "").failed(http.StatusNotFound, codeNotFound)
	s.do(del, "/api/v1/providers/openai", "").failed(http.StatusBadRequest, codeInvalid) // a model needs it
}

func TestBodiesAreReadStrictly(t *testing.T) {
	s := newServer(t)
	s.seed()
	const promote = "/api/v1/models/bot/promote"
	for body, says := range map[string]string{
		`{"version":"1.1.0","too":"staging"}`:                         `unknown field "too"`,
		`{"version":"1.1.0","to":"staging","to":"production"}`:        `"to" stands there twice`,
		`{"version":"1.1.0"} x`:                                       "more after the value",
		`{"version":"1.1.0"`:                                          "breaks off",
		`{"version":1}`:                                               "cannot read the body",
		"{\"version\":\"\xff\"}":                                      "UTF-8",
		`{"model":"other","version":"1.1.0"}`:                         `the path means the model "bot", and the body "other"`,
		`{"version":"1.1.0","window":"soon"}`:                         "not a time span",
		strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200): "nested too deep",
	} {
		s.do(post, promote, body).failed(http.StatusBadRequest, codeInvalid, says)
	}
	s.do(put, "/api/v1/providers/p", `{"name":"p","x":"`+strings.Repeat("x", maxJSON)+`"}`).failed(http.StatusRequestEntityTooLarge, codeTooLarge)
	s.do(put, "/api/v1/providers/p", "").failed(http.StatusBadRequest, codeInvalid)
	f := s.do(put, "/api/v1/providers/p", `{"dialect":"openai","base_url":"https://x.test","colour":"red"}`).failed(http.StatusBadRequest, codeInvalid)
	require.NotEmpty(t, f.Problems)
	assert.Equal(t, "colour", f.Problems[0].Path)
}

func TestTextsThatNoDatabaseTakes(t *testing.T) {
	s := newServer(t)
	s.seed()
	for _, path := range []string{
		"/api/v1/providers/a%00b", "/api/v1/providers/a%ff", "/api/v1/audit/provider/a%00", "/api/v1/audit/%ff/a", "/api/v1/nodes?after=%00",
		"/api/v1/nodes/%00", "/api/v1/providers?after=%ff",
	} {
		s.do(get, path, "").failed(http.StatusBadRequest, codeInvalid, "UTF-8")
	}
	const path = "/api/v1/providers/new"
	s.do(put, path, provider, "X-Reason", "\xff").failed(http.StatusBadRequest, codeInvalid, "UTF-8")
	s.do(put, path+"?reason="+strings.Repeat("x", 5000), provider).failed(http.StatusBadRequest, codeInvalid)
	s.do(put, "/api/v1/providers/"+strings.Repeat("x", 300), provider).failed(http.StatusBadRequest, codeInvalid)
}

func TestPages(t *testing.T) {
	s := newServer(t)
	var catalog strings.Builder
	catalog.WriteString("providers:\n")
	for i := range 7 {
		fmt.Fprintf(&catalog, "  - {name: p%d, dialect: openai, base_url: 'https://x.test'}\n", i)
	}
	s.do(post, "/api/v1/apply", catalog.String()).is(http.StatusOK)
	s.fleet.add("n1", "n2", "n3")
	for list, want := range map[string]string{"providers": "p0 p1 p2 p3 p4 p5 p6", "nodes": "n1 n2 n3"} {
		for limit := 1; limit <= 8; limit++ {
			var all []string
			for after, pages := "", 0; ; pages++ {
				require.LessOrEqual(t, pages, 7)
				var page Page[struct{ Name string }]
				s.do(get, fmt.Sprintf("/api/v1/%s?limit=%d&after=%s", list, limit, after), "").is(http.StatusOK).into(&page)
				for _, item := range page.Items {
					all = append(all, item.Name)
				}
				if after = page.Next; after == "" {
					break
				}
				require.Len(t, page.Items, limit)
			}
			assert.Equal(t, want, strings.Join(all, " "))
		}
	}
	for _, wrong := range []string{"0", "-1", "1001", "x", "9223372036854775808"} {
		s.do(get, "/api/v1/providers?limit="+wrong, "").failed(http.StatusBadRequest, codeInvalid, "limit")
	}
	assert.JSONEq(t, `{"items":[]}`, string(s.do(get, "/api/v1/policies", "").body))
}

// Of many that change the same thing, knowing the same version of it, one does.
func TestChangesRaceForOneVersion(t *testing.T) {
	s := newServer(t)
	s.seed()
	tag := s.do(put, "/api/v1/providers/raced", provider).header.Get("Etag")
	statuses := make(chan int, 16)
	testkit.Hammer(8, 2, func(g, i int) {
		body := strings.Replace(provider, "other", fmt.Sprintf("by%d-%d", g, i), 1)
		statuses <- s.do(put, "/api/v1/providers/raced", body, "If-Match", tag).status
	})
	close(statuses)
	count := map[int]int{}
	for status := range statuses {
		count[status]++
	}
	assert.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 15}, count)
}

func TestRepeatedRequestsHappenOnce(t *testing.T) {
	s := newServer(t)
	s.seed()
	for _, r := range []struct{ method, path, body, other string }{
		{post, "/api/v1/apply", "providers:\n  - {name: a, dialect: openai, base_url: 'https://a.test'}\n", basic},
		{put, "/api/v1/providers/other", provider, strings.Replace(provider, "other", "new", 1)},
		{post, "/api/v1/models/bot/versions", `{"body":{"params":{"temperature":1}},"from":"1.0.0"}`, `{"from":"1.1.0"}`},
		{post, "/api/v1/models/bot/promote", `{"version":"1.1.0"}`, `{"version":"1.0.0"}`},
		{put, "/api/v1/secrets/s", `{"value":"one"}`, `{"value":"two"}`},
		{del, "/api/v1/providers/other", "", ""},
	} {
		key := []string{"Idempotency-Key", "key of " + r.method + r.path}
		first := s.do(r.method, r.path, r.body, key...)
		require.Less(t, first.status, 300, "%s %s: %s", r.method, r.path, first.body)
		head, err := s.store.Head(t.Context())
		require.NoError(t, err)
		again := s.do(r.method, r.path, r.body, key...)
		assert.Equal(t, string(first.body), string(again.body), "%s %s", r.method, r.path)
		assert.Equal(t, first.status, again.status, "%s %s", r.method, r.path)
		after, err := s.store.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, head, after)
		if r.other != "" {
			s.do(r.method, r.path, r.other, key...).failed(http.StatusConflict, codeConflict, "key")
		}
	}
	s.do(post, "/api/v1/apply", basic, "Idempotency-Key", strings.Repeat("k", 5000)).failed(http.StatusBadRequest, codeInvalid, "key")
}

// Neither does what makes no revision.
func TestRepeatedActionsHappenOnce(t *testing.T) {
	s := newServer(t)
	s.fleet.add("n1", "n2")
	key := func(k string) []string { return []string{"Idempotency-Key", k} }
	var first, again Page[vault.SignerInfo]
	s.do(post, "/api/v1/signer/rotate", "", key("a")...).is(http.StatusOK).into(&first)
	s.do(post, "/api/v1/signer/rotate", "", key("a")...).is(http.StatusOK).into(&again)
	assert.Equal(t, first, again)
	for range 2 {
		s.do(del, "/api/v1/nodes/n1", "", key("b")...).is(http.StatusOK)
		s.do(del, "/api/v1/signer/"+first.Items[0].Name, "", key("c")...).is(http.StatusOK)
	}
	s.do(del, "/api/v1/nodes/n2", "", key("b")...).failed(http.StatusConflict, codeConflict, "another request")
	s.as(vault.Operator, del, "/api/v1/nodes/n1", "", key("b")...).failed(http.StatusConflict, codeConflict, "another request")
	s.do(del, "/api/v1/nodes/n1", "").is(http.StatusNotFound)
	s.do(post, "/api/v1/nodes/invite", "", key("d")...).is(http.StatusCreated)
	s.do(post, "/api/v1/nodes/invite", "", key("d")...).failed(http.StatusConflict, codeConflict, "told once")
	s.do(post, "/api/v1/tokens", `{"name":"ann","role":"viewer"}`, key("e")...).is(http.StatusCreated)
	s.do(post, "/api/v1/tokens", `{"name":"ann","role":"viewer"}`, key("e")...).failed(http.StatusConflict, codeConflict, "told once")
	s.do(del, "/api/v1/nodes/n2", "", key(strings.Repeat("k", 5000))...).failed(http.StatusBadRequest, codeInvalid, "Idempotency-Key")
}

// Who counts on a precondition is not answered as if there were none.
func TestPreconditionsAreNeverIgnored(t *testing.T) {
	s := newServer(t)
	for _, r := range routes() {
		if r.changes() && !r.guards {
			for _, header := range []string{"If-Match", "If-None-Match"} {
				s.do(r.method, wildcard.ReplaceAllString(r.path, "x"), "{}", header, "*").failed(http.StatusBadRequest, codeInvalid, "leave them out")
			}
		}
	}
}
