package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

// Query says which usage is asked for, and by what it is to be told apart.
type Query struct {
	Since, Until time.Time // hours that they lie in count whole; a zero Until has no end
	// By are some of Dimensions, or tag:NAME for the value of one tag; node goes with hour, model, version and team only.
	By []string
	// Bucket is hour, day, week or month, "" for none: rows are told apart by it, too. It begins in Zone (nil: UTC); an
	// hour counts in the bucket that it begins in, and where days have been put together, a day in that of its noon.
	Bucket string
	Zone   *time.Location
	Where  map[string][]string // of a dimension, these only
	// Tenants tells the tenant of each key by its name; one that is not there has its own name.
	Tenants map[string]string
	Costly  bool // in each bucket the dearest rows come first, not the first in the order of By
	Offset  int  // how many of the rows are left out
	Limit   int  // of rows; 0: 10,000
}

// Dimensions are what usage can be told by, besides tag:NAME.
func Dimensions() []string {
	all := []string{"hour", "tenant"}
	for name := range dimensions {
		if name != "hour" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// Sums are what some requests came to.
type Sums struct {
	Requests      int64   `json:"requests"`
	Errors        int64   `json:"errors"`
	CacheHits     int64   `json:"cache_hits"`
	Input         int64   `json:"input_tokens"`
	CachedInput   int64   `json:"cached_input_tokens"`
	Output        int64   `json:"output_tokens"`
	CostNano      int64   `json:"cost_nano_usd"`      // what is known of it
	Unpriced      int64   `json:"unpriced"`           // answers whose cost is not known, and so not in any sum
	EstimatedNano int64   `json:"estimated_nano_usd"` // of the cost: what no provider told
	ListNano      int64   `json:"list_nano_usd"`      // what the cost were without providers' prompt caches
	SavedNano     int64   `json:"saved_nano_usd"`     // what requests would have cost that needed no provider
	WasteNano     int64   `json:"waste_nano_usd"`     // of the cost: answers that nobody got
	MeanMS        float64 `json:"mean_ms"`
	MeanTTFT      float64 `json:"mean_ttft_ms"`
}

// Row is what the requests that have the same in all of Query.By came to; the other names are empty.
type Row struct {
	Hour       time.Time         `json:"hour,omitzero"`  // its begin; where days have been put together, the day's
	Start      time.Time         `json:"start,omitzero"` // of the bucket
	Model      string            `json:"model,omitempty"`
	Version    string            `json:"version,omitempty"`
	Experiment string            `json:"experiment,omitempty"`
	Arm        string            `json:"arm,omitempty"`
	Key        string            `json:"key,omitempty"`
	Tenant     string            `json:"tenant,omitempty"`
	Team       string            `json:"team,omitempty"`
	Tags       string            `json:"tags,omitempty"`
	Tag        map[string]string `json:"tag,omitempty"` // by name, those that were asked for
	Provider   string            `json:"provider,omitempty"`
	Target     string            `json:"target,omitempty"`
	Cache      string            `json:"cache,omitempty"`
	Code       string            `json:"code,omitempty"`
	Prices     string            `json:"prices,omitempty"` // a digest: see wire.Usage
	Node       string            `json:"node,omitempty"`
	Sums
}

// Name is what the row has of a dimension of the query's By.
func (r *Row) Name(dimension string) string {
	switch tag, is := strings.CutPrefix(dimension, tagPrefix); {
	case is:
		return r.Tag[tag]
	case dimension == "tenant":
		return r.Tenant
	case dimension == "hour":
		return r.Hour.Format(time.RFC3339)
	case dimensions[dimension].field != nil:
		return *dimensions[dimension].field(r)
	}
	return ""
}

const (
	defaultRows = 10_000
	mostRows    = 100_000
	mostRead    = 2_000_000 // rows of the tables' that one question may need
)

// Answer is what a query finds.
type Answer struct {
	Total Sums // of all rows, also of those that Limit and Offset leave out
	Rows  []Row
	More  bool // there are rows after these
}

// Usage is what was reported, told apart as asked. A wrong question is store.ErrInvalid.
func (l *Ledger) Usage(ctx context.Context, q Query) ([]Row, error) {
	a, err := l.Ask(ctx, q)
	return a.Rows, err
}

// Ask is Usage with what it all comes to.
func (l *Ledger) Ask(ctx context.Context, q Query) (Answer, error) {
	p, err := l.plan(&q)
	if err != nil {
		return Answer{}, err
	}
	if err := l.Fold(ctx); err != nil {
		return Answer{}, err
	}
	var found *merged
	err = l.store.View(ctx, func(t *store.Tx) (err error) {
		found, err = p.read(t)
		return err
	})
	if errors.Is(err, store.ErrInvalid) {
		return Answer{}, err
	}
	if err != nil {
		return Answer{}, fmt.Errorf("ledger: cannot read the usage: %w", err)
	}
	return found.answer(&q), nil
}

// merged are rows, and what they come to.
type merged struct {
	total tally
	rows  []mergedRow
	index map[string]int
}

type mergedRow struct {
	start int64    // of the bucket, or the hour
	words []string // what By asks for
	tally tally
}

// add adds to the row that has the same words.
func (m *merged) add(start int64, words []string, t tally) {
	m.total = m.total.plus(t)
	key := fmt.Sprint(start) + "\x00" + strings.Join(words, "\x00")
	if i, ok := m.index[key]; ok {
		m.rows[i].tally = m.rows[i].tally.plus(t)
		return
	}
	m.index[key] = len(m.rows)
	m.rows = append(m.rows, mergedRow{start, slices.Clone(words), t})
}

// cost is where the tally has it.
const cost = 6

// answer puts the rows in order.
func (m *merged) answer(q *Query) Answer {
	a := Answer{Total: m.total.sums()}
	if len(m.rows) == 0 && len(q.By) == 0 && q.Bucket == "" {
		m.rows = append(m.rows, mergedRow{}) // nothing comes to nothing
	}
	at := max(0, slices.Index(q.By, "hour")) // words before it count more
	slices.SortFunc(m.rows, func(a, b mergedRow) int {
		if q.Bucket != "" && a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		if q.Costly && a.tally[cost] != b.tally[cost] {
			return cmp.Compare(b.tally[cost], a.tally[cost])
		}
		first := min(at, len(a.words))
		return cmp.Or(slices.Compare(a.words[:first], b.words[:first]), cmp.Compare(a.start, b.start), slices.Compare(a.words, b.words))
	})
	limit := min(cmp.Or(max(0, q.Limit), defaultRows), mostRows)
	rest := m.rows[min(max(0, q.Offset), len(m.rows)):]
	if a.More = len(rest) > limit; a.More {
		rest = rest[:limit]
	}
	a.Rows = make([]Row, len(rest))
	for i := range rest {
		a.Rows[i] = rest[i].row(q)
	}
	return a
}

// row is the row as it is told.
func (m *mergedRow) row(q *Query) Row {
	r := Row{Sums: m.tally.sums()}
	for i, name := range q.By {
		switch tag, is := strings.CutPrefix(name, tagPrefix); {
		case name == "hour":
			r.Hour = time.Unix(m.start, 0).UTC()
		case name == "tenant":
			r.Tenant = m.words[i]
		case is:
			if r.Tag == nil {
				r.Tag = map[string]string{}
			}
			r.Tag[tag] = m.words[i]
		default:
			*dimensions[name].field(&r) = m.words[i]
		}
	}
	if q.Bucket != "" {
		r.Start = time.Unix(m.start, 0).In(q.zone())
	}
	return r
}

func (t tally) sums() Sums {
	return Sums{
		Requests: t[0], Errors: t[1], CacheHits: t[2], Input: t[3], CachedInput: t[4], Output: t[5], CostNano: t[cost], Unpriced: t[7],
		EstimatedNano: t[8], ListNano: t[9], SavedNano: t[10], WasteNano: t[11],
		MeanMS: ratio(t[12], t[0]) / 1000, MeanTTFT: ratio(t[13], t[14]) / 1000,
	}
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
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
