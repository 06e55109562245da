package spend

import (
	"context"
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

// origin is the money of a store, with a clock that stands.
type origin struct {
	*Spend
	t  testing.TB
	at time.Time
}

// onEach runs a test on every database.
func onEach(t *testing.T, test func(t *testing.T, o *origin)) {
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "origin.db"))) })
	t.Run("postgres", func(t *testing.T) { test(t, open(t, pgtest.Database(t))) })
}

func open(t testing.TB, url string) *origin {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{URL: url, Schemas: []store.Schema{Schema()}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	o := &origin{t: t, at: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	o.Spend = New(Options{Store: s, Now: func() time.Time { return o.at }})
	return o
}

// put puts entries of a catalog, as JSON.
func (o *origin) put(catalog string) {
	o.t.Helper()
	entries, err := wire.SplitCatalog("test", []byte(catalog))
	require.NoError(o.t, err)
	set := store.ChangeSet{Actor: "test"}
	for _, e := range entries {
		set.Ops = append(set.Ops, store.Op{Kind: e.Kind, Name: e.Name, Body: e.Body, Expect: store.Any})
	}
	_, err = o.store.Apply(context.Background(), set)
	require.NoError(o.t, err)
}

// lease asks for one pot.
func (o *origin) lease(node string, r wire.PotReport) wire.PotGrant {
	o.t.Helper()
	reply, err := o.Lease(context.Background(), node, &wire.LeaseRequest{Purse: "purse of " + node, Pots: []wire.PotReport{r}})
	require.NoError(o.t, err)
	require.Len(o.t, reply.Pots, 1)
	return reply.Pots[0]
}
