// Package spend lends the budgets' money to nodes, never more than there is, and tells what became of it: where each budget
// stands, what is worth an alert, and who hears of it.
//
// A node has one purse, of which it tells totals that only grow; whatever is told twice, late, or in another order changes
// nothing. At every commit, what all purses hold or have used of a budget is within its limit, but for what a node spent
// beyond its lease.
package spend

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// ErrRequest says that a request for leases can never be answered as it is.
var ErrRequest = errors.New("not a request for leases")

// Options are settings. Store is required, and has the Schema.
type Options struct {
	Store  *store.Store
	Secret func(ctx context.Context, name string) (string, error) // the value of an origin's secret; nil: there are none
	// Spenders tells which keys and models have cost something; nil: nobody is told of their first cost.
	Spenders func(ctx context.Context) (keys, models []string, err error)
	Client   *http.Client // of webhooks; nil: one that follows no redirects
	Log      *slog.Logger // nil: nothing is logged
	Now      func() time.Time
}

// Spend is the origin's money. It is safe for concurrent use, also by several processes.
type Spend struct {
	o     Options
	store *store.Store

	mu       sync.Mutex
	known    wire.Position // that the definitions are of
	budgets  map[string]*wire.Budget
	webhooks []wire.Webhook
	flawed   map[string]int64 // nodes that told what cannot be, and the day that was noted last

	spendersSeen time.Time // by the leader alone
}

