package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		pgtest.Stop()
		os.Exit(code)
	}))
}

// databases are those that the origin runs on.
var databases = map[string]func(t testing.TB) (url string){
	"sqlite":   func(t testing.TB) string { return filepath.Join(t.TempDir(), "origin.db") },
	"postgres": pgtest.Database,
}

// onEach runs a test on every database.
func onEach(t *testing.T, test func(t *testing.T, o *origin)) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) { test(t, newOrigin(t, database(t))) })
	}
}

// origin is a control with everything around it in the hands of a test.
type origin struct {
	*Control
	t   testing.TB
	url string

	mu       sync.Mutex
	now      time.Time
	traffic  map[string]VersionTotals // by MODEL@VERSION
	secrets  map[string]string
	down     map[string]bool // providers that do not answer
	probed   []string
	policies func(p *wire.Policy, module, cases []byte) error
}

func newOrigin(t testing.TB, url string) *origin {
	return (&origin{t: t, url: url, now: time.UnixMilli(1_800_000_000_000).UTC()}).beside()
}

// another is another process's control on the same database.
func (o *origin) another() *Control {
	o.t.Helper()
	s, err := store.Open(context.Background(), store.Options{URL: o.url, Schemas: []store.Schema{Schema()}})
	require.NoError(o.t, err)
	o.t.Cleanup(func() { require.NoError(o.t, s.Close()) })
	return New(Options{
		Store: s, Secrets: kept{o}, Support: everything, Now: o.clock, Tick: 5 * time.Millisecond,
		Traffic: o.reported, Reach: o.reached,
		CheckPolicy: func(_ context.Context, p *wire.Policy, module, cases []byte) error {
			if o.policies == nil {
				return nil
			}
			return o.policies(p, module, cases)
		},
	})
}

// beside is another process on the same database, with what it sees of the world for itself.
func (o *origin) beside() *origin {
	other := &origin{t: o.t, url: o.url, now: o.clock(), traffic: map[string]VersionTotals{}, secrets: map[string]string{}, down: map[string]bool{}}
	other.Control = other.another()
	return other
}

func (o *origin) clock() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *origin) advance(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

// serve is traffic of a version.
func (o *origin) serve(version string, requests, failed int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.traffic[version]
	o.traffic[version] = VersionTotals{Requests: was.Requests + requests, Errors: was.Errors + failed}
}

func (o *origin) reported(_ context.Context, model string, _, _ time.Time) (all []VersionTotals, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, totals := range o.traffic {
		if i := len(model); len(name) > i && name[:i] == model && name[i] == '@' {
			totals.Version = name[i+1:]
			all = append(all, totals)
		}
	}
	return all, nil
}

func (o *origin) reached(_ context.Context, p *wire.Provider) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.probed = append(o.probed, p.Name)
	if o.down[p.Name] {
		return errors.New("connection refused")
	}
	return nil
}

func (o kept) PutSecret(_ *store.Tx, name, value string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.secrets[name] = value
	return wire.CanonicalJSON(wire.SecretRecord{Commit: store.DigestOf([]byte("salt" + value))})
}

func (o kept) DeleteSecret(_ *store.Tx, name string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.secrets, name)
	return nil
}

// kept is what secrets are.
type kept struct{ *origin }

// everything is a node that does whatever a catalog asks for.
var everything = wire.Support{
	Policies: true, Prompts: true, Budgets: true, Rates: true, Resume: true, ActiveHealth: true, OriginSecrets: true,
	Guardrails: true, Capabilities: true,
	Dialects:   map[string]bool{"openai": true, "anthropic": true, "gemini": true},
	Strategies: map[string]bool{"weighted": true, "performance": true, "cost": true, "geographic": true, "capability": true},
	Balances:   map[string]bool{"round_robin": true, "weighted": true, "least_connections": true, "least_latency": true, "p2c": true},
	CacheModes: map[string]bool{"exact": true, "prefix": true, "semantic": true},
}

var ann = By{Actor: "ann", Reason: "test"}

const basic = `
providers:
  - {name: openai, dialect: openai, base_url: "https://api.openai.test/v1"}
  - {name: azure, dialect: openai, base_url: "https://azure.test/v1"}
  - {name: claude, dialect: anthropic, base_url: "https://claude.test/v1"}
models:
  - name: bot
    versions:
      - version: 1.0.0
        status: production
        targets: [{provider: openai, model: gpt}]
        params: {temperature: 0.5}
`

// apply applies a catalog, which must succeed.
func (o *origin) apply(catalog string) Result {
	o.t.Helper()
	r, err := o.Apply(o.t.Context(), ann, Apply{Name: "c.yaml", Catalog: []byte(catalog)})
	require.NoError(o.t, err)
	return r
}

// mustFail asks for an error with a code that says all of what is given.
func mustFail(t testing.TB, err error, code string, says ...string) *Error {
	t.Helper()
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
	for _, s := range says {
		require.ErrorContains(t, err, s)
	}
	return e
}

// statuses tells the status of each of a model's versions.
func (o *origin) statuses(model string) map[string]string {
	o.t.Helper()
	s, err := o.load(o.t.Context())
	require.NoError(o.t, err)
	d, all := s.draft(), map[string]string{}
	for _, version := range d.versions(model) {
		all[version] = d.status(model, version)
	}
	return all
}

func (o *origin) head() store.Head {
	o.t.Helper()
	head, err := o.store.Head(o.t.Context())
	require.NoError(o.t, err)
	return head
}
