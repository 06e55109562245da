package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// basic is a catalog with one version in production and one in development.
const basic = `
providers:
  - {name: openai, dialect: openai, base_url: "https://api.openai.test/v1"}
models:
  - name: bot
    versions:
      - version: 1.0.0
        status: production
        targets: [{provider: openai, model: gpt}]
      - version: 1.1.0
        status: development
        targets: [{provider: openai, model: gpt}]
        params: {temperature: 0.5}
prices:
  - {provider: openai, model: gpt, input: 1.5, output: 2.00}
`

var schemasOf = []store.Schema{spend.Schema(), vault.Schema(), ledger.Schema(), control.Schema(), Schema()}

// server is an API with a real store, control, vault and ledger, over HTTP.
type server struct {
	t      testing.TB
	api    *API
	store  *store.Store
	vault  *vault.Vault
	ledger *ledger.Ledger
	fleet  *nodes
	url    string
	log    *logged
	client *http.Client
	tokens map[vault.Role]string
}

func newServer(t testing.TB, change ...func(*Options)) *server {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: filepath.Join(t.TempDir(), "origin.db"), Schemas: schemasOf})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	keys, err := vault.Open(ctx, db, vault.Options{KEK: [32]byte{1}})
	require.NoError(t, err)
	s := &server{
		t: t, store: db, vault: keys, ledger: ledger.New(db), fleet: &nodes{all: map[string]*fleet.Node{}}, log: &logged{},
		client: &http.Client{Transport: &http.Transport{}}, tokens: map[vault.Role]string{},
	}
	o := Options{
		Store: db, Vault: keys, Ledger: s.ledger, Spend: spend.New(spend.Options{Store: db}), Fleet: s.fleet, Version: "test", Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Control: control.New(control.Options{
			Store: db, Secrets: keys, Reach: func(context.Context, *wire.Provider) error { return nil },
			Support: wire.Support{
				OriginSecrets: true, Budgets: true, Rates: true, Webhooks: true, Dialects: map[string]bool{"openai": true}, Strategies: map[string]bool{"weighted": true},
				Balances: map[string]bool{"round_robin": true, "weighted": true},
			},
		}),
	}
	for _, f := range change {
		f(&o)
	}
	s.api, err = New(o)
	require.NoError(t, err)
	over := httptest.NewServer(s.api)
	s.url = over.URL
	t.Cleanup(func() {
		s.api.Close()
		s.client.CloseIdleConnections()
		over.Close()
	})
	for _, role := range []vault.Role{vault.Viewer, vault.Operator, vault.Admin} {
		s.tokens[role], err = keys.NewToken(ctx, "the-"+string(role), role)
		require.NoError(t, err)
	}
	return s
}

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// do asks as an admin; headers are name, value, name, value…
func (s *server) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	return s.as(vault.Admin, method, path, body, headers...)
}

func (s *server) as(role vault.Role, method, path, body string, headers ...string) answer {
	s.t.Helper()
	response := s.open(role, method, path, body, headers...)
	defer func() { require.NoError(s.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	return answer{s.t, response.StatusCode, response.Header, text}
}

// open leaves the body to be read.
func (s *server) open(role vault.Role, method, path, body string, headers ...string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if role != anyone {
		r.Header.Set("Authorization", "Bearer "+s.tokens[role])
	}
	for pair := range slices.Chunk(headers, 2) {
		r.Header.Set(pair[0], pair[1])
	}
	response, err := s.client.Do(r)
	require.NoError(s.t, err)
	return response
}

// is wants a status.
func (a answer) is(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, "%s", a.body)
	return a
}

// failed wants a failure of a status and a code, whose message says what is given.
func (a answer) failed(status int, code string, says ...string) FailureDetail {
	a.t.Helper()
	a.is(status)
	var f Failure
	require.NoError(a.t, wire.DecodeStrict(a.body, &f))
	require.Equal(a.t, code, f.Error.Code, "%s", a.body)
	require.Contains(a.t, codes, code)
	for _, text := range says {
		require.Contains(a.t, f.Error.Message, text)
	}
	return f.Error
}

func (a answer) into(v any) {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal(a.body, v), "%s", a.body)
}

// seed applies the basic catalog.
func (s *server) seed() {
	s.t.Helper()
	s.do(post, "/api/v1/apply?reason=seed", basic).is(http.StatusOK)
}

// logged is a log that is read while it is written.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// nodes is a fleet in memory.
type nodes struct {
	mu     sync.Mutex
	all    map[string]*fleet.Node
	bundle func(w io.Writer) error
}

func (n *nodes) add(names ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		n.all[name] = &fleet.Node{Name: name, State: "online", Enrolled: time.UnixMilli(1)}
	}
}

func (n *nodes) State(context.Context) (fleet.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fleet.State{Nodes: len(n.all), Rollout: fleet.Rollout{Stage: "done"}}, nil
}

func (n *nodes) Nodes(_ context.Context, after string, limit int) (page []fleet.Node, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, node := range n.all {
		if node.Name > after {
			page = append(page, *node)
		}
	}
	slices.SortFunc(page, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
	return page[:min(limit, len(page))], nil
}

func (n *nodes) change(name string, f func(*fleet.Node)) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all[name] == nil {
		return store.ErrNotFound
	}
	f(n.all[name])
	return nil
}

func (n *nodes) Node(_ context.Context, name string) (node fleet.Node, err error) {
	err = n.change(name, func(there *fleet.Node) { node = *there })
	return node, err
}

func (n *nodes) Pin(_ context.Context, name string, on bool, reason string) error {
	return n.change(name, func(node *fleet.Node) { node.Pinned, node.Reason = on, reason })
}

func (n *nodes) Drain(_ context.Context, name string, on bool, reason string) error {
	return n.change(name, func(node *fleet.Node) { node.Drained, node.Reason = on, reason })
}

func (n *nodes) Remove(_ context.Context, name string) error {
	return n.change(name, func(*fleet.Node) { delete(n.all, name) })
}

func (n *nodes) Bundle(_ context.Context, w io.Writer) error { return n.bundle(w) }
