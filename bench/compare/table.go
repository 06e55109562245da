package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// row is one line of the verdict.
type row struct {
	Set     string  `json:"set"`
	What    string  `json:"what"`
	Value   float64 `json:"value"` // the node's, in Unit
	Unit    string  `json:"unit"`
	Against string  `json:"against,omitempty"`
	Other   float64 `json:"other,omitempty"` // the rival's, in Unit
	Figure  float64 `json:"figure"`          // what the limit is on: the ratio, the difference or the value
	Limit   float64 `json:"limit,omitempty"`
	Verdict string  `json:"verdict"`
	kind    string  // how Figure is written: "×", "+" or ""
}

// verdict compares a set's medians with its targets; a rival that was not there is said so.
func verdict(s set, r *result) []row {
	rows := make([]row, 0, len(s.rows))
	for _, t := range s.rows {
		value, _ := r.median(cmp.Or(t.of, node), t.metric)
		if t.against == "" {
			rows = append(rows, absolute(s.name, t.what, value, t.metric.unit, t.limit))
			continue
		}
		out := row{Set: s.name, What: t.what, Value: value, Unit: t.metric.unit, Against: t.against, Limit: t.limit, kind: "×"}
		other, ok := r.median(t.against, t.metric)
		switch {
		case !ok:
			out.Verdict = "not measured: " + t.against + " is not installed"
			rows = append(rows, out)
			continue
		case t.added:
			out.kind, out.Figure = "+", value-other
		case t.paired:
			out.Figure, _ = r.paired(cmp.Or(t.of, node), t.against, t.metric)
		case other > 0:
			out.Figure = value / other
		}
		out.Other = other
		out.judge()
		rows = append(rows, out)
	}
	return append(rows, honesty(s, r)...)
}

// honesty adds a row for every subject that did not answer as the set supposes: figures of failed requests, or
// of hits from another tier, would be figures of something else.
func honesty(s set, r *result) []row {
	var rows []row
	for _, name := range r.Order {
		var failed, requests uint64
		tiers := map[string]uint64{}
		for _, rep := range r.Reports[name] {
			failed, requests = failed+rep.Failed(), requests+rep.Requests
			for tier, n := range rep.Cache {
				tiers[tier] += n
			}
		}
		if failed > 0 {
			rows = append(rows, row{Set: s.name, What: name + " failed requests", Value: float64(failed), Figure: float64(failed),
				Verdict: fmt.Sprintf("look: %d of %d", failed, requests+failed)})
		}
		if s.own(name) && s.tier != "" && float64(tiers[s.tier]) < 0.95*float64(requests) {
			rows = append(rows, row{Set: s.name, What: name + " answers that were no " + s.tier, Value: float64(requests - tiers[s.tier]),
				Figure: float64(requests - tiers[s.tier]), Verdict: fmt.Sprintf("look: %v", tiers)})
		}
	}
	if c := r.Calls; c != nil && !c.good() {
		rows = append(rows, row{Set: s.name, What: "calls of policies that failed or are missing", Value: c.lost(), Figure: c.lost(),
			Verdict: fmt.Sprintf("look: %.0f of %.0f made, %.0f failed", c.Made, c.Expected, c.Failed)})
	}
	return rows
}

// own tells whether a subject is a node.
func (s set) own(name string) bool {
	return name == node || slices.ContainsFunc(s.variants, func(v variant) bool { return v.name == name })
}

func absolute(set, what string, value float64, unit string, limit float64) row {
	r := row{Set: set, What: what, Value: value, Unit: unit, Figure: value, Limit: limit}
	r.judge()
	return r
}

func (r *row) judge() {
	switch {
	case r.Limit == 0:
		r.Verdict = "for orientation"
	case r.Figure <= r.Limit:
		r.Verdict = "met"
	default:
		r.Verdict = fmt.Sprintf("missed by %.0f %%", 100*(r.Figure/r.Limit-1))
	}
}

func (r *row) cells() []string {
	number := func(v float64) string {
		if v != 0 && math.Abs(v) < 10 {
			return fmt.Sprintf("%.3f", v)
		}
		return fmt.Sprintf("%.0f", v)
	}
	limit, other := "–", "–"
	figure := number(r.Figure)
	switch {
	case r.kind == "×":
		figure = fmt.Sprintf("×%.2f", r.Figure)
	case r.kind == "+" && r.Figure >= 0:
		figure = "+" + figure
	}
	if r.Limit > 0 {
		limit = fmt.Sprintf("≤ %s%g", r.kind, r.Limit)
	}
	if r.Against != "" {
		other = r.Against + " " + number(r.Other)
	}
	return []string{r.What, strings.TrimSpace(number(r.Value) + " " + r.Unit), other, figure, limit, r.Verdict}
}

var columns = []string{"what", "wedge", "against", "figure", "target", "verdict"}

func writeText(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t"))
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r.cells(), "\t"))
	}
	return t.Flush()
}

func markdownRow(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// markdown is the verdict, every subject's medians, and what was measured with.
func markdown(doc *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured\n\n`%s`\n\n", doc.Command)
	for _, v := range doc.Versions {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	b.WriteString("\n" + markdownRow(columns) + "|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, r := range doc.Rows {
		b.WriteString(markdownRow(r.cells()))
	}
	for _, res := range doc.Results {
		fmt.Fprintf(&b, "\n## %s: %s\n\n", res.Set, res.Title)
		b.WriteString("| subject | CPU-s/10k | per second | p50 µs | p99 µs | first byte p50 µs | peak RSS MB |\n|---|---|---|---|---|---|---|\n")
		for _, name := range res.Order {
			fmt.Fprintf(&b, "| %s |", name)
			for _, m := range []metric{cpu, perSecond, p50, p99, ttfb50, peak} {
				v, _ := res.median(name, m)
				fmt.Fprintf(&b, " %.4g |", v)
			}
			b.WriteByte('\n')
		}
		for _, name := range res.Missing {
			fmt.Fprintf(&b, "\n%s is not installed and was left out.\n", name)
		}
	}
	return b.String()
}
