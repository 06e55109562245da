package cli

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
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
)

func TestPlainHTTPGoesToLoopbackOnly(t *testing.T) {
	for _, origin := range []string{
		"http://origin.example.com:8090", "http://10.0.0.1:8090", "http://192.168.1.1", "http://0.0.0.0:8090", "http://[::]:8090",
		"http://localhost.example.com", "http://127.0.0.1.example.com", "http://[::ffff:10.0.0.1]:80", "HTTP://origin.example.com",
	} {
		_, err := Open(Options{Origin: origin, Token: testToken})
		require.ErrorContains(t, err, "over plain HTTP", origin)
		assert.ErrorContains(t, err, "use https://", origin)
		assert.NotContains(t, err.Error(), testToken)
	}
	for _, origin := range []string{
		"http://127.0.0.1:8090", "http://localhost:8090", "http://LOCALHOST", "http://[::1]:8090", "http://127.1.2.3", "https://origin.example.com",
	} {
		c, err := Open(Options{Origin: origin, Token: testToken})
		require.NoError(t, err, origin)
		c.Close()
	}
}

// A name may lead anywhere: what counts is where the connection goes.
func TestPlainHTTPLooksWhereTheNameLeads(t *testing.T) {
	assert.NoError(t, onlyLoopback("tcp4", "127.0.0.1:80", nil))
	assert.NoError(t, onlyLoopback("tcp6", "[::1]:80", nil))
	for _, address := range []string{"192.0.2.1:80", "[2001:db8::1]:80", "0.0.0.0:80", "nonsense", ""} {
		assert.ErrorIs(t, onlyLoopback("tcp4", address, nil), errNotLoopback, address)
	}
	s := open(t, "http://localhost:1", Table)
	s.Client.base.Host = "192.0.2.1:80" // as if localhost led there
	err := s.Fleet(t.Context())
	require.ErrorIs(t, err, errNotLoopback)
	assert.NotContains(t, err.Error(), testToken)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := newFake(t)
	f := newFake(t).on("GET /api/v1/fleet", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/api/v1/fleet", http.StatusTemporaryRedirect)
	})
	err := open(t, f.URL, Table).Fleet(t.Context())
	require.ErrorContains(t, err, "sends us elsewhere (307 Temporary Redirect)")
	assert.Empty(t, elsewhere.lines())
}

func TestOptionsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, []byte(" \n"), 0o600))
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"no URL":             {Options{Origin: "origin.example.com", Token: "t"}, "is not a URL such as"},
		"another scheme":     {Options{Origin: "ftp://localhost", Token: "t"}, "is not a URL such as"},
		"a password":         {Options{Origin: "https://me:hunter2@origin.example.com", Token: "t"}, "holds a user name"},
		"a query":            {Options{Origin: "https://origin.example.com/?a=b", Token: "t"}, "has more than a path"},
		"no token":           {Options{Origin: "http://localhost"}, "no token to show"},
		"an empty token":     {Options{Origin: "http://localhost", TokenFile: empty}, empty + " gives is not a token"},
		"a token of 2 words": {Options{Origin: "http://localhost", Token: "secret words"}, "is not a token"},
		"no token file":      {Options{Origin: "http://localhost", TokenFile: filepath.Join(dir, "none")}, "cannot read the token"},
		"no CA file":         {Options{Origin: "http://localhost", Token: "t", CA: filepath.Join(dir, "none")}, "cannot read the CA's certificate"},
		"no CA in it":        {Options{Origin: "http://localhost", Token: "t", CA: empty}, "has no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(c.o)
			require.ErrorContains(t, err, c.want)
			for _, secret := range []string{"hunter2", "secret words"} {
				assert.NotContains(t, err.Error(), secret)
			}
		})
	}
}

