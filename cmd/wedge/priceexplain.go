package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/wire"
)

// priceExplainCmd shows what usage costs.
type priceExplainCmd struct {
	Model   string `arg:"" help:"Of a catalog: MODEL for its versions in production, or MODEL@VERSION. Of the built-in table: MODEL or LIST/MODEL."`
	Catalog string `placeholder:"FILE" help:"The catalog, in YAML or JSON; - reads standard input (default: the built-in table alone)."`
	At      string `placeholder:"TIME" help:"When: 2027-01-31, or 2027-01-31T06:00:00Z (default: now)."`
	Batch   bool   `help:"The request came in a batch."`
	Format  string `short:"o" enum:"table,json" default:"table" help:"table or json."`

	Input          int64   `placeholder:"N" help:"Tokens of the request, all of them."`
	Cached         int64   `placeholder:"N" help:"Of the input: read from the provider's prompt cache."`
	CacheWrite     int64   `placeholder:"N" help:"Of the input: written to it."`
	CacheWriteHour int64   `placeholder:"N" help:"Of those written: to be kept for an hour."`
	AudioInput     int64   `placeholder:"N" help:"Of the input: audio."`
	ImageInput     int64   `placeholder:"N" help:"Of the input: images."`
	Output         int64   `placeholder:"N" help:"Tokens of the answer, all of them."`
	Reasoning      int64   `placeholder:"N" help:"Of the output: reasoning."`
	AudioOutput    int64   `placeholder:"N" help:"Of the output: audio."`
	ImageOutput    int64   `placeholder:"N" help:"Of the output: images."`
	Images         int64   `placeholder:"N" help:"Images that were made, where they are not billed as tokens."`
	Seconds        float64 `placeholder:"S" help:"Seconds of audio that were heard, where they are not billed as tokens."`
	Letters        int64   `placeholder:"N" help:"Letters that were spoken, where they are not billed as tokens."`
}

// Help is the part of the help text below the flags' summary.
func (priceExplainCmd) Help() string {
	return `Shows for every target of a catalog's model what a usage costs there: each line of the sum, where the price comes from, and
the digest of all prices, which answers' receipts and usage reports name too. Without a catalog, the model is a provider's, and
the prices are those of all lists of the built-in table that have it. The sum is rounded up once, to a billionth of a USD.

Examples:
  wedge price explain gpt-5-mini --input 1200 --output 300
  wedge price explain anthropic/claude-sonnet-4-5 --input 1200 --cached 1000 --output 300
  wedge price explain support-bot --catalog catalog.yaml --input 1200 --output 300
  wedge price explain support-bot@1.2.0 --catalog catalog.yaml --input 250000 --cached 200000 --output 900 --reasoning 400
  wedge price explain support-bot --catalog catalog.yaml --input 1000 --output 100 --at 2027-01-01 -o json`
}

// explainedPrices is what is printed about a model.
type explainedPrices struct {
	Model   string            `json:"model"`
	At      time.Time         `json:"at"`
	Prices  string            `json:"prices,omitempty"` // the digest of the catalog's and the built-in table's
	Targets []explainedTarget `json:"targets"`
}

type explainedTarget struct {
	Version  string       `json:"version,omitempty"` // of a catalog's model
	Target   string       `json:"target,omitempty"`
	Provider string       `json:"provider"`
	Upstream string       `json:"upstream_model"`
	Source   *priceSource `json:"source"` // null: nobody knows the price
	Lines    []priceLine  `json:"lines"`
	USD      usdNumber    `json:"usd"`      // null: unknown
	ListUSD  usdNumber    `json:"list_usd"` // without the provider's prompt cache
	AtMost   usdNumber    `json:"at_most_usd"`
}

// priceSource says where a price comes from.
type priceSource struct {
	Kind    string `json:"kind"`              // catalog | built-in
	File    string `json:"file,omitempty"`    // the catalog …
	Line    int    `json:"line,omitempty"`    // … and where it stands there
	Table   string `json:"table,omitempty"`   // the built-in table's source …
	Version string `json:"version,omitempty"` // … its version …
	Date    string `json:"date,omitempty"`    // … and date
	Entry   string `json:"entry,omitempty"`   // LIST/MODEL of it
	From    string `json:"from,omitempty"`    // since when the price holds
}

type priceLine struct {
	What  string      `json:"what"`
	Count int64       `json:"count"`
	Price json.Number `json:"price_usd,omitempty"` // none: unknown
	Per   string      `json:"per"`
	USD   usdNumber   `json:"usd"`
}

// usdNumber is nano-USD that are written as a number of USD, or null if unknown.
type usdNumber int64

// MarshalJSON writes the number.
func (n usdNumber) MarshalJSON() ([]byte, error) {
	if int64(n) == price.Unknown {
		return []byte("null"), nil
	}
	return price.AppendUSD(nil, int64(n)), nil
}

func (n usdNumber) String() string {
	if int64(n) == price.Unknown {
		return "unknown"
	}
	return string(price.AppendUSD(nil, int64(n)))
}

