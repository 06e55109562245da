package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// CSV is the format of what can be printed as a file for spreadsheets and billing.
const CSV = "csv"

// CostQuery says which costs are asked for; what is empty is left to the origin.
type CostQuery struct {
	By           []string
	Since, Until string // times, dates, or spans before now
	Where        []string
	Bucket       string
	Timezone     string
}

// Cost is what requests cost.
type Cost struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	By    []string  `json:"by"`
	Total CostSums  `json:"total"`
	Items []CostRow `json:"items"`
	Next  int64     `json:"next"`
}

// CostRow is what some requests cost.
type CostRow struct {
	Start time.Time         `json:"start"`
	By    map[string]string `json:"by"`
	CostSums
}

// CostSums are sums; amounts are nano-USD.
type CostSums struct {
	Cost      int64 `json:"cost_nano_usd"`
	List      int64 `json:"list_nano_usd"`
	Discount  int64 `json:"cache_discount_nano_usd"`
	Saved     int64 `json:"saved_nano_usd"`
	Waste     int64 `json:"waste_nano_usd"`
	Estimated int64 `json:"estimated_nano_usd"`
	Requests  int64 `json:"requests"`
	Unpriced  int64 `json:"unpriced"`
	Input     int64 `json:"input_tokens"`
	Cached    int64 `json:"cached_input_tokens"`
	Output    int64 `json:"output_tokens"`
}

// mostCosts is how many rows an answer has at most.
const mostCosts = 100_000

