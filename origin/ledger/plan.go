package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

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
	"team":       {"team", func(r *Row) *string { return &r.Team }},
	"tags":       {"tags", func(r *Row) *string { return &r.Tags }},
	"provider":   {"provider", func(r *Row) *string { return &r.Provider }},
	"target":     {"target", func(r *Row) *string { return &r.Target }},
	"cache":      {"cache", func(r *Row) *string { return &r.Cache }},
	"code":       {"code", func(r *Row) *string { return &r.Code }},
	"prices":     {"prices", func(r *Row) *string { return &r.Prices }},
	"node":       {"node", func(r *Row) *string { return &r.Node }},
}

// tagPrefix begins the dimension that is one tag's value.
const tagPrefix = "tag:"

// plan is how a query is answered: the database adds up by columns, and what is left of the hours, tags and tenants is
// added up here.
type plan struct {
	q       *Query
	text    string
	args    []any
	columns []string // that the text selects before the measures
	from    []int    // the column of each of By; -1: the hour
	at      int      // the column of the hour, -1 for none
	whole   int64    // hours before this one are days
}

// plan puts a query into SQL.
func (l *Ledger) plan(q *Query) (*plan, error) {
	p := &plan{q: q, at: -1, whole: l.now().Add(-KeepHours).Unix() / 3600 / day * day}
	table := sums
	_, of := q.Where["node"]
	if of || slices.Contains(q.By, "node") {
		table = nodes
	}
	for i, name := range q.By {
		if slices.Contains(q.By[:i], name) {
			return nil, fmt.Errorf("ledger: usage cannot be told by %s twice: %w", name, store.ErrInvalid)
		}
		at, err := p.column(&table, name)
		if err != nil {
			return nil, err
		}
		p.from = append(p.from, at)
	}
	switch q.Bucket {
	case "":
	case "hour", "day", "week", "month":
		if slices.Contains(q.By, "hour") {
			return nil, fmt.Errorf("ledger: usage cannot be told by the hour and the %s at once: %w", q.Bucket, store.ErrInvalid)
		}
		if _, err := p.column(&table, "hour"); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("ledger: usage cannot be told by the bucket %q: %w: use hour, day, week or month", q.Bucket, store.ErrInvalid)
	}
	first, last := l.hours(q.Since, q.Until)
	where, args, err := filter(&table, q)
	if err != nil {
		return nil, err
	}
	selected := slices.Clone(p.columns)
	for _, m := range table.measures {
		selected = append(selected, store.SumOf(m))
	}
	p.text = "select " + strings.Join(selected, ", ") + " from " + table.name + " where hour >= ? and hour <= ?" + where
	p.args = append([]any{first, last}, args...)
	if by := strings.Join(p.columns, ", "); by != "" {
		p.text += " group by " + by
	}
	p.text += fmt.Sprintf(" limit %d", mostRead+1)
	return p, nil
}

// columnOf is the column that a dimension is in, or made from.
func columnOf(t *table, name string) (string, error) {
	column := dimensions[name].column
	switch {
	case name == "tenant":
		column = "key_name"
	case strings.HasPrefix(name, tagPrefix) && len(name) > len(tagPrefix):
		column = "tags"
	}
	if column == "" || !slices.Contains(t.dimensions, column) {
		return "", fmt.Errorf("ledger: usage cannot be told by %q: %w: use %s or tag:NAME; node goes with hour, model, version and team only",
			name, store.ErrInvalid, strings.Join(Dimensions(), ", "))
	}
	return column, nil
}

// column selects what a dimension needs, once, and tells where it is.
func (p *plan) column(t *table, name string) (int, error) {
	column, err := columnOf(t, name)
	if err != nil {
		return 0, err
	}
	at := slices.Index(p.columns, column)
	if at < 0 {
		at = len(p.columns)
		p.columns = append(p.columns, column)
	}
	if name == "hour" {
		p.at = at
		return -1, nil
	}
	return at, nil
}

