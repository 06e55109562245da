package spend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Alert is something that happened to money. Amounts are nano-USD.
type Alert struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Kind    string    `json:"kind"` // one of wire.AlertKinds
	Budget  string    `json:"budget,omitempty"`
	Percent int       `json:"percent,omitempty"` // threshold: which
	Node    string    `json:"node,omitempty"`    // node_offline, unverified, report_flawed: whose
	Key     string    `json:"key,omitempty"`     // first_spend: of which key,
	Model   string    `json:"model,omitempty"`   // or which model
	Limit   int64     `json:"limit_nano,omitempty"`
	Spent   int64     `json:"spent_nano,omitempty"`
	Amount  int64     `json:"amount_nano,omitempty"` // node_offline: what it has; unverified: how much
	Message string    `json:"message"`

	period  int64
	subject string // what makes it one, within its kind, budget and period
}

const (
	offlineAfter = 5 * time.Minute
	burnAfter    = 0.2 // of the limit must be spent before a forecast counts
)

// watch notes what is worth an alert now, each once.
func (s *Spend) watch(ctx context.Context) error {
	budgets, webhooks, err := s.definitions(ctx)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(budgets))
	for name := range budgets {
		names = append(names, name)
	}
	slices.Sort(names)
	var found []Alert
	now := s.o.Now()
	err = s.store.View(ctx, func(t *store.Tx) error {
		found = found[:0]
		for _, name := range names {
			status, err := s.status(t, budgets[name])
			if err != nil {
				return err
			}
			found = append(found, alertsOf(budgets[name], &status, now)...)
		}
		refused, err := s.refusals(t, budgets, now)
		found = append(found, refused...)
		return err
	})
	if err != nil {
		return err
	}
	found = append(found, s.firstSpenders(ctx, now)...)
	return s.raise(ctx, found, webhooks, now)
}

// alertsOf are what a budget's status gives reason for.
func alertsOf(b *wire.Budget, s *Status, now time.Time) (found []Alert) {
	period := alertPeriod(b.SpanAt(now))
	raise := func(a Alert) {
		a.Budget, a.Limit, a.Spent, a.period = b.Name, s.Limit, s.used(), period
		found = append(found, a)
	}
	used := s.used()
	for _, percent := range b.Alerts {
		if float64(used)*100 >= float64(s.Limit)*float64(percent) {
			raise(Alert{Kind: wire.AlertThreshold, Percent: percent, subject: strconv.Itoa(percent),
				Message: fmt.Sprintf("the budget %s has reached %d %% of its limit", b.Name, percent)})
		}
	}
	if used >= s.Limit || s.Limit-used < s.Limit/1000 {
		raise(Alert{Kind: wire.AlertExhausted, Message: "the budget " + b.Name + " has nothing left"})
	}
	if s.Ends != nil && s.End != nil && b.Period != "total" && float64(used) > burnAfter*float64(s.Limit) {
		raise(Alert{Kind: wire.AlertBurnRate, Message: "the budget " + b.Name + " will have nothing left at " + s.Ends.Format(time.RFC3339) + ", before its period ends"})
	}
	for i := range s.Nodes {
		l := &s.Nodes[i]
		if silent := now.Sub(l.Seen); l.Leased > 0 && silent >= offlineAfter {
			raise(Alert{Kind: wire.AlertOffline, Node: l.Node, Amount: l.Leased, subject: l.Purse,
				Message: "the node " + l.Node + " has money of the budget " + b.Name + " and is not heard of since " + l.Seen.Format(time.RFC3339)})
		}
		if l.Unverified > 0 {
			raise(Alert{Kind: wire.AlertUnverified, Node: l.Node, Amount: l.Unverified, subject: l.Purse,
				Message: "the node " + l.Node + " may have spent money of the budget " + b.Name + " that nobody saw spent: it counts as spent"})
		}
	}
	return found
}

// alertPeriod is the begin of the time in which each alert is raised once: of the period, or as long as a whole rolling one.
func alertPeriod(span wire.Span) int64 {
	begin := span.Begin()
	if span.Window > 0 {
		begin -= begin % (int64(span.Window) * int64(span.End.Sub(span.Start)/time.Second))
	}
	return begin
}

