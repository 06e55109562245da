package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Budget is where a budget stands. Amounts are nano-USD.
type Budget struct {
	Budget     string        `json:"budget"`
	Kind       string        `json:"kind"`
	Period     string        `json:"period"`
	Start      time.Time     `json:"start"`
	End        time.Time     `json:"end"`
	Limit      int64         `json:"limit_nano"`
	Spent      int64         `json:"spent_nano"`
	Unverified int64         `json:"unverified_nano"`
	Leased     int64         `json:"leased_nano"`
	Remaining  int64         `json:"remaining_nano"`
	PerHour    int64         `json:"per_hour_nano"`
	Ends       time.Time     `json:"ends"`
	Nodes      []BudgetLease `json:"nodes"`
}

// BudgetLease is what a node has of a budget.
type BudgetLease struct {
	Node       string    `json:"node"`
	Spent      int64     `json:"spent_nano"`
	Unverified int64     `json:"unverified_nano"`
	Leased     int64     `json:"leased_nano"`
	Held       int64     `json:"held_nano"`
	PerHour    int64     `json:"per_hour_nano"`
	Seen       time.Time `json:"seen"`
}

// Alert is something that happened to money.
type Alert struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"`
	Message string    `json:"message"`
}

// Delivery is an alert on its way to a webhook.
type Delivery struct {
	Alert   int64     `json:"alert"`
	Webhook string    `json:"webhook"`
	State   string    `json:"state"`
	Tries   int       `json:"tries"`
	Next    time.Time `json:"next"`
	Error   string    `json:"error"`
}

// percent is how much of the limit is gone.
func (b *Budget) percent() string {
	if b.Limit == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(b.Spent+b.Unverified)*100/float64(b.Limit), 'f', 1, 64) + " %"
}

// ListBudgets prints where all budgets stand.
func (s *Session) ListBudgets(ctx context.Context) error {
	answer, err := s.list(ctx, "budgets/status")
	if err != nil {
		return fmt.Errorf("cannot list the budgets: %w", err)
	}
	return printList(s, answer, (*table).budgets)
}

func (t *table) budgets(items []Budget) {
	t.row("NAME", "KIND", "PERIOD", "LIMIT USD", "SPENT", "USED", "UNVERIFIED", "LEASED", "REMAINING", "PER HOUR", "ENDS")
	for i := range items {
		b := &items[i]
		t.row(b.Budget, b.Kind, b.Period, usd(b.Limit), usd(b.Spent), b.percent(), usd(b.Unverified), usd(b.Leased), usd(b.Remaining), usd(b.PerHour), stamp(b.Ends))
	}
}

// ShowBudget prints where a budget stands, and what the nodes have of it.
func (s *Session) ShowBudget(ctx context.Context, name string) error {
	answer, err := s.get(ctx, at("budgets", name, "status"), nil)
	if err != nil {
		return fmt.Errorf("cannot show the budget %s: %w", name, err)
	}
	return printAs(s, answer, func(t *table, b Budget) error {
		t.row("budget", b.Budget+", "+b.Kind)
		t.row("period", b.Period+yes(!b.End.IsZero(), ", until "+stamp(b.End)))
		t.row("limit", usd(b.Limit)+" USD")
		t.row("spent", usd(b.Spent), b.percent())
		t.row("unverified", usd(b.Unverified))
		t.row("leased", usd(b.Leased))
		t.row("remaining", usd(b.Remaining))
		t.row("per hour", usd(b.PerHour), yes(!b.Ends.IsZero(), "nothing is left at "+stamp(b.Ends)+", if that goes on"))
		if len(b.Nodes) > 0 {
			t.line("")
			t.row("NODE", "SPENT", "UNVERIFIED", "LEASED", "HELD", "PER HOUR", "SEEN")
		}
		for i := range b.Nodes {
			n := &b.Nodes[i]
			t.row(n.Node, usd(n.Spent), usd(n.Unverified), usd(n.Leased), usd(n.Held), usd(n.PerHour), since(t.age(n.Seen)))
		}
		return nil
	})
}

// WatchBudgets prints where a budget stands, or all, again and again until ctx ends.
func (s *Session) WatchBudgets(ctx context.Context, name string, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := s.ListBudgets(ctx)
		if name != "" {
			err = s.ShowBudget(ctx, name)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.Format == Table {
			_, _ = fmt.Fprintln(s.Out)
		}
	}
}

// WriteOff counts as spent what a node that is gone had of a budget.
func (s *Session) WriteOff(ctx context.Context, budget, node string) error {
	body := map[string]string{"node": node}
	if s.Reason != "" {
		body["reason"] = s.Reason
	}
	answer, err := s.change(ctx, http.MethodPost, at("budgets", budget, "write-off"), body)
	if err != nil {
		return fmt.Errorf("cannot write off what the node %s has of the budget %s: %w", node, budget, err)
	}
	return printAs(s, answer, func(t *table, done struct {
		Amount int64 `json:"amount_nano"`
	}) error {
		t.line("%s USD of the budget %s that the node %s had count as spent, unverified", usd(done.Amount), budget, node)
		return nil
	})
}

// ListAlerts prints the latest alerts.
func (s *Session) ListAlerts(ctx context.Context, limit int) error {
	answer, err := s.get(ctx, "alerts", url.Values{"limit": {strconv.Itoa(limit)}})
	if err != nil {
		return fmt.Errorf("cannot list the alerts: %w", err)
	}
	return printList(s, answer, func(t *table, items []Alert) {
		t.row("ID", "AT", "KIND", "MESSAGE")
		for i := range items {
			a := &items[i]
			t.row(strconv.FormatInt(a.ID, 10), stamp(a.At), a.Kind, a.Message)
		}
	})
}

// ListDeliveries prints what became of the latest alerts on their way to webhooks.
func (s *Session) ListDeliveries(ctx context.Context, limit int) error {
	answer, err := s.get(ctx, "webhooks/deliveries", url.Values{"limit": {strconv.Itoa(limit)}})
	if err != nil {
		return fmt.Errorf("cannot list the deliveries: %w", err)
	}
	return printList(s, answer, func(t *table, items []Delivery) {
		t.row("ALERT", "WEBHOOK", "STATE", "TRIES", "NEXT", "ERROR")
		for i := range items {
			d := &items[i]
			t.row(strconv.FormatInt(d.Alert, 10), d.Webhook, d.State, strconv.Itoa(d.Tries), stamp(d.Next), d.Error)
		}
	})
}
