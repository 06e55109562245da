package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

const testToken = "wo_abcdefghijkl_secretsecretsecret"

// now is when all tests take place.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// asked is one request as the fake origin got it.
type asked struct {
	method, uri string
	header      http.Header
	body        string
}

func (a asked) line() string { return a.method + " " + a.uri }

// fakeOrigin answers as it is told, and keeps what it was asked.
type fakeOrigin struct {
	*httptest.Server
	mu      sync.Mutex
	got     []asked
	answers map[string]http.HandlerFunc // by method, space and request URI
}

func newFake(t *testing.T) *fakeOrigin {
	f := &fakeOrigin{answers: map[string]http.HandlerFunc{}}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	a := asked{r.Method, r.RequestURI, r.Header.Clone(), string(body)}
	f.mu.Lock()
	f.got = append(f.got, a)
	answer := f.answers[a.line()]
	f.mu.Unlock()
	if answer == nil {
		reply(http.StatusNotFound, `{"error":{"code":"not_found","message":"the fake origin does not know `+a.line()+`"}}`)(w, r)
		return
	}
	answer(w, r)
}

// on says how to answer a request.
func (f *fakeOrigin) on(line string, answer http.HandlerFunc) *fakeOrigin {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[line] = answer
	return f
}

// lines are what was asked, in order.
func (f *fakeOrigin) lines() (lines []string) {
	for _, a := range f.requests() {
		lines = append(lines, a.line())
	}
	return lines
}

func (f *fakeOrigin) requests() []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]asked(nil), f.got...)
}

func reply(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// once answers first with one, then with the other.
func once(first, then http.HandlerFunc) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			first(w, r)
		} else {
			then(w, r)
		}
	}
}

// refuse breaks the connection off.
func refuse(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// printed is a session whose output is kept.
type printed struct {
	*Session
	out, notes bytes.Buffer
}

// open is a session with an origin, that does not wait before it tries again.
func open(t *testing.T, origin, format string) *printed {
	t.Helper()
	c, err := Open(Options{Origin: origin, Token: testToken})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	c.wait = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	p := &printed{}
	p.Session = &Session{Client: c, Out: &p.out, Notes: &p.notes, Format: format, Now: func() time.Time { return now }}
	return p
}

// sameJSON tells whether two texts are the same JSON.
func sameJSON(t *testing.T, want, got string) {
	t.Helper()
	var w, g any
	require.NoError(t, json.Unmarshal([]byte(want), &w), want)
	require.NoError(t, json.Unmarshal([]byte(got), &g), got)
	require.Equal(t, w, g)
}