// dataOf writes the data folder of an origin.
func dataOf(t *testing.T, dir, sub, origin string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, sub), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "addresses.json"), []byte(`{"origin":"`+origin+`"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, sub, "admin.token"), []byte(testToken+"\n"), 0o600))
}

func TestDataFolderTellsOriginAndToken(t *testing.T) {
	for _, sub := range []string{"", "origin"} {
		dir := t.TempDir()
		dataOf(t, dir, sub, "http://127.0.0.1:1234")
		a, err := Options{Data: dir}.settle()
		require.NoError(t, err)
		assert.Equal(t, "http://127.0.0.1:1234", a.base.String())
		assert.Equal(t, testToken, a.token)
	}
}

func TestUsualDataFolderIsForItsOwnOriginOnly(t *testing.T) {
	t.Chdir(t.TempDir())
	dataOf(t, "wedge-data", "", "http://127.0.0.1:1234")
	for _, origin := range []string{"", "http://127.0.0.1:1234"} {
		a, err := Options{Origin: origin}.settle()
		require.NoError(t, err)
		assert.Equal(t, testToken, a.token)
	}
	_, err := Options{Origin: "https://stranger.example.com"}.settle()
	assert.ErrorContains(t, err, "no token to show")
	a, err := Options{Origin: "https://mine.example.com", Data: "wedge-data"}.settle()
	require.NoError(t, err)
	assert.Equal(t, testToken, a.token, "who names the folder means it")

	dataOf(t, "wedge-origin", "", "http://127.0.0.1:5678")
	a, err = Options{}.settle()
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:5678", a.base.String(), "an origin alone comes first")
}

func TestCertificateMustComeFromTheCA(t *testing.T) {
	f := newFake(t)
	secure := httptest.NewUnstartedServer(f)
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0) // of those who hang up
	secure.StartTLS()
	t.Cleanup(secure.Close)
	f.on("GET /api/v1/tokens", reply(200, `{"items":[]}`))
	err := open(t, strings.Replace(secure.URL, "https:", "http:", 1), Table).ListTokens(t.Context())
	require.ErrorContains(t, err, "if it speaks TLS, ask for https://")
	assert.Empty(t, f.lines())

	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))

	stranger := open(t, secure.URL, Table)
	err = stranger.ListTokens(t.Context())
	require.ErrorContains(t, err, "--ca names the CA")
	assert.Empty(t, f.lines(), "the token stays here")

	c, err := Open(Options{Origin: secure.URL, Token: testToken, CA: ca})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.do(t.Context(), call{method: http.MethodGet, path: "tokens"})
	require.NoError(t, err)
	assert.Equal(t, "Bearer "+testToken, f.requests()[0].header.Get("Authorization"))
}

func TestConnectionsThatFailAreTriedAgainWithTheSameKey(t *testing.T) {
	const line = "POST /api/v1/models/m/rollback"
	done := reply(200, `{"rev":7,"changes":[],"model":"m","version":"1.0.0","status":"production"}`)
	for name, first := range map[string]http.HandlerFunc{
		"connection": refuse, "busy": reply(503, `{"error":{"code":"busy","message":"later"}}`), "balancer": reply(502, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t).on(line, once(first, done))
			s := open(t, f.URL, Table)
			require.NoError(t, s.Rollback(t.Context(), Rollback{Model: "m"}))
			got := f.requests()
			require.GreaterOrEqual(t, len(got), 2) // the transport may have tried once more by itself
			key := got[0].header.Get("Idempotency-Key")
			assert.GreaterOrEqual(t, len(key), 26)
			for _, again := range got[1:] {
				assert.Equal(t, key, again.header.Get("Idempotency-Key"))
				assert.Equal(t, got[0].body, again.body)
			}
			require.NoError(t, s.Rollback(t.Context(), Rollback{Model: "m"}))
			last := f.requests()[len(f.requests())-1]
			assert.NotEqual(t, key, last.header.Get("Idempotency-Key"), "another change has another key")
		})
	}
}

func TestReadingCarriesNoKey(t *testing.T) {
	f := newFake(t).on("GET /api/v1/fleet", reply(200, `{}`))
	require.NoError(t, open(t, f.URL, Table).Fleet(t.Context()))
	assert.Empty(t, f.requests()[0].header.Values("Idempotency-Key"))
}

func TestAwaitFleet(t *testing.T) {
	at := func(stage string, all int, more string) http.HandlerFunc {
		return reply(200, fmt.Sprintf(`{"epoch":1,"rev":14,"rollout":{"stage":%q,"canary":%d,"tenth":%d,"all":%d,"waiting":2%s}}`, stage, all, all, all, more))
	}
	const held = `,"held":{"rev":14,"node":"shop-1","code":"compile","message":"no export"}`
	const before = `,"held":{"rev":13,"node":"shop-1","code":"compile","message":"no export"}`
	for name, c := range map[string]struct {
		answers []http.HandlerFunc
		waits   int
		err     string
	}{
		"there":                    {[]http.HandlerFunc{at("done", 14, "")}, 0, ""},
		"not begun":                {[]http.HandlerFunc{at("done", 13, ""), at("canary", 13, ""), at("all", 14, ""), at("done", 14, "")}, 3, ""},
		"newer than was asked":     {[]http.HandlerFunc{at("done", 15, "")}, 0, ""},
		"refused":                  {[]http.HandlerFunc{at("canary", 13, ""), at("held", 13, held)}, 1, "revision 14 is not everywhere: the node shop-1 refuses it: compile: no export"},
		"one before was refused":   {[]http.HandlerFunc{at("held", 12, before), at("done", 14, "")}, 1, ""},
		"never":                    {[]http.HandlerFunc{at("tenth", 13, "")}, 5, "revision 14 is not everywhere after 1s: the roll-out is tenth, waiting for 2 nodes"},
		"not the state of a fleet": {[]http.HandlerFunc{reply(200, `{"rev":`)}, 0, "cannot understand the answer"},
		"a viewer of nothing":      {[]http.HandlerFunc{reply(403, `{"error":{"code":"forbidden","message":"no"}}`)}, 0, "cannot get the state of the fleet: no"},
	} {
		t.Run(name, func(t *testing.T) {
			i := -1
			f := newFake(t).on("GET /api/v1/fleet", func(w http.ResponseWriter, r *http.Request) {
				i = min(i+1, len(c.answers)-1)
				c.answers[i](w, r)
			})
			s := open(t, f.URL, Table)
			var waits []time.Duration
			s.Client.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
			err := s.AwaitFleet(t.Context(), time.Second)
			assert.Len(t, waits, c.waits)
			printed := s.out.String()
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
			assert.LessOrEqual(t, strings.Count(printed, "roll-out"), 1, "the state is printed once")
			if len(c.answers) > 1 || c.waits > 0 || c.err == "" {
				assert.Contains(t, printed, "roll-out")
			}
		})
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	f := newFake(t).on("GET /api/v1/fleet", reply(503, `{"error":{"code":"busy","message":"the origin has too much to do"}}`))
	s := open(t, f.URL, Table)
	var waits []time.Duration
	s.Client.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	err := s.Fleet(t.Context())
	require.ErrorContains(t, err, "the origin has too much to do")
	assert.Equal(t, retryWaits, waits)
	assert.Len(t, f.lines(), len(retryWaits)+1)
}

func TestOriginSaysWhenToComeBack(t *testing.T) {
	later := func(seconds string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", seconds)
			reply(503, `{"error":{"code":"busy","message":"later"}}`)(w, r)
		}
	}
	f := newFake(t).on("GET /api/v1/fleet", once(later("4"), reply(200, `{}`))).on("GET /api/v1/tokens", later("3600"))
	s := open(t, f.URL, Table)
	var waits []time.Duration
	s.Client.wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	require.NoError(t, s.Fleet(t.Context()))
	assert.Equal(t, []time.Duration{4 * time.Second}, waits)
	require.Error(t, s.ListTokens(t.Context()))
	assert.Len(t, waits, 1, "nobody waits for an hour")
}

func TestInterruptEndsTheWait(t *testing.T) {
	f := newFake(t).on("GET /api/v1/fleet", refuse)
	s := open(t, f.URL, Table)
	ctx, cancel := context.WithCancel(t.Context())
	s.Client.wait = func(ctx context.Context, _ time.Duration) error { cancel(); return sleep(ctx, time.Hour) }
	require.ErrorIs(t, s.Fleet(ctx), context.Canceled)
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	err = open(t, "http://"+l.Addr().String(), Table).Fleet(t.Context())
	require.ErrorContains(t, err, "cannot reach the origin at http://"+l.Addr().String()+": ")
	require.ErrorContains(t, err, "connection refused; is it running? --origin or WEDGE_ORIGIN names another")
}

func TestErrorsAreOneClearLine(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
	}{
		"message":      {404, `{"error":{"code":"not_found","message":"there is no model m"}}`, "there is no model m"},
		"token":        {401, `{"error":{"code":"unauthenticated","message":"the token is not known"}}`, "the token is not known; set WEDGE_TOKEN, or --token-file, to a token of this origin"},
		"role":         {403, `{"error":{"code":"forbidden","message":"a viewer may not do this"}}`, "a viewer may not do this; use a token with a role that may"},
		"conflict":     {409, `{"error":{"code":"conflict","message":"m was changed"}}`, "m was changed; look at what there is now, and try again"},
		"page":         {404, "<html>hello</html>", "is not an origin of Wedge (404 Not Found); correct --origin or WEDGE_ORIGIN"},
		"empty":        {500, "", "is not an origin of Wedge (500 Internal Server Error); correct --origin or WEDGE_ORIGIN"},
		"escapes":      {400, `{"error":{"code":"invalid","message":"a\u001b[31mred\nb"}}`, "a[31mred b"},
		"its own text": {400, `{"error":{"code":"invalid","message":"not ` + testToken + `"}}`, "not [token]"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t).on("GET /api/v1/models/m", reply(c.status, c.body))
			err := open(t, f.URL, Table).ShowModel(t.Context(), "m")
			require.ErrorContains(t, err, "cannot show the model m: ")
			assert.True(t, strings.HasSuffix(err.Error(), c.want), err.Error())
			assert.NotContains(t, err.Error(), "\n")
			assert.NotContains(t, err.Error(), testToken)
			assert.NotContains(t, err.Error(), "hello")
		})
	}
}

func TestFailuresOfTheOriginNameTheRequest(t *testing.T) {
	f := newFake(t).on("GET /api/v1/fleet", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "ABC")
		reply(500, `{"error":{"code":"internal","message":"the origin failed; its log tells why"}}`)(w, r)
	})
	require.EqualError(t, open(t, f.URL, Table).Fleet(t.Context()),
		"cannot get the state of the fleet: the origin failed; its log tells why (request ABC)")

	f.on("GET /api/v1/tokens", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", "ABC")
		reply(400, `{"error":{"code":"invalid","message":"this has no parameter"}}`)(w, r)
	})
	require.EqualError(t, open(t, f.URL, Table).ListTokens(t.Context()), "cannot list the tokens: this has no parameter", "whose fault it is counts")
}

func TestProblemsAndGatesAreDetails(t *testing.T) {
	f := newFake(t).on("POST /api/v1/models/m/promote", reply(422, `{"error":{"code":"gate_failed","message":"a gate is shut",
		"problems":[{"line":3,"column":5,"path":"models[0].unit","message":"unknown"},{"path":"keys[0]","message":"twice"},{"message":"empty"}],
		"gates":[{"name":"catalog","passed":true},{"name":"targets","passed":false,"message":"openai does not\nanswer"},{"name":"traffic","skipped":true}]}}`))
	err := open(t, f.URL, Table).Promote(t.Context(), Promotion{Model: "m", Version: "1.0.0"})
	require.EqualError(t, err, "cannot promote m@1.0.0: a gate is shut")
	e, is := errors.AsType[*Error](err)
	require.True(t, is)
	assert.Equal(t, []string{
		"models[0].unit: unknown", "keys[0]: twice", "empty", "gate targets failed: openai does not answer",
	}, e.Details())
}

func TestAnswersThatAreNoJSON(t *testing.T) {
	for _, format := range []string{Table, JSON, YAML} {
		f := newFake(t).on("GET /api/v1/fleet", reply(200, `{"epoch":`))
		s := open(t, f.URL, format)
		require.ErrorContains(t, s.Fleet(t.Context()), "cannot understand the answer of the origin at "+f.URL)
		assert.Empty(t, s.out.String())
	}
}

func TestAnswerThatBreaksOff(t *testing.T) {
	f := newFake(t).on("GET /api/v1/fleet", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"epoch":1}`))
	})
	require.ErrorContains(t, open(t, f.URL, Table).Fleet(t.Context()), "broke off")
}
