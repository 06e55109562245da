package ledger

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

func TestBookCountsOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		book(t, l, "a", report(1, row("1.0.0", 3)))
		for range 3 {
			reply, err := l.Book(ctx, "a", report(1, row("1.0.0", 3)))
			require.NoError(t, err)
			assert.Equal(t, wire.ReportReply{Seq: 1, Duplicate: true}, reply)
			require.NoError(t, l.Fold(ctx))
		}
		book(t, l, "a", report(2))
		book(t, l, "a", report(3, row("1.0.0", 4), row("1.0.0", 5))) // the same row twice adds up
		reply, err := l.Book(ctx, "a", report(2, row("1.0.0", 100)))
		require.NoError(t, err)
		assert.Equal(t, wire.ReportReply{Seq: 3, Duplicate: true}, reply, "it tells all that is counted")
		assert.Equal(t, int64(12), all(t, l)[0].Requests)
	})
}

func TestBookRefusesGaps(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		reply, err := l.Book(ctx, "a", report(2, row("1.0.0", 1)))
		require.ErrorIs(t, err, ErrGap, "an incarnation begins at 1")
		assert.Zero(t, reply.Seq)
		book(t, l, "a", report(1, row("1.0.0", 1)))
		reply, err = l.Book(ctx, "a", report(3, row("1.0.0", 1)))
		require.ErrorIs(t, err, ErrGap)
		assert.Equal(t, int64(1), reply.Seq)
		book(t, l, "a", report(2, row("1.0.0", 1)))
		assert.Equal(t, int64(2), all(t, l)[0].Requests)

		other := report(1, row("1.0.0", 1))
		other.Incarnation = "second life"
		book(t, l, "a", other)
		book(t, l, "b", report(1, row("1.0.0", 1)))
		assert.Equal(t, int64(4), all(t, l)[0].Requests, "incarnations and nodes have numbers of their own")
	})
}

func TestBookRefusesNonsense(t *testing.T) {
	l := open(t, t.TempDir()+"/origin.db")
	for name, r := range map[string]*wire.Report{
		"no incarnation": {Seq: 1},
		"bad life":       {Incarnation: "a\x00", Seq: 1},
		"seq 0":          report(0),
		"too many rows":  report(1, make([]wire.Usage, maxRows+1)...),
	} {
		_, err := l.Book(t.Context(), "a", r)
		assert.ErrorIs(t, err, ErrReport, name)
	}
	for _, node := range []string{"", "a\x00", "\xff", strings.Repeat("n", maxNode+1)} {
		_, err := l.Book(t.Context(), node, report(1))
		require.ErrorIs(t, err, ErrReport, "%q", node)
	}
}

// What is wrong with a row keeps neither the rest of its report nor the next ones from being booked.
func TestFlawedRowsAreBookedAsFarAsTheyCanBe(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		var heard []int
		l.Flawed = func(_ context.Context, node string, r *wire.Report, rows int) {
			assert.Equal(t, []any{"a", "life"}, []any{node, r.Incarnation})
			heard = append(heard, rows)
		}
		flaws := []func(u *wire.Usage){
			func(u *wire.Usage) { u.CostNano = -1 },
			func(u *wire.Usage) { u.Input, u.ListNano = math.MaxInt64, math.MinInt64 },
			func(u *wire.Usage) { u.Latency = []int64{-1, math.MaxInt64} },
			func(u *wire.Usage) { u.Latency = make([]int64, 100) },
			func(u *wire.Usage) { u.Model = strings.Repeat("m", 1000) },
			func(u *wire.Usage) { u.Key = "\xff" },
			func(u *wire.Usage) { u.Key, u.Tags = "a\x00", strings.Repeat("t", 5000) },
			func(u *wire.Usage) { u.Hour = -1 },
			func(u *wire.Usage) { u.Hour = math.MaxInt64 },
		}
		for i, flaw := range flaws {
			good, bad := row("1.0.0", 1), row("1.0.0", 1)
			flaw(&bad)
			r := report(int64(i+1), good, bad, good)
			book(t, l, "a", r)
			reply, err := l.Book(t.Context(), "a", r)
			require.NoError(t, err)
			assert.True(t, reply.Duplicate)
			assert.Len(t, heard, i+1, "a report is told of once")
		}
		assert.Equal(t, slices.Repeat([]int{1}, len(flaws)), heard)
		sums := all(t, l)[0]
		assert.Equal(t, int64(3*len(flaws)), sums.Requests)
		assert.Equal(t, []int64{wire.MostCounted, 0, 0}, []int64{sums.Input, sums.CostNano, sums.ListNano})
		_, err := l.Totals(t.Context(), "m", time.Unix(0, 0), time.Time{})
		require.NoError(t, err)
		book(t, l, "a", report(int64(len(flaws)+1), row("1.0.0", 1)))
		assert.Len(t, heard, len(flaws))
	})
}