// Run prints.
func (c *priceExplainCmd) Run(stdout io.Writer) error {
	u, err := c.usage()
	if err != nil {
		return err
	}
	at, err := c.time()
	if err != nil {
		return err
	}
	explain := c.cataloged
	if c.Catalog == "" {
		explain = c.listed
	}
	out, err := explain(u, at)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		text, err := json.Marshal(out)
		if err != nil {
			return err
		}
		return printIndented(stdout, text)
	}
	return out.print(stdout)
}

// cataloged explains the targets of a catalog's model.
func (c *priceExplainCmd) cataloged(u *dialect.Usage, at time.Time) (out explainedPrices, err error) {
	data, err := readInput(c.Catalog, os.Stdin)
	if err != nil {
		return out, err
	}
	catalog, err := wire.ParseCatalog(c.Catalog, data)
	if err != nil {
		return out, err
	}
	versions, err := c.versions(catalog)
	if err != nil {
		return out, err
	}
	table := price.New(catalog)
	name, _, _ := strings.Cut(c.Model, "@")
	out = explainedPrices{Model: name, At: at, Prices: table.Digest()}
	for _, v := range versions {
		for i := range v.Targets {
			out.Targets = append(out.Targets, c.target(catalog, table, v, &v.Targets[i], u, at))
		}
	}
	return out, nil
}

// listed explains what the lists of the built-in table say of a model, each as if a provider of that name had it.
func (c *priceExplainCmd) listed(u *dialect.Usage, at time.Time) (out explainedPrices, err error) {
	lists, model := prices.Lists(), c.Model
	if list, name, is := strings.Cut(c.Model, "/"); is && slices.Contains(lists, list) {
		lists, model = []string{list}, name
	}
	out = explainedPrices{Model: model, At: at}
	for _, list := range lists {
		if len(prices.Dated(list, model)) == 0 {
			continue
		}
		catalog := &wire.Catalog{Providers: []wire.Provider{{Name: list, Prices: list}}}
		out.Targets = append(out.Targets, c.target(catalog, price.New(catalog), &wire.Version{}, &wire.Target{Provider: list, Model: model}, u, at))
	}
	if len(out.Targets) == 0 {
		return out, fmt.Errorf("the built-in table has no price of %s: look for its name with wedge price list --model, or name a catalog that has the model with --catalog", c.Model)
	}
	return out, nil
}

// usage is what the flags say, checked.
func (c *priceExplainCmd) usage() (*dialect.Usage, error) {
	const most = math.MaxInt64 / 8
	if c.Seconds < 0 || c.Seconds > most/1000 {
		return nil, fmt.Errorf("cannot explain --seconds %g: want a number from 0", c.Seconds)
	}
	u := &dialect.Usage{
		Known: true, Input: c.Input, Cached: c.Cached, CacheWrite: c.CacheWrite, CacheWriteHour: c.CacheWriteHour, AudioInput: c.AudioInput,
		ImageInput: c.ImageInput, Output: c.Output, Reasoning: c.Reasoning, AudioOutput: c.AudioOutput, ImageOutput: c.ImageOutput,
		Images: c.Images, AudioMillis: int64(math.Ceil(c.Seconds * 1000)), Letters: c.Letters,
	}
	for _, n := range []int64{u.Input, u.Cached, u.CacheWrite, u.CacheWriteHour, u.AudioInput, u.ImageInput, u.Output, u.Reasoning,
		u.AudioOutput, u.ImageOutput, u.Images, u.Letters} {
		if n < 0 || n > most {
			return nil, fmt.Errorf("cannot explain a usage of %d: want numbers from 0", n)
		}
	}
	for name, of := range map[string][2]int64{
		"--cached and --cache-write": {c.Cached + c.CacheWrite, c.Input}, "--cache-write-hour": {c.CacheWriteHour, c.CacheWrite},
		"--audio-input and --image-input":                {c.AudioInput + c.ImageInput, c.Input},
		"--reasoning, --audio-output and --image-output": {c.Reasoning + c.AudioOutput + c.ImageOutput, c.Output},
	} {
		if of[0] > of[1] {
			return nil, fmt.Errorf("cannot explain a usage in which a part is more than the whole: %s are %d of %d tokens", name, of[0], of[1])
		}
	}
	if *u == (dialect.Usage{Known: true}) {
		return nil, errors.New("there is no usage to explain: give --input and --output, or another count")
	}
	return u, nil
}

