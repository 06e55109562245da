package budget

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Account is a budget on this node.
type Account struct {
	name string
	rule atomic.Pointer[wire.Budget]
	pot  atomic.Pointer[pot] // of the present period; nil until somebody asked
	dry  atomic.Int64        // what was asked for in vain; 0: there is money
	gone atomic.Bool         // the catalog has no such budget any more
}

// Name is the budget's.
func (a *Account) Name() string { return a.name }

var none = &wire.Budget{Kind: "soft", Period: "total", Offline: "optimistic", Unpriced: "allow", Timezone: "UTC"}

// Budget is what the catalog says of the budget. One that it does not have is soft and without a limit.
func (a *Account) Budget() *wire.Budget {
	if b := a.rule.Load(); b != nil && !a.gone.Load() {
		return b
	}
	return none
}

// known says that the catalog has the budget.
func (a *Account) known() bool { return a.rule.Load() != nil && !a.gone.Load() }

// Exhausted says that the last admission found no money, and that none has come since.
func (a *Account) Exhausted(now time.Time) bool {
	if a.dry.Load() == 0 {
		return false
	}
	p := a.pot.Load()
	return p != nil && p.holds(now)
}

// pot is a purse's money in one period of a budget.
type pot struct {
	budget  string
	account *Account
	start   int64        // unix seconds
	end     atomic.Int64 // and so; math.MaxInt64 where there is none, 0 as long as nobody has looked
	window  int

	used      atomic.Int64 // spent, in doubt, or held
	allowance atomic.Int64 // what used may come to: it is on the disk
	spent     atomic.Int64
	largest   atomic.Int64 // hold, lately
	usual     atomic.Int64 // settlement, lately: of some of them
	dirty     atomic.Bool

	// Under the book's lock.
	granted, returned, unverified, grace int64
	written                              totals    // as the disk has it
	told                                 totals    // as the lender has it
	need                                 int64     // somebody waits for so much of the allowance
	needed                               time.Time // when somebody last said so
	ask                                  int64     // and for so much of the lender's
	refused                              bool      // the lender has no more
	overSince                            time.Time
	limit, committed, total              int64 // of the whole budget, as the lender said
	rate                                 float64
	rated                                time.Time
	ratedAt                              int64
	calm                                 time.Time // since when nothing was spent
}

// totals are what is written down of a pot.
type totals struct{ granted, returned, spent, unverified, grace, allowance int64 }

// holds says that a time is in the pot's period.
func (p *pot) holds(t time.Time) bool {
	s := t.Unix()
	return s >= p.start && s < p.end.Load()
}

// take holds money if the allowance has it.
func (p *pot) take(nano int64) bool {
	if p.used.Add(nano) > p.allowance.Load() {
		p.used.Add(-nano)
		return false
	}
	return true
}

func (p *pot) put(nano int64) { p.used.Add(-nano) }

// held is what requests under way hold. The book is locked.
func (p *pot) held() int64 { return max(0, p.used.Load()-p.spent.Load()-p.unverified) }

// free is what can be held now.
func (p *pot) free() int64 { return max(0, p.allowance.Load()-p.used.Load()) }

// inline is how many pots a hold has room for without allocating.
const inline = 8

// Hold is money that is held for a request in the pots of its budgets. The zero value holds nothing.
type Hold struct {
	pots [inline]*pot
	more []*pot
	n    int
	nano int64
}

// Nano is what is held in each budget.
func (h *Hold) Nano() int64 { return h.nano }

func (h *Hold) add(p *pot) {
	if h.n < inline {
		h.pots[h.n] = p
	} else {
		h.more = append(h.more, p)
	}
	h.n++
}

func (h *Hold) at(i int) *pot {
	if i < inline {
		return h.pots[i]
	}
	return h.more[i-inline]
}

