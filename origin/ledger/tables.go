package ledger

import (
	"cmp"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// table is one of those that hold sums: they are added to rows that agree in its dimensions.
type table struct {
	name       string
	dimensions []string
	measures   []string
}

var (
	measures = []string{
		"requests", "errors", "hits", "input", "cached_input", "output", "cost", "unpriced", "micros", "ttft_micros", "ttft_count",
	}
	sums = table{"ledger_sums", []string{
		"hour", "model", "version", "experiment", "arm", "key_name", "provider", "target", "cache", "code",
	}, measures}
	nodes   = table{"ledger_nodes", []string{"hour", "node", "model", "version"}, measures}
	latency = table{"ledger_latency", []string{"hour", "model", "version", "bucket"}, []string{"requests"}}
	tables  = []table{sums, nodes, latency}
)

func (t *table) columns() []string { return append(slices.Clone(t.dimensions), t.measures...) }

// add is what an insert says of rows that are there already.
func (t *table) add() string {
	parts := make([]string, len(t.measures))
	for i, m := range t.measures {
		parts[i] = m + " = " + t.name + "." + m + " + excluded." + m
	}
	return "on conflict (" + strings.Join(t.dimensions, ", ") + ") do update set " + strings.Join(parts, ", ")
}

// insert adds rows to those of the table, in the order of their dimensions.
func (t *table) insert(tx *store.Tx, rows [][]any) error {
	slices.SortFunc(rows, func(a, b []any) int {
		for i := range t.dimensions {
			if c := compare(a[i], b[i]); c != 0 {
				return c
			}
		}
		return 0
	})
	return tx.Insert(t.name, t.columns(), rows, t.add())
}

func compare(a, b any) int {
	if n, ok := a.(int64); ok {
		return cmp.Compare(n, b.(int64))
	}
	return strings.Compare(a.(string), b.(string))
}

// The dimensions of a row of each table.
type (
	sumKey struct {
		hour                                                                int64
		model, version, experiment, arm, key, provider, target, cache, code string
	}
	nodeKey struct {
		hour                 int64
		node, model, version string
	}
	latencyKey struct {
		hour           int64
		model, version string
		bucket         int64
	}
)

// tally is what is added to a row: the measures in their order.
type tally [11]int64

func tallyOf(u *wire.Usage) (t tally) {
	t = tally{u.Requests, 0, 0, u.Input, u.CachedInput, u.Output, u.CostNano, u.Unpriced, u.MicrosSum, u.TTFTSum, u.TTFTCount}
	if u.Failed() {
		t[1] = u.Requests
	}
	if hit(u.Cache) {
		t[2] = u.Requests
	}
	return t
}

// hit says that the answer came from a cache's tier.
func hit(cache string) bool { return cache == "hit-memory" || cache == "hit-disk" || cache == "stale" }

// batch is what some reports come to.
type batch struct {
	sums    map[sumKey]tally
	nodes   map[nodeKey]tally
	latency map[latencyKey]int64
}

func newBatch() *batch {
	return &batch{map[sumKey]tally{}, map[nodeKey]tally{}, map[latencyKey]int64{}}
}

func (b *batch) add(node string, u *wire.Usage) {
	more := tallyOf(u)
	sum := sumKey{u.Hour, u.Model, u.Version, u.Experiment, u.Arm, u.Key, u.Provider, u.Target, u.Cache, u.Code}
	b.sums[sum] = b.sums[sum].plus(more)
	at := nodeKey{u.Hour, node, u.Model, u.Version}
	b.nodes[at] = b.nodes[at].plus(more)
	for i, n := range u.Latency {
		if n > 0 {
			b.latency[latencyKey{u.Hour, u.Model, u.Version, int64(i)}] += n
		}
	}
}

func (t tally) plus(more tally) tally {
	for i := range t {
		t[i] += more[i]
	}
	return t
}

// write adds the batch to the tables.
func (b *batch) write(tx *store.Tx) error {
	var rows [][]any
	for k, t := range b.sums {
		rows = append(rows, t.after(k.hour, k.model, k.version, k.experiment, k.arm, k.key, k.provider, k.target, k.cache, k.code))
	}
	if err := sums.insert(tx, rows); err != nil {
		return err
	}
	rows = nil
	for k, t := range b.nodes {
		rows = append(rows, t.after(k.hour, k.node, k.model, k.version))
	}
	if err := nodes.insert(tx, rows); err != nil {
		return err
	}
	rows = nil
	for k, n := range b.latency {
		rows = append(rows, []any{k.hour, k.model, k.version, k.bucket, n})
	}
	return latency.insert(tx, rows)
}

// after is a row of dimensions and the measures.
func (t tally) after(dimensions ...any) []any {
	for _, n := range t {
		dimensions = append(dimensions, n)
	}
	return dimensions
}
