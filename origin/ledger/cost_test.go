package ledger

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

// A database of the former schema opens, and keeps its rows.
func TestFormerSchema(t *testing.T) {
	for name, url := range map[string]string{"sqlite": filepath.Join(t.TempDir(), "origin.db"), "postgres": ""} {
		t.Run(name, func(t *testing.T) {
			if url == "" {
				url = pgtest.Database(t)
			}
			former := Schema()
			former.Steps = former.Steps[:1]
			s, err := store.Open(t.Context(), store.Options{URL: url, Schemas: []store.Schema{former}})
			require.NoError(t, err)
			require.NoError(t, s.Update(t.Context(), func(tx *store.Tx) error {
				for hour := range int64(3) {
					_, err := tx.Exec("insert into ledger_sums values (?, 'm', '1.0.0', '', '', 'k', 'p', 'p/x', 'miss', '', 5, 1, 0, 10, 2, 3, 7, 1, 50, 0, 0)", noon+hour)
					if err != nil {
						return err
					}
					if _, err = tx.Exec("insert into ledger_nodes values (?, 'n', 'm', '1.0.0', 5, 1, 0, 10, 2, 3, 7, 1, 50, 0, 0)", noon+hour); err != nil {
						return err
					}
				}
				_, err := tx.Exec("insert into ledger_watermarks values ('n', 'i', 4, 1)")
				return err
			}))
			require.NoError(t, s.Close())

			l := open(t, url)
			want := Sums{Requests: 15, Errors: 3, Input: 30, CachedInput: 6, Output: 9, CostNano: 21, Unpriced: 3, ListNano: 21, MeanMS: 0.01}
			assert.Equal(t, []Row{{Key: "k", Sums: want}}, all(t, l, "key"))
			assert.Equal(t, []Row{{Node: "n", Sums: want}}, all(t, l, "node"))
			more := row("1.0.0", 1)
			more.Code, more.CostNano, more.ListNano = "", 4, 6
			book(t, l, "n", &wire.Report{Incarnation: "i", Seq: 5, Usage: []wire.Usage{more}})
			require.NoError(t, l.Fold(t.Context()))
			require.NoError(t, l.Compact(t.Context(), time.Unix((noon+48)*3600, 0)))
			got := all(t, l, "hour", "key")
			require.Len(t, got, 1)
			assert.Equal(t, []int64{16, 25, 27}, []int64{got[0].Requests, got[0].CostNano, got[0].ListNano})
		})
	}
}

func ask(t *testing.T, l *Ledger, q Query) Answer {
	t.Helper()
	a, err := l.Ask(t.Context(), q)
	require.NoError(t, err)
	return a
}