// refusals are the present periods in which nodes were refused money.
func (s *Spend) refusals(t *store.Tx, budgets map[string]*wire.Budget, now time.Time) (found []Alert, err error) {
	rows, err := t.Query("select budget, refused from spend_budgets where refused >= 0")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var period int64
		if err := rows.Scan(&name, &period); err != nil {
			return nil, err
		}
		b := budgets[name]
		if b == nil {
			continue
		}
		if span := b.SpanAt(now); span.Begin() == period {
			found = append(found, Alert{Kind: wire.AlertDenied, Budget: name, Limit: b.LimitNano, period: alertPeriod(span),
				Message: "a node asked for money of the budget " + name + " and there was none"})
		}
	}
	return found, rows.Err()
}

// Flawed logs, and raises an alert, that a node told what cannot be: once a day for each node.
func (s *Spend) Flawed(ctx context.Context, node, what string) {
	now := s.o.Now()
	today := now.Unix() / 86400 * 86400
	s.mu.Lock()
	known := s.flawed[node] == today
	s.flawed[node] = today
	s.mu.Unlock()
	if known {
		return
	}
	a := Alert{Kind: wire.AlertFlawed, Node: node, period: today, subject: node, Message: "the node " + node + " told what cannot be: " + what}
	s.o.Log.Error(a.Message)
	_, webhooks, err := s.definitions(ctx)
	if err == nil {
		err = s.raise(ctx, []Alert{a}, webhooks, now)
	}
	if err != nil {
		s.o.Log.Error("cannot raise an alert", "kind", a.Kind, "error", err)
	}
}

const spendersEvery = time.Minute

// firstSpenders are keys and models that have cost something; whoever was told of before is left out later.
func (s *Spend) firstSpenders(ctx context.Context, now time.Time) (found []Alert) {
	if s.o.Spenders == nil || now.Sub(s.spendersSeen) < spendersEvery && !now.Before(s.spendersSeen) {
		return nil
	}
	keys, models, err := s.o.Spenders(ctx)
	if err != nil {
		s.o.Log.Warn("cannot find out who spends for the first time", "error", err)
		return nil
	}
	s.spendersSeen = now
	for _, key := range keys {
		found = append(found, Alert{Kind: wire.AlertFirstSpend, Key: key, subject: "key/" + key, Message: "the key " + key + " has cost something for the first time"})
	}
	for _, model := range models {
		found = append(found, Alert{Kind: wire.AlertFirstSpend, Model: model, subject: "model/" + model, Message: "the model " + model + " has cost something for the first time"})
	}
	return found
}

// raise enters alerts that are new, and who is to hear of them.
func (s *Spend) raise(ctx context.Context, found []Alert, webhooks []wire.Webhook, now time.Time) error {
	if len(found) == 0 {
		return nil
	}
	return s.store.Update(ctx, func(t *store.Tx) error {
		var last int64
		if err := t.Row("select cast(coalesce(max(id), 0) as bigint) from spend_alerts").Scan(&last); err != nil {
			return err
		}
		for i := range found {
			a := &found[i]
			a.ID, a.At = last+1, now.UTC().Truncate(time.Millisecond)
			body, err := json.Marshal(a)
			if err != nil {
				return err
			}
			n, err := t.Exec("insert into spend_alerts (id, at, kind, budget, period, subject, body) values (?, ?, ?, ?, ?, ?, ?) on conflict do nothing",
				a.ID, a.At.UnixMilli(), a.Kind, a.Budget, a.period, a.subject, body)
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			last++
			if err := tellWebhooks(t, a, webhooks); err != nil {
				return err
			}
		}
		return nil
	})
}

func tellWebhooks(t *store.Tx, a *Alert, webhooks []wire.Webhook) error {
	for i := range webhooks {
		w := &webhooks[i]
		if len(w.Events) > 0 && !slices.Contains(w.Events, a.Kind) {
			continue
		}
		_, err := t.Exec("insert into spend_deliveries (alert, webhook, state, tries, next, status, error) values (?, ?, ?, 0, ?, 0, '')",
			a.ID, w.Name, StateWaiting, a.At.UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

// Alerts lists up to limit alerts, the latest first, that are older than the one whose id is before; 0 begins with the latest.
func (s *Spend) Alerts(ctx context.Context, before int64, limit int) ([]Alert, error) {
	all := []Alert{}
	err := s.store.View(ctx, func(t *store.Tx) error {
		all = all[:0]
		rows, err := t.Query("select body from spend_alerts where ? = 0 or id < ? order by id desc limit ?", before, before, limit)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var body []byte
			var a Alert
			if err := rows.Scan(&body); err != nil {
				return err
			}
			if err := json.Unmarshal(body, &a); err != nil {
				return err
			}
			all = append(all, a)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("spend: cannot read the alerts: %w", err)
	}
	return all, nil
}
