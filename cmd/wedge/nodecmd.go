package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// nodeCmd is what the origin does with nodes.
type nodeCmd struct {
	Invite  nodeInviteCmd  `cmd:"" help:"Make a join token, with which one node enrols."`
	List    nodeListCmd    `cmd:"" help:"List the nodes."`
	Show    nodeShowCmd    `cmd:"" help:"Show a node."`
	Pin     nodePinCmd     `cmd:"" help:"Keep a node at its revision."`
	Unpin   nodeUnpinCmd   `cmd:"" help:"Let a node follow the origin again."`
	Drain   nodeDrainCmd   `cmd:"" help:"Let a node take no new requests."`
	Undrain nodeUndrainCmd `cmd:"" help:"Let a node take requests again."`
	Remove  nodeRemoveCmd  `cmd:"" help:"Forget a node; its certificate counts no more."`
}

type nodeInviteCmd struct {
	Name   string        `help:"What the node is to be called (default: what it calls itself)."`
	Region string        `help:"Where it is."`
	TTL    wire.Duration `name:"ttl" default:"1h" placeholder:"SPAN" help:"How long the token may be used, up to 30d (default ${default})."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (nodeInviteCmd) Help() string {
	return `Makes a token that one node can join the origin with, once. The token alone goes to standard output.

Examples:
  wedge edge --origin $WEDGE_ORIGIN --join $(wedge node invite) --name shop-1
  wedge node invite --name shop-2 --region eu-west --ttl 24h`
}

// Run invites.
func (c *nodeInviteCmd) Run(to console) error {
	i := cli.Invitation{Name: c.Name, Region: c.Region, TTL: c.TTL}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Invite(ctx, i) })
}

type nodeListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (nodeListCmd) Help() string {
	return `Examples:
  wedge node list
  wedge node list -o json | jq -r '.items[] | select(.lag > 0) | .name'`
}

// Run prints.
func (c *nodeListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListNodes(ctx) })
}

type nodeShowCmd struct {
	Name string `arg:"" help:"The node's name."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (nodeShowCmd) Help() string {
	return `Shows what a node has in use, how far it is behind, and what it refuses and why.

Examples:
  wedge node show shop-1`
}

// Run prints.
func (c *nodeShowCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ShowNode(ctx, c.Name) })
}

// nodeStep is what is done to one node.
type nodeStep struct {
	Name string `arg:"" help:"The node's name."`
	changeFlags
}

func (c *nodeStep) step(step string, to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.StepNode(ctx, c.Name, step) })
}

type nodePinCmd struct{ nodeStep }

// Help is the part of the help text below the flags' summary.
func (nodePinCmd) Help() string {
	return `A node that is pinned stays at the revision that it has, whatever is changed.

Examples:
  wedge node pin shop-1 --reason "inventory tonight"`
}

// Run pins.
func (c *nodePinCmd) Run(to console) error { return c.step("pin", to) }

type nodeUnpinCmd struct{ nodeStep }

// Help is the part of the help text below the flags' summary.
func (nodeUnpinCmd) Help() string {
	return `Examples:
  wedge node unpin shop-1`
}

// Run unpins.
func (c *nodeUnpinCmd) Run(to console) error { return c.step("unpin", to) }

type nodeDrainCmd struct{ nodeStep }

// Help is the part of the help text below the flags' summary.
func (nodeDrainCmd) Help() string {
	return `A node that is drained ends what it has begun and is not ready for more, so that balancers pass it by.

Examples:
  wedge node drain shop-1 --reason "new disk"`
}

// Run drains.
func (c *nodeDrainCmd) Run(to console) error { return c.step("drain", to) }

type nodeUndrainCmd struct{ nodeStep }

// Help is the part of the help text below the flags' summary.
func (nodeUndrainCmd) Help() string {
	return `Examples:
  wedge node undrain shop-1`
}

// Run undrains.
func (c *nodeUndrainCmd) Run(to console) error { return c.step("undrain", to) }

type nodeRemoveCmd struct {
	Name string `arg:"" help:"The node's name."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (nodeRemoveCmd) Help() string {
	return `The node goes on with what it has, but gets nothing more until it is invited again.

Examples:
  wedge node remove shop-1 --reason "stolen"`
}

// Run removes.
func (c *nodeRemoveCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.RemoveNode(ctx, c.Name) })
}
