package spend

import (
	"context"
	"errors"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

const (
	watchEvery = 2 * time.Second
	// KeepAlerts is for how long alerts are told, and periods that are over.
	KeepAlerts  = 400 * 24 * time.Hour
	forgetEvery = time.Hour
)

// Run watches budgets and delivers alerts until ctx ends, as long as it has the store's lead.
func (s *Spend) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lead, ok, err := s.store.TryLead(ctx, "spend")
		if err != nil && ctx.Err() == nil {
			s.o.Log.Warn("cannot take the lead of the budgets", "error", err)
		}
		if err != nil || !ok {
			continue
		}
		s.lead(ctx, lead.Context(), tick.C)
		lead.Release()
	}
}

func (s *Spend) lead(ctx, held context.Context, tick <-chan time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(held, cancel)()
	var forgot time.Time
	for ctx.Err() == nil {
		err := errors.Join(s.watch(ctx), s.deliver(ctx))
		if now := s.o.Now(); err == nil && now.Sub(forgot) >= forgetEvery {
			forgot = now
			err = s.forget(ctx, now.Add(-KeepAlerts))
		}
		if err != nil && ctx.Err() == nil {
			s.o.Log.Error("the budgets' alerts are late", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-tick:
		}
	}
}

// forget deletes what is older: periods that began then are over, but for the one that never ends.
func (s *Spend) forget(ctx context.Context, before time.Time) error {
	return s.store.Update(ctx, func(t *store.Tx) error {
		for _, step := range []struct {
			query string
			at    int64
		}{
			{"delete from spend_deliveries where alert in (select id from spend_alerts where at < ?)", before.UnixMilli()},
			{"delete from spend_alerts where at < ? and kind <> 'first_spend'", before.UnixMilli()},
			{"delete from spend_pots where period > 0 and period < ?", before.Unix()},
			{"delete from spend_demands where at < ?", before.UnixMilli()},
		} {
			if _, err := t.Exec(step.query, step.at); err != nil {
				return err
			}
		}
		return nil
	})
}
