package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// refusing is a provider that answers with the status that the model's name ends in, and names its operator's
// account in the body.
func refusing(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, rest, _ := strings.Cut(string(body), `"status-`)
		status := 500
		_, _ = fmt.Sscanf(rest, "%d", &status)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":{"message":"account acct-e2e says no","type":"t","param":null,"code":"theirs"}}`)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// babbling is a provider that does not speak HTTP.
func babbling(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.6\r\n\r\n")
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// errorsNode is a node with something wrong behind every model.
func errorsNode(t *testing.T) (*node, *provider) {
	p := startProvider(t, "--api-key", providerSecret)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(providerSecret), 0o600))
	withSecret := ", api_key: \"file:" + secret + "\""
	c := (&catalog{}).
		at("sim", p.addr, withSecret).
		at("one-at-a-time", p.addr, withSecret+", limits: {in_flight: 1}").
		at("dead", testkit.FreeAddr(t), "").
		at("refusing", refusing(t), "").
		at("babbling", babbling(t), "").
		model("good", "", target("sim", "x", "")).
		model("cached", "cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).
		model("hurried", "", target("sim", "x;latency=20s", "timeout: 200ms")).
		model("slow", "", target("sim", "x;latency=20s", "")).
		model("busy", "", target("one-at-a-time", "x;latency=20s", "")).
		model("dead", "", target("dead", "x", "")).
		model("babbling", "", target("babbling", "x", "")).
		key("able", "may: [arm, direct, nonproduction], passthrough: [sim]").
		key("plain", "models: [good, versioned]")
	for _, status := range []int{301, 400, 401, 402, 403, 404, 409, 413, 422, 500, 503} {
		name := fmt.Sprintf("status-%d", status)
		c.model(name, "", target("refusing", name, ""))
	}
	for _, fault := range []string{"refused", "429", "quota", "502", "cut", "garbage", "malformed", "empty", "error200"} {
		c.model("fault-"+fault, "", target("sim", "x;fail="+fault+";retry_after=7s", ""))
	}
	one := `targets: [` + target("sim", "x", "") + `]`
	c.models = append(c.models, `{name: versioned, versions: [{version: 0.9.0, status: archived, `+one+
		`}, {version: 1.0.0, status: production, `+one+`}, {version: 1.1.0, status: staging, `+one+`}]}`)
	c.experiments = []string{`{name: split, model: versioned, status: running, arms: [{name: a, version: 1.0.0, weight: 1}, {name: b, version: 1.1.0, weight: 1}]}`}
	return startNode(t, c.String(), "--max-body", "64KiB"), p
}

// refusal is a row of the table of errors.
type refusal struct {
	name    string
	key     string // "able" where it is empty
	method  string // POST
	path    string // chatPath
	body    string
	headers []string
	status  int
	code    string
	says    string // a part of the message
}

func (r *refusal) check(t *testing.T, n *node) *answer {
	t.Helper()
	for field, value := range map[*string]string{&r.key: "able", &r.method: "POST", &r.path: chatPath} {
		if *field == "" {
			*field = value
		}
	}
	a := n.as(t, r.key).do(r.method, r.path, r.body, r.headers...)
	message := a.wantError(t, r.status, r.code)
	assert.Contains(t, message, r.says)
	assert.NotContains(t, a.body, keyOf(r.key)[16:], "an error holds no key")
	assert.NotContains(t, a.body, "acct-e2e", "an error names no account of the operator")
	return a
}

func TestErrors(t *testing.T) {
	t.Parallel()
	n, _ := errorsNode(t)
	good := ask("good", "Hello")
	deep := func(depth int) string {
		return ask("good", "Hello", `"metadata":`+strings.Repeat(`{"a":`, depth-1)+"1"+strings.Repeat("}", depth-1))
	}
	for _, row := range []refusal{
		{name: "no JSON", body: `{"model":"good",`, status: 400, code: "invalid_json"},
		{name: "no object", body: `["good"]`, status: 400, code: "invalid_json"},
		{name: "no body", body: ``, status: 400, code: "invalid_json"},
		{name: "duplicate key", body: `{"model":"good","model":"good","messages":[]}`, status: 400, code: "invalid_json", says: "model"},
		{name: "duplicate key at depth", body: ask("good", "Hello", `"metadata":{"a":[{"b":1,"\u0062":2}]}`), status: 400, code: "invalid_json"},
		{name: "too deep", body: deep(513), status: 400, code: "invalid_json", says: "512"},
		{name: "just not too deep", body: strings.Replace(deep(512), "good", "cached", 1), headers: []string{"x-wedge-cache", "only-if-cached"}, status: 504, code: "not_cached"},
		{name: "lone surrogate", body: `{"model":"good","messages":[{"role":"user","content":"\ud800"}]}`, status: 400, code: "invalid_json"},
		{name: "invalid UTF-8", body: "{\"model\":\"good\",\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}", status: 400, code: "invalid_json"},

		{name: "no model", body: `{"messages":[]}`, status: 400, code: "invalid_request", says: "/v1/models"},
		{name: "model is a number", body: `{"model":3,"messages":[]}`, status: 400, code: "invalid_request", says: "model"},
		{name: "stream is a word", body: ask("good", "Hello", `"stream":"yes"`), status: 400, code: "invalid_request", says: "stream"},
		{name: "bad timeout", body: good, headers: []string{"x-wedge-timeout", "soon"}, status: 400, code: "invalid_request", says: "30s"},
		{name: "bad cache rule", body: good, headers: []string{"x-wedge-cache", "maybe"}, status: 400, code: "invalid_request", says: "only-if-cached"},
		{name: "bad max-age", body: good, headers: []string{"x-wedge-cache", "max-age=-1"}, status: 400, code: "invalid_request", says: "max-age"},
		{name: "no such arm", body: ask("versioned", "Hello"), headers: []string{"x-wedge-arm", "c"}, status: 400, code: "invalid_request", says: "arm"},
		{name: "encoded body", body: good, headers: []string{"content-encoding", "gzip"}, status: 400, code: "invalid_request", says: "content-encoding"},
		{name: "no provider for files", method: "GET", path: "/v1/files", status: 400, code: "invalid_request", says: "x-wedge-provider"},

		{name: "no key", body: good, headers: []string{"authorization", ""}, status: 401, code: "unauthenticated", says: "Authorization: Bearer"},
		{name: "no key for models", method: "GET", path: "/v1/models", headers: []string{"authorization", ""}, status: 401, code: "unauthenticated"},
		{name: "unknown key", key: "stranger", body: good, status: 401, code: "unauthenticated", says: "catalog"},
		{name: "a key's id with another secret", body: good, headers: []string{"authorization", "Bearer " + keyOf("able")[:16] + keyOf("plain")[16:]}, status: 401, code: "unauthenticated"},
		{name: "no virtual key at all", body: good, headers: []string{"authorization", "Bearer sk-proj-1"}, status: 401, code: "unauthenticated"},

		{name: "model not allowed", key: "plain", body: ask("cached", "Hello"), status: 403, code: "forbidden", says: "models"},
		{name: "version not allowed", key: "plain", body: ask("versioned@1.1.0", "Hello"), status: 403, code: "forbidden", says: "nonproduction"},
		{name: "arm not allowed", key: "plain", body: ask("versioned", "Hello"), headers: []string{"x-wedge-arm", "a"}, status: 403, code: "forbidden", says: "may: [arm]"},
		{name: "direct not allowed", key: "plain", body: ask("sim/x", "Hello"), status: 403, code: "forbidden", says: "may: [direct]"},
		{name: "passthrough not allowed", key: "plain", method: "GET", path: "/v1/files", headers: []string{"x-wedge-provider", "sim"}, status: 403, code: "forbidden", says: "passthrough"},

		{name: "no such path", method: "GET", path: "/index.html", status: 404, code: "not_found", says: "/v1/"},
		{name: "somebody's file", method: "GET", path: "/v1/files/file-123", headers: []string{"x-wedge-provider", "sim"}, status: 404, code: "not_found", says: "file-123"},
		{name: "unknown model", body: ask("gpt-17", "Hello"), status: 404, code: "unknown_model", says: "gpt-17"},
		{name: "unknown model of a list", method: "GET", path: "/v1/models/gpt-17", status: 404, code: "unknown_model", says: "gpt-17"},
		{name: "archived version", body: ask("versioned@0.9.0", "Hello"), status: 404, code: "unknown_model", says: "0.9.0"},
		{name: "no such version", body: ask("versioned@2.x", "Hello"), status: 404, code: "unknown_model", says: "2.x"},
		{name: "reading a chat", method: "GET", status: 405, code: "method_not_allowed", says: "POST"},

		{name: "a stream that nobody keeps", body: ask("good", "Hello", `"stream":true`), headers: []string{"x-wedge-resume", "req_0:3"}, status: 409, code: "resume_lost", says: "anew"},

		{name: "target too slow", body: ask("hurried", "Hello"), status: 504, code: "upstream_timeout"},
		{name: "client in a hurry", body: ask("slow", "Hello"), headers: []string{"x-wedge-timeout", "150ms"}, status: 504, code: "upstream_timeout", says: "x-wedge-timeout"},
		{name: "not cached", body: ask("cached", "never asked"), headers: []string{"x-wedge-cache", "only-if-cached"}, status: 504, code: "not_cached"},
		{name: "no target at a provider", body: good, headers: []string{"x-wedge-provider", "dead"}, status: 503, code: "no_target", says: "x-wedge-provider"},

		{name: "nobody listens", body: ask("dead", "Hello"), status: 502, code: "upstream_error", says: "dead"},
		{name: "connection reset", body: ask("fault-refused", "Hello"), status: 502, code: "upstream_error"},
		{name: "cut", body: ask("fault-cut", "Hello"), status: 502, code: "upstream_error"},
		{name: "an error with status 200", body: ask("fault-error200", "Hello"), status: 502, code: "upstream_error"},
		{name: "a gateway's page", body: ask("fault-502", "Hello"), status: 502, code: "upstream_error", says: "502"},
		{name: "status 500", body: ask("status-500", "Hello"), status: 502, code: "upstream_error", says: "500"},
		{name: "status 503", body: ask("status-503", "Hello"), status: 502, code: "upstream_error", says: "503"},
		{name: "status 401", body: ask("status-401", "Hello"), status: 502, code: "upstream_error", says: "operator"},
		{name: "status 402", body: ask("status-402", "Hello"), status: 502, code: "upstream_error", says: "operator"},
		{name: "status 403", body: ask("status-403", "Hello"), status: 502, code: "upstream_error", says: "operator"},
		{name: "status 301", body: ask("status-301", "Hello"), status: 502, code: "upstream_protocol"},
		{name: "no HTTP", body: ask("babbling", "Hello"), status: 502, code: "upstream_protocol"},
		{name: "a web page", body: ask("fault-garbage", "Hello"), status: 502, code: "upstream_protocol"},
		{name: "half the JSON", body: ask("fault-malformed", "Hello"), status: 502, code: "upstream_protocol"},
		{name: "nothing", body: ask("fault-empty", "Hello"), status: 502, code: "upstream_protocol"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.check(t, n)
		})
	}
}

