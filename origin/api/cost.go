package api

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

const mediaCSV = "text/csv"

// Cost is what requests cost, told apart as asked.
type Cost struct {
	Currency string    `json:"currency"` // USD
	Since    time.Time `json:"since"`    // whole hours
	Until    time.Time `json:"until"`
	By       []string  `json:"by"`
	Bucket   string    `json:"bucket,omitempty"`
	Timezone string    `json:"timezone"`
	Total    CostSums  `json:"total"` // of all pages
	Items    []CostRow `json:"items"`
	Next     int64     `json:"next,omitempty"` // where the next page begins
}

// CostRow is what the requests that have the same in all of by cost.
type CostRow struct {
	Start time.Time         `json:"start,omitzero"` // of the bucket
	By    map[string]string `json:"by"`
	CostSums
}

// CostSums are sums of money, each as a decimal number of USD and in whole nano-USD. What no price is known for is in
// none of them, but counted as unpriced.
type CostSums struct {
	Cost          string `json:"cost_usd"`
	CostNano      int64  `json:"cost_nano_usd"`
	List          string `json:"list_usd"` // what the cost were without providers' prompt caches
	ListNano      int64  `json:"list_nano_usd"`
	Discount      string `json:"cache_discount_usd"` // list less cost; negative where writing to the caches cost more than they gave
	DiscountNano  int64  `json:"cache_discount_nano_usd"`
	Saved         string `json:"saved_usd"` // what answers would have cost that no provider was needed for
	SavedNano     int64  `json:"saved_nano_usd"`
	Waste         string `json:"waste_usd"` // of the cost: answers that nobody got
	WasteNano     int64  `json:"waste_nano_usd"`
	Estimated     string `json:"estimated_usd"` // of the cost: what no provider told
	EstimatedNano int64  `json:"estimated_nano_usd"`
	Requests      int64  `json:"requests"`
	CacheHits     int64  `json:"cache_hits"`
	Unpriced      int64  `json:"unpriced"` // answers whose cost is not known
	Input         int64  `json:"input_tokens"`
	CachedInput   int64  `json:"cached_input_tokens"`
	Output        int64  `json:"output_tokens"`
}

func usd(nano int64) string { return string(prices.AppendDecimal(nil, nano, 9)) }

func costSums(s *ledger.Sums) CostSums {
	discount := s.ListNano - s.CostNano
	return CostSums{
		Cost: usd(s.CostNano), CostNano: s.CostNano, List: usd(s.ListNano), ListNano: s.ListNano, Discount: usd(discount), DiscountNano: discount,
		Saved: usd(s.SavedNano), SavedNano: s.SavedNano, Waste: usd(s.WasteNano), WasteNano: s.WasteNano,
		Estimated: usd(s.EstimatedNano), EstimatedNano: s.EstimatedNano, Requests: s.Requests, CacheHits: s.CacheHits, Unpriced: s.Unpriced,
		Input: s.Input, CachedInput: s.CachedInput, Output: s.Output,
	}
}

func costRoutes() []route {
	return []route{
		{get, v1 + "cost", vault.Viewer, "What requests cost, and what caches saved.", costEndpoint(), []param{
			{"since", "string", "a time, a date, or a span before now such as 24h or 7d; by default 30d"}, {"until", "string", "as since; by default now"},
			{"by", "string", "what costs are told apart by, with commas between: " + strings.Join(ledger.Dimensions(), ", ") + ", or tag:NAME; by default model"},
			{"where", "string", "which requests count, such as key:team-a or tag:app:shop, with commas between; of several values of one name, any"},
			{"bucket", "string", "hour, day, week or month"},
			{"tz", "string", "the time zone in which days begin, such as Europe/Berlin; by default UTC"},
			{"format", "string", "json, which is the default, or csv"},
			{"after", "integer", "where the page begins: the next of the page before"},
			{"limit", "integer", "how many rows the page has at most, by default 10000; csv has all, up to 100000"},
		}},
		reconcileRoute(),
	}
}

func costEndpoint() endpoint {
	e := read(func(*call) (c Cost, err error) { return c, nil })
	e.serve = (*call).cost
	return e
}

// usualCost is how far back costs are told.
const usualCost = 30 * 24 * time.Hour

func (c *call) cost() error {
	q, err := c.costQuery()
	if err != nil {
		return err
	}
	format := c.r.URL.Query().Get("format")
	switch format {
	case "", "json":
	case "csv":
		q.Limit, q.Offset = maxRows, 0
	default:
		return invalid("the format is %q; want json or csv", format)
	}
	found, err := c.options.Ledger.Ask(c.r.Context(), q)
	if err != nil {
		return err
	}
	if format == "csv" {
		if found.More {
			return invalid("there are more than %d rows; ask for a shorter time, or by less", maxRows)
		}
		return c.sendCSV("cost.csv", costTable(&q, found.Rows))
	}
	answer := Cost{
		Currency: "USD", Since: q.Since, Until: q.Until, By: q.By, Bucket: q.Bucket, Timezone: q.Zone.String(), Total: costSums(&found.Total),
		Items: make([]CostRow, len(found.Rows)),
	}
	for i := range found.Rows {
		r := &found.Rows[i]
		row := CostRow{Start: r.Start, By: map[string]string{}, CostSums: costSums(&r.Sums)}
		for _, name := range q.By {
			row.By[name] = r.Name(name)
		}
		answer.Items[i] = row
	}
	if found.More {
		answer.Next = int64(q.Offset + len(found.Rows))
	}
	return c.send(answer)
}

