package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

func TestMain(m *testing.M) {
	runChildIfAsked()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		pgtest.Stop()
		os.Exit(code)
	}))
}

// databases are those that the store keeps the same promises on.
var databases = map[string]func(t testing.TB) (url string){
	"sqlite":   func(t testing.TB) string { return filepath.Join(t.TempDir(), "origin.db") },
	"postgres": pgtest.Database,
}

// onEach runs a test on every database, with the options of an empty one.
func onEach(t *testing.T, test func(t *testing.T, options Options)) {
	for name, database := range databases {
		t.Run(name, func(t *testing.T) { test(t, Options{URL: database(t)}) })
	}
}

func open(t testing.TB, options Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), options)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.UnixMilli(1_800_000_000_000).UTC()} }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func body(text string) []byte { return []byte(`{"v":"` + text + `"}`) }

// apply makes a change that must succeed.
func apply(t testing.TB, s *Store, ops ...Op) Head {
	t.Helper()
	head, err := s.Apply(t.Context(), ChangeSet{Actor: "tester", Reason: "test", Ops: ops})
	require.NoError(t, err)
	return head
}

func mustRefuse(t testing.TB, s *Store, target error, ops ...Op) {
	t.Helper()
	_, err := s.Apply(t.Context(), ChangeSet{Actor: "tester", Ops: ops})
	require.ErrorIs(t, err, target)
}