func TestErrorHeaders(t *testing.T) {
	t.Parallel()
	n, p := errorsNode(t)
	t.Run("method", func(t *testing.T) {
		a := (&refusal{method: "DELETE", path: "/v1/embeddings", status: 405, code: "method_not_allowed"}).check(t, n)
		assert.Equal(t, "POST", a.header.Get("Allow"))
	})
	t.Run("rate limit", func(t *testing.T) {
		a := (&refusal{body: ask("fault-429", "Hello"), status: 429, code: "rate_limited", says: "retry-after"}).check(t, n)
		assert.Equal(t, "7", a.header.Get("Retry-After"))
		a = (&refusal{body: ask("fault-quota", "Hello"), status: 429, code: "rate_limited"}).check(t, n)
		assert.Equal(t, "false", a.header.Get("X-Should-Retry"), "the operator's quota comes back by no retry")
		assert.Empty(t, a.header.Get("Retry-After"))
	})
	t.Run("overload", func(t *testing.T) {
		ctx, leave := context.WithCancel(context.Background())
		ended := make(chan error)
		go func() {
			_, err := n.as(t, "able").try(ctx, "POST", chatPath, ask("busy", "the first"))
			ended <- err
		}()
		p.awaitState(t, "the first", "open", 5*time.Second)
		(&refusal{body: ask("busy", "the second"), status: 503, code: "overloaded", says: "one-at-a-time"}).check(t, n)
		leave()
		assert.ErrorIs(t, <-ended, context.Canceled)
	})
}