func TestCost(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		a, b, c, free := row("1.0.0", 1), row("1.0.0", 2), row("1.0.0", 3), row("1.0.0", 4)
		a.Team, a.Tags, a.CostNano, a.ListNano, a.Prices = "red", "app=shop,env=prod", 100, 150, "d1"
		b.Team, b.Tags, b.CostNano, b.ListNano, b.WasteNano, b.Estimated, b.Key = "blue", "app=shop2,env=prod", 300, 300, 20, 30, "other"
		c.Team, c.CostNano, c.Key = "red", 50, "third" // a former node: no list price
		free.Team, free.Unpriced, free.SavedNano = "red", 4, 9
		book(t, l, "n1", report(1, a, b))
		book(t, l, "n2", report(1, c, free))

		got := ask(t, l, Query{By: []string{"team"}, Costly: true})
		assert.Equal(t, []Row{
			{Team: "blue", Sums: Sums{Requests: 2, CostNano: 300, ListNano: 300, WasteNano: 20, EstimatedNano: 30}},
			{Team: "red", Sums: Sums{Requests: 8, CostNano: 150, ListNano: 200, SavedNano: 9, Unpriced: 4}},
		}, got.Rows)
		assert.Equal(t, Sums{Requests: 10, CostNano: 450, ListNano: 500, WasteNano: 20, EstimatedNano: 30, SavedNano: 9, Unpriced: 4}, got.Total)

		got = ask(t, l, Query{By: []string{"team"}, Costly: true, Offset: 1, Limit: 1})
		assert.Equal(t, "red", got.Rows[0].Team)
		assert.False(t, got.More)
		assert.Equal(t, int64(450), got.Total.CostNano, "of all pages")
		assert.True(t, ask(t, l, Query{By: []string{"team"}, Limit: 1}).More)

		got = ask(t, l, Query{By: []string{"tag:app", "tag:env"}})
		require.Len(t, got.Rows, 3)
		assert.Equal(t, map[string]string{"app": "", "env": ""}, got.Rows[0].Tag)
		assert.Equal(t, map[string]string{"app": "shop", "env": "prod"}, got.Rows[1].Tag)
		for _, c := range []struct {
			where map[string][]string
			cost  int64
		}{
			{map[string][]string{"tag:app": {"shop"}}, 100},
			{map[string][]string{"tag:env": {"prod"}}, 400},
			{map[string][]string{"tag:app": {"shop", "shop2"}, "team": {"blue"}}, 300},
			{map[string][]string{"tag:app": {"hop"}}, 0},
			{map[string][]string{"key": {"k", "third"}}, 150},
			{map[string][]string{"key": {}}, 0},
			{map[string][]string{"prices": {"d1"}}, 100},
			{map[string][]string{"node": {"n1"}, "team": {"red"}}, 100},
			{map[string][]string{"tenant": {"acme"}}, 400},
			{map[string][]string{"tenant": {"third"}}, 50},
			{map[string][]string{"tags": {"app=shop,env=prod"}, "provider": {"p"}, "target": {"p/x"}, "cache": {"miss"}, "code": {""}}, 100},
		} {
			q := Query{Where: c.where, Tenants: map[string]string{"k": "acme", "other": "acme"}}
			assert.Equal(t, c.cost, ask(t, l, q).Total.CostNano, c.where)
		}
		got = ask(t, l, Query{By: []string{"tenant"}, Tenants: map[string]string{"k": "acme", "other": "acme"}})
		assert.Equal(t, []string{"acme", "third"}, []string{got.Rows[0].Tenant, got.Rows[1].Tenant})
		for _, q := range []Query{
			{By: []string{"tag:"}}, {Bucket: "year"}, {Bucket: "day", By: []string{"hour"}}, {Where: map[string][]string{"hour": {"1"}}},
			{Where: map[string][]string{"colour": {"red"}}}, {Where: map[string][]string{"node": {"n"}, "key": {"k"}}},
		} {
			_, err := l.Ask(t.Context(), q)
			require.ErrorIs(t, err, store.ErrInvalid, q)
		}
	})
}

func TestBuckets(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		berlin, err := time.LoadLocation("Europe/Berlin")
		require.NoError(t, err)
		// The night in which clocks are set back: the 26th of October 2025 has 25 hours.
		begin := time.Date(2025, 10, 25, 0, 0, 0, 0, berlin)
		l.now = func() time.Time { return begin.Add(80 * time.Hour) }
		r := report(1)
		for h := range int64(24 + 25 + 24) {
			u := row("1.0.0", 1)
			u.Hour = begin.Unix()/3600 + h
			r.Usage = append(r.Usage, u)
		}
		book(t, l, "a", r)
		counts := func(bucket string, zone *time.Location) (counts []int64, starts []string) {
			for _, r := range ask(t, l, Query{Bucket: bucket, Zone: zone}).Rows {
				counts, starts = append(counts, r.Requests), append(starts, r.Start.Format(time.DateOnly))
			}
			return counts, starts
		}
		n, starts := counts("day", berlin)
		assert.Equal(t, []int64{24, 25, 24}, n)
		assert.Equal(t, []string{"2025-10-25", "2025-10-26", "2025-10-27"}, starts)
		n, starts = counts("week", berlin)
		assert.Equal(t, []int64{49, 24}, n)
		assert.Equal(t, []string{"2025-10-20", "2025-10-27"}, starts)
		n, starts = counts("month", nil)
		assert.Equal(t, []int64{73}, n)
		assert.Equal(t, []string{"2025-10-01"}, starts)
		n, _ = counts("hour", berlin)
		assert.Len(t, n, 73)

		l.now = func() time.Time { return begin.Add(100 * 24 * time.Hour) }
		require.NoError(t, l.Compact(t.Context(), l.now().Add(-KeepHours)))
		n, starts = counts("day", time.FixedZone("west", -8*3600))
		assert.Equal(t, []int64{2, 24, 24, 23}, n, "days in UTC, by their noon")
		assert.Equal(t, "2025-10-24", starts[0])
	})
}