// ShowCost prints what requests cost.
func (s *Session) ShowCost(ctx context.Context, q CostQuery) error {
	query := url.Values{}
	for name, value := range map[string]string{
		"by": strings.Join(q.By, ","), "since": q.Since, "until": q.Until, "where": strings.Join(q.Where, ","), "bucket": q.Bucket, "tz": q.Timezone,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if s.Format == CSV {
		query.Set("format", "csv")
	} else {
		query.Set("limit", strconv.Itoa(mostCosts))
	}
	answer, err := s.get(ctx, "cost", query)
	if err != nil {
		return fmt.Errorf("cannot tell the costs: %w", err)
	}
	if s.Format == CSV {
		_, err := s.Out.Write(answer)
		return err
	}
	return printAs(s, answer, func(t *table, c Cost) error {
		t.costs(&c, q.Bucket != "")
		if c.Next > 0 {
			t.line("… and more: ask for a shorter time, or by less")
		}
		return nil
	})
}

// costs are the rows, and what they come to.
func (t *table) costs(c *Cost, buckets bool) {
	head, total := []string{}, []string{}
	if buckets {
		head = append(head, "START")
	}
	for _, name := range c.By {
		head = append(head, strings.ToUpper(name))
	}
	for i := range head {
		total = append(total, []string{"total", ""}[min(i, 1)])
	}
	t.row(append(head, "SPENT", "LIST", "DISCOUNT", "SAVED", "WASTE", "REQUESTS", "INPUT", "CACHED", "OUTPUT", "UNPRICED", "ESTIMATED")...)
	for i := range c.Items {
		r, cells := &c.Items[i], []string{}
		if buckets {
			cells = append(cells, r.Start.Format("2006-01-02T15:04Z07:00"))
		}
		for _, name := range c.By {
			cells = append(cells, r.By[name])
		}
		t.row(append(cells, r.cells()...)...)
	}
	t.row(append(total, c.Total.cells()...)...)
	t.line("USD, %s to %s", stamp(c.Since), stamp(c.Until))
	if c.Total.Unpriced > 0 {
		t.line("%d answers have no known price and are in no sum", c.Total.Unpriced)
	}
}

// spent is what is known to be spent: what has no price is not nothing.
func (s *CostSums) spent() string {
	switch {
	case s.Unpriced == 0:
		return usd(s.Cost)
	case s.Cost == 0:
		return "unknown"
	}
	return "≥" + usd(s.Cost)
}

func (s *CostSums) cells() []string {
	return []string{
		s.spent(), usd(s.List), usd(s.Discount), usd(s.Saved), usd(s.Waste), whole(s.Requests), whole(s.Input), whole(s.Cached), whole(s.Output),
		whole(s.Unpriced), usd(s.Estimated),
	}
}

// Bill is a provider's bill that is to be compared with what nodes reported.
type Bill struct {
	Provider  string
	Map       string  // NAME=COLUMN,NAME=COLUMN
	Tolerance float64 // percent
	CSV       []byte
}

// Reconciliation is a bill beside what nodes reported.
type Reconciliation struct {
	Provider  string         `json:"provider"`
	Since     string         `json:"since"`
	Until     string         `json:"until"`
	Tolerance float64        `json:"tolerance_percent"`
	Lines     []Compared     `json:"lines"`
	Total     Compared       `json:"total"`
	Matched   bool           `json:"matched"`
	Count     map[string]int `json:"count"`
}

// Compared is an amount of the bill beside what was counted; amounts are nano-USD.
type Compared struct {
	Day      string   `json:"day"`
	Model    string   `json:"model"`
	Status   string   `json:"status"`
	Billed   int64    `json:"billed_nano_usd"`
	Counted  int64    `json:"counted_nano_usd"`
	Diff     int64    `json:"diff_nano_usd"`
	Percent  *float64 `json:"diff_percent"`
	Unpriced int64    `json:"unpriced"`
}

// ErrApart says that a bill and what was counted are not the same.
var ErrApart = errors.New("the bill and what nodes reported differ by more than is tolerated")

// Reconcile prints how a bill and what nodes reported differ; if they do, the error is ErrApart.
func (s *Session) Reconcile(ctx context.Context, b Bill) error {
	query := url.Values{"provider": {b.Provider}, "tolerance": {strconv.FormatFloat(b.Tolerance, 'f', -1, 64)}}
	if b.Map != "" {
		query.Set("map", b.Map)
	}
	ask := func(format string) ([]byte, error) {
		query.Set("format", format)
		answer, err := s.Client.do(ctx, call{method: http.MethodPost, path: "cost/reconcile", query: query, body: b.CSV, media: "text/csv"})
		if err != nil {
			return nil, fmt.Errorf("cannot compare the bill of %s: %w", b.Provider, err)
		}
		return answer, nil
	}
	answer, err := ask("json")
	if err != nil {
		return err
	}
	var r Reconciliation
	if err := json.Unmarshal(answer, &r); err != nil {
		return s.notUnderstood(err)
	}
	if s.Format == CSV {
		if answer, err = ask("csv"); err == nil {
			_, err = s.Out.Write(answer)
		}
	} else {
		err = s.print(answer, func(t *table) error { t.reconciliation(&r); return nil })
	}
	if err == nil && !r.Matched {
		err = ErrApart
	}
	return err
}

func (t *table) reconciliation(r *Reconciliation) {
	t.row("DAY", "MODEL", "STATUS", "BILLED", "COUNTED", "DIFFERENCE", "PERCENT", "UNPRICED")
	row := func(day string, c *Compared) {
		percent := ""
		if c.Percent != nil {
			percent = decimals(*c.Percent, 2)
		}
		t.row(day, c.Model, strings.ReplaceAll(c.Status, "_", " "), usd(c.Billed), usd(c.Counted), usd(c.Diff), percent, whole(c.Unpriced))
	}
	for i := range r.Lines {
		row(r.Lines[i].Day, &r.Lines[i])
	}
	row("total", &r.Total)
	t.line("%s from %s to %s, in USD: %d matched, %d different, %d not billed, %d not counted; up to %s or a cent is tolerated", r.Provider,
		r.Since, r.Until, r.Count["matched"], r.Count["different"], r.Count["not_billed"], r.Count["not_counted"], perCent(r.Tolerance))
}
