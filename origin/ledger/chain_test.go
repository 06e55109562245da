package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/proxy/usage"
	"github.com/wedge-proxy/wedge/store/badger"
)

// uplink sends a node's reports over a line that loses requests and answers, and delivers some twice.
func uplink(ctx context.Context, t *testing.T, l *Ledger, node string, u *usage.Usage) {
	for ctx.Err() == nil {
		r, ok := u.Next()
		if !ok {
			select {
			case <-ctx.Done():
			case <-u.Changed():
			}
			continue
		}
		if rand.IntN(4) == 0 {
			continue // the request was lost
		}
		reply, err := l.Book(context.Background(), node, r)
		if errors.Is(err, ErrGap) {
			assert.NoError(t, u.Gap())
			continue
		}
		if !assert.NoError(t, err) {
			return
		}
		if rand.IntN(4) > 0 {
			u.Sent(reply) // or else the answer was lost
		}
	}
}

// live is one life of a node: it counts requests and reports them, and ends cleanly or not.
func live(t *testing.T, l *Ledger, name string, db *badger.DB, requests int) {
	u, err := usage.New(db, usage.Options{FlushEvery: time.Millisecond, ReportEvery: 10 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { assert.NoError(t, u.Run(ctx)) })
	work.Go(func() { uplink(ctx, t, l, name, u) })
	for i := range requests {
		u.Add(usage.Key{Hour: noon, Model: "m", Version: fmt.Sprint(i%3, ".0.0"), Key: name, Cache: "miss"},
			usage.Values{Requests: 1, Input: 10, Output: 2, CostNano: 7, Took: time.Duration(i) * time.Microsecond})
		if i%100 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	cancel()
	work.Wait()
}

func TestFromTheNodeToTheBooks(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		const nodes, lives, requests = 3, 3, 2000
		var fleet sync.WaitGroup
		for n := range nodes {
			fleet.Go(func() {
				db, err := badger.Open(t.TempDir(), badger.Options{MinFree: 1 << 20})
				if !assert.NoError(t, err) {
					return
				}
				defer func() { assert.NoError(t, db.Close()) }()
				name := fmt.Sprint("node-", n)
				for range lives {
					live(t, l, name, db, requests)
				}
				u, err := usage.New(db, usage.Options{})
				if !assert.NoError(t, err) {
					return
				}
				for r, ok := u.Next(); ok; r, ok = u.Next() {
					reply, err := l.Book(t.Context(), name, r)
					if !assert.NoError(t, err) {
						return
					}
					u.Sent(reply)
				}
			})
		}
		fleet.Wait()
		const n = nodes * lives * requests
		got := all(t, l)[0]
		assert.Equal(t, []int64{n, 10 * n, 2 * n, 7 * n}, []int64{got.Requests, got.Input, got.Output, got.CostNano})
		assert.Len(t, all(t, l, "key"), nodes)
	})
}

// A backup carries the books, and a node whose last reports it does not have goes on with the rest.
func TestRestoredBooks(t *testing.T) {
	l := open(t, filepath.Join(t.TempDir(), "origin.db"))
	book(t, l, "a", report(1, row("1.0.0", 1)))
	require.NoError(t, l.Fold(t.Context()))
	book(t, l, "a", report(2, row("1.0.0", 2))) // not folded
	var backup bytes.Buffer
	_, err := l.store.Backup(t.Context(), &backup)
	require.NoError(t, err)
	book(t, l, "a", report(3, row("1.0.0", 4)))

	options := store.Options{URL: filepath.Join(t.TempDir(), "restored.db"), Schemas: []store.Schema{Schema()}}
	_, err = store.Restore(t.Context(), options, &backup)
	require.NoError(t, err)
	l = open(t, options.URL)
	assert.Equal(t, int64(3), all(t, l)[0].Requests)
	_, err = l.Book(t.Context(), "a", report(4, row("1.0.0", 8)))
	require.ErrorIs(t, err, ErrGap)
	again := report(1, row("1.0.0", 8))
	again.Incarnation = "as the node says after a gap"
	book(t, l, "a", again)
	assert.Equal(t, int64(11), all(t, l)[0].Requests)
}

func TestRun(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		old := row("1.0.0", 5)
		old.Hour = noon - 60*24 - 5
		book(t, l, "a", report(1, old))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- l.Run(ctx, slog.New(slog.DiscardHandler)) }()
		require.Eventually(t, func() bool {
			var rows, days int
			require.NoError(t, l.store.View(ctx, func(t *store.Tx) error {
				if err := t.Row("select count(*) from ledger_reports").Scan(&rows); err != nil {
					return err
				}
				return t.Row("select count(*) from ledger_sums where hour % 24 = 0").Scan(&days)
			}))
			return rows == 0 && days == 1
		}, 20*time.Second, 50*time.Millisecond, "it is folded, and its day compacted")
		cancel()
		require.NoError(t, <-done)
	})
}
