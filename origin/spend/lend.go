package spend

import (
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// tally is what pots come to.
type tally struct {
	committed, used, rate int64
	purses                int // that told of spending lately, or hold a lease
}

func (t *tally) add(p *pot) {
	t.plus(tally{p.committed(), p.used(), p.Rate, 0})
	if p.Rate > 0 || p.committed() > p.used() {
		t.purses++
	}
}

// plus adds amounts up to where numbers end: what is that much is beyond every limit.
func (t *tally) plus(more tally) {
	t.committed, t.used = store.Plus(t.committed, more.committed), store.Plus(t.used, more.used)
	t.rate, t.purses = store.Plus(t.rate, more.rate), t.purses+more.purses
}

// lend takes what a node tells of a pot into p, and gives it what it asks for as far as there is any. b is the budget, nil
// where there is none. others tells what all other pots of some of the budget's periods come to. The amounts that are lent
// and spent never exceed the limit together, in any window of periods that counts together, but for what nodes spent
// beyond their leases.
func lend(p *pot, r *wire.PotReport, b *wire.Budget, others func(periods []int64) tally) wire.PotGrant {
	p.merge(r)
	g := wire.PotGrant{Budget: r.Budget, Period: r.Period, Granted: p.Granted, Known: p.Spent + p.Unverified, Keep: -1}
	if b == nil {
		g.Refused, g.Keep = wire.RefusedUnknown, 0
		return g
	}
	g.Limit = b.LimitNano
	span, is := b.SpanOf(r.Period)
	if !is { // the period's length was changed
		g.Refused, g.Keep = wire.RefusedUnknown, 0
		return g
	}
	remaining, all := b.LimitNano, tally{}
	for _, window := range windows(b, span) {
		t := others(window)
		t.add(p)
		if left := b.LimitNano - t.committed; left <= remaining {
			remaining, all = left, t
		}
	}
	if b.Kind != "hard" {
		g.Committed, g.Spent = all.committed, all.used
		return g
	}
	before := p.committed()
	p.Granted += grant(p, r, b.LimitNano, remaining, part(r.Rate, all.rate, all.purses))
	more := p.committed() - before
	if r.Want > 0 && p.Granted == g.Granted {
		g.Refused = wire.RefusedExhausted
	}
	g.Granted, g.Committed, g.Spent = p.Granted, store.Plus(all.committed, more), all.used
	if more == 0 { // what is given is not asked back at once
		g.Keep = keep(b.LimitNano, remaining, all.purses, p.Rate)
	}
	return g
}

// part is a node's part of what is spent.
func part(rate, all int64, purses int) float64 {
	if purses <= 1 {
		return 2 // and so all of it: nobody else is there
	}
	least := 1 / float64(2*purses)
	if all <= 0 {
		return 1 / float64(purses)
	}
	return max(least, float64(rate)/float64(all))
}

// windows are the sets of periods that contain the span, and count together: one of itself, or for a rolling budget as many as
// the window is long.
func windows(b *wire.Budget, span wire.Span) [][]int64 {
	if span.Window == 0 {
		return [][]int64{{span.Begin()}}
	}
	size := span.End.Sub(span.Start)
	all := make([]int64, 0, 2*span.Window+1)
	for i := -span.Window; i <= span.Window; i++ {
		all = append(all, span.Start.Add(time.Duration(i)*size).Unix())
	}
	var sets [][]int64
	for i := range span.Window + 1 {
		sets = append(sets, all[i:i+span.Window+1])
	}
	return sets
}
