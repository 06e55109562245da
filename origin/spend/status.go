package spend

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Status is where a budget stands in its present period. Amounts are nano-USD.
type Status struct {
	Budget     string     `json:"budget"`
	Kind       string     `json:"kind"`            // hard | soft
	Period     string     `json:"period"`          // as the catalog names it
	Start      *time.Time `json:"start,omitempty"` // absent: of all time
	End        *time.Time `json:"end,omitempty"`
	Limit      int64      `json:"limit_nano"`
	Spent      int64      `json:"spent_nano"`
	Unverified int64      `json:"unverified_nano"` // counts as spent, and nobody saw it spent
	Leased     int64      `json:"leased_nano"`     // lent to nodes, and not spent
	Remaining  int64      `json:"remaining_nano"`  // neither spent nor lent
	PerHour    int64      `json:"per_hour_nano"`   // what is spent in an hour, lately
	Ends       *time.Time `json:"ends,omitempty"`  // when nothing will be left, if that goes on and is before the period's end
	Nodes      []Lease    `json:"nodes,omitempty"` // that have a lease, or spent something
}

// Lease is what a node has of a budget.
type Lease struct {
	Node       string    `json:"node"`
	Purse      string    `json:"purse"`
	Spent      int64     `json:"spent_nano"`
	Unverified int64     `json:"unverified_nano"`
	Leased     int64     `json:"leased_nano"` // and not spent
	Held       int64     `json:"held_nano"`   // of it, for requests under way
	Grace      int64     `json:"grace_nano"`  // of what is spent: beyond leases, without the origin
	PerHour    int64     `json:"per_hour_nano"`
	Seen       time.Time `json:"seen"`
}

// used is what a status counts as gone.
func (s *Status) used() int64 { return store.Plus(s.Spent, s.Unverified) }

