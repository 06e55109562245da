package spend

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

const (
	shareTime  = 15 * time.Second // for which a node may use its share: three reports
	demandTime = 30 * time.Second // after which a node that is not heard of wants nothing
	mostDemand = 1e15             // of one limit: what is more is nonsense
	mostRate   = len("key/") + maxName
	namesAsked = 10_000 // of limits, in one query
)

// divide notes what a node wants of rate limits, and tells its share of each. It does so apart from what is lent: nobody who
// waits for money waits for that.
func (s *Spend) divide(ctx context.Context, node string, wants []wire.RateDemand) ([]wire.RateShare, error) {
	at := s.o.Now()
	var rows [][]any
	for i := range wants {
		w := &wants[i]
		if w.Rate == "" || len(w.Rate) > mostRate || strings.ContainsRune(w.Rate, 0) {
			continue
		}
		demand := min(max(w.Requests, 0), mostDemand) + min(max(w.Tokens, 0), mostDemand)/1000 + min(max(w.InFlight, 0), mostDemand)
		rows = append(rows, []any{w.Rate, node, demand, at.UnixMilli()})
	}
	if len(rows) == 0 {
		return nil, nil
	}
	name := func(row []any) string { return row[0].(string) }
	slices.SortStableFunc(rows, func(a, b []any) int { return strings.Compare(name(a), name(b)) })
	rows = slices.CompactFunc(rows, func(a, b []any) bool { return name(a) == name(b) })
	var shares []wire.RateShare
	err := s.store.Update(ctx, func(t *store.Tx) error {
		shares = make([]wire.RateShare, 0, len(rows))
		err := t.Insert("spend_demands", []string{"rate", "node", "demand", "at"}, rows,
			"on conflict (rate, node) do update set demand = excluded.demand, at = excluded.at")
		for some := range slices.Chunk(rows, namesAsked) {
			if err == nil {
				shares, err = dividedAmong(t, node, some, at.Add(-demandTime), shares)
			}
		}
		return err
	})
	return shares, err
}

// dividedAmong appends a node's shares of the limits in rows, as those want them that told of it after a time.
func dividedAmong(t *store.Tx, node string, rows [][]any, after time.Time, shares []wire.RateShare) ([]wire.RateShare, error) {
	args := make([]any, 0, len(rows)+1)
	for _, row := range rows {
		args = append(args, row[0])
	}
	found, err := t.Query("select rate, node, demand from spend_demands where rate in ("+strings.TrimSuffix(strings.Repeat("?,", len(args)), ",")+
		") and at > ? order by rate", append(args, after.UnixMilli())...)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	limit, demand := "", map[string]float64{}
	enter := func() {
		if len(demand) > 0 {
			shares = append(shares, wire.RateShare{Rate: limit, Share: divided(demand)[node], TTLMS: shareTime.Milliseconds(), Nodes: len(demand)})
			clear(demand)
		}
	}
	for found.Next() {
		var rate, who string
		var wants float64
		if err := found.Scan(&rate, &who, &wants); err != nil {
			return nil, err
		}
		if rate != limit {
			enter()
			limit = rate
		}
		demand[who] = wants
	}
	enter()
	return shares, found.Err()
}

// divided divides a rate limit among the nodes that ask for it, by what they ask for. Each gets a quarter of an equal part at
// least, so that one which begins to be busy is not refused before the next division.
func divided(demand map[string]float64) map[string]float64 {
	n := float64(len(demand))
	var sum float64
	for _, d := range demand {
		sum += max(0, d)
	}
	out := make(map[string]float64, len(demand))
	for node, d := range demand {
		if sum == 0 {
			out[node] = 1 / n
			continue
		}
		floor := 1 / (4 * n)
		out[node] = floor + (1-floor*n)*max(0, d)/sum
	}
	return out
}
