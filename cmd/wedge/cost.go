package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// costCmd tells what requests cost.
type costCmd struct {
	Show      costShowCmd      `cmd:"" default:"withargs" help:"Show what requests cost, and what caches saved (the default)."`
	Reconcile costReconcileCmd `cmd:"" help:"Compare a provider's bill with what nodes reported."`
}

type costShowCmd struct {
	By     []string       `placeholder:"NAME" default:"model" help:"What costs are told apart by: model, version, experiment, arm, key, tenant, team, tags, tag:NAME, provider, target, node, cache, code, prices (default: model)."`
	Last   *wire.Duration `placeholder:"SPAN" help:"How far back, such as 24h, 7d or 30d (default: 30d)."`
	Since  string         `placeholder:"TIME" help:"From this time or date on, in place of --last."`
	Until  string         `placeholder:"TIME" help:"Up to this time or date (default: now)."`
	Where  []string       `placeholder:"NAME=VALUE" help:"Only such requests; of several values of one name, any."`
	Bucket string         `enum:",hour,day,week,month" default:"" placeholder:"SPAN" help:"Tell them apart by hour, day, week or month, too."`
	TZ     string         `name:"tz" placeholder:"ZONE" help:"The time zone in which days begin, such as Europe/Berlin (default: UTC)."`
	originFlags
	Output string `short:"o" enum:"table,json,yaml,csv" default:"table" help:"table, csv, or what the origin answered as json or yaml."`
}

// Help is the part of the help text below the flags' summary.
func (costShowCmd) Help() string {
	return `SPENT is what providers bill, as far as prices are known; LIST is what it were without their prompt caches, and DISCOUNT the
difference; SAVED is what answers would have cost that came from Wedge's cache; WASTE is the part of SPENT for answers that nobody
got: of retries, hedges and shadows. ESTIMATED is the part of SPENT that no provider told. UNPRICED counts answers whose price is
not known: they are in no sum. Hours count whole.

Examples:
  wedge cost --by model --last 30d
  wedge cost --by team,model --where provider=openai --bucket day --tz Europe/Berlin
  wedge cost --by tag:app --since 2026-10-01 --until 2026-11-01 -o csv > october.csv
  wedge cost --by key --where tag:env=prod -o json | jq -r '.items[] | [.by.key, .cost_usd] | @tsv'
  wedge cost reconcile --provider openai --file costs.csv`
}

// Run prints.
func (c *costShowCmd) Run(to console) error {
	q := cli.CostQuery{By: c.By, Since: c.Since, Until: c.Until, Where: c.Where, Bucket: c.Bucket, Timezone: c.TZ}
	if c.Last != nil {
		if c.Since != "" {
			return errLastAndSince
		}
		if *c.Last <= 0 {
			return errors.New("cannot tell the costs of the last 0s: want a span such as 24h, 7d or 30d")
		}
		q.Since = time.Duration(*c.Last).String()
	}
	return c.session(to, cli.Session{Format: c.Output}, func(ctx context.Context, s *cli.Session) error { return s.ShowCost(ctx, q) })
}

var errLastAndSince = errors.New("cannot tell costs of --last and --since at once: use one of them")

type costReconcileCmd struct {
	Provider  string  `required:"" placeholder:"NAME" help:"Whose bill it is, as the catalog calls it."`
	File      string  `required:"" placeholder:"FILE" help:"The bill, in CSV; - reads standard input."`
	Map       string  `placeholder:"NAME=COLUMN,…" help:"Which columns are date, model, cost and currency, where they are not called so; dates=dmy or dates=mdy says how 1/2/2026 is meant."`
	Tolerance float64 `default:"1" placeholder:"PERCENT" help:"How far apart amounts may lie that match (default ${default})."`
	originFlags
	Output string `short:"o" enum:"table,json,yaml,csv" default:"table" help:"table, csv, or what the origin answered as json or yaml."`
}

// Help is the part of the help text below the flags' summary.
func (costReconcileCmd) Help() string {
	return `Compares a bill by day and model with what nodes reported. It reads the exports of OpenAI's costs (grouped by line item) and of
Anthropic's, and any table with a date, a cost in USD and best a model. Days are in UTC; snapshots of a model count as the model.
It ends with 1 where amounts differ by more than the tolerance and a cent, or are missing on either side. Answers without a known
price are in no sum: UNPRICED counts them.

Examples:
  wedge cost reconcile --provider openai --file cost_2026-10-01_2026-10-31.csv
  wedge cost reconcile --provider claude --file claude_costs.csv --tolerance 0.5 -o csv > differences.csv
  wedge cost reconcile --provider eu --file bill.csv --map "date=Tag,model=Produkt,cost=Betrag,dates=dmy"`
}

// Run prints.
func (c *costReconcileCmd) Run(to console) error {
	file, err := readInput(c.File, os.Stdin)
	if err != nil {
		return fmt.Errorf("cannot read the bill: %w", errors.Unwrap(err)) // which says catalog
	}
	b := cli.Bill{Provider: c.Provider, Map: c.Map, Tolerance: c.Tolerance, CSV: file}
	return c.session(to, cli.Session{Format: c.Output}, func(ctx context.Context, s *cli.Session) error { return s.Reconcile(ctx, b) })
}
