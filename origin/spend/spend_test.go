package spend

import (
	"context"
	"errors"
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

const daily = `{"budgets":[{"name":"b","limit_usd":1,"period":"daily","scope":"total"}]}`

// today is when the period of a daily budget began.
func (o *origin) today() int64 { return o.at.Truncate(24 * time.Hour).Unix() }

func TestLeasesAreTotals(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(daily)
		first := o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 4e8})
		assert.Equal(t, int64(4e8), first.Granted)
		assert.Equal(t, []int64{1e9, 4e8, 0, 0}, []int64{first.Limit, first.Committed, first.Spent, first.Known})
		report := wire.PotReport{Budget: "b", Period: o.today(), Granted: 4e8, Spent: 1e8, Returned: 1e8}
		for range 3 { // again changes nothing
			g := o.lease("a", report)
			assert.Equal(t, []int64{4e8, 3e8, 1e8, 1e8}, []int64{g.Granted, g.Committed, g.Spent, g.Known})
		}
		late := o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 4e8, Spent: 5e7})
		assert.Equal(t, int64(1e8), late.Spent, "what comes late counts for nothing")
		over := o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 4e8, Returned: 1e8, Spent: 3e8, Unverified: 2e8})
		assert.Equal(t, int64(5e8), over.Committed, "what was spent beyond the lease counts")
		other := o.lease("b", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e9, Min: 1e9})
		assert.Equal(t, wire.RefusedExhausted, other.Refused, "half of it is gone")
		assert.Zero(t, other.Granted)
		some := o.lease("b", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e9, Min: 1e6})
		assert.Positive(t, some.Granted)
		assert.LessOrEqual(t, some.Granted, int64(5e8))
		assert.Equal(t, int64(2e9), o.lease("c", wire.PotReport{Budget: "b", Period: o.today(), Granted: 2e9}).Granted, "a restored origin believes its nodes")
	})
}

func TestLeasesThatMakeNoSense(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(daily)
		for what, r := range map[string]wire.PotReport{
			"no such budget": {Budget: "other", Period: o.today(), Want: 1}, "no such period": {Budget: "b", Period: o.today() + 1, Want: 1},
		} {
			g := o.lease("a", r)
			assert.Equal(t, wire.RefusedUnknown, g.Refused, what)
			assert.Zero(t, g.Granted+g.Keep, what)
		}
		for what, r := range map[string]*wire.LeaseRequest{
			"no purse": {},
			"twice":    {Purse: "p", Pots: []wire.PotReport{{Budget: "b"}, {Budget: "b"}}},
		} {
			_, err := o.Lease(context.Background(), "a", r)
			assert.ErrorIs(t, err, ErrRequest, what)
		}
	})
}

// One pot that cannot be keeps no other from being lent to, and the operator hears of it.
func TestAFlawedPotIsRefusedAlone(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(`{"budgets":[{"name":"b","limit_usd":1,"period":"daily","scope":"total"},{"name":"c","limit_usd":1,"period":"daily","scope":"total"}]}`)
		budgets, _, err := o.definitions(context.Background())
		require.NoError(t, err)
		memory := NewMemory()
		memory.Use([]wire.Budget{*budgets["b"], *budgets["c"]})
		for what, flawed := range map[string]wire.PotReport{
			"negative": {Budget: "c", Spent: -1}, "negative wish": {Budget: "c", Want: -1}, "lease": {Budget: "c", Granted: 1 << 62},
			"returned": {Budget: "c", Returned: math.MaxInt64}, "no name": {}, "a bad name": {Budget: "c\x00"},
			"a long name": {Budget: strings.Repeat("c", 300)}, "no period": {Budget: "c", Period: -1},
		} {
			if flawed.Period == 0 {
				flawed.Period = o.today()
			}
			good := wire.PotReport{Budget: "b", Period: o.today(), Want: 1000}
			r := &wire.LeaseRequest{Purse: "purse of " + what, Pots: []wire.PotReport{flawed, good}}
			for lender, lease := range map[string]func() (*wire.LeaseReply, error){
				"store":  func() (*wire.LeaseReply, error) { return o.Lease(context.Background(), "a", r) },
				"memory": func() (*wire.LeaseReply, error) { return memory.Lease(context.Background(), r) },
			} {
				reply, err := lease()
				require.NoError(t, err, "%s: %s", lender, what)
				require.Len(t, reply.Pots, 2)
				limit := int64(1e9)
				if budgets[flawed.Budget] == nil {
					limit = 0
				}
				assert.Equal(t, wire.PotGrant{Budget: flawed.Budget, Period: flawed.Period, Keep: -1, Limit: limit, Refused: wire.RefusedFlawed}, reply.Pots[0], what)
				assert.Equal(t, int64(1000), reply.Pots[1].Granted, what)
			}
		}
		assert.Equal(t, []string{wire.AlertFlawed}, o.kinds())
		s, err := o.Budget(context.Background(), "c")
		require.NoError(t, err)
		assert.Empty(t, s.Nodes)
	})
}

