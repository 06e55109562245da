package api

import (
	"strconv"

	"github.com/wedge-proxy/wedge/origin/spend"
)

func (c *call) budgets() (page Page[spend.Status], err error) {
	limit, err := c.limit()
	if err != nil {
		return page, err
	}
	items, err := c.options.Spend.Budgets(c.r.Context(), c.r.URL.Query().Get("after"), limit+1)
	if err != nil || len(items) <= limit {
		return pageOf(items, ""), err
	}
	return pageOf(items[:limit], items[limit-1].Budget), nil
}

func (c *call) budget() (spend.Status, error) { return c.options.Spend.Budget(c.r.Context(), c.name()) }

// Loss names a node that will not come back.
type Loss struct {
	Node   string `json:"node"`
	Reason string `json:"reason,omitempty"`
}

// WrittenOff is what a node had of a budget and will not be heard of: it counts as spent, unverified.
type WrittenOff struct {
	Budget string `json:"budget"`
	Node   string `json:"node"`
	Amount int64  `json:"amount_nano"` // nano-USD
}

func (c *call) writeOff(l Loss) (done WrittenOff, err error) {
	if l.Node == "" {
		return done, invalid("the body names no node; say whose money is gone as {\"node\": NAME}")
	}
	if _, err := c.options.Spend.Budget(c.r.Context(), c.name()); err != nil {
		return done, err
	}
	done = WrittenOff{Budget: c.name(), Node: l.Node}
	if done.Amount, err = c.options.Spend.WriteOff(c.r.Context(), l.Node, c.name()); err != nil {
		return done, err
	}
	c.why = l.Reason
	c.note("budget.write-off", c.name(), "node "+strconv.Quote(l.Node)+", "+strconv.FormatInt(done.Amount, 10)+" nano-USD")
	return done, nil
}

// Alerts is a part of the alerts, the latest first.
type Alerts struct {
	Items []spend.Alert `json:"items"`
	Next  int64         `json:"next,omitempty"` // the before of the next page; absent on the last one
}

func (c *call) alerts() (page Alerts, err error) {
	before, limit, err := c.beforeLimit()
	if err != nil {
		return page, err
	}
	page.Items, err = c.options.Spend.Alerts(c.r.Context(), before, limit)
	if len(page.Items) == limit {
		page.Next = page.Items[limit-1].ID
	}
	return page, err
}

// Deliveries is a part of the alerts' deliveries, the latest alert first.
type Deliveries struct {
	Items []spend.Delivery `json:"items"`
	Next  int64            `json:"next,omitempty"` // the before of the next page; absent on the last one
}

func (c *call) deliveries() (page Deliveries, err error) {
	before, limit, err := c.beforeLimit()
	if err != nil {
		return page, err
	}
	page.Items, err = c.options.Spend.Deliveries(c.r.Context(), before, limit)
	if len(page.Items) == limit {
		page.Next = page.Items[limit-1].Alert
	}
	return page, err
}

func (c *call) beforeLimit() (before int64, limit int, err error) {
	if limit, err = c.limit(); err == nil {
		before, err = c.number("before", 1, 0)
	}
	return before, limit, err
}
