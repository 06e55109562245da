package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// keyCreateCmd makes a virtual key at the origin.
type keyCreateCmd struct {
	Name        string   `arg:"" help:"The key's name."`
	Models      []string `default:"*" placeholder:"MODEL" help:"Models that the key may use (default: all)."`
	Team        string   `placeholder:"NAME" help:"Whose it is."`
	Tenant      string   `placeholder:"NAME" help:"Whose data it sees."`
	May         []string `enum:"arm,direct,nonproduction" placeholder:"RIGHT" help:"What it may besides: arm, direct, nonproduction."`
	Budgets     []string `placeholder:"BUDGET" help:"What it spends from."`
	Requests    string   `placeholder:"RATE" help:"Limit of requests, such as 100/s."`
	Tokens      string   `placeholder:"RATE" help:"Limit of tokens, such as 1M/m."`
	Concurrency int      `placeholder:"N" help:"Limit of requests at a time."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (keyCreateCmd) Help() string {
	return `Makes a virtual key, which nodes know as soon as they have the new revision. The key alone goes to standard output;
the origin keeps only its hash.

Examples:
  wedge key create team-a --models support-bot,embeddings --team a
  KEY=$(wedge key create batch --requests 100/s --tokens 1M/m)`
}

// Run makes the key.
func (c *keyCreateCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.CreateKey(ctx, c.Name, c.entry()) })
}

// entry is the key's entry in the catalog as far as flags were given.
func (c *keyCreateCmd) entry() map[string]any {
	entry, rate := map[string]any{"models": c.Models}, map[string]any{}
	set := func(in map[string]any, field, value string) {
		if value != "" {
			in[field] = value
		}
	}
	set(entry, "team", c.Team)
	set(entry, "tenant", c.Tenant)
	set(rate, "requests", c.Requests)
	set(rate, "tokens", c.Tokens)
	if c.Concurrency > 0 {
		rate["concurrency"] = c.Concurrency
	}
	if len(rate) > 0 {
		entry["rate"] = rate
	}
	if len(c.May) > 0 {
		entry["may"] = c.May
	}
	if len(c.Budgets) > 0 {
		entry["budgets"] = c.Budgets
	}
	return entry
}

type keyRotateCmd struct {
	Name string `arg:"" help:"The key's name."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (keyRotateCmd) Help() string {
	return `Gives a virtual key of the origin a new value, which alone goes to standard output. The former one is refused by every
node that has the new revision.

Examples:
  KEY=$(wedge key rotate team-a --reason "left on a laptop")`
}

// Run rotates.
func (c *keyRotateCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.RotateKey(ctx, c.Name) })
}

type keyRevokeCmd struct {
	Name string `arg:"" help:"The key's name."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (keyRevokeCmd) Help() string {
	return `Takes a virtual key out of the origin's catalog.

Examples:
  wedge key revoke team-a --reason "contract ended"`
}

// Run revokes.
func (c *keyRevokeCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Delete(ctx, wire.KindKey, c.Name) })
}

type keyListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (keyListCmd) Help() string {
	return `Examples:
  wedge key list`
}

// Run prints.
func (c *keyListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, wire.KindKey, "") })
}