// What is told beyond all limits ends the budget, for everybody, and nothing else.
func TestAbsurdAmountsDoNotOverflow(t *testing.T) {
	for _, period := range []string{"daily", "rolling-1h", "total"} {
		onEach(t, func(t *testing.T, o *origin) {
			o.put(fmt.Sprintf(`{"budgets":[{"name":"b","limit_usd":9e8,"period":%q,"scope":"total"}]}`, period))
			budgets, _, err := o.definitions(context.Background())
			require.NoError(t, err)
			memory := NewMemory()
			memory.Use([]wire.Budget{*budgets["b"]})
			start := budgets["b"].SpanAt(o.at).Begin()
			for n := range 20 {
				r := wire.PotReport{Budget: "b", Period: start, Spent: math.MaxInt64, Unverified: math.MaxInt64, Grace: math.MaxInt64,
					Held: math.MaxInt64, Rate: math.MaxInt64, Want: math.MaxInt64, Min: math.MaxInt64}
				node := fmt.Sprint("n", n)
				g := o.lease(node, r)
				assert.Zero(t, g.Granted)
				assert.Equal(t, wire.RefusedExhausted, g.Refused)
				same, err := memory.Lease(context.Background(), &wire.LeaseRequest{Purse: "purse of " + node, Pots: []wire.PotReport{r}})
				require.NoError(t, err)
				assert.Equal(t, g, same.Pots[0], "the store and the memory")
			}
			g := o.lease("honest", wire.PotReport{Budget: "b", Period: start, Want: 1e9})
			assert.Equal(t, []int64{0, math.MaxInt64, math.MaxInt64}, []int64{g.Granted, g.Spent, g.Committed})
			s, err := o.Budget(context.Background(), "b")
			require.NoError(t, err)
			assert.Equal(t, int64(math.MaxInt64), s.Spent)
			assert.Equal(t, int64(math.MaxInt64/60*60), s.PerHour)
			assert.Negative(t, s.Remaining)
			assert.Contains(t, o.kinds(), wire.AlertExhausted)
			_, err = o.WriteOff(context.Background(), "n1", "b")
			require.NoError(t, err)
		})
	}
}

func TestALowerLimitCallsBack(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(daily)
		g := o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 9e8})
		assert.Equal(t, int64(-1), g.Keep)
		o.put(`{"budgets":[{"name":"b","limit_usd":0.5,"period":"daily","scope":"total"}]}`)
		g = o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: g.Granted, Rate: 6e6})
		assert.Equal(t, int64(1e6), g.Keep, "ten seconds' worth")
		g = o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: g.Granted, Returned: g.Granted - 1e6, Want: 1e8})
		assert.Equal(t, int64(-1), g.Keep)
		assert.Positive(t, g.Granted)
	})
}

