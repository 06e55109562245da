package spend

import (
	"context"
	"sync"

	"github.com/wedge-proxy/wedge/wire"
)

// Memory lends as Spend does, and forgets everything at its end: simulations of many schedules lease of it.
type Memory struct {
	mu      sync.Mutex
	budgets map[string]wire.Budget
	pots    map[place]map[string]*pot
}

// place is one period of a budget.
type place struct {
	budget string
	period int64
}

// NewMemory makes a lender.
func NewMemory() *Memory { return &Memory{pots: map[place]map[string]*pot{}} }

// Use puts budgets into use.
func (m *Memory) Use(budgets []wire.Budget) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.budgets = map[string]wire.Budget{}
	for _, b := range budgets {
		m.budgets[b.Name] = b
	}
}

// Lease is part of budget.Lender.
func (m *Memory) Lease(_ context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	reply := new(wire.LeaseReply)
	for i := range r.Pots {
		told := r.Pots[i]
		report, at := &told, place{told.Budget, told.Period}
		b, known := m.budgets[report.Budget]
		if settle(report) != "" {
			reply.Pots = append(reply.Pots, refuse(report, definition(b, known)))
			continue
		}
		purses := m.pots[at]
		if purses == nil {
			purses = map[string]*pot{}
			m.pots[at] = purses
		}
		p := purses[r.Purse]
		if p == nil {
			p = new(pot)
			purses[r.Purse] = p
		}
		reply.Pots = append(reply.Pots, lend(p, report, definition(b, known), func(periods []int64) (all tally) {
			for _, period := range periods {
				for purse, other := range m.pots[place{report.Budget, period}] {
					if period != report.Period || purse != r.Purse {
						all.add(other)
					}
				}
			}
			return all
		}))
	}
	return reply, nil
}

// Committed is what a budget cannot lend any more in a period, in nano-USD.
func (m *Memory) Committed(budget string, period int64) (nano int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pots[place{budget, period}] {
		nano += p.committed()
	}
	return nano
}

func definition(b wire.Budget, known bool) *wire.Budget {
	if !known {
		return nil
	}
	return &b
}
