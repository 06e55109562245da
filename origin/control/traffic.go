package control

import (
	"context"
	"time"

	"github.com/wedge-proxy/wedge/origin/ledger"
)

// Booked is the traffic that a ledger booked, for Options.Traffic.
func Booked(l *ledger.Ledger) func(ctx context.Context, model string, since, until time.Time) ([]VersionTotals, error) {
	return func(ctx context.Context, model string, since, until time.Time) ([]VersionTotals, error) {
		booked, err := l.Totals(ctx, model, since, until)
		all := make([]VersionTotals, len(booked))
		for i, t := range booked {
			all[i] = VersionTotals{Version: t.Version, Requests: t.Requests, Errors: t.Errors, ErrorRate: t.ErrorRate,
				CacheHits: t.CacheHits, Input: t.Input, Output: t.Output, CostNano: t.CostNano,
				MeanMS: t.MeanMS, P50MS: t.P50MS, P95MS: t.P95MS, MeanTTFT: t.MeanTTFT}
		}
		return all, err
	}
}