// Budgets lists up to limit budgets whose names follow after, without their nodes.
func (s *Spend) Budgets(ctx context.Context, after string, limit int) ([]Status, error) {
	budgets, _, err := s.definitions(ctx)
	if err != nil {
		return nil, fmt.Errorf("spend: cannot read the budgets: %w", err)
	}
	var names []string
	for name := range budgets {
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	all := []Status{}
	err = s.store.View(ctx, func(t *store.Tx) error {
		all = all[:0]
		for _, name := range names[:min(len(names), limit)] {
			status, err := s.status(t, budgets[name])
			if err != nil {
				return err
			}
			status.Nodes = nil
			all = append(all, status)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("spend: cannot read what was spent: %w", err)
	}
	return all, nil
}

// missing is a store.ErrNotFound that says what there is not.
type missing string

func (m missing) Error() string { return string(m) }

func (m missing) Is(target error) bool { return target == store.ErrNotFound }

// Budget is one budget, with its nodes. An unknown one is store.ErrNotFound.
func (s *Spend) Budget(ctx context.Context, name string) (status Status, err error) {
	budgets, _, err := s.definitions(ctx)
	if err != nil {
		return status, fmt.Errorf("spend: cannot read the budgets: %w", err)
	}
	b := budgets[name]
	if b == nil {
		return status, missing(fmt.Sprintf("there is no budget %q", name))
	}
	err = s.store.View(ctx, func(t *store.Tx) (err error) {
		status, err = s.status(t, b)
		return err
	})
	if err != nil {
		return status, fmt.Errorf("spend: cannot read what was spent of the budget %s: %w", name, err)
	}
	return status, nil
}

func (s *Spend) status(t *store.Tx, b *wire.Budget) (Status, error) {
	now := s.o.Now()
	span := b.SpanAt(now)
	status := Status{Budget: b.Name, Kind: b.Kind, Period: b.Period, Limit: b.LimitNano}
	first := span.Begin()
	if !span.End.IsZero() {
		from, to := span.Start.Add(-time.Duration(span.Window)*span.End.Sub(span.Start)), span.End
		status.Start, status.End = &from, &to
		first = from.Unix()
	}
	rows, err := t.Query("select node, purse, at, "+potColumns+" from spend_pots where budget = ? and period >= ? and period <= ? order by node, purse, period",
		b.Name, first, span.Begin())
	if err != nil {
		return status, err
	}
	defer rows.Close()
	var committed, perMinute int64
	for rows.Next() {
		var l Lease
		var p pot
		var at int64
		if err := rows.Scan(append([]any{&l.Node, &l.Purse, &at}, p.fields()...)...); err != nil {
			return status, err
		}
		l.Seen = time.UnixMilli(at).UTC()
		if n := len(status.Nodes); n == 0 || status.Nodes[n-1].Purse != l.Purse {
			status.Nodes = append(status.Nodes, l)
		}
		status.add(&status.Nodes[len(status.Nodes)-1], &p)
		committed = store.Plus(committed, p.committed())
		if now.Sub(l.Seen) < demandTime {
			perMinute = store.Plus(perMinute, p.Rate)
		}
	}
	status.Remaining = b.LimitNano - committed
	status.PerHour = hourly(perMinute)
	status.forecast(now, b.LimitNano, perMinute)
	return status, rows.Err()
}

// add adds a pot to its node and to the budget.
func (s *Status) add(l *Lease, p *pot) {
	leased := max(0, p.Granted-p.Returned-p.used())
	for _, sum := range [...]struct {
		of   *int64
		more int64
	}{
		{&l.Spent, p.Spent}, {&l.Unverified, p.Unverified + p.WrittenOff}, {&l.Leased, leased},
		{&l.Held, p.Held}, {&l.Grace, p.Grace}, {&l.PerHour, hourly(p.Rate)},
		{&s.Spent, p.Spent}, {&s.Unverified, p.Unverified + p.WrittenOff}, {&s.Leased, leased},
	} {
		*sum.of = store.Plus(*sum.of, sum.more)
	}
}

// hourly is what is spent in an hour.
func hourly(perMinute int64) int64 { return 60 * min(perMinute, math.MaxInt64/60) }

// forecast tells when nothing will be left.
func (s *Status) forecast(now time.Time, limit, perMinute int64) {
	left := limit - s.used()
	if perMinute <= 0 || left <= 0 {
		return
	}
	minutes := float64(left) / float64(perMinute)
	if minutes > 60*24*366 {
		return
	}
	end := now.Add(time.Duration(minutes * float64(time.Minute))).UTC().Truncate(time.Second)
	if s.End == nil || end.Before(*s.End) {
		s.Ends = &end
	}
}

// WriteOff counts as spent, unverified, what a node that will not come back has of a budget, or of all for the name "". Should
// it come back, what it tells counts instead. It returns the amount. A node that never had any is store.ErrNotFound.
func (s *Spend) WriteOff(ctx context.Context, node, budget string) (nano int64, err error) {
	err = s.store.Update(ctx, func(t *store.Tx) (err error) {
		nano, err = writeOff(t, node, budget)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("spend: cannot write off what the node %s has: %w", node, err)
	}
	return nano, nil
}

const leasedSQL = " and granted - returned > " + usedSQL

// mustHave refuses a node that has no pot of a budget: most likely its name is misspelt.
func mustHave(t *store.Tx, of string, args []any, node, budget string) error {
	var n int
	if err := t.Row("select count(*) from (select 1 from spend_pots"+of+" limit 1) as had", args...).Scan(&n); err != nil || n > 0 {
		return err
	}
	where, args := " where 1 = 1", []any(nil)
	if budget != "" {
		where, args = " where budget = ?", []any{budget}
	}
	const most = 20
	rows, err := t.Query("select distinct node from spend_pots"+where+leasedSQL+" order by node limit ?", append(args, most)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	what := "no node has a lease"
	if len(names) > 0 {
		what = "those that have a lease are " + strings.Join(names, ", ")
	}
	return missing(fmt.Sprintf("there is no node %q that ever had any of it: %s", node, what))
}

func writeOff(t *store.Tx, node, budget string) (nano int64, err error) {
	of, args := " where node = ?", []any{node}
	if budget != "" {
		of, args = of+" and budget = ?", append(args, budget)
	}
	if err := mustHave(t, of, args, node, budget); err != nil {
		return 0, err
	}
	where := of + leasedSQL
	rows, err := t.Query("select distinct budget from spend_pots"+where+" order by budget", args...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var names []any
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return 0, err
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil || len(names) == 0 {
		return 0, err
	}
	if err := lock(t, names); err != nil {
		return 0, err
	}
	var high, low int64
	err = t.Row("select "+store.SumOf("granted - returned - "+usedSQL)+" from spend_pots"+where, args...).Scan(&high, &low)
	if nano = store.Whole(high, low); err == nil {
		_, err = t.Exec("update spend_pots set written_off = granted - returned - spent - unverified"+where, args...)
	}
	return nano, err
}
