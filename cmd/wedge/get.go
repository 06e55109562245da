package main

import (
	"context"
	"errors"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// getCmd prints what the origin has.
type getCmd struct {
	Kind string `arg:"" help:"providers, models, versions, experiments, policies, prompts, prices, keys, budgets, secrets, nodes, releases, or catalog for all of them."`
	Name string `arg:"" optional:"" help:"One of them: MODEL@VERSION for a version, NAME@VERSION for a prompt, PROVIDER/MODEL for a price."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (getCmd) Help() string {
	return `Lists the resources of a kind, or prints one with its body. The whole catalog comes as YAML, which wedge apply takes.

Examples:
  wedge get models
  wedge get version support-bot@1.2.0
  wedge get price openai/gpt-5-mini -o json
  wedge get catalog > catalog.yaml`
}

// Run prints.
func (c *getCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, c.Kind, c.Name) })
}

// deleteCmd deletes a resource.
type deleteCmd struct {
	Kind string `arg:"" help:"provider, model, version, experiment, policy, prompt, price, key, budget or secret."`
	Name string `arg:"" help:"Which one."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (deleteCmd) Help() string {
	return `Deletes one resource, if the catalog is valid without it.

Examples:
  wedge delete experiment bigger-model
  wedge delete price openai/gpt-4o --reason "not used any more"`
}

// Run deletes.
func (c *deleteCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Delete(ctx, c.Kind, c.Name) })
}

// fleetCmd prints the state of all nodes.
type fleetCmd struct {
	Wait *wire.Duration `placeholder:"SPAN" help:"Wait until the last revision is in use everywhere, for up to 30s, 5m or so; exit 1 if it is not."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (fleetCmd) Help() string {
	return `Shows the last revision, how far it has come (first one node of each region, then a tenth, then all), why it stopped
if it did, and how many nodes have which revision. With --wait, a script goes on when what it changed is everywhere: on all
nodes that are online and not pinned.

Examples:
  wedge fleet
  wedge fleet --wait 30s
  wedge fleet -o json | jq .rollout.stage`
}

// Run prints.
func (c *fleetCmd) Run(to console) error {
	if c.Wait == nil {
		return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Fleet(ctx) })
	}
	if *c.Wait <= 0 {
		return errors.New("cannot wait for 0s: want a span such as 30s or 5m")
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.AwaitFleet(ctx, time.Duration(*c.Wait)) })
}

// auditCmd prints who changed what.
type auditCmd struct {
	Kind    string         `arg:"" optional:"" help:"Of this kind …"`
	Name    string         `arg:"" optional:"" help:"… and name only."`
	Actions bool           `help:"What was done without a revision: tokens, nodes, budgets written off, backups."`
	Last    *wire.Duration `placeholder:"SPAN" help:"All of the last 24h, 7d or 30d, in place of --limit."`
	Limit   int            `default:"50" help:"How many records (default ${default})."`
	Before  int64          `placeholder:"REV" help:"Begin before this revision."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (auditCmd) Help() string {
	return `Shows who changed what, when and why, the latest first; with a kind and a name, the history of that resource. What changes
nothing in the catalog, such as a token made or a node drained, is told with --actions.

Examples:
  wedge audit
  wedge audit --last 7d -o json
  wedge audit --actions --last 7d
  wedge audit --before 120 --limit 10
  wedge audit version support-bot@1.2.0`
}

// Run prints.
func (c *auditCmd) Run(to console) error {
	if c.Kind != "" && c.Name == "" {
		return errors.New("cannot show a history without a name: want wedge audit KIND NAME")
	}
	switch {
	case c.Kind != "" && (c.Actions || c.Last != nil || c.Before != 0):
		return errors.New("cannot show a part of a resource's history: leave out --actions, --last and --before")
	case c.Actions && c.Before != 0:
		return errors.New("actions are of no revision: use --last or --limit in place of --before")
	case c.Last != nil && *c.Last <= 0:
		return errors.New("cannot show the last 0s: want a span such as 24h, 7d or 30d")
	}
	q := cli.AuditQuery{Before: c.Before, Limit: c.Limit}
	if c.Last != nil {
		q.Since = time.Now().Add(-time.Duration(*c.Last))
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error {
		switch {
		case c.Kind != "":
			return s.History(ctx, c.Kind, c.Name)
		case c.Actions:
			return s.Actions(ctx, q)
		}
		return s.Audit(ctx, q)
	})
}