// TestNeverMoreThanThereIs: whatever nodes tell, in whatever order, what is lent and spent stays within the limit in every
// window, and the store and the memory lend alike.
func TestNeverMoreThanThereIs(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		for seed := range uint64(6) {
			dice := rand.New(rand.NewPCG(seed, 1))
			name, period := fmt.Sprintf("b%d", seed), []string{"daily", "rolling-1h", "total"}[seed%3]
			o.put(fmt.Sprintf(`{"budgets":[{"name":%q,"limit_usd":1,"period":%q,"scope":"total"}]}`, name, period))
			budgets, _, err := o.definitions(context.Background())
			require.NoError(t, err)
			m := NewMemory()
			m.Use([]wire.Budget{*budgets[name]})
			truth := map[place]map[string]*wire.PotReport{}
			for range 150 {
				if dice.IntN(5) == 0 {
					o.at = o.at.Add(time.Duration(dice.IntN(20)) * time.Minute)
				}
				node := fmt.Sprintf("n%d", dice.IntN(6))
				at := place{name, budgets[name].SpanAt(o.at).Begin()}
				if truth[at] == nil {
					truth[at] = map[string]*wire.PotReport{}
				}
				p := truth[at][node]
				if p == nil {
					p = &wire.PotReport{Budget: name, Period: at.period}
					truth[at][node] = p
				}
				if left := p.Granted - p.Returned - p.Spent; left > 0 && dice.IntN(2) == 0 {
					p.Spent += dice.Int64N(left + 1)
				} else if left > 0 && dice.IntN(3) == 0 {
					p.Returned += dice.Int64N(left + 1)
				}
				r := *p
				r.Rate, r.Want = dice.Int64N(1e8), dice.Int64N(5e8)
				r.Min = dice.Int64N(r.Want + 1)
				g := o.lease(node, r)
				same, err := m.Lease(context.Background(), &wire.LeaseRequest{Purse: "purse of " + node, Pots: []wire.PotReport{r}})
				require.NoError(t, err)
				require.Equal(t, same.Pots[0], g, "the store and the memory")
				p.Granted = g.Granted
				for _, window := range windows(budgets[name], budgets[name].SpanAt(o.at)) {
					var lent int64
					for _, start := range window {
						lent += m.Committed(name, start)
					}
					require.LessOrEqual(t, lent, int64(1e9), "seed %d", seed)
				}
			}
		}
	})
}

func TestManyNodesAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(`{"budgets":[{"name":"a","limit_usd":1,"period":"total","scope":"total"},{"name":"b","limit_usd":1,"period":"total","scope":"total"}]}`)
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				granted := map[string]int64{}
				for i := range 30 {
					r := &wire.LeaseRequest{Purse: fmt.Sprint("p", w), Pots: []wire.PotReport{
						{Budget: "a", Granted: granted["a"], Want: 1e7}, {Budget: "b", Granted: granted["b"], Want: 1e7},
					}, Rates: []wire.RateDemand{{Rate: "r", Requests: float64(w)}}}
					if i%2 == 0 {
						slices.Reverse(r.Pots)
					}
					reply, err := o.Lease(context.Background(), fmt.Sprint("n", w), r)
					if !assert.NoError(t, err) {
						return
					}
					for _, g := range reply.Pots {
						granted[g.Budget] = g.Granted
					}
				}
			})
		}
		all.Wait()
		for _, name := range []string{"a", "b"} {
			s, err := o.Budget(context.Background(), name)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, s.Remaining, int64(0))
			assert.Equal(t, s.Limit, s.Remaining+s.Leased)
			assert.Len(t, s.Nodes, 8)
		}
	})
}

