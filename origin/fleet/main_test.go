package fleet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) {
	testkit.Main(m, goleak.Cleanup(func(code int) {
		pgtest.Stop()
		os.Exit(code)
	}))
}

// onEach runs a test on every database, with the URL of an empty one.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, sqlite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Database(t)) })
}

func sqlite(t testing.TB) string { return filepath.Join(t.TempDir(), "origin.db") }

func storeOptions(url string) store.Options {
	return store.Options{URL: url, Schemas: []store.Schema{vault.Schema(), Schema()}, Blobs: wire.BlobsOf, Connections: 8}
}

func openStore(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), storeOptions(url))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// origin is a fleet with what it stands on, behind a server on loopback.
type origin struct {
	*Fleet
	t      testing.TB
	store  *store.Store
	vault  *vault.Vault
	server *httptest.Server
	stop   func()
	log    *logged
}

// logged is what an origin has logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type setting func(*Options)

func withoutWaves(o *Options) { o.NoWaves = true }

// start runs an origin on a store, with plain HTTP. It is stopped at the test's end, or before by stop.
func start(t testing.TB, s *store.Store, settings ...setting) *origin {
	t.Helper()
	return startServer(t, s, func(h *httptest.Server, _ *origin) { h.Start() }, settings...)
}

// startTLS is start with HTTP/2, TLS and client certificates.
func startTLS(t testing.TB, s *store.Store, settings ...setting) *origin {
	t.Helper()
	return startServer(t, s, serveTLS, settings...)
}

func serveTLS(h *httptest.Server, o *origin) {
	certificate, err := o.vault.ServerCertificate([]string{"127.0.0.1"})
	require.NoError(o.t, err)
	pem, _ := o.vault.CA()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	h.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
	h.EnableHTTP2 = true
	h.StartTLS()
}

func startServer(t testing.TB, s *store.Store, serve func(*httptest.Server, *origin), settings ...setting) *origin {
	t.Helper()
	o := &origin{t: t, store: s, log: &logged{}}
	options := Options{
		Store: s, Log: slog.New(slog.NewTextHandler(o.log, nil)), CanaryWait: time.Second,
		Plain: func(r *http.Request) bool { return strings.HasPrefix(r.RemoteAddr, "127.0.0.1:") },
	}
	for _, set := range settings {
		set(&options)
	}
	var err error
	o.vault, err = vault.Open(t.Context(), s, vault.Options{KEK: sha256.Sum256([]byte("test")), Now: options.Now})
	require.NoError(t, err)
	options.Vault = o.vault
	o.Fleet, err = New(options)
	require.NoError(t, err)
	o.server = httptest.NewUnstartedServer(o.Handler())
	serve(o.server, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	o.stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
		o.server.Close()
	})
	t.Cleanup(o.stop)
	require.Eventually(t, func() bool { return o.feed.view() != nil }, 10*time.Second, time.Millisecond)
	return o
}

// put makes a revision that puts resources: names and texts by turns.
func (o *origin) put(pairs ...string) store.Head {
	o.t.Helper()
	var ops []store.Op
	for i := 0; i < len(pairs); i += 2 {
		body, err := json.Marshal(map[string]string{"name": pairs[i], "text": pairs[i+1]})
		require.NoError(o.t, err)
		ops = append(ops, store.Put(wire.KindModel, pairs[i], body, store.Any))
	}
	head, err := o.store.Apply(o.t.Context(), store.ChangeSet{Actor: "tester", Ops: ops})
	require.NoError(o.t, err)
	return head
}

// enrol makes a node's identity.
func (o *origin) enrol(name, region string) *node {
	o.t.Helper()
	token, err := o.vault.Invite(o.t.Context(), vault.Invitation{Name: name, Region: region, Expires: time.Now().Add(time.Hour)})
	require.NoError(o.t, err)
	n := newNode(o.t, name)
	require.NoError(o.t, n.enrol(o, token))
	return n
}

// nodes enrols some nodes of a region and connects them.
func (o *origin) nodes(region string, count int) []*node {
	o.t.Helper()
	all := make([]*node, count)
	for i := range all {
		all[i] = o.enrol(fmt.Sprintf("%s-%03d", region, i), region)
		all[i].connect(o)
	}
	return all
}

// settled waits until nothing is under way.
func (o *origin) settled() State {
	o.t.Helper()
	var s State
	require.Eventually(o.t, func() bool {
		var err error
		s, err = o.State(context.Background())
		require.NoError(o.t, err)
		return s.Rollout.Stage == stageDone && s.Rollout.All == s.Rev
	}, 20*time.Second, 5*time.Millisecond)
	return s
}

// held waits until the roll-out is held.
func (o *origin) held() Held {
	o.t.Helper()
	var s State
	require.Eventually(o.t, func() bool {
		var err error
		s, err = o.State(context.Background())
		require.NoError(o.t, err)
		return s.Rollout.Held != nil
	}, 20*time.Second, 5*time.Millisecond)
	return *s.Rollout.Held
}

func (o *origin) node(name string) Node {
	o.t.Helper()
	n, err := o.Node(context.Background(), name)
	require.NoError(o.t, err)
	return n
}

// until waits for what must come true.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	require.Eventually(t, f, 20*time.Second, 2*time.Millisecond, what)
}

// sameStore is another origin's store on the same database: one of its own where the database lets several processes in.
func sameStore(t testing.TB, o *origin, url string) *store.Store {
	if strings.HasPrefix(url, "postgres") {
		return openStore(t, url)
	}
	return o.store
}
