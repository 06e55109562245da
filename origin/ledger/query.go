package ledger

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
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

// Query says which usage is asked for, and by what it is to be told apart.
type Query struct {
	Since, Until time.Time // hours that they lie in count whole; a zero Until has no end
	// By are some of hour, model, version, experiment, arm, key, provider, target, cache, code and node; node goes with
	// hour, model and version only.
	By      []string
	Model   string // "": all
	Version string // "": all
	Limit   int    // of rows, the first ones in the order of By; 0: 10,000
}

// Row is what the requests that have the same in all of Query.By came to; the other names are empty.
type Row struct {
	Hour        time.Time `json:"hour,omitzero"` // its begin; where days have been put together, the day's
	Model       string    `json:"model,omitempty"`
	Version     string    `json:"version,omitempty"`
	Experiment  string    `json:"experiment,omitempty"`
	Arm         string    `json:"arm,omitempty"`
	Key         string    `json:"key,omitempty"`
	Provider    string    `json:"provider,omitempty"`
	Target      string    `json:"target,omitempty"`
	Cache       string    `json:"cache,omitempty"`
	Code        string    `json:"code,omitempty"`
	Node        string    `json:"node,omitempty"`
	Requests    int64     `json:"requests"`
	Errors      int64     `json:"errors"`
	CacheHits   int64     `json:"cache_hits"`
	Input       int64     `json:"input_tokens"`
	CachedInput int64     `json:"cached_input_tokens"`
	Output      int64     `json:"output_tokens"`
	CostNano    int64     `json:"cost_nano_usd"`
	Unpriced    int64     `json:"unpriced"` // answers whose cost is not known
	MeanMS      float64   `json:"mean_ms"`
	MeanTTFT    float64   `json:"mean_ttft_ms"`
}

// dimension is a column that rows can be told apart by.
type dimension struct {
	column string
	field  func(r *Row) *string // nil: the hour
}

var dimensions = map[string]dimension{
	"hour":       {"hour", nil},
	"model":      {"model", func(r *Row) *string { return &r.Model }},
	"version":    {"version", func(r *Row) *string { return &r.Version }},
	"experiment": {"experiment", func(r *Row) *string { return &r.Experiment }},
	"arm":        {"arm", func(r *Row) *string { return &r.Arm }},
	"key":        {"key_name", func(r *Row) *string { return &r.Key }},
	"provider":   {"provider", func(r *Row) *string { return &r.Provider }},
	"target":     {"target", func(r *Row) *string { return &r.Target }},
	"cache":      {"cache", func(r *Row) *string { return &r.Cache }},
	"code":       {"code", func(r *Row) *string { return &r.Code }},
	"node":       {"node", func(r *Row) *string { return &r.Node }},
}

const (
	defaultRows = 10_000
	mostRows    = 100_000
)

// Usage is what was reported, told apart as asked. A wrong question is store.ErrInvalid.
func (l *Ledger) Usage(ctx context.Context, q Query) ([]Row, error) {
	text, args, err := l.ask(&q)
	if err != nil {
		return nil, err
	}
	if err := l.Fold(ctx); err != nil {
		return nil, err
	}
	var out []Row
	err = l.store.View(ctx, func(t *store.Tx) error {
		out = out[:0]
		rows, err := t.Query(text, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scan(rows.Scan, q.By)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("ledger: cannot read the usage: %w", err)
	}
	return out, nil
}

// ask puts a query into SQL.
func (l *Ledger) ask(q *Query) (text string, args []any, err error) {
	from, columns := sums, []string{}
	if slices.Contains(q.By, "node") {
		from = nodes
	}
	for _, name := range q.By {
		d, ok := dimensions[name]
		if !ok || !slices.Contains(from.dimensions, d.column) {
			return "", nil, fmt.Errorf("ledger: usage cannot be told by %s: %w: use hour, model, version, experiment, arm, key, "+
				"provider, target, cache and code, or node with hour, model and version", strings.Join(q.By, ", "), store.ErrInvalid)
		}
		if slices.Contains(columns, d.column) {
			return "", nil, fmt.Errorf("ledger: usage cannot be told by %s twice: %w", name, store.ErrInvalid)
		}
		columns = append(columns, d.column)
	}
	first, last := l.hours(q.Since, q.Until)
	where := " where hour >= ? and hour <= ?"
	args = []any{first, last}
	if q.Model != "" {
		where, args = where+" and model = ?", append(args, q.Model)
	}
	if q.Version != "" {
		where, args = where+" and version = ?", append(args, q.Version)
	}
	selected := slices.Clone(columns)
	for _, m := range from.measures {
		selected = append(selected, "cast(coalesce(sum("+m+"), 0) as bigint)")
	}
	text = "select " + strings.Join(selected, ", ") + " from " + from.name + where
	if by := strings.Join(columns, ", "); by != "" {
		text += " group by " + by + " order by " + by
	}
	limit := q.Limit
	if limit <= 0 {
		limit = defaultRows
	}
	return text + " limit ?", append(args, min(limit, mostRows)), nil
}

// hours are the first and the last one of a time. Where days have been put together they count whole.
func (l *Ledger) hours(since, until time.Time) (first, last int64) {
	first = max(0, since.Unix()) / 3600
	if first < l.now().Add(-KeepHours).Unix()/3600 {
		first = first / day * day
	}
	if until.IsZero() {
		return first, math.MaxInt64
	}
	return first, (until.Unix()+3599)/3600 - 1
}

// scan reads a row of a query.
func scan(read func(...any) error, by []string) (r Row, err error) {
	var hour int64
	var t tally
	var into []any
	for _, name := range by {
		if field := dimensions[name].field; field != nil {
			into = append(into, field(&r))
		} else {
			into = append(into, &hour)
		}
	}
	for i := range t {
		into = append(into, &t[i])
	}
	if err := read(into...); err != nil {
		return r, err
	}
	if slices.Contains(by, "hour") {
		r.Hour = time.Unix(hour*3600, 0).UTC()
	}
	r.Requests, r.Errors, r.CacheHits, r.Input, r.CachedInput = t[0], t[1], t[2], t[3], t[4]
	r.Output, r.CostNano, r.Unpriced = t[5], t[6], t[7]
	r.MeanMS, r.MeanTTFT = ratio(t[8], t[0])/1000, ratio(t[9], t[10])/1000
	return r, nil
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// Totals are those of each version of a model, by version. Time is counted in the hours in which requests were admitted:
// the hours that since and until lie in count whole, and a zero until has no end.
func (l *Ledger) Totals(ctx context.Context, model string, since, until time.Time) ([]Totals, error) {
	rows, err := l.Usage(ctx, Query{Since: since, Until: until, By: []string{"version"}, Model: model, Limit: mostRows})
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
		rows, err := t.Query(`select version, bucket, cast(sum(requests) as bigint) from ledger_latency
			where model = ? and hour >= ? and hour <= ? group by version, bucket`, model, first, last)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var version string
			var bucket, n int64
			if err := rows.Scan(&version, &bucket, &n); err != nil {
				return err
			}
			if found[version] == nil {
				found[version] = new(buckets)
			}
			found[version][min(max(bucket, 0), wire.LatencyBuckets-1)] += n
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
		all += n
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
