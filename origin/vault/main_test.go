package vault

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
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
	return store.Options{URL: url, Schemas: []store.Schema{Schema()}, Connections: 4}
}

func openStore(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), storeOptions(url))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func testKEK(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func openVault(t testing.TB, s *store.Store, o Options) *Vault {
	t.Helper()
	v, err := Open(t.Context(), s, o)
	require.NoError(t, err)
	return v
}

// fresh opens the vault of an empty database with a clock.
func fresh(t testing.TB, url string) (*Vault, *store.Store, *clock) {
	t.Helper()
	s, now := openStore(t, url), newClock()
	return openVault(t, s, Options{KEK: testKEK("first"), Now: now.Now}), s, now
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_000).UTC()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// update runs f in a transaction that must succeed.
func update(t testing.TB, s *store.Store, f func(t *store.Tx) error) {
	t.Helper()
	require.NoError(t, s.Update(t.Context(), f))
}

// exec changes the database behind the vault's back, as an intruder might.
func exec(t testing.TB, s *store.Store, query string, args ...any) {
	t.Helper()
	update(t, s, func(tx *store.Tx) error {
		n, err := tx.Exec(query, args...)
		require.EqualValues(t, 1, n, query)
		return err
	})
}

func head(t testing.TB, s *store.Store) store.Head {
	t.Helper()
	h, err := s.Head(t.Context())
	require.NoError(t, err)
	return h
}

// touch makes a revision.
func touch(t testing.TB, s *store.Store, body string) {
	t.Helper()
	_, err := s.Apply(t.Context(), store.ChangeSet{Actor: "tester", Ops: []store.Op{store.Put("model", "m", []byte(body), store.Any)}})
	require.NoError(t, err)
}

func leafOf(t testing.TB, cert tls.Certificate) *x509.Certificate {
	t.Helper()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	require.NoError(t, err)
	return leaf
}

func hexOf(b [32]byte) string { return hex.EncodeToString(b[:]) }
