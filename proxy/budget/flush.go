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
		p         *pot
		allowance int64
	}
	if now.Sub(b.retired) >= time.Minute || now.Before(b.retired) {
		b.retired = now
		b.retire(now)
	}
	var raises []raise
	var err error
	wrote := false
	for _, p := range b.pots {
		if p.account == nil || !p.stirs() {
			continue
		}
		b.lend(p)
		b.moisten(p)
		next := b.totals(p, now)
		if p.dirty.Swap(false); next == p.written {
			continue
		}
		if next.allowance < p.allowance.Load() && !p.lower(&next) {
			continue
		}
		if err = b.o.KV.Put(p.key(), appendTotals(nil, &next)); err != nil {
			p.dirty.Store(true)
			break
		}
		wrote, p.written = true, next
		raises = append(raises, raise{p, next.allowance})
	}
	if err == nil && wrote {
		err = b.o.KV.Sync()
	}
	b.complain(err)
	if err != nil {
		return
	}
	for _, r := range raises {
		if r.allowance > r.p.allowance.Load() {
			r.p.allowance.Store(r.allowance)
			wrote = true
		}
		r.p.need = 0
	}
	if wrote {
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
	grace := rule.GraceNano
	for n := range int64(p.window) {
		if other := b.pots[potID{p.budget, p.start - (n+1)*(p.end-p.start)}]; other != nil {
			grace -= other.beyond()
		}
	}
	return max(0, grace)
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
	others := int64(0)
	if p.window > 0 {
		size := p.end - p.start
		for n := range int64(p.window) {
			if other := b.pots[potID{p.budget, p.start - (n+1)*size}]; other != nil {
				others += other.used.Load()
			}
		}
	}
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
	if p.account.dry.Load() != 0 && nano >= p.account.dry.Load() && b.o.Lender == nil && p.written.granted == p.granted && b.left(p) < nano {
		return false
	}
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
		if !there && (b.o.Lender == nil || p.refused || b.away) {
			b.dryUp(p, nano)
			if p.need = max(p.need, nano); b.o.Now().Sub(b.asked) > askAgain { // others may have given something back
				b.wantNow()
			}
			b.mu.Unlock()
			return false
		}
		p.need = max(p.need, nano)
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

// moisten notes that there is money again for what was asked for in vain.
func (b *Book) moisten(p *pot) {
	if dry := p.account.dry.Load(); dry != 0 && p.account.pot.Load() == p && b.cap(p)-p.used.Load() >= dry {
		p.account.dry.Store(0)
	}
}

// dryUp notes that there is no money for what requests usually cost.
func (b *Book) dryUp(p *pot, nano int64) {
	if usual := p.usual.Load(); usual == 0 || b.cap(p)-p.used.Load() < 4*usual {
		p.account.dry.Store(max(1, nano))
	}
}

// settleFor is how long after its end a period's late settlements are waited for.
const settleFor = 10 * time.Minute

// over says that the pot's period ended a while ago, and that no request holds anything of it. The book is locked.
func (p *pot) over(now time.Time) bool {
	if p.end == 0 { // as it was read from the disk
		switch span, is := p.account.Budget().SpanOf(p.start); {
		case !is:
			p.end = p.start + 1 // the budget has other periods now
		case span.End.IsZero():
			p.end = math.MaxInt64
		default:
			p.end, p.window = span.End.Unix(), span.Window
		}
	}
	return p.end != math.MaxInt64 && now.Unix() > p.end+int64(settleFor/time.Second) && p.held() == 0
}

// retire forgets pots of periods that are over, once the lender knows all of them and no window counts them.
func (b *Book) retire(now time.Time) {
	for id, p := range b.pots {
		if p.account == nil {
			p.account = b.account(p.budget)
		}
		if !p.over(now) || p.account.pot.Load() == p || now.Unix() <= p.end+int64(p.window)*(p.end-p.start)+int64(settleFor/time.Second) {
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
