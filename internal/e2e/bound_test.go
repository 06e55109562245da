package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

// disk is a node's store. What was not synced may be lost when the power fails: some of the last writes are, in order.
type disk struct {
	safe    map[string][]byte
	pending []func(m map[string][]byte)
}

func (d *disk) now() map[string][]byte {
	m := maps.Clone(d.safe)
	for _, write := range d.pending {
		write(m)
	}
	return m
}

func (d *disk) Get(key []byte) ([]byte, error) {
	if v, ok := d.now()[string(key)]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (d *disk) Put(key, value []byte) error {
	k, v := string(key), bytes.Clone(value)
	d.pending = append(d.pending, func(m map[string][]byte) { m[k] = v })
	return nil
}

func (d *disk) Delete(key []byte) error {
	k := string(key)
	d.pending = append(d.pending, func(m map[string][]byte) { delete(m, k) })
	return nil
}

func (d *disk) Each(prefix []byte, visit func(key, value []byte) error) error {
	m := d.now()
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if bytes.HasPrefix([]byte(k), prefix) {
			if err := visit([]byte(k), m[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *disk) Sync() error {
	d.safe, d.pending = d.now(), nil
	return nil
}

// fail is a power failure: the first n writes since the last sync survive it.
func (d *disk) fail(n int) {
	d.pending = d.pending[:n]
	_ = d.Sync()
}

// lender is what a schedule leases of.
type lender interface {
	Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error)
}

// spender is a node of a schedule.
type spender struct {
	w       *schedule
	dir     string
	disk    *disk
	book    *budget.Book
	cut     bool          // off from the origin
	skew    time.Duration // of its clock
	under   []*purchase
	earlier []wire.LeaseRequest // that may come again
	last    *wire.LeaseReply
}

// purchase is a request that was admitted.
type purchase struct {
	hold     budget.Hold
	from     []string // budgets
	periods  []int64  // of them
	held     int64
	admitted time.Time
}

// Lease is the network between the node and the origin: it loses, doubles and delays.
func (n *spender) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	w := n.w
	if n.cut || w.chance(10) {
		return nil, errors.New("nobody answers")
	}
	if len(n.earlier) > 0 && w.chance(10) { // an older request arrives late
		_, _ = w.origin.Lease(ctx, &n.earlier[w.IntN(len(n.earlier))])
	}
	copied := *r
	copied.Pots = slices.Clone(r.Pots)
	n.earlier = append(n.earlier, copied)
	reply, err := w.origin.Lease(ctx, r)
	if w.chance(5) {
		reply, err = w.origin.Lease(ctx, r)
	}
	if w.chance(10) {
		return nil, errors.New("the answer is lost")
	}
	if n.last != nil && w.chance(3) {
		return n.last, nil
	}
	n.last = reply
	return reply, err
}

// schedule is one run of a simulation.
type schedule struct {
	*rand.Rand
	t       testing.TB
	seed    uint64
	at      time.Time
	origin  lender
	use     func([]wire.Budget)
	nodes   []*spender
	purses  int
	budgets []wire.Budget
	highest map[string]int64           // limit of a budget
	spent   map[string]map[int64]int64 // truly, by budget and period
	over    map[string]map[int64]int64 // beyond what was held
}

func (w *schedule) chance(percent int) bool { return w.IntN(100) < percent }

// newSchedule makes up nodes and budgets by a seed.
func newSchedule(t testing.TB, seed uint64, origin lender, use func([]wire.Budget)) *schedule {
	w := &schedule{
		Rand: rand.New(rand.NewPCG(seed, 6)), t: t, seed: seed, at: time.Date(2026, 3, 28, 20, 0, 0, 0, time.UTC), origin: origin, use: use,
		highest: map[string]int64{}, spent: map[string]map[int64]int64{}, over: map[string]map[int64]int64{},
	}
	periods := []string{"total", "daily", "monthly", "rolling-1h", "rolling-24h"}
	for i := range 1 + w.IntN(3) {
		b := wire.Budget{
			Name: fmt.Sprintf("b%d", i), LimitNano: 1_000_000 * (1 + w.Int64N(1000)), Period: periods[w.IntN(len(periods))], Timezone: "Europe/Berlin",
			Scope: "total", Kind: "hard", OnExhausted: "deny", Offline: "pessimistic", Unpriced: "deny",
		}
		if w.chance(20) {
			b.Offline, b.GraceNano = "safe", b.LimitNano/int64(10+w.IntN(90))
		}
		if w.chance(20) {
			b.OfflineFor = time.Duration(w.IntN(48)) * time.Hour
		}
		w.budgets = append(w.budgets, b)
	}
	w.publish()
	nodes := 1 + w.IntN(5)
	if w.chance(3) {
		nodes = 6 + w.IntN(45)
	}
	for range nodes {
		w.join(&disk{safe: map[string][]byte{}})
	}
	return w
}

func (w *schedule) publish() {
	for _, b := range w.budgets {
		w.highest[b.Name] = max(w.highest[b.Name], b.LimitNano)
		if w.spent[b.Name] == nil {
			w.spent[b.Name], w.over[b.Name] = map[int64]int64{}, map[int64]int64{}
		}
	}
	w.use(slices.Clone(w.budgets))
}

// join adds a node that has a disk.
func (w *schedule) join(d *disk) {
	dir, err := os.MkdirTemp(w.t.TempDir(), "n")
	require.NoError(w.t, err)
	n := &spender{w: w, disk: d, dir: dir}
	w.nodes = append(w.nodes, n)
	w.purses++
	n.open()
}

func (n *spender) open() {
	book, err := budget.Open(budget.Options{
		KV: n.disk, Dir: n.dir, Lender: n, Wait: time.Nanosecond, Now: func() time.Time { return n.w.at.Add(n.skew) },
	})
	require.NoError(n.w.t, err)
	n.book, n.under = book, nil
	book.Use(slices.Clone(n.w.budgets))
}

// buy admits a request that is thought to cost so much.
func (n *spender) buy(cost int64) bool {
	w, now := n.w, n.w.at.Add(n.skew)
	p := &purchase{held: cost, admitted: now}
	var accounts []*budget.Account
	for i := range w.budgets {
		if b := &w.budgets[i]; i == 0 || w.chance(60) {
			accounts = append(accounts, n.book.Account(b.Name))
			p.from = append(p.from, b.Name)
			p.periods = append(p.periods, b.SpanAt(now).Begin())
		}
	}
	for range 3 { // as long as Run has time to flush, and to lease
		if n.book.Admit(&p.hold, accounts, cost, now) == nil {
			n.under = append(n.under, p)
			return true
		}
		n.book.Work(context.Background())
	}
	return false
}

// bill is what a request truly cost, and what of that was not held for.
func (w *schedule) bill(p *purchase, cost int64) {
	for i, name := range p.from {
		w.spent[name][p.periods[i]] += cost
		w.over[name][p.periods[i]] += max(0, cost-p.held)
	}
}

// settle ends a request: most cost less than was held, and some more, since a price changed.
func (n *spender) settle(i int) {
	p := n.under[i]
	n.under = slices.Delete(n.under, i, i+1)
	cost := n.w.Int64N(p.held + 1)
	if n.w.chance(3) {
		cost = p.held + n.w.Int64N(p.held+1)
	}
	n.w.bill(p, cost)
	p.hold.Settle(cost)
}

// extend holds more for a request.
func (n *spender) extend(i int, more int64) {
	p := n.under[i]
	if n.book.Extend(&p.hold, more, p.admitted) == nil {
		p.held += more
	}
}

// die ends the node without warning. Its requests may be billed all that was held for them.
func (n *spender) die() {
	for _, p := range n.under {
		n.w.bill(p, n.w.Int64N(p.held+1))
	}
	n.disk.fail(n.w.IntN(len(n.disk.pending) + 1))
	n.open()
}

// rest ends the node well, and begins it again.
func (n *spender) rest() {
	for len(n.under) > 0 {
		n.settle(0)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	require.NoError(n.w.t, n.book.Run(ended))
	n.open()
}

// step is one thing that happens.
func (w *schedule) step() {
	n := w.nodes[w.IntN(len(w.nodes))]
	size := w.budgets[0].LimitNano/int64(5+w.IntN(200)) + 1
	switch dice := w.IntN(100); {
	case dice < 45:
		n.buy(1 + w.Int64N(size))
	case dice < 65 && len(n.under) > 0:
		n.settle(w.IntN(len(n.under)))
	case dice < 70 && len(n.under) > 0:
		n.extend(w.IntN(len(n.under)), 1+w.Int64N(size))
	case dice < 80:
		n.book.Work(context.Background())
	case dice < 88:
		w.at = w.at.Add(time.Duration(w.IntN(20_000)) * time.Millisecond)
	case dice < 89:
		w.at = w.at.Add(time.Duration(w.IntN(40)) * time.Hour)
	case dice < 92:
		n.die()
	case dice < 93:
		n.rest()
	case dice < 95:
		n.cut = !n.cut
	case dice < 96:
		n.skew = time.Duration(w.IntN(7200)-3600) * time.Second
	case dice < 97 && len(w.nodes) < 60: // a copy of the folder, of this moment or of the last sync
		w.join(&disk{safe: n.disk.now()})
	case dice < 98:
		b := &w.budgets[w.IntN(len(w.budgets))]
		b.LimitNano = max(1, b.LimitNano*int64(50+w.IntN(100))/100)
		w.publish()
	case dice < 99:
		n.book.Use(slices.Clone(w.budgets))
	}
}

// check asserts the bound: of every budget, in every window, no more was spent than its highest limit, besides what requests
// cost beyond what was held for them, and the grace of nodes that were cut off.
func (w *schedule) check() error {
	for i := range w.budgets {
		b := &w.budgets[i]
		for period := range w.spent[b.Name] {
			spent, over := w.spent[b.Name][period], w.over[b.Name][period]
			if span, is := b.SpanOf(period); is && span.Window > 0 {
				size := span.End.Sub(span.Start)
				for k := 1; k <= span.Window; k++ {
					before := span.Start.Add(-time.Duration(k) * size).Unix()
					spent, over = spent+w.spent[b.Name][before], over+w.over[b.Name][before]
				}
			}
			grace := int64(w.purses) * b.GraceNano
			if bound := w.highest[b.Name] + over + grace; spent > bound {
				return fmt.Errorf("seed %d: %d was spent of the budget %s (%s) in the period %d; the bound is %d = %d + %d + %d",
					w.seed, spent, b.Name, b.Period, period, bound, w.highest[b.Name], over, grace)
			}
		}
	}
	return nil
}

// run is a whole schedule.
func (w *schedule) run() error {
	for range 40 + w.IntN(80) {
		w.step()
		if err := w.check(); err != nil {
			return err
		}
	}
	return nil
}

// TestNoScheduleSpendsMore: whatever happens, the bound holds at every step.
func TestNoScheduleSpendsMore(t *testing.T) {
	t.Parallel()
	first, count := uint64(1), uint64(soaked(100_000, 10_000))
	if only, err := strconv.ParseUint(os.Getenv("WEDGE_SEED"), 10, 64); err == nil {
		first, count = only, 1
	}
	for seed := first; seed < first+count; seed++ {
		m := spend.NewMemory()
		w := newSchedule(t, seed, m, m.Use)
		if err := w.run(); err != nil {
			require.NoError(t, err, "run it again with WEDGE_SEED=%d", seed)
		}
		for _, n := range w.nodes {
			_ = os.RemoveAll(n.dir)
		}
	}
}

// generous lends what nobody has.
type generous struct{ *spend.Memory }

func (g generous) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	reply, err := g.Memory.Lease(ctx, r)
	for i := range reply.Pots {
		if r.Pots[i].Want > 0 {
			reply.Pots[i].Granted += r.Pots[i].Want + reply.Pots[i].Limit/4
		}
	}
	return reply, err
}

// TestSchedulesFindOverspending: a lender that gives more than there is does not go unnoticed.
func TestSchedulesFindOverspending(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed < 500; seed++ {
		m := spend.NewMemory()
		if newSchedule(t, seed, generous{m}, m.Use).run() != nil {
			return
		}
	}
	t.Error("nobody noticed")
}

// TestBudgetsAreUsedUp: where traffic suffices, nodes that reach the origin spend the whole of a budget.
func TestBudgetsAreUsedUp(t *testing.T) {
	t.Parallel()
	for seed := uint64(1); seed <= 200; seed++ {
		m := spend.NewMemory()
		w := newSchedule(t, seed, m, m.Use)
		w.budgets = w.budgets[:1]
		b := &w.budgets[0]
		b.Period = "total"
		w.publish()
		for _, n := range w.nodes {
			n.book.Use(slices.Clone(w.budgets))
		}
		cost := b.LimitNano/2000 + 1
		for idle := 0; idle < 60; {
			w.at = w.at.Add(time.Second)
			bought := false
			for _, n := range w.nodes {
				for range 10 {
					if !n.buy(cost) {
						break
					}
					bought = true
					n.under[0].held = cost
					w.bill(n.under[0], cost)
					n.under[0].hold.Settle(cost)
					n.under = n.under[:0]
				}
				n.book.Work(context.Background())
			}
			if idle++; bought {
				idle = 0
			}
		}
		require.NoError(t, w.check())
		require.GreaterOrEqual(t, w.spent[b.Name][0], b.LimitNano*99/100-cost, "seed %d, %d nodes", seed, len(w.nodes))
	}
}
