package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/internal/prices"
	"github.com/wedge-proxy/wedge/wire"
)

// priceCmd looks at prices.
type priceCmd struct {
	List    priceListCmd    `cmd:"" help:"List the prices of the built-in table."`
	Explain priceExplainCmd `cmd:"" help:"Show what usage of a model costs, line by line."`
	Import  priceImportCmd  `cmd:"" help:"Turn another price table into a catalog's prices."`
}

// priceListCmd lists the built-in table.
type priceListCmd struct {
	Provider string `placeholder:"LIST" help:"Only this list: openai, anthropic, google, …"`
	Model    string `placeholder:"TEXT" help:"Only models whose name has this in it."`
	Output   string `short:"o" enum:"table,json" default:"table" help:"table or json."`
}

// Help is the part of the help text below the flags' summary.
func (priceListCmd) Help() string {
	return `Lists the prices that hold for a provider's models where the catalog has none for them: those of the list that the
provider's prices names, or of the list of whoever serves its base_url; prices: none holds it to the catalog's. Prices are USD
per million tokens, unless said otherwise; where they change with the hour, the dearest hour's. What tools do, such as searching
the web, is not in them.

Examples:
  wedge price list --provider openai
  wedge price list --model haiku
  wedge price list --provider anthropic -o json | jq .prices`
}

// Run prints.
func (c *priceListCmd) Run(to console) error {
	lists := prices.Lists()
	if c.Provider != "" {
		if !slices.Contains(lists, c.Provider) {
			return fmt.Errorf("cannot list prices of %s: the built-in table has the lists %s", c.Provider, strings.Join(lists, ", "))
		}
		lists = []string{c.Provider}
	}
	var found []wire.Price
	text := strings.ToLower(c.Model)
	for _, list := range lists {
		for _, p := range prices.All(list) {
			if strings.Contains(strings.ToLower(p.Model), text) {
				found = append(found, p)
			}
		}
	}
	name, version, date := prices.Source()
	if c.Output == "json" {
		head, err := json.Marshal(map[string]string{"name": name, "version": version, "date": date})
		if err != nil {
			return err
		}
		return printIndented(to.out, fmt.Appendf(nil, `{"source":%s,"prices":%s}`, head, entriesOf(found)))
	}
	w := tabwriter.NewWriter(to.out, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "LIST\tMODEL\tFROM\tINPUT\tCACHED\tOUTPUT\tMORE") // an error comes back from Flush
	for i := range found {
		p := &found[i]
		from := ""
		if !p.From.IsZero() {
			from = p.From.Format("2006-01-02")
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Provider, p.Model, from,
			perMillion(p.Input), perMillion(p.CachedInput), perMillion(p.Output), moreOf(p))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("cannot print the prices: %w", err)
	}
	_, err := fmt.Fprintf(to.notes, "%s of %s %s, %s\n", plural(len(found), "price"), name, version, date)
	return err
}

func perMillion(pico int64) string {
	if pico < 0 {
		return "-"
	}
	return string(prices.AppendDecimal(nil, pico, 6))
}

// moreOf are the prices that have no column.
func moreOf(p *wire.Price) string {
	var more []string
	tell := func(t *wire.Tariff, columns ...string) {
		for _, c := range t.Classes() {
			if *c.Price >= 0 && (c.Like == nil || *c.Like != *c.Price) && !slices.Contains(columns, c.Name) {
				more = append(more, c.Name+" "+perMillion(*c.Price))
			}
		}
	}
	tell(&p.Tariff, "input", "cached_input", "output")
	for _, other := range []struct {
		name string
		n    int64
		form int
	}{{"request_usd", p.Request, 9}, {"image_usd", p.Image, 9}, {"second_usd", p.Second, 9}, {"letters", p.Letter, 6}} {
		if other.n > 0 {
			more = append(more, other.name+" "+string(prices.AppendDecimal(nil, other.n, other.form)))
		}
	}
	for i := range p.Tiers {
		more = append(more, fmt.Sprintf("above %d:", p.Tiers[i].Above))
		tell(&p.Tiers[i].Tariff)
	}
	return strings.ReplaceAll(strings.Join(more, ", "), ":,", ":")
}

// entriesOf are prices as a JSON list of a catalog's entries.
func entriesOf(list []wire.Price) []byte {
	b := []byte{'['}
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = prices.AppendJSON(b, &list[i])
	}
	return append(b, ']')
}

func printIndented(w io.Writer, text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}

// priceImportCmd reads another table.
type priceImportCmd struct {
	File     string   `arg:"" help:"The table, in JSON; - reads standard input."`
	Format   string   `enum:"litellm,modelsdev,genai" default:"litellm" help:"litellm: LiteLLM's model_prices_and_context_window.json; modelsdev: api.json of models.dev; genai: the data of genai-prices (default ${default})."`
	Provider string   `required:"" placeholder:"NAME" help:"The catalog's provider that the prices are for."`
	List     string   `placeholder:"LIST" help:"Who sells the models, as the table calls it (default: as the provider is called)."`
	Models   []string `placeholder:"MODEL" help:"Only these models, as the provider calls them."`
	Output   string   `short:"o" enum:"yaml,json" default:"yaml" help:"yaml or json."`
}

