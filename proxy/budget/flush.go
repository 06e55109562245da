package budget

import (
	"math"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// plenty is what the allowance of a pot that no limit holds comes to.
const plenty = math.MaxInt64 / 4

// calmAfter is when a pot that nothing is taken from gives its headroom back: after a crash that counts as spent.
const calmAfter = 2 * time.Second

// flush writes down what pots have come to and what they may come to until the next flush, and then lets them.
func (b *Book) flush(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	type raise struct {
		p    *pot
		next totals
	}
	if now.Sub(b.retired) >= time.Minute || now.Before(b.retired) {
		b.retired = now
		b.retire(now)
	}
	var raises []raise
	var err error
	wrote, raised := false, false
	for _, p := range b.pots {
		if p.account == nil || !p.stirs() {
			continue
		}
		b.lend(p)
		b.moisten(p)
		next := b.totals(p, now)
		if p.need > 0 && (next.allowance >= p.used.Load()+p.need || now.Sub(p.needed) >= calmAfter || now.Before(p.needed)) {
			p.need = 0 // who still waits says so again
		}
		if p.dirty.Swap(false); next == p.written {
			if next.allowance > p.allowance.Load() { // it was taken back for a while
				p.allowance.Store(next.allowance)
				raised = true
			}
			continue
		}
		if next.allowance < p.allowance.Load() && !p.lower(&next) {
			continue
		}
		if err = b.o.KV.Put(p.key(), appendTotals(nil, &next)); err != nil {
			p.dirty.Store(true)
			break
		}
		wrote = true
		raises = append(raises, raise{p, next})
	}
	if err == nil && wrote {
		err = b.o.KV.Sync()
	}
	b.complain(err)
	if err != nil {
		for _, r := range raises {
			r.p.dirty.Store(true)
		}
		return
	}
	for _, r := range raises {
		r.p.written = r.next // not before: what may not be on the disk is written again
		if r.next.allowance > r.p.allowance.Load() {
			r.p.allowance.Store(r.next.allowance)
		}
	}
	if wrote || raised {
		b.tellWaiters()
	}
}

// stirs says that there may be something to write of the pot.
func (p *pot) stirs() bool {
	return p.dirty.Load() || p.need > 0 || p.used.Load() > 0 || p.allowance.Load() != p.written.allowance
}

// totals are what is to be written of a pot.
func (b *Book) totals(p *pot, now time.Time) totals {
	spent := p.spent.Load()
	used := p.used.Load()
	if beyond := p.beyond(); b.away && beyond > p.grace {
		p.grace = beyond
	}
	t := totals{granted: p.granted, returned: p.returned, spent: spent, unverified: p.unverified, grace: p.grace}
	cap := b.cap(p)
	headroom := max(4*p.largest.Load(), p.need)
	if used == spent+p.unverified && p.need == 0 { // nothing is under way
		if spent != p.written.spent || p.calm.IsZero() {
			p.calm = now
		}
		if now.Sub(p.calm) >= calmAfter || now.Before(p.calm) {
			headroom = 0
			p.largest.Store(p.largest.Load() / 2)
		}
	} else {
		p.calm = now
	}
	t.allowance = max(min(used+headroom, cap), min(used, cap), spent+p.unverified)
	if t.allowance < used {
		t.allowance = used
	}
	return t
}

// cap is what may be used of a pot.
func (b *Book) cap(p *pot) int64 {
	rule := p.account.Budget()
	switch {
	case rule.Kind == "soft", b.away && rule.Offline == "optimistic":
		return plenty
	case b.away && rule.Offline == "safe":
		return p.granted - p.returned + b.graceOf(p, rule)
	}
	return p.granted - p.returned
}

// graceOf is what may be used of a pot beyond its lease: the budget's grace, but for what other periods of its window used of it.
func (b *Book) graceOf(p *pot, rule *wire.Budget) int64 {
	return max(0, rule.GraceNano-b.others(p, (*pot).beyond))
}

// others is what the other pots come to that count together with p: the most of any window that p is in, for a stream may
// spend of a part that is over.
func (b *Book) others(p *pot, of func(*pot) int64) (most int64) {
	if p.window == 0 {
		return 0
	}
	size, sum := p.end.Load()-p.start, int64(0)
	at := func(n int) int64 {
		if other := b.pots[potID{p.budget, p.start + int64(n)*size}]; other != nil && n != 0 {
			return of(other)
		}
		return 0
	}
	for n := -p.window; n <= p.window; n++ {
		if sum += at(n); n > 0 {
			sum -= at(n - p.window - 1)
		}
		if n >= 0 {
			most = max(most, sum)
		}
	}
	return most
}

// beyond is what was used beyond the lease.
func (p *pot) beyond() int64 { return max(0, p.used.Load()-(p.granted-p.returned)) }

// left is what may be held of a pot, whatever the allowance is now.
func (b *Book) left(p *pot) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lend(p)
	return max(0, b.cap(p)-p.used.Load())
}

// lower takes headroom back before the disk forgets it. It fails where somebody was faster.
func (p *pot) lower(t *totals) bool {
	was := p.allowance.Swap(t.allowance)
	if p.used.Load() > t.allowance {
		p.allowance.Store(was)
		return false
	}
	return true
}

// lend lets a node that has no lender have what its budget has.
func (b *Book) lend(p *pot) {
	if b.o.Lender != nil {
		return
	}
	rule := p.account.Budget()
	others := b.others(p, func(other *pot) int64 { return other.used.Load() })
	p.granted, p.returned = max(0, rule.LimitNano-others), 0
	p.limit, p.committed, p.total = rule.LimitNano, others+p.used.Load(), others+p.spent.Load()+p.unverified
}

