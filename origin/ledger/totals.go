package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Totals are what nodes reported of a version.
type Totals struct {
	Version   string
	Requests  int64
	Errors    int64 // that failed, and not by their clients' fault: see wire.Usage.Failed
	ErrorRate float64
	CacheHits int64
	Input     int64 // tokens that providers billed
	Output    int64
	CostNano  int64 // nano-USD
	MeanMS    float64
	P50MS     float64 // from buckets, each about 1.4 times as long as the one before
	P95MS     float64
	MeanTTFT  float64 // milliseconds, of streamed answers
}

// Totals are those of each version of a model, by version. Time is counted in the hours in which requests were admitted:
// the hours that since and until lie in count whole, and a zero until has no end.
func (l *Ledger) Totals(ctx context.Context, model string, since, until time.Time) ([]Totals, error) {
	rows, err := l.Usage(ctx, Query{Since: since, Until: until, By: []string{"version"}, Where: map[string][]string{"model": {model}}, Limit: mostRows})
	if err != nil {
		return nil, err
	}
	buckets, err := l.latencies(ctx, model, since, until)
	if err != nil {
		return nil, fmt.Errorf("ledger: cannot read the latencies of model %s: %w", model, err)
	}
	totals := make([]Totals, len(rows))
	for i, r := range rows {
		counts := buckets[r.Version]
		totals[i] = Totals{
			Version: r.Version, Requests: r.Requests, Errors: r.Errors, ErrorRate: ratio(r.Errors, r.Requests), CacheHits: r.CacheHits,
			Input: r.Input, Output: r.Output, CostNano: r.CostNano, MeanMS: r.MeanMS, MeanTTFT: r.MeanTTFT,
			P50MS: quantile(counts, 0.5), P95MS: quantile(counts, 0.95),
		}
	}
	return totals, nil
}

// buckets count requests by their length: see wire.LatencyBucket.
type buckets [wire.LatencyBuckets]int64

// latencies are those of each version.
func (l *Ledger) latencies(ctx context.Context, model string, since, until time.Time) (map[string]*buckets, error) {
	first, last := l.hours(since, until)
	var found map[string]*buckets
	err := l.store.View(ctx, func(t *store.Tx) error {
		found = map[string]*buckets{}
		rows, err := t.Query("select version, bucket, "+store.SumOf("requests")+` from ledger_latency
			where model = ? and hour >= ? and hour <= ? group by version, bucket`, model, first, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var version string
			var bucket, high, low int64
			if err := rows.Scan(&version, &bucket, &high, &low); err != nil {
				return err
			}
			if found[version] == nil {
				found[version] = new(buckets)
			}
			n := &found[version][min(max(bucket, 0), wire.LatencyBuckets-1)]
			*n = store.Plus(*n, store.Whole(high, low))
		}
		return rows.Err()
	})
	return found, err
}

// quantile is the time in milliseconds within which a share of the requests ended, as if each bucket's were spread evenly.
func quantile(counts *buckets, share float64) float64 {
	if counts == nil {
		return 0
	}
	var all int64
	for _, n := range counts {
		all = store.Plus(all, n)
	}
	left, start := share*float64(all), 0.0
	for i, n := range counts {
		end := float64(wire.LatencyEnd(i)) / float64(time.Millisecond)
		if n > 0 && left <= float64(n) {
			return start + (end-start)*left/float64(n)
		}
		left -= float64(n)
		start = end
	}
	return 0
}