// Help is the part of the help text below the flags' summary.
func (priceImportCmd) Help() string {
	return `Prints the section prices of a catalog. Every number is exact to the millionth of a USD per million tokens. What no price of
a catalog can say is left out, and named beside it.

Examples:
  wedge price import model_prices_and_context_window.json --provider openai > prices.yaml
  wedge price import api.json --format modelsdev --provider claude --list anthropic --models claude-haiku-4-5
  wedge price import - --provider eu --list azure -o json < model_prices_and_context_window.json`
}

// Run prints the section.
func (c *priceImportCmd) Run(to console) error {
	if err := wire.CheckName(c.Provider); err != nil {
		return fmt.Errorf("cannot name a provider %q: %w", c.Provider, err)
	}
	data, err := readInput(c.File, os.Stdin)
	if err != nil {
		return fmt.Errorf("cannot read the table: %w", errors.Unwrap(err))
	}
	read := map[string]func([]byte) ([]wire.Price, []prices.Skip, error){
		"litellm": prices.FromLiteLLM, "modelsdev": prices.FromModelsDev, "genai": prices.FromGenaiPrices,
	}[c.Format]
	all, skipped, err := read(data)
	if err != nil {
		return fmt.Errorf("%s is not what --format %s stands for: %w", c.File, c.Format, err)
	}
	chosen, err := c.choose(all, skipped)
	if err != nil {
		return err
	}
	c.tell(to.notes, len(chosen), skipped)
	if c.Output == "json" {
		return printIndented(to.out, fmt.Appendf(nil, `{"prices":%s}`, entriesOf(chosen)))
	}
	return printEntries(to.out, chosen)
}

func (c *priceImportCmd) list() string {
	if c.List != "" {
		return c.List
	}
	return c.Provider
}

func (c *priceImportCmd) wants(list, model string) bool {
	return list == c.list() && (len(c.Models) == 0 || slices.Contains(c.Models, model))
}

// choose are the prices that are asked for, as those of the catalog's provider.
func (c *priceImportCmd) choose(all []wire.Price, skipped []prices.Skip) ([]wire.Price, error) {
	var chosen []wire.Price
	lists, missing := map[string]bool{}, slices.Clone(c.Models)
	for _, p := range all {
		lists[p.Provider] = true
		if c.wants(p.Provider, p.Model) {
			missing = slices.DeleteFunc(missing, func(m string) bool { return m == p.Model })
			p.Provider = c.Provider
			chosen = append(chosen, p)
		}
	}
	if !lists[c.list()] {
		return nil, fmt.Errorf("there is no price of %s in %s: name one of its lists with --list: %s", c.list(), c.File, someOf(lists))
	}
	for _, m := range missing {
		for _, s := range skipped {
			if s.List == c.list() && s.Model == m && s.Field == "" {
				return nil, fmt.Errorf("cannot import the price of %s from %s: %s", m, c.File, s.Why)
			}
		}
		return nil, fmt.Errorf("there is no price of %s of %s in %s", m, c.list(), c.File)
	}
	return chosen, nil
}

// someOf names up to twenty of them.
func someOf(lists map[string]bool) string {
	names := make([]string, 0, len(lists))
	for name := range lists {
		names = append(names, name)
	}
	slices.Sort(names)
	if more := len(names) - 20; more > 0 {
		return strings.Join(names[:20], ", ") + fmt.Sprintf(" and %d more", more)
	}
	if len(names) == 0 {
		return "it has none"
	}
	return strings.Join(names, ", ")
}

// tell says what was left out: a line for each model, and one for all that lack the same field.
func (c *priceImportCmd) tell(notes io.Writer, n int, skipped []prices.Skip) {
	fields := map[string]int{}
	for _, s := range skipped {
		switch {
		case !c.wants(s.List, s.Model):
		case s.Field == "":
			_, _ = fmt.Fprintf(notes, "left out %s: %s\n", s.Model, s.Why) // without the notes the prices are still prices
		default:
			fields[s.Field+": "+s.Why]++
		}
	}
	for _, what := range sortedKeys(fields) {
		_, _ = fmt.Fprintf(notes, "left out of %s: %s\n", plural(fields[what], "model"), what)
	}
	_, _ = fmt.Fprintf(notes, "%s imported\n", plural(n, "price"))
}

func sortedKeys(of map[string]int) []string {
	keys := make([]string, 0, len(of))
	for k := range of {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// printEntries prints the section as YAML, a price a line.
func printEntries(w io.Writer, list []wire.Price) error {
	var section yaml.Node
	if err := yaml.Unmarshal(fmt.Appendf(nil, `{"prices":%s}`, entriesOf(list)), &section); err != nil {
		return fmt.Errorf("cannot write the prices as YAML: %w", err)
	}
	plainStyle(&section, 0)
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&section), e.Close()); err != nil {
		return fmt.Errorf("cannot write the prices as YAML: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// plainStyle takes JSON's quotes off, and its braces off what is not within an entry.
func plainStyle(n *yaml.Node, depth int) {
	const entry = 3 // document, section, list, entry
	switch {
	case n.Kind != yaml.ScalarNode:
		n.Style = 0
		if depth >= entry {
			n.Style = yaml.FlowStyle
		}
	case n.Tag == "!!str":
		n.Style = 0
	}
	for _, child := range n.Content {
		plainStyle(child, depth+1)
	}
}