// New opens the money of a store.
func New(o Options) *Spend {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Client == nil {
		o.Client = &http.Client{
			Timeout:       deliveryTime,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &Spend{o: o, store: o.Store, flawed: map[string]int64{}}
}

// definitions are the budgets and webhooks of the catalog as it is now.
func (s *Spend) definitions(ctx context.Context) (map[string]*wire.Budget, []wire.Webhook, error) {
	head, err := s.store.Head(ctx)
	if err != nil {
		return nil, nil, err
	}
	at := wire.Position{Epoch: head.Epoch, Rev: head.Rev, Chain: head.Chain}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.budgets != nil && s.known == at {
		return s.budgets, s.webhooks, nil
	}
	var entries []wire.Resource
	for _, kind := range [...]string{wire.KindBudget, wire.KindWebhook} {
		const page = 1000
		for after := ""; ; {
			list, err := s.store.List(ctx, kind, after, page)
			if err != nil {
				return nil, nil, err
			}
			for _, r := range list {
				entries = append(entries, wire.Resource{Kind: r.Kind, Name: r.Name, Body: r.Body})
			}
			if len(list) < page {
				break
			}
			after = list[page-1].Name
		}
	}
	joined, err := wire.JoinCatalog(entries)
	if err != nil {
		return nil, nil, err
	}
	c, err := wire.ParseEntries("the catalog", joined)
	if err != nil {
		return nil, nil, err
	}
	s.budgets, s.webhooks, s.known = make(map[string]*wire.Budget, len(c.Budgets)), c.Webhooks, at
	for i := range c.Budgets {
		s.budgets[c.Budgets[i].Name] = &c.Budgets[i]
	}
	return s.budgets, s.webhooks, nil
}

const mostPots = 200_000 // of one request

// Lease takes what a node tells of its purse, and gives what it asks for as far as there is any. It may be called again with
// the same request. ErrRequest is wrapped where that is no use.
func (s *Spend) Lease(ctx context.Context, node string, r *wire.LeaseRequest) (reply *wire.LeaseReply, err error) {
	if err := check(r); err != nil {
		return nil, err
	}
	budgets, _, err := s.definitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("spend: cannot read the budgets: %w", err)
	}
	var refused []wire.PotGrant
	pots, flaws := make([]wire.PotReport, 0, len(r.Pots)), ""
	for _, p := range r.Pots {
		if flaw := settle(&p); flaw != "" { // the others are none the worse for it
			refused, flaws = append(refused, refuse(&p, budgets[p.Budget])), flaw
			continue
		}
		pots = append(pots, p)
	}
	slices.SortFunc(pots, func(a, b wire.PotReport) int {
		return cmp.Or(strings.Compare(a.Budget, b.Budget), cmp.Compare(a.Period, b.Period))
	})
	err = s.store.Update(ctx, func(t *store.Tx) error {
		reply = &wire.LeaseReply{Pots: slices.Clone(refused)}
		l := lending{t: t, node: node, purse: r.Purse, at: s.o.Now().UnixMilli()}
		if err := l.lock(pots); err != nil {
			return err
		}
		for i := range pots {
			g, err := l.lend(&pots[i], budgets[pots[i].Budget])
			if err != nil {
				return err
			}
			reply.Pots = append(reply.Pots, g)
		}
		return l.save()
	})
	if err == nil {
		reply.Rates, err = s.divide(ctx, node, r.Rates)
	}
	if err != nil {
		return nil, fmt.Errorf("spend: cannot lend to the node %s: %w", node, err)
	}
	if flaws != "" {
		s.Flawed(ctx, node, flaws+", so that it is lent nothing of that")
	}
	return reply, nil
}

func check(r *wire.LeaseRequest) error {
	refuse := func(why string) error { return fmt.Errorf("spend: %w: %s", ErrRequest, why) }
	switch {
	case r.Purse == "" || len(r.Purse) > maxName:
		return refuse("the purse has no name, or one that is too long")
	case len(r.Pots) > mostPots || len(r.Rates) > mostPots:
		return refuse("it tells of too many budgets or rates")
	}
	seen := make(map[place]bool, len(r.Pots))
	for i := range r.Pots {
		p := &r.Pots[i]
		if at := (place{p.Budget, p.Period}); seen[at] {
			return refuse("it tells twice of the budget " + p.Budget)
		} else {
			seen[at] = true
		}
	}
	return nil
}

// lending is one request of a node, in one transaction.
type lending struct {
	t           *store.Tx
	node, purse string
	at          int64 // unix milliseconds
	rows        [][]any
	refused     map[string]int64 // budgets that had nothing left, and the period
}

// lock keeps others from lending of the budgets, which are in order: so two requests never wait for each other.
func (l *lending) lock(pots []wire.PotReport) error {
	var names []any
	for i := range pots {
		if i == 0 || pots[i].Budget != pots[i-1].Budget {
			names = append(names, pots[i].Budget)
		}
	}
	for len(names) > 0 {
		n := min(len(names), 500)
		if err := lock(l.t, names[:n]); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}

func lock(t *store.Tx, budgets []any) error {
	rows := make([][]any, len(budgets))
	for i, name := range budgets {
		rows[i] = []any{name, -1}
	}
	if err := t.Insert("spend_budgets", []string{"budget", "refused"}, rows, "on conflict do nothing"); err != nil {
		return err
	}
	locked, err := t.Query("select budget from spend_budgets where budget in ("+strings.TrimSuffix(strings.Repeat("?,", len(budgets)), ",")+
		") order by budget {for update}", budgets...)
	if err != nil {
		return err
	}
	defer locked.Close()
	n := 0
	for locked.Next() { // to the last: the rest is not locked before
		n++
	}
	if err := locked.Err(); err != nil || n == len(budgets) {
		return err
	}
	return fmt.Errorf("of %d budgets, %d could be locked", len(budgets), n)
}

const potColumns = "granted, returned, spent, unverified, written_off, grace, held, rate"

func (p *pot) fields() []any {
	return []any{&p.Granted, &p.Returned, &p.Spent, &p.Unverified, &p.WrittenOff, &p.Grace, &p.Held, &p.Rate}
}

// committedSQL and usedSQL are pot.committed and pot.used.
const (
	usedSQL      = "(spent + unverified + written_off)"
	committedSQL = "(case when granted - returned > " + usedSQL + " then granted - returned else " + usedSQL + " end)"
)

func (l *lending) lend(r *wire.PotReport, b *wire.Budget) (g wire.PotGrant, err error) {
	var p pot
	err = l.t.Row("select "+potColumns+" from spend_pots where budget = ? and period = ? and purse = ?", r.Budget, r.Period, l.purse).Scan(p.fields()...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return g, err
	}
	var periods map[int64]tally
	if b != nil {
		first, last := r.Period, r.Period
		if span, is := b.SpanOf(r.Period); is && span.Window > 0 {
			reach := int64(span.End.Sub(span.Start)/time.Second) * int64(span.Window)
			first, last = first-reach, last+reach
		}
		if periods, err = l.others(r, first, last); err != nil {
			return g, err
		}
	}
	g = lend(&p, r, b, func(of []int64) (all tally) {
		for _, period := range of {
			all.plus(periods[period])
		}
		return all
	})
	if g.Refused == wire.RefusedExhausted {
		if l.refused == nil {
			l.refused = map[string]int64{}
		}
		l.refused[r.Budget] = r.Period
	}
	l.rows = append(l.rows, []any{r.Budget, r.Period, l.purse, l.node,
		p.Granted, p.Returned, p.Spent, p.Unverified, p.WrittenOff, p.Grace, p.Held, p.Rate, l.at})
	return g, nil
}

// others are what all other pots of a budget come to, by period.
func (l *lending) others(r *wire.PotReport, first, last int64) (map[int64]tally, error) {
	rows, err := l.t.Query("select period, "+store.SumOf(committedSQL)+", "+store.SumOf(usedSQL)+", "+store.SumOf("rate")+`,
		cast(sum(case when rate > 0 or granted - returned > `+usedSQL+` then 1 else 0 end) as bigint)
		from spend_pots where budget = ? and period >= ? and period <= ? and not (period = ? and purse = ?) group by period`,
		r.Budget, first, last, r.Period, l.purse)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[int64]tally{}
	for rows.Next() {
		var period int64
		var high, low [3]int64
		var purses int
		if err := rows.Scan(&period, &high[0], &low[0], &high[1], &low[1], &high[2], &low[2], &purses); err != nil {
			return nil, err
		}
		all[period] = tally{store.Whole(high[0], low[0]), store.Whole(high[1], low[1]), store.Whole(high[2], low[2]), purses}
	}
	return all, rows.Err()
}

func (l *lending) save() error {
	err := l.t.Insert("spend_pots", []string{"budget", "period", "purse", "node", "granted", "returned", "spent", "unverified", "written_off",
		"grace", "held", "rate", "at"}, l.rows, `on conflict (budget, period, purse) do update set node = excluded.node, granted = excluded.granted,
		returned = excluded.returned, spent = excluded.spent, unverified = excluded.unverified, written_off = excluded.written_off,
		grace = excluded.grace, held = excluded.held, rate = excluded.rate, at = excluded.at`)
	for budget, period := range l.refused {
		if err == nil {
			_, err = l.t.Exec("update spend_budgets set refused = ? where budget = ?", period, budget)
		}
	}
	return err
}