// Sums of nonsense end where numbers do, and go on being told.
func TestSumsDoNotOverflow(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		u := row("1.0.0", wire.MostCounted)
		u.CostNano, u.MicrosSum, u.Latency = wire.MostCounted, wire.MostCounted, []int64{wire.MostCounted}
		seq := int64(0)
		for range 3 { // folded apart
			var rows []wire.Usage
			for key := range 1000 {
				u.Key = fmt.Sprint("k", key)
				for range 4 {
					rows = append(rows, u)
				}
			}
			seq++
			book(t, l, "a", report(seq, rows...))
			require.NoError(t, l.Fold(t.Context()))
		}
		sums := all(t, l)[0]
		assert.Equal(t, []int64{math.MaxInt64, math.MaxInt64}, []int64{sums.Requests, sums.CostNano})
		assert.Equal(t, int64(mostSummed), all(t, l, "key")[0].CostNano)
		assert.Equal(t, int64(mostSummed), all(t, l, "node")[0].CostNano)
		totals, err := l.Totals(t.Context(), "m", time.Unix(0, 0), time.Time{})
		require.NoError(t, err)
		assert.Equal(t, int64(math.MaxInt64), totals[0].Requests)
		require.NoError(t, l.Compact(t.Context(), time.Unix((noon+48)*3600, 0)))
	})
}

// Reports are booked together, and what is wrong with one is not the others' fault.
func TestBookAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		var nodes sync.WaitGroup
		for n := range 20 {
			nodes.Go(func() {
				name, first := fmt.Sprint("node-", n), int64(1)
				want := error(nil)
				r := report(1, row("1.0.0", 1))
				switch n % 4 {
				case 1:
					r.Incarnation, want = "life\x00", ErrReport
				case 2:
					r.Seq, want, first = 7, ErrGap, 0
				}
				reply, err := l.Book(t.Context(), name, r)
				assert.ErrorIs(t, err, want)
				if want != ErrReport {
					assert.Equal(t, first, reply.Seq)
				}
			})
		}
		nodes.Wait()
		assert.Equal(t, int64(10), all(t, l)[0].Requests)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.Book(gone, "late", report(1, row("1.0.0", 1)))
		require.ErrorIs(t, err, context.Canceled)
		reply, err := l.Book(t.Context(), "late", report(1, row("1.0.0", 1)))
		require.NoError(t, err)
		assert.Equal(t, int64(1), reply.Seq)
		assert.Equal(t, int64(11), all(t, l)[0].Requests, "once, whether its sender waited or not")
	})
}

func TestLastSeq(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		seq, err := l.LastSeq(t.Context(), "a")
		require.NoError(t, err)
		assert.Zero(t, seq)
		book(t, l, "a", report(1))
		book(t, l, "a", report(2))
		l.now = func() time.Time { return time.Unix(noon*3600+1900, 0) }
		r := report(1)
		r.Incarnation = "a later life"
		book(t, l, "a", r)
		seq, err = l.LastSeq(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, int64(1), seq)
	})
}