func TestSharesFollowDemand(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		share := func(node string, requests float64) wire.RateShare {
			r, err := o.Lease(context.Background(), node, &wire.LeaseRequest{Purse: node, Rates: []wire.RateDemand{{Rate: "r", Requests: requests}}})
			require.NoError(t, err)
			return r.Rates[0]
		}
		assert.InDelta(t, 1, share("a", 10).Share, 0.001)
		assert.InDelta(t, 0.125+0.75*0.75, share("b", 30).Share, 0.001)
		assert.Equal(t, 2, share("a", 10).Nodes)
		o.at = o.at.Add(time.Minute)
		assert.InDelta(t, 1, share("a", 10).Share, 0.001, "who is gone wants nothing")
	})
	for range 100 {
		demand := map[string]float64{}
		for i := range 1 + rand.IntN(20) {
			demand[fmt.Sprint(i)] = rand.Float64() * 100
		}
		var sum float64
		for _, s := range divided(demand) {
			sum += s
			require.GreaterOrEqual(t, s, 1/(4*float64(len(demand)))-1e-9)
		}
		require.InDelta(t, 1, sum, 1e-9)
	}
}

func TestStatusForeseesTheEnd(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(daily)
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 8e8})
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 8e8, Spent: 4e8, Unverified: 1e8, Held: 1e7, Rate: 1e7})
		s, err := o.Budget(context.Background(), "b")
		require.NoError(t, err)
		assert.Equal(t, []int64{4e8, 1e8, 3e8, 2e8, 6e8}, []int64{s.Spent, s.Unverified, s.Leased, s.Remaining, s.PerHour})
		require.NotNil(t, s.Ends)
		assert.Equal(t, o.at.Add(50*time.Minute), *s.Ends)
		assert.Equal(t, "a", s.Nodes[0].Node)
		_, err = o.Budget(context.Background(), "none")
		assert.ErrorIs(t, err, store.ErrNotFound)
	})
}

func TestWriteOff(t *testing.T) {
	onEach(t, func(t *testing.T, o *origin) {
		o.put(daily)
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Want: 8e8})
		o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 8e8, Spent: 1e8})
		for _, want := range []int64{7e8, 0} {
			nano, err := o.WriteOff(context.Background(), "a", "b")
			require.NoError(t, err)
			assert.Equal(t, want, nano)
		}
		g := o.lease("b", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e9, Min: 3e8})
		assert.Equal(t, wire.RefusedExhausted, g.Refused, "it is gone")
		g = o.lease("a", wire.PotReport{Budget: "b", Period: o.today(), Granted: 8e8, Spent: 2e8, Returned: 6e8})
		assert.Equal(t, int64(2e8), g.Committed, "what the node tells counts instead")
		_, err := o.WriteOff(context.Background(), "typo", "b")
		require.ErrorIs(t, err, store.ErrNotFound)
		assert.EqualError(t, err, `there is no node "typo" that ever had any of it: no node has a lease`)
		o.lease("c", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e8})
		o.lease("d", wire.PotReport{Budget: "b", Period: o.today(), Want: 1e8})
		for _, budget := range []string{"b", ""} {
			_, err = o.WriteOff(context.Background(), "typo", budget)
			assert.EqualError(t, err, `there is no node "typo" that ever had any of it: those that have a lease are c, d`)
		}
	})
}

// BenchmarkLease asks for two budgets, from eight nodes.
func BenchmarkLease(b *testing.B) {
	o := open(b, b.TempDir()+"/origin.db")
	o.put(`{"budgets":[{"name":"a","limit_usd":1000,"period":"total","scope":"total"},{"name":"b","limit_usd":1000,"period":"daily","scope":"total"}]}`)
	today := o.today()
	b.RunParallel(func(pb *testing.PB) {
		purse, spent := fmt.Sprint(rand.Uint64()), int64(0)
		for pb.Next() {
			spent += 10
			r := &wire.LeaseRequest{Purse: purse, Pots: []wire.PotReport{{Budget: "a", Spent: spent, Want: 100}, {Budget: "b", Period: today, Spent: spent, Want: 100}}}
			if _, err := o.Lease(context.Background(), purse, r); err != nil && !errors.Is(err, context.Canceled) {
				b.Error(err)
				return
			}
		}
	})
}
