package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/invoice"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// Reconciliation is a provider's bill beside what nodes reported of it.
type Reconciliation struct {
	Provider  string  `json:"provider"`
	Since     string  `json:"since"` // days, in UTC
	Until     string  `json:"until"`
	Tolerance float64 `json:"tolerance_percent"`
	invoice.Result
}

func reconcileRoute() route {
	e := read(func(*call) (r Reconciliation, err error) { return r, nil })
	e.media, e.serve = mediaCSV, (*call).reconcile
	return route{post, v1 + "cost/reconcile", vault.Operator, "Compares a provider's bill, a CSV file, with what nodes reported; nothing is changed.", e, []param{
		{"provider", "string", "whose bill it is, as the catalog calls it"},
		{"map", "string", "which of the file's columns are date, model, cost and currency, such as date=Day,cost=Total, where they are not called so; dates=dmy or dates=mdy where dates such as 1/2/2026 do not show it"},
		{"tolerance", "number", "how many percent may lie between two amounts that match; by default 1"},
		{"format", "string", "json, which is the default, or csv"},
	}}
}

// usualTolerance is the part of a bill, in percent, that nobody asks about.
const usualTolerance = 1

func (c *call) reconcile() error {
	query := c.r.URL.Query()
	provider, format := query.Get("provider"), query.Get("format")
	if provider == "" {
		return invalid("whose bill is it? Name the provider")
	}
	if format != "" && format != "json" && format != "csv" {
		return invalid("the format is %q; want json or csv", format)
	}
	answer := Reconciliation{Provider: provider, Tolerance: usualTolerance}
	if text := query.Get("tolerance"); text != "" {
		var err error
		if answer.Tolerance, err = strconv.ParseFloat(text, 64); err != nil || !(answer.Tolerance >= 0 && answer.Tolerance <= 100) {
			return invalid("the tolerance is %q; want percent from 0 to 100", text)
		}
	}
	names, err := columnNames(query.Get("map"))
	if err != nil {
		return err
	}
	file, err := c.body(invoice.MaxBytes)
	if err != nil {
		return err
	}
	bill, err := invoice.Read(file, names)
	if err == nil && len(bill) == 0 {
		err = fmt.Errorf("no line of it has an amount")
	}
	if err != nil {
		return invalid("cannot read the bill: %s", err)
	}
	if _, err := c.store.Get(c.r.Context(), wire.KindProvider, provider); err != nil {
		return err
	}
	days := func(a, b invoice.Line) int { return strings.Compare(a.Day, b.Day) }
	answer.Since, answer.Until = slices.MinFunc(bill, days).Day, slices.MaxFunc(bill, days).Day
	counted, err := c.counted(provider, answer.Since, answer.Until)
	if err != nil {
		return err
	}
	answer.Result = invoice.Compare(bill, counted, answer.Tolerance)
	if format == "csv" {
		return c.sendCSV("reconciliation.csv", reconciliationTable(&answer))
	}
	return c.send(answer)
}

// columnNames reads name=column,name=column.
func columnNames(text string) (map[string]string, error) {
	names := map[string]string{}
	if text == "" {
		return names, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, column, ok := strings.Cut(part, "=")
		if !ok {
			return nil, invalid("the parameter map has %q; want NAME=COLUMN", part)
		}
		names[strings.TrimSpace(name)] = strings.TrimSpace(column)
	}
	return names, nil
}

// counted is what nodes reported of a provider by day and by the provider's own models.
func (c *call) counted(provider, since, until string) ([]invoice.Counted, error) {
	first, err := time.Parse(time.DateOnly, since)
	if err != nil {
		return nil, err
	}
	last, err := time.Parse(time.DateOnly, until)
	if err != nil {
		return nil, err
	}
	upstream, err := c.upstreamModels()
	if err != nil {
		return nil, err
	}
	q := ledger.Query{
		Since: first, Until: last.AddDate(0, 0, 1), Bucket: "day", By: []string{"model", "version", "target"},
		Where: map[string][]string{"provider": {provider}}, Limit: maxRows,
	}
	found, err := c.options.Ledger.Ask(c.r.Context(), q)
	if err != nil {
		return nil, err
	}
	if found.More {
		return nil, invalid("nodes reported more than %d lines from %s to %s: compare a shorter time", maxRows, since, until)
	}
	lines := make([]invoice.Counted, 0, len(found.Rows))
	for i := range found.Rows {
		r := &found.Rows[i]
		if r.CostNano == 0 && r.Unpriced == 0 { // a cache answered
			continue
		}
		model := upstream[[3]string{r.Model, r.Version, r.Target}]
		if model == "" {
			model = r.Model
		}
		lines = append(lines, invoice.Counted{
			Line: invoice.Line{Day: r.Start.Format(time.DateOnly), Model: model, Nano: r.CostNano}, Unpriced: r.Unpriced,
		})
	}
	return lines, nil
}

// upstreamModels tells what providers call the model of each (model, version, target) of the catalog.
func (c *call) upstreamModels() (map[[3]string]string, error) {
	models, after := map[[3]string]string{}, ""
	for {
		page, err := c.store.List(c.r.Context(), wire.KindVersion, after, maxPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			after = r.Name
			var body struct {
				Targets []struct {
					Provider string `json:"provider"`
					Model    string `json:"model"`
					Name     string `json:"name"`
				} `json:"targets"`
			}
			if err := json.Unmarshal(r.Body, &body); err != nil {
				return nil, fmt.Errorf("cannot read the version %s: %w", r.Name, err)
			}
			model, version, _ := strings.Cut(r.Name, "@")
			for _, t := range body.Targets {
				name := t.Name
				if name == "" {
					name = t.Provider
				}
				models[[3]string{model, version, name}] = t.Model
			}
		}
		if len(page) < maxPage {
			return models, nil
		}
	}
}

// reconciliationTable is the header and the rows of a CSV file.
func reconciliationTable(r *Reconciliation) [][]string {
	table := [][]string{{"day", "model", "status", "billed_usd", "counted_usd", "diff_usd", "diff_percent", "unpriced"}}
	for i := range r.Lines {
		l, percent := &r.Lines[i], ""
		if l.Percent != nil {
			percent = strconv.FormatFloat(*l.Percent, 'f', 4, 64)
		}
		table = append(table, []string{
			l.Day, safeCell(l.Model), l.Status, usd(l.Billed), usd(l.Counted), usd(l.Diff), percent, strconv.FormatInt(l.Unpriced, 10),
		})
	}
	return table
}