func TestTotals(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		good, failed, denied, hit, other := row("1.0.0", 90), row("1.0.0", 6), row("1.0.0", 4), row("1.0.0", 100), row("2.0.0", 1)
		good.Input, good.Output, good.CostNano, good.MicrosSum, good.TTFTSum, good.TTFTCount = 1000, 500, 7_000, 90*100_000, 45*20_000, 45
		good.Latency = make([]int64, 15)
		good.Latency[14] = 90 // 91..128 ms
		failed.Code, denied.Code, denied.Provider = "upstream_error", "policy_denied", ""
		failed.Latency = []int64{6}
		hit.Cache, hit.Latency = "hit-memory", []int64{100}
		late := row("1.0.0", 1000)
		late.Hour++
		book(t, l, "a", report(1, good, failed, other, late))
		book(t, l, "b", report(1, denied, hit))
		elsewhere := row("1.0.0", 50)
		elsewhere.Model = "n"
		book(t, l, "b", report(2, elsewhere))

		at := time.Unix(noon*3600, 0)
		totals, err := l.Totals(t.Context(), "m", at.Add(20*time.Minute), at.Add(40*time.Minute))
		require.NoError(t, err)
		require.Len(t, totals, 2)
		v := totals[0]
		assert.InDelta(t, 107, v.P95MS, 20, "within the bucket")
		assert.Greater(t, v.P95MS, 90.5)
		assert.InDelta(t, 0.92, v.P50MS, 0.02, "98 of the 106 that took less than a millisecond")
		v.P50MS, v.P95MS = 0, 0
		assert.Equal(t, Totals{Version: "1.0.0", Requests: 200, Errors: 6, ErrorRate: 0.03, CacheHits: 100, Input: 1000, Output: 500,
			CostNano: 7_000, MeanMS: 45, MeanTTFT: 20}, v)
		assert.Equal(t, Totals{Version: "2.0.0", Requests: 1}, totals[1])

		totals, err = l.Totals(t.Context(), "m", at, time.Time{})
		require.NoError(t, err)
		assert.Equal(t, int64(1200), totals[0].Requests, "no end")
		totals, err = l.Totals(t.Context(), "m", at.Add(2*time.Hour), time.Time{})
		require.NoError(t, err)
		assert.Empty(t, totals)
	})
}

func TestUsage(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		a, b := row("1.0.0", 1), row("1.0.0", 2)
		b.Hour, b.Key, b.Provider, b.Cache, b.CachedInput, b.Unpriced = noon+1, "l", "q", "hit-disk", 9, 2
		book(t, l, "x", report(1, a, b))
		book(t, l, "y", report(1, a))
		hour := time.Unix(noon*3600, 0).UTC()
		assert.Equal(t, []Row{{Sums: Sums{Requests: 4, CacheHits: 2, CachedInput: 9, Unpriced: 2}}}, all(t, l))
		assert.Equal(t, []Row{
			{Hour: hour, Key: "k", Provider: "p", Sums: Sums{Requests: 2}},
			{Hour: hour.Add(time.Hour), Key: "l", Provider: "q", Sums: Sums{Requests: 2, CacheHits: 2, CachedInput: 9, Unpriced: 2}},
		}, all(t, l, "hour", "key", "provider"))
		assert.Equal(t, []Row{
			{Node: "x", Model: "m", Sums: Sums{Requests: 3, CacheHits: 2, CachedInput: 9, Unpriced: 2}}, {Node: "y", Model: "m", Sums: Sums{Requests: 1}},
		}, all(t, l, "node", "model"))
		rows, err := l.Usage(t.Context(), Query{Since: hour, Where: map[string][]string{"model": {"m"}, "version": {"1.0.0"}}, By: []string{"cache"}, Limit: 1})
		require.NoError(t, err)
		assert.Equal(t, []Row{{Cache: "hit-disk", Sums: Sums{Requests: 2, CacheHits: 2, CachedInput: 9, Unpriced: 2}}}, rows)
		for _, by := range [][]string{{"colour"}, {"node", "key"}, {"model", "model"}, {"requests"}} {
			_, err := l.Usage(t.Context(), Query{By: by})
			require.ErrorIs(t, err, store.ErrInvalid, by)
		}
	})
}

