package ledger

import (
	"os"
	"path/filepath"
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

// onEach runs a test on every database.
func onEach(t *testing.T, test func(t *testing.T, l *Ledger)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "origin.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, pgtest.Database(t))) })
}

func open(t testing.TB, url string) *Ledger {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{URL: url, Schemas: []store.Schema{Schema()}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	l := New(s)
	l.now = func() time.Time { return time.Unix(noon*3600+1800, 0) }
	return l
}

// noon is an hour of a day, in unix hours.
const noon = 20_000*24 + 12

// row is some good requests of a version.
func row(version string, requests int64) wire.Usage {
	return wire.Usage{Hour: noon, Model: "m", Version: version, Key: "k", Provider: "p", Target: "p/x", Cache: "miss", Requests: requests}
}

func report(seq int64, rows ...wire.Usage) *wire.Report {
	return &wire.Report{Incarnation: "life", Seq: seq, Usage: rows}
}

// book books a report that must be counted.
func book(t testing.TB, l *Ledger, node string, r *wire.Report) {
	t.Helper()
	reply, err := l.Book(t.Context(), node, r)
	require.NoError(t, err)
	require.Equal(t, wire.ReportReply{Seq: r.Seq}, reply)
}

// all is everything that is booked, in one row.
func all(t testing.TB, l *Ledger, by ...string) []Row {
	t.Helper()
	rows, err := l.Usage(t.Context(), Query{Since: time.Unix(0, 0), By: by})
	require.NoError(t, err)
	return rows
}
