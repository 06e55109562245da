package spend

import (
	"fmt"
	"math"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// pot is where a purse stands in one period of a budget, in nano-USD since the purse was made.
type pot struct {
	Granted, Returned, Spent, Unverified, WrittenOff, Grace int64

	Held, Rate int64 // as the node told last
}

// committed is what the budget cannot lend to anybody else.
func (p *pot) committed() int64 { return max(p.Granted-p.Returned, p.used()) }

// used is what is gone, as far as anybody knows.
func (p *pot) used() int64 { return p.Spent + p.Unverified + p.WrittenOff }

// outstanding is what was lent, and neither returned nor heard to be spent.
func (p *pot) outstanding() int64 { return max(0, p.Granted-p.Returned-p.Spent-p.Unverified) }

// merge takes what a node tells. Of two tales the larger figure is the later one.
func (p *pot) merge(r *wire.PotReport) {
	p.Granted = max(p.Granted, r.Granted) // more than the origin knows, once it was restored from a backup
	p.Returned = min(max(p.Returned, r.Returned), p.Granted)
	p.Spent = max(p.Spent, r.Spent)
	p.Unverified = max(p.Unverified, r.Unverified)
	p.WrittenOff = min(p.WrittenOff, p.outstanding()) // a node that was given up for lost may come back
	p.Grace = max(p.Grace, r.Grace)
	p.Held, p.Rate = r.Held, r.Rate
}

// settle brings a report's amounts within bounds, and says what else is wrong with it, "" if nothing is. What was used is
// more than any limit at the bound, too, and nobody gets as much as that. How much of a lease is left is unknown where what
// was lent is beyond the bound, or anything is below zero.
func settle(r *wire.PotReport) (flaw string) {
	if r.Period < 0 || r.Budget == "" || len(r.Budget) > maxName || strings.ContainsRune(r.Budget, 0) {
		return "a budget has no name, or no period"
	}
	for _, n := range [...]*int64{&r.Spent, &r.Unverified, &r.Grace, &r.Held, &r.Rate, &r.Want, &r.Min} {
		if *n < 0 {
			return fmt.Sprintf("the budget %q has the amount %d", r.Budget, *n)
		}
		*n = min(*n, mostMoney)
	}
	for _, n := range [...]int64{r.Granted, r.Returned} {
		if n < 0 || n > mostMoney {
			return fmt.Sprintf("the budget %q has the lease %d", r.Budget, n)
		}
	}
	return ""
}

const (
	maxName   = 253
	mostMoney = math.MaxInt64 / 8 // any limit is less
)

// refuse answers a report that is flawed: what the purse has, it keeps.
func refuse(r *wire.PotReport, b *wire.Budget) wire.PotGrant {
	g := wire.PotGrant{Budget: r.Budget, Period: r.Period, Keep: -1, Refused: wire.RefusedFlawed}
	if b != nil {
		g.Limit = b.LimitNano
	}
	return g
}

// grant is how much more a purse gets: no more than there is, and of what is scarce no more than half of the node's part, so
// that others get some, too. remaining is what the budget can still lend; share is the node's part of all that is spent.
func grant(p *pot, r *wire.PotReport, limit, remaining int64, share float64) int64 {
	room := remaining + p.committed() - (p.Granted - p.Returned) // what is spent beyond a lease counts already
	if r.Want <= 0 || remaining <= 0 || room < r.Min {
		return 0
	}
	fair := int64(float64(remaining) * share / 2)
	return min(max(min(r.Want, fair), r.Min, min(r.Want, limit/1000, leastGrant)), room)
}

// leastGrant is not worth dividing, in nano-USD: a tenth of a cent.
const leastGrant = 1_000_000

// keep is what a node may keep besides what it holds: all of it, unless others need it or there is too much of it.
func keep(limit, remaining int64, purses int, rate int64) int64 {
	switch {
	case remaining < 0, purses > 1 && remaining < limit/20:
		return min(rate/6, limit/int64(200*max(1, purses))) // ten seconds' worth, and no more than a two hundredth of the budget in all
	}
	return -1
}