// TestProvidersRefusals looks at the statuses that are the client's own fault: they pass, as does the
// provider's explanation.
func TestProvidersRefusals(t *testing.T) {
	t.Parallel()
	n, _ := errorsNode(t)
	for _, status := range []int{400, 404, 409, 413, 422} {
		for _, more := range [][]string{nil, {streamed}} {
			a := n.as(t, "able").chat(ask(fmt.Sprintf("status-%d", status), "Hello", more...))
			assert.Equal(t, status, a.status)
			assert.Equal(t, "invalid_request", a.header.Get("X-Wedge-Error"))
			assert.Equal(t, "application/json", a.header.Get("Content-Type"))
			assert.Contains(t, a.body, `"error"`)
		}
	}
}

// TestKeyPlaces shows a key wherever the SDKs put theirs. It must not go upstream.
func TestKeyPlaces(t *testing.T) {
	t.Parallel()
	n, p := errorsNode(t)
	key := keyOf("able")
	nobody := newClient(t, n.data, "")
	for i, place := range [][]string{
		{"authorization", "Bearer " + key}, {"authorization", "bearer  " + key}, {"x-api-key", key}, {"x-goog-api-key", key}, {"api-key", key},
	} {
		a := nobody.chat(ask("good", fmt.Sprintf("place %d", i)), place...)
		assert.Equal(t, 200, a.status, "%s: %s", place[0], a.body)
	}
	a := nobody.do("POST", chatPath+"?key="+key+"&other=1", ask("good", "place query"))
	assert.Equal(t, 200, a.status, a.body)
	for _, r := range p.requests(t) {
		assert.NotContains(t, fmt.Sprint(r), key[16:])
		assert.NotContains(t, r.Headers, "x-api-key")
	}
}
