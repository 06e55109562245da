package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// budgetCmd tells where budgets stand.
type budgetCmd struct {
	List     budgetListCmd     `cmd:"" help:"List where budgets stand."`
	Show     budgetShowCmd     `cmd:"" help:"Show a budget, and what nodes have of it."`
	Watch    budgetWatchCmd    `cmd:"" help:"Show budgets again and again."`
	WriteOff budgetWriteOffCmd `cmd:"" name:"write-off" help:"Count as spent what a node that is gone had of a budget."`
}

type budgetListCmd struct{ verbFlags }

// Help is the part of the help text below the flags' summary.
func (budgetListCmd) Help() string {
	return `Examples:
  wedge budget list
  wedge budget list -o json | jq -r '.items[] | select(.remaining_nano == 0) | .budget'`
}

// Run prints.
func (c *budgetListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListBudgets(ctx) })
}

type budgetShowCmd struct {
	Name string `arg:"" help:"The budget's name."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (budgetShowCmd) Help() string {
	return `Shows the present period: what is spent, what nodes have leased, what is left, and when nothing will be.

Examples:
  wedge budget show team-a`
}

// Run prints.
func (c *budgetShowCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ShowBudget(ctx, c.Name) })
}

type budgetWatchCmd struct {
	Name  string        `arg:"" optional:"" help:"The budget's name (default: all)."`
	Every wire.Duration `default:"2s" placeholder:"SPAN" help:"How often (default ${default})."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (budgetWatchCmd) Help() string {
	return `Goes on until Ctrl-C.

Examples:
  wedge budget watch
  wedge budget watch team-a --every 10s`
}

// Run prints, again and again.
func (c *budgetWatchCmd) Run(to console) error {
	if time.Duration(c.Every) < 100*time.Millisecond {
		return fmt.Errorf("cannot watch every %s: want at least 100ms", time.Duration(c.Every))
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error {
		return s.WatchBudgets(ctx, c.Name, time.Duration(c.Every))
	})
}

type budgetWriteOffCmd struct {
	Name string `arg:"" help:"The budget's name."`
	Node string `required:"" placeholder:"NAME" help:"The node that will not come back."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (budgetWriteOffCmd) Help() string {
	return `What a node has leased can be spent by nobody else, for it may have spent it. Once it is certain that the node will not
come back, this counts it as spent, unverified. Should the node come back, what it tells counts instead.

Examples:
  wedge budget write-off team-a --node shop-1 --reason "burnt down"`
}

// Run writes off.
func (c *budgetWriteOffCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.WriteOff(ctx, c.Name, c.Node) })
}

// alertCmd tells what happened to money.
type alertCmd struct {
	List       alertListCmd       `cmd:"" help:"List the latest alerts."`
	Deliveries alertDeliveriesCmd `cmd:"" help:"List what became of alerts on their way to webhooks."`
}

// latest bounds a list.
type latest struct {
	Limit int `default:"50" help:"How many at most (default ${default})."`
	verbFlags
}

type alertListCmd struct{ latest }

// Help is the part of the help text below the flags' summary.
func (alertListCmd) Help() string {
	return `Examples:
  wedge alert list
  wedge alert list -o json | jq -r '.items[] | select(.kind == "threshold") | .message'`
}

// Run prints.
func (c *alertListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListAlerts(ctx, c.Limit) })
}

type alertDeliveriesCmd struct{ latest }

// Help is the part of the help text below the flags' summary.
func (alertDeliveriesCmd) Help() string {
	return `Examples:
  wedge alert deliveries`
}

// Run prints.
func (c *alertDeliveriesCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListDeliveries(ctx, c.Limit) })
}
