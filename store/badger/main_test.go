package badger

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/store/storetest"
)

// beforeTests are what a process of the tests does before, or instead of, running them.
var beforeTests []func()

func TestMain(m *testing.M) {
	runChildIfAsked()
	for _, f := range beforeTests {
		f()
	}
	goleak.VerifyTestMain(m)
}

func openDB(t testing.TB, dir string) *DB {
	t.Helper()
	db, err := Open(dir, Options{MinFree: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// maintain runs the store's maintenance until the test ends, or until the returned function is called.
func maintain(t testing.TB, db *DB) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = db.Run(ctx) })
	stop = func() { cancel(); wg.Wait() }
	t.Cleanup(stop)
	return stop
}

func tierOf(t testing.TB, db *DB, limit int64) *Tier {
	t.Helper()
	tier, err := db.Tier([]byte("cache"), limit)
	require.NoError(t, err)
	return tier
}

// closingTier closes its store as well: a tier by itself is never closed.
type closingTier struct {
	*Tier
	db *DB
}

func (c closingTier) Close() error { return c.db.Close() }

func TestTierKeepsTheContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Tier {
		db := openDB(t, t.TempDir())
		maintain(t, db)
		return closingTier{tierOf(t, db, 256<<20), db}
	})
}