// filter says which rows count.
func filter(t *table, q *Query) (text string, args []any, err error) {
	names := make([]string, 0, len(q.Where))
	for name := range q.Where {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		column, err := columnOf(t, name)
		if err == nil && name == "hour" {
			err = fmt.Errorf("ledger: usage cannot be chosen by the hour: %w: use since and until", store.ErrInvalid)
		}
		if err != nil {
			return "", nil, err
		}
		values := q.Where[name]
		if name == "tenant" {
			values = q.keysOf(values)
		}
		var any []string
		for _, v := range values {
			if tag, is := strings.CutPrefix(name, tagPrefix); is {
				// Both databases have replace; what it changes has the tag.
				any = append(any, "replace(',' || tags || ',', ?, '') <> ',' || tags || ','")
				args = append(args, ","+tag+"="+v+",")
				continue
			}
			any, args = append(any, column+" = ?"), append(args, v)
		}
		text += " and (" + strings.Join(append(any, "1 = 0"), " or ") + ")"
	}
	return text, args, nil
}

// keysOf are the keys of some tenants: also one of a tenant's name that the catalog does not have, or no more.
func (q *Query) keysOf(tenants []string) (keys []string) {
	for key, tenant := range q.Tenants {
		if slices.Contains(tenants, tenant) {
			keys = append(keys, key)
		}
	}
	for _, t := range tenants {
		if _, known := q.Tenants[t]; !known {
			keys = append(keys, t)
		}
	}
	slices.Sort(keys)
	return keys
}

// read adds up what the database finds.
func (p *plan) read(t *store.Tx) (*merged, error) {
	rows, err := t.Query(p.text, p.args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	m := &merged{index: map[string]int{}}
	found, words := make([]string, len(p.columns)), make([]string, len(p.from))
	var hour int64
	var high, low, sum tally
	into := make([]any, 0, len(found)+2*len(sum))
	for i := range found {
		into = append(into, &found[i])
	}
	if p.at >= 0 {
		into[p.at] = &hour
	}
	for i := range sum {
		into = append(into, &high[i], &low[i])
	}
	for n := 0; rows.Next(); n++ {
		if n == mostRead {
			return nil, fmt.Errorf("ledger: the usage has too many rows: %w: ask for a shorter time, or by less", store.ErrInvalid)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		for i, at := range p.from {
			words[i] = ""
			if at >= 0 {
				words[i] = p.word(p.q.By[i], found[at])
			}
		}
		for i := range sum {
			sum[i] = store.Whole(high[i], low[i])
		}
		m.add(p.start(hour), words, sum)
	}
	return m, rows.Err()
}

// word is what a dimension makes of its column.
func (p *plan) word(name, text string) string {
	if tag, is := strings.CutPrefix(name, tagPrefix); is {
		for t := range strings.SplitSeq(text, ",") {
			if k, v, _ := strings.Cut(t, "="); k == tag {
				return v
			}
		}
		return ""
	}
	if tenant := p.q.Tenants[text]; name == "tenant" && tenant != "" {
		return tenant
	}
	return text
}

// start is the second at which what an hour counts in begins.
func (p *plan) start(hour int64) int64 {
	if p.q.Bucket == "" {
		return hour * 3600
	}
	if p.q.Bucket != "hour" && hour < p.whole {
		hour = hour/day*day + day/2
	}
	t := time.Unix(hour*3600, 0).In(p.q.zone())
	year, month, date := t.Date()
	switch p.q.Bucket {
	case "day":
	case "week":
		date -= (int(t.Weekday()) + 6) % 7
	case "month":
		date = 1
	default:
		return hour * 3600
	}
	return time.Date(year, month, date, 0, 0, 0, 0, p.q.zone()).Unix()
}

func (q *Query) zone() *time.Location {
	if q.Zone == nil {
		return time.UTC
	}
	return q.Zone
}
