package budget

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Status is how a budget stands on this node.
type Status struct {
	Budget         string     `json:"budget"`
	Kind           string     `json:"kind"`
	Start          time.Time  `json:"start"`
	End            *time.Time `json:"end,omitempty"`
	LimitNano      int64      `json:"limit_nano"`
	SpentNano      int64      `json:"spent_nano"` // by this node
	HeldNano       int64      `json:"held_nano"`
	UnverifiedNano int64      `json:"unverified_nano"` // besides: what a process that died may have spent
	LeaseNano      int64      `json:"lease_nano"`      // what this node may still spend without asking
	RemainingNano  int64      `json:"remaining_nano"`  // of the whole budget, as far as the node knows
	Exhausted      bool       `json:"exhausted"`
	Note           string     `json:"note,omitempty"`
}

// Status tells of the budgets in use, in the order of their names.
func (b *Book) Status() []Status {
	now := b.o.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	out := []Status{}
	for _, a := range b.accounts {
		if a.gone.Load() || a.rule.Load() == nil {
			continue
		}
		p := b.potAt(a, now)
		b.lend(p)
		rule := a.Budget()
		s := Status{
			Budget: a.name, Kind: rule.Kind, Start: time.Unix(p.start, 0).UTC(), LimitNano: rule.LimitNano, SpentNano: p.spent.Load(),
			HeldNano: p.held(), UnverifiedNano: p.unverified, Exhausted: a.Exhausted(now),
		}
		s.LeaseNano = max(0, p.granted-p.returned-p.used.Load())
		s.RemainingNano = max(0, rule.LimitNano-p.committed) + s.LeaseNano
		if b.o.Lender == nil {
			s.RemainingNano = s.LeaseNano
		}
		if p.end.Load() != math.MaxInt64 {
			end := time.Unix(p.end.Load(), 0).UTC()
			s.End = &end
		}
		switch {
		case b.failure != nil:
			s.Note = "the node's disk does not write"
		case b.away && rule.Kind == "hard":
			s.Note = "nobody answers who lends the money: " + rule.Offline
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Budget, b.Budget) })
	return out
}

// BoundNano is what requests under way and the grace of budgets without their lender may yet cost beyond all limits.
func (b *Book) BoundNano() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var bound int64
	for _, p := range b.pots {
		if p.account == nil || p.account.Budget().Kind != "hard" {
			continue
		}
		bound += p.held()
		if rule := p.account.Budget(); b.away && rule.Offline == "safe" {
			bound += rule.GraceNano
		}
	}
	return bound
}
