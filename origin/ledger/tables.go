package ledger

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// table is one of those that hold sums: they are added to rows that agree in its keys, and then in all its dimensions.
type table struct {
	name       string
	keys       []string
	dimensions []string // but the keys that are not
	measures   []string
}

var (
	measures = []string{
		"requests", "errors", "hits", "input", "cached_input", "output", "cost", "unpriced", "estimated", "list", "saved", "waste",
		"micros", "ttft_micros", "ttft_count",
	}
	sums = table{"ledger_sums", []string{"hour", "id"}, []string{
		"hour", "model", "version", "experiment", "arm", "key_name", "provider", "target", "cache", "code", "team", "tags", "prices",
	}, measures}
	nodeKeys    = []string{"hour", "node", "model", "version", "team"}
	nodes       = table{"ledger_nodes", nodeKeys, nodeKeys, measures}
	latencyKeys = []string{"hour", "model", "version", "bucket"}
	latency     = table{"ledger_latency", latencyKeys, latencyKeys, []string{"requests"}}
	tables      = []table{sums, nodes, latency}
)

// names are the columns that are not measures: keys, and then other dimensions.
func (t *table) names() []string {
	names := slices.Clone(t.keys)
	for _, d := range t.dimensions {
		if !slices.Contains(names, d) {
			names = append(names, d)
		}
	}
	return names
}

// mostSummed is where sums in the tables end: one provider that tells nonsense must not make the others' sums overflow.
const mostSummed = 10 * wire.MostCounted

func (t *table) columns() []string { return append(t.names(), t.measures...) }

// add is what an insert says of rows that are there already.
func (t *table) add() string {
	parts := make([]string, len(t.measures))
	for i, m := range t.measures {
		parts[i] = fmt.Sprintf("%s = case when %[2]s.%[1]s > %[3]d - excluded.%[1]s then %[3]d else %[2]s.%[1]s + excluded.%[1]s end",
			m, t.name, int64(mostSummed))
	}
	return "on conflict (" + strings.Join(t.keys, ", ") + ") do update set " + strings.Join(parts, ", ")
}

// insert adds rows to those of the table, in the order of their keys: so nobody waits for a lock in a circle.
func (t *table) insert(tx *store.Tx, rows [][]any) error {
	slices.SortFunc(rows, func(a, b []any) int {
		for i := range t.keys {
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
		hour  int64
		texts [12]string // in the order of the table's dimensions
	}
	nodeKey struct {
		hour                       int64
		node, model, version, team string
	}
	latencyKey struct {
		hour           int64
		model, version string
		bucket         int64
	}
)

// id stands for the texts.
func (k *sumKey) id() string {
	var b []byte
	for _, text := range k.texts {
		b = append(append(b, text...), 0) // none has a zero: see flaw
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// tally is what is added to a row: the measures in their order.
type tally [15]int64

func tallyOf(u *wire.Usage) (t tally) {
	t = tally{
		u.Requests, 0, 0, u.Input, u.CachedInput, u.Output, u.CostNano, u.Unpriced, u.Estimated, u.ListNano, u.SavedNano, u.WasteNano,
		u.MicrosSum, u.TTFTSum, u.TTFTCount,
	}
	if u.Failed() {
		t[1] = u.Requests
	}
	if hit(u.Cache) {
		t[2] = u.Requests
	}
	if u.ListNano == 0 { // a former node does not tell it, and what is paid for has a list price
		t[9] = u.CostNano
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
	sum := sumKey{u.Hour, [...]string{
		u.Model, u.Version, u.Experiment, u.Arm, u.Key, u.Provider, u.Target, u.Cache, u.Code, u.Team, u.Tags, u.Prices,
	}}
	b.sums[sum] = b.sums[sum].plus(more)
	at := nodeKey{u.Hour, node, u.Model, u.Version, u.Team}
	b.nodes[at] = b.nodes[at].plus(more)
	for i, n := range u.Latency {
		if n > 0 {
			at := latencyKey{u.Hour, u.Model, u.Version, int64(i)}
			b.latency[at] = store.Plus(b.latency[at], n)
		}
	}
}

func (t tally) plus(more tally) tally {
	for i := range t {
		t[i] = store.Plus(t[i], more[i])
	}
	return t
}

// write adds the batch to the tables.
func (b *batch) write(tx *store.Tx) error {
	var rows [][]any
	for k, t := range b.sums {
		row := make([]any, 0, 2+len(k.texts)+len(t))
		row = append(row, k.hour, k.id())
		for _, text := range k.texts {
			row = append(row, text)
		}
		rows = append(rows, t.after(row...))
	}
	if err := sums.insert(tx, rows); err != nil {
		return err
	}
	rows = nil
	for k, t := range b.nodes {
		rows = append(rows, t.after(k.hour, k.node, k.model, k.version, k.team))
	}
	if err := nodes.insert(tx, rows); err != nil {
		return err
	}
	rows = nil
	for k, n := range b.latency {
		rows = append(rows, []any{k.hour, k.model, k.version, k.bucket, min(n, mostSummed)})
	}
	return latency.insert(tx, rows)
}

// after is a row of dimensions and the measures.
func (t tally) after(dimensions ...any) []any {
	for _, n := range t {
		dimensions = append(dimensions, min(n, mostSummed))
	}
	return dimensions
}