func (c *priceExplainCmd) time() (time.Time, error) {
	if c.At == "" {
		return time.Now().UTC().Truncate(time.Second), nil
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(form, c.At); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot understand --at %s: want a date such as 2027-01-31, or a time such as 2027-01-31T06:00:00Z", c.At)
}

// versions are those that are asked for.
func (c *priceExplainCmd) versions(catalog *wire.Catalog) ([]*wire.Version, error) {
	name, wanted, _ := strings.Cut(c.Model, "@")
	i := slices.IndexFunc(catalog.Models, func(m wire.Model) bool { return m.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("there is no model %s in %s", name, c.Catalog)
	}
	var found []*wire.Version
	var there []string
	for j := range catalog.Models[i].Versions {
		v := &catalog.Models[i].Versions[j]
		if wanted == v.Version || wanted == "" && v.Status == "production" {
			found = append(found, v)
		}
		there = append(there, v.Version+" ("+v.Status+")")
	}
	if len(found) == 0 && wanted == "" {
		return nil, fmt.Errorf("no version of %s in %s is in production: name one with %s@VERSION: %s", name, c.Catalog, name, strings.Join(there, ", "))
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no version %s of %s in %s: it has %s", wanted, name, c.Catalog, strings.Join(there, ", "))
	}
	return found, nil
}

func (c *priceExplainCmd) target(catalog *wire.Catalog, table *price.Table, v *wire.Version, t *wire.Target, u *dialect.Usage, at time.Time) explainedTarget {
	i := slices.IndexFunc(catalog.Providers, func(p wire.Provider) bool { return p.Name == t.Provider })
	p := table.Of(&catalog.Providers[i], t.Model)
	if c.Batch {
		p = p.Batch()
	}
	bill := p.Bill(u, at)
	out := explainedTarget{
		Version: v.Version, Target: t.Name, Provider: t.Provider, Upstream: t.Model, Lines: []priceLine{},
		USD: usdNumber(bill.Nano), ListUSD: usdNumber(bill.List), AtMost: usdNumber(price.Unknown),
	}
	if p.Known(at) {
		out.AtMost = usdNumber(p.AtMost(u.Input, u.Output, at))
		out.Source = c.source(catalog, p, at)
	}
	for _, l := range p.Lines(u, at) {
		line := priceLine{What: l.What, Count: l.Count, Per: l.Per, USD: usdNumber(l.Nano)}
		if l.Pico >= 0 {
			line.Price = json.Number(l.AppendPrice(nil))
		}
		out.Lines = append(out.Lines, line)
	}
	return out
}

// source says where the price that holds at a time comes from.
func (c *priceExplainCmd) source(catalog *wire.Catalog, p *price.Price, at time.Time) *priceSource {
	w, builtIn, _ := p.At(at)
	s := &priceSource{Kind: "catalog", File: c.Catalog}
	if !w.From.IsZero() {
		s.From = w.From.Format(time.RFC3339)
	}
	if builtIn {
		s.Kind, s.File, s.Entry = "built-in", "", w.Provider+"/"+w.Model
		s.Table, s.Version, s.Date = prices.Source()
		return s
	}
	i := slices.IndexFunc(catalog.Prices, func(o wire.Price) bool {
		return o.Provider == w.Provider && o.Model == w.Model && o.From.Equal(w.From)
	})
	s.Line = catalog.ProblemAt(fmt.Sprintf("prices[%d]", i), "").Line
	return s
}

// String is the source in words.
func (s *priceSource) String() string {
	text := fmt.Sprintf("%s:%d", s.File, s.Line)
	if s.Kind == "built-in" {
		text = fmt.Sprintf("the built-in table's %s, of %s %s, %s", s.Entry, s.Table, s.Version, s.Date)
	}
	if s.From != "" {
		text += ", since " + s.From
	}
	return text
}

func (e *explainedPrices) print(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	for i := range e.Targets {
		t := &e.Targets[i]
		// Errors come back from Flush.
		if t.Version != "" {
			_, _ = fmt.Fprintf(w, "%s@%s, target %s: ", e.Model, t.Version, t.Target)
		}
		_, _ = fmt.Fprintf(w, "%s of %s\n", t.Upstream, t.Provider)
		if t.Source == nil {
			_, _ = fmt.Fprint(w, "price: unknown; put it into the catalog's prices, or name a list of the built-in table in the provider's prices\n\n")
			continue
		}
		_, _ = fmt.Fprintf(w, "price: %s\n", t.Source)
		for _, l := range t.Lines {
			each := "unknown"
			if l.Price != "" {
				each = string(l.Price)
			}
			_, _ = fmt.Fprintf(w, "  %s\t%d\t× %s USD per %s\t= %s USD\n", l.What, l.Count, each, l.Per, l.USD)
		}
		_, _ = fmt.Fprintf(w, "  in all\t\t\t= %s USD\n", t.USD)
		if t.ListUSD != t.USD {
			_, _ = fmt.Fprintf(w, "  without the provider's prompt cache\t\t\t= %s USD\n", t.ListUSD)
		}
		_, _ = fmt.Fprintf(w, "  so many tokens at most\t\t\t= %s USD\n\n", t.AtMost)
	}
	if e.Prices != "" {
		_, _ = fmt.Fprintf(w, "prices %s ", e.Prices)
	}
	_, _ = fmt.Fprintf(w, "at %s\n", e.At.Format(time.RFC3339))
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot print the prices: %w", err)
	}
	return nil
}