// complain tells of a disk that does not write, once.
func (b *Book) complain(err error) {
	switch {
	case err != nil && b.failure == nil:
		b.o.Log.Error("what is spent cannot be written to the node's disk; budgets give out no more money until it can: free some room there", "error", err)
	case err == nil && b.failure != nil:
		b.o.Log.Info("what is spent is written to the node's disk again")
	}
	b.failure = err
}

func (b *Book) tellWaiters() {
	close(b.came)
	b.came = make(chan struct{})
}

// await waits until a pot has the money, as long as some may come. It holds it then.
func (b *Book) await(p *pot, nano int64) bool {
	deadline := time.NewTimer(b.o.Wait)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		b.lend(p)
		if p.take(nano) {
			b.mu.Unlock()
			return true
		}
		came := b.came
		there := b.cap(p)-p.used.Load() >= nano
		if !there && (b.o.Lender == nil || p.refused || b.away || nano > p.account.Budget().LimitNano) {
			b.dryUp(p, nano)
			if p.wants(nano); b.o.Now().Sub(b.asked) > askAgain { // others may have given something back
				b.wantNow()
			}
			b.mu.Unlock()
			return false
		}
		p.need, p.needed = max(p.need, nano), b.o.Now()
		p.wants(nano)
		b.mu.Unlock()
		if there {
			b.kickNow()
		} else {
			b.wantNow()
		}
		select {
		case <-came:
		case <-deadline.C:
			b.mu.Lock()
			b.dryUp(p, nano)
			b.mu.Unlock()
			return p.take(nano)
		}
	}
}

// wants notes what somebody waits for, for the lender: no more than the budget has at all.
func (p *pot) wants(nano int64) {
	if nano <= p.account.Budget().LimitNano {
		p.ask = max(p.ask, nano)
	}
}

// moisten notes that there is money again for what was asked for in vain.
func (b *Book) moisten(p *pot) {
	if dry := p.account.dry.Load(); dry != 0 && p.account.pot.Load() == p && b.cap(p)-p.used.Load() >= dry {
		p.account.dry.Store(0)
	}
}

// dryUp notes that there is no money for what requests usually cost.
func (b *Book) dryUp(p *pot, nano int64) {
	usual := p.usual.Load()
	if left := b.cap(p) - p.used.Load(); left <= 0 || left < 4*usual {
		p.account.dry.Store(max(1, min(nano, 4*usual)))
	}
}

// settleFor is how long after its end a period's late settlements are waited for.
const settleFor = 10 * time.Minute

// over says that the pot's period ended a while ago, and that no request holds anything of it. The book is locked.
func (p *pot) over(now time.Time) bool {
	if p.end.Load() == 0 { // as it was read from the disk
		if !p.account.known() { // its budget may come back
			return p.start > 0 && now.Sub(time.Unix(p.start, 0)) > longestPeriod && p.held() == 0
		}
		switch span, is := p.account.Budget().SpanOf(p.start); {
		case !is:
			p.end.Store(p.start + 1) // the budget has other periods now
		case span.End.IsZero():
			p.end.Store(math.MaxInt64)
		default:
			p.window = span.Window
			p.end.Store(span.End.Unix())
		}
	}
	end := p.end.Load()
	return end != math.MaxInt64 && now.Unix() > end+int64(settleFor/time.Second) && p.held() == 0
}

const (
	// longestPeriod is longer than any period but the one without an end.
	longestPeriod = 400 * 24 * time.Hour
	// retireAfter is how long a pot must have been over, by a clock that nobody sets, before it is forgotten.
	retireAfter = time.Hour
	// ownAfter is how long besides, by the calendar, a node keeps what it lent to itself: nobody else knows it.
	ownAfter = 72 * time.Hour
)

// mayRetire says that a pot is over, and that the clock was not just set forth.
func (b *Book) mayRetire(p *pot, now time.Time) bool {
	window := time.Duration(int64(p.window)*(p.end.Load()-p.start)) * time.Second
	if b.o.Lender == nil {
		window += ownAfter
	}
	if !p.over(now) || p.account.pot.Load() == p || now.Sub(time.Unix(p.end.Load(), 0)) <= window+settleFor {
		p.overSince = time.Time{}
		return false
	}
	if p.overSince.IsZero() || now.Before(p.overSince) {
		p.overSince = now
	}
	return now.Sub(p.overSince) >= retireAfter
}

// retire forgets pots of periods that are over, once the lender knows all of them and no window counts them.
func (b *Book) retire(now time.Time) {
	for id, p := range b.pots {
		if p.account == nil {
			p.account = b.account(p.budget)
		}
		if !b.mayRetire(p, now) {
			continue
		}
		t := totals{p.granted, p.returned, p.spent.Load(), p.unverified, p.grace, 0}
		if b.o.Lender != nil && (p.told != t || p.granted-p.returned > p.used.Load()) {
			continue
		}
		if b.o.KV.Delete(p.key()) == nil {
			delete(b.pots, id)
		}
	}
}

// end writes down where every pot stands: nothing is in doubt after a good end.
func (b *Book) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pots {
		if p.account == nil {
			continue
		}
		t := totals{p.granted, p.returned, p.spent.Load(), p.unverified, p.grace, p.used.Load()}
		p.allowance.Store(0)
		if err := b.o.KV.Put(p.key(), appendTotals(nil, &t)); err != nil {
			return err
		}
	}
	return b.o.KV.Sync()
}
