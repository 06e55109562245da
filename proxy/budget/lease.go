package budget

import (
	"context"
	"math"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

const (
	horizon   = time.Minute      // of spending, is what a lease is to last for
	ahead     = 10 * time.Minute // before a period ends, money of the next one is asked for
	askWithin = 10 * time.Second
	mostAhead = 400                // periods
	askAgain  = time.Second        // after the lender had nothing
	mostTold  = math.MaxInt64 / 16 // nano-USD
)

// lease asks the lender whenever it is due, until ctx ends.
func (b *Book) lease(ctx context.Context) {
	tick := time.NewTicker(b.o.ReportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.want:
		}
		b.ask(ctx)
		b.kickNow()
	}
}

// leaseDue says that the lender is to be asked.
func (b *Book) leaseDue(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.asked) >= b.o.ReportEvery || now.Before(b.asked) {
		return true
	}
	select {
	case <-b.want:
		return true
	default:
		return false
	}
}

// ask tells the lender where the purse stands and takes what it gives.
func (b *Book) ask(ctx context.Context) {
	now := b.o.Now()
	request := b.request(now)
	if len(request.Pots)+len(request.Rates) == 0 {
		b.mu.Lock()
		b.asked = now
		b.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	reply, err := b.o.Lender.Lease(ctx, request)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = now
	if (err != nil) != b.away {
		if b.away = err != nil; b.away {
			b.o.Log.Warn("nobody answers who lends the budgets' money; the node goes on with what it has", "error", err)
		}
		b.tellWaiters()
	}
	if err != nil {
		return
	}
	for i := range reply.Pots {
		b.take(&reply.Pots[i], request)
	}
	b.tellWaiters()
	if b.o.Shares != nil {
		b.o.Shares(reply.Rates)
	}
}

// request is what there is to tell and to ask.
func (b *Book) request(now time.Time) *wire.LeaseRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &wire.LeaseRequest{Purse: b.purse}
	for _, a := range b.accounts {
		b.lookAhead(a, now)
	}
	for _, p := range b.pots {
		if report, ok := b.report(p, now); ok {
			r.Pots = append(r.Pots, report)
		}
	}
	if b.o.Rates != nil {
		r.Rates = b.o.Rates()
	}
	return r
}

// lookAhead makes the pots of coming periods in good time.
func (b *Book) lookAhead(a *Account, now time.Time) {
	p := a.pot.Load()
	if p == nil || a.gone.Load() || p.end.Load() == math.MaxInt64 {
		return
	}
	reach := ahead
	if p.window == 0 { // parts of a rolling period share one limit: what is leased of coming ones is missing now
		reach = max(ahead, a.Budget().OfflineFor)
	}
	until := now.Add(reach).Unix()
	for n := 0; p.end.Load() <= until && n < mostAhead; n++ {
		p = b.potAt(a, time.Unix(p.end.Load(), 0))
	}
}

// report is where a pot stands, if the lender does not know it or is to give more.
func (b *Book) report(p *pot, now time.Time) (r wire.PotReport, ok bool) {
	if p.account == nil {
		p.account = b.account(p.budget)
	}
	spent, used := p.spent.Load(), p.used.Load()
	p.measure(now, spent)
	t := totals{p.granted, p.returned, spent, p.unverified, p.grace, 0}
	r = wire.PotReport{
		Budget: p.budget, Period: p.start, Granted: p.granted, Returned: p.returned, Spent: spent, Unverified: p.unverified, Grace: p.grace,
		Held: min(p.held(), mostTold), Rate: int64(min(p.rate*60, mostTold)),
	}
	rule := p.account.Budget()
	if p.over(now) { // nobody will spend of it any more
		p.returned = max(p.returned, p.granted-used)
		t.returned, r.Returned = p.returned, p.returned
	}
	left := p.granted - p.returned - used
	asked := min(p.ask, rule.LimitNano)
	p.ask = 0 // who still waits says so again
	want := max(p.wanted(rule, now), asked)
	if rule.Kind == "hard" && now.Unix() < p.end.Load() && (asked > left || left < want*3/10 || p.granted == 0) {
		r.Want, r.Min = max(0, want-left), max(0, asked-left)
	}
	return r, t != p.told || r.Want > 0 || r.Held > 0 || left > 0 // who has a lease hears whether it may keep it
}

// wanted is what a lease is to have, in view of what is spent lately: in the period before, for one that has not begun.
func (p *pot) wanted(rule *wire.Budget, now time.Time) int64 {
	of := p
	if now.Unix() < p.start {
		if of = p.account.pot.Load(); of == nil {
			return 0
		}
	}
	enough := max(of.rate*max(horizon, rule.OfflineFor).Seconds(), float64(4*of.largest.Load()))
	return int64(min(enough, float64(rule.LimitNano)))
}

// measure smooths what is spent in a second.
func (p *pot) measure(now time.Time, spent int64) {
	if p.rated.IsZero() || now.Before(p.rated) {
		p.rated, p.ratedAt = now, spent
		return
	}
	if seconds := now.Sub(p.rated).Seconds(); seconds >= 1 {
		p.rate = (p.rate + float64(spent-p.ratedAt)/seconds) / 2
		p.rated, p.ratedAt = now, spent
	}
}

// take takes what the lender says of a pot.
func (b *Book) take(g *wire.PotGrant, asked *wire.LeaseRequest) {
	p := b.pots[potID{g.Budget, g.Period}]
	if p == nil {
		return
	}
	for i := range asked.Pots {
		if r := &asked.Pots[i]; r.Budget == g.Budget && r.Period == g.Period {
			p.told = totals{max(p.granted, g.Granted), r.Returned, r.Spent, r.Unverified, r.Grace, 0}
		}
	}
	if lost := g.Known - p.spent.Load() - p.unverified; lost > 0 { // the disk was set back: it was spent all the same
		p.unverified += lost
		p.used.Add(lost)
		b.o.Log.Warn("the disk of this node was set back; what it spent since counts as unverified", "budget", p.budget, "nano_usd", lost)
	}
	p.granted = max(p.granted, g.Granted)
	p.limit, p.committed, p.total = g.Limit, g.Committed, g.Spent
	p.refused = g.Refused != ""
	p.dirty.Store(true)
	if g.Refused == wire.RefusedUnknown || g.Keep < 0 {
		return
	}
	b.giveBack(p, g.Keep)
}

// giveBack returns what is beyond what the lender lets the purse keep. It is taken out of the allowance first.
func (b *Book) giveBack(p *pot, keep int64) {
	lease := p.granted - p.returned
	used := p.used.Load()
	if lease-used <= keep || p.account.Budget().Kind != "hard" {
		return
	}
	most := used + keep
	if p.allowance.Load() > most {
		p.allowance.Store(most)
		if used = p.used.Load(); used > most { // somebody was faster
			most = used
			p.allowance.Store(most)
		}
	}
	p.returned += max(0, lease-most)
	p.dirty.Store(true)
}