// costQuery reads the question.
func (c *call) costQuery() (q ledger.Query, err error) {
	query, now := c.r.URL.Query(), c.options.Now()
	q = ledger.Query{By: []string{"model"}, Bucket: query.Get("bucket"), Costly: true}
	if q.Zone, err = time.LoadLocation(query.Get("tz")); err != nil || query.Get("tz") == "Local" {
		return q, invalid("there is no time zone %q; want a name such as Europe/Berlin", query.Get("tz"))
	}
	if q.Since, err = c.costMoment("since", q.Zone, now.Add(-usualCost)); err == nil {
		q.Until, err = c.costMoment("until", q.Zone, now)
	}
	if err != nil {
		return q, err
	}
	if !q.Since.Before(q.Until) {
		return q, invalid("since is %s, which is not before until, %s", q.Since.Format(time.RFC3339), q.Until.Format(time.RFC3339))
	}
	if by := query.Get("by"); by != "" {
		q.By = strings.Split(by, ",")
	}
	if q.Where, err = parseWhere(query.Get("where")); err != nil {
		return q, err
	}
	limit, err := c.number("limit", 1, 0)
	if err != nil {
		return q, err
	}
	after, err := c.number("after", 0, 0)
	if err != nil {
		return q, err
	}
	q.Limit, q.Offset = int(min(limit, maxRows)), int(min(after, 1<<30))
	q.Tenants, err = c.tenants()
	return q, err
}

// costMoment is moment, with dates in a time zone besides.
func (c *call) costMoment(name string, zone *time.Location, absent time.Time) (time.Time, error) {
	if at, err := time.ParseInLocation(time.DateOnly, c.r.URL.Query().Get(name), zone); err == nil {
		return at, nil
	}
	return c.moment(name, absent)
}

// parseWhere reads name:value,name:value; a tag is tag:name:value. An equals sign does instead of the colon before a value,
// and has to where the tag's name has a colon.
func parseWhere(text string) (map[string][]string, error) {
	where := map[string][]string{}
	if text == "" {
		return where, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		tag, isTag := strings.CutPrefix(part, "tag:")
		ends := ":="
		if isTag && strings.Contains(tag, "=") {
			ends = "="
		}
		end := strings.IndexAny(tag, ends)
		if end < 0 {
			return nil, invalid("the parameter where has %q; want NAME:VALUE, or tag:NAME:VALUE", part)
		}
		name := part[:len(part)-len(tag)+end]
		where[name] = append(where[name], tag[end+1:])
	}
	return where, nil
}

// tenants are those of the catalog's keys that say one.
func (c *call) tenants() (map[string]string, error) {
	tenants, after := map[string]string{}, ""
	for {
		keys, err := c.store.List(c.r.Context(), wire.KindKey, after, maxPage)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			var body struct {
				Tenant string `json:"tenant"`
			}
			if err := json.Unmarshal(k.Body, &body); err != nil {
				return nil, fmt.Errorf("cannot read the key %s: %w", k.Name, err)
			}
			if body.Tenant != "" {
				tenants[k.Name] = body.Tenant
			}
			after = k.Name
		}
		if len(keys) < maxPage {
			return tenants, nil
		}
	}
}

// costTable is the header and the rows of a CSV file.
func costTable(q *ledger.Query, rows []ledger.Row) [][]string {
	var head []string
	if q.Bucket != "" {
		head = append(head, "start")
	}
	head = append(append(head, q.By...), "cost_usd", "list_usd", "cache_discount_usd", "saved_usd", "waste_usd", "estimated_usd",
		"requests", "cache_hits", "unpriced", "input_tokens", "cached_input_tokens", "output_tokens", "cost_nano_usd")
	table := [][]string{head}
	for i := range rows {
		r, s := &rows[i], costSums(&rows[i].Sums)
		var line []string
		if q.Bucket != "" {
			line = append(line, r.Start.Format(time.RFC3339))
		}
		for _, name := range q.By {
			line = append(line, safeCell(r.Name(name)))
		}
		line = append(line, s.Cost, s.List, s.Discount, s.Saved, s.Waste, s.Estimated)
		for _, n := range []int64{s.Requests, s.CacheHits, s.Unpriced, s.Input, s.CachedInput, s.Output, s.CostNano} {
			line = append(line, strconv.FormatInt(n, 10))
		}
		table = append(table, line)
	}
	return table
}

// safeCell is a text that no spreadsheet takes for a formula.
func safeCell(text string) string {
	if strings.IndexAny(text, "=+-@\t\r\n＝＋－＠") == 0 { // some spreadsheets read the wide ones, too
		return "'" + text
	}
	return text
}

// sendCSV answers with a table as RFC 4180 has it.
func (c *call) sendCSV(name string, table [][]string) error {
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	w.UseCRLF = true
	if err := w.WriteAll(table); err != nil {
		return fmt.Errorf("cannot write the table: %w", err)
	}
	c.x.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	return c.sendBytes(mediaCSV+"; charset=utf-8; header=present", text.Bytes())
}