func TestCompactKeepsTheTotals(t *testing.T) {
	onEach(t, func(t *testing.T, l *Ledger) {
		const first = noon - 12
		l.now = func() time.Time { return time.Unix((first+72)*3600, 0) }
		sent := int64(0)
		add := func() {
			for h := range int64(72) {
				u := row("1.0.0", h+1)
				u.Hour, u.Latency = first+h, []int64{0, h + 1}
				sent++
				book(t, l, "a", report(sent, u))
			}
		}
		add()
		before := all(t, l, "model", "version", "key")
		require.NoError(t, l.Compact(t.Context(), time.Unix((first+50)*3600, 0)))
		assert.Equal(t, before, all(t, l, "model", "version", "key"))
		rows := all(t, l, "hour")
		require.Len(t, rows, 2+24)
		assert.Equal(t, time.Unix(first*3600, 0).UTC(), rows[0].Hour)
		assert.Equal(t, int64(24*25/2), rows[0].Requests)
		assert.Len(t, all(t, l, "hour", "node"), 26)

		add() // reports of nodes that were away for long
		require.NoError(t, l.Fold(t.Context()))
		require.NoError(t, l.Compact(t.Context(), time.Unix((first+50)*3600, 0)))
		assert.Equal(t, int64(24*25), all(t, l, "hour")[0].Requests)
		totals, err := l.Totals(t.Context(), "m", time.Unix(first*3600, 0), time.Time{})
		require.NoError(t, err)
		assert.Equal(t, int64(72*73), totals[0].Requests)
		assert.InDelta(t, 1.2, totals[0].P50MS, 0.01)

		require.NoError(t, l.Forget(t.Context(), time.Unix((first+30)*3600, 0)))
		assert.Equal(t, time.Unix((first+24)*3600, 0).UTC(), all(t, l, "hour")[0].Hour)
		seq, err := l.LastSeq(t.Context(), "a")
		require.NoError(t, err)
		assert.Equal(t, int64(144), seq, "it reported not long ago")
		require.NoError(t, l.Forget(t.Context(), l.now().Add(time.Hour)))
		seq, err = l.LastSeq(t.Context(), "a")
		require.NoError(t, err)
		assert.Zero(t, seq)
	})
}

// Nodes send their reports to two origins at once, some twice, some out of turn, while both fold and compact.
func TestConcurrentNodes(t *testing.T) {
	onEach(t, func(t *testing.T, one *Ledger) {
		two := New(one.store)
		two.now = one.now
		const nodes, reports = 8, 25
		var work, folders sync.WaitGroup
		stop := make(chan struct{})
		for _, l := range []*Ledger{one, two} {
			folders.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
					assert.NoError(t, l.Fold(t.Context()))
					assert.NoError(t, l.Compact(t.Context(), l.now().Add(24*time.Hour)))
				}
			})
		}
		for n := range nodes {
			work.Go(func() { sendAll(t, fmt.Sprint("node-", n), reports, one, two) })
		}
		work.Wait()
		close(stop)
		folders.Wait()
		rows := all(t, one)
		assert.Equal(t, int64(nodes*reports*(reports+1)/2*3), rows[0].Requests)
		assert.Equal(t, int64(nodes*reports), rows[0].CostNano)
		assert.Equal(t, rows[0].Requests, sum(all(t, two, "node")))
	})
}

func sum(rows []Row) (n int64) {
	for _, r := range rows {
		n += r.Requests
	}
	return n
}

// sendAll sends a node's reports until all are counted.
func sendAll(t *testing.T, node string, reports int64, to ...*Ledger) {
	rng := rand.New(rand.NewPCG(uint64(len(node)), uint64(node[len(node)-1])))
	for seq := int64(1); seq <= reports; {
		ask := max(1, seq+rng.Int64N(4)-1) // the one before, the right one, or one too far ahead
		r := report(ask)
		for v := range 3 {
			u := row(fmt.Sprint(v, ".0.0"), ask)
			u.Hour = noon - rng.Int64N(30)
			if v == 0 {
				u.CostNano = 1
			}
			r.Usage = append(r.Usage, u)
		}
		var both sync.WaitGroup
		for _, l := range to {
			both.Go(func() {
				_, err := l.Book(t.Context(), node, r)
				if ask > seq {
					assert.ErrorIs(t, err, ErrGap)
				} else {
					assert.NoError(t, err)
				}
			})
		}
		both.Wait()
		if ask == seq {
			seq++
		}
	}
}