// Admit holds money in the present period of every account, or in none. It waits a little where money may come. short is
// the first account that does not have it.
func (b *Book) Admit(h *Hold, accounts []*Account, nano int64, now time.Time) (short *Account) {
	*h = Hold{more: h.more[:0], nano: nano}
	for _, a := range accounts {
		p := a.pot.Load()
		if p == nil || !p.holds(now) {
			p = b.roll(a, now)
		}
		if !p.take(nano) && !b.await(p, nano) {
			h.undo()
			return a
		}
		if nano > p.largest.Load() {
			p.largest.Store(nano)
		}
		h.add(p)
	}
	return nil
}

func (h *Hold) undo() {
	for i := range h.n {
		h.at(i).put(h.nano)
	}
	*h = Hold{more: h.more[:0]}
}

// Owe makes h a hold of nothing in the accounts, for what has been done already: settling it books the cost, whatever is left.
func (b *Book) Owe(h *Hold, accounts []*Account, now time.Time) {
	*h = Hold{more: h.more[:0]}
	for _, a := range accounts {
		p := a.pot.Load()
		if p == nil || !p.holds(now) {
			p = b.roll(a, now)
		}
		h.add(p)
	}
}

// Extend holds more for the same request.
func (b *Book) Extend(h *Hold, nano int64, now time.Time) (short *Account) {
	for i := range h.n {
		if p := h.at(i); !p.take(nano) && !b.await(p, nano) {
			for k := range i {
				h.at(k).put(nano)
			}
			return p.account
		}
	}
	h.nano += nano
	return nil
}

// Settle books what the request cost in place of what was held for it; it may be more.
func (h *Hold) Settle(nano int64) {
	for i := range h.n {
		p := h.at(i)
		p.spent.Add(nano)
		p.used.Add(nano - h.nano)
		if !p.dirty.Load() { // once between two flushes will do
			p.usual.Store((7*p.usual.Load() + nano) / 8)
			p.dirty.Store(true)
		}
		if a := p.account; nano < h.nano && a.dry.Load() != 0 && p.free() >= a.dry.Load() {
			a.dry.Store(0)
		}
	}
	clear(h.pots[:min(h.n, inline)])
	clear(h.more)
	*h = Hold{more: h.more[:0]}
}

// Most is what could be held soon in all of the accounts, at most, as far as the node knows.
func (b *Book) Most(accounts []*Account, now time.Time) int64 {
	most := int64(math.MaxInt64)
	for _, a := range accounts {
		p := a.pot.Load()
		if p == nil || !p.holds(now) {
			p = b.roll(a, now)
		}
		if a.Budget().Kind == "hard" {
			most = min(most, b.reach(p))
		}
	}
	return most
}

// roll begins an account's present period.
func (b *Book) roll(a *Account, now time.Time) *pot {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.potAt(a, now)
	if old := a.pot.Swap(p); old != p {
		a.dry.Store(0)
	}
	return p
}

// potAt is the pot of the period that a time is in.
func (b *Book) potAt(a *Account, now time.Time) *pot {
	span := a.Budget().SpanAt(now)
	start, end := int64(0), int64(math.MaxInt64)
	if !span.End.IsZero() {
		start, end = span.Start.Unix(), span.End.Unix()
	}
	id := potID{a.name, start}
	p := b.pots[id]
	if p == nil {
		p = &pot{budget: a.name, start: start}
		b.pots[id] = p
	}
	if p.account == nil {
		p.account = a
	}
	if p.end.Load() != end {
		p.end.Store(end)
	}
	p.window = span.Window
	return p
}

// Left is what could be held soon for the same request besides, at most, as far as the node knows.
func (b *Book) Left(h *Hold) int64 {
	most := int64(math.MaxInt64)
	for i := range h.n {
		if p := h.at(i); p.account.Budget().Kind == "hard" {
			most = min(most, b.reach(p))
		}
	}
	return most
}

// reach is what is left of a pot, and half of what the lender may have besides: others want some, too.
func (b *Book) reach(p *pot) int64 {
	left := b.left(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.o.Lender == nil || b.away || p.refused:
		return left
	case p.limit == 0: // nobody has told yet
		return left + p.account.Budget().LimitNano/2
	}
	return left + max(0, p.limit-p.committed)/2
}
