package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
)

// signerCmd keeps the keys with which the origin signs what nodes get.
type signerCmd struct {
	List   signerListCmd   `cmd:"" help:"List the keys that nodes believe."`
	Rotate signerRotateCmd `cmd:"" help:"Sign with a new key from now on."`
	Retire signerRetireCmd `cmd:"" help:"End the trust in a key that signs no more."`
}

type signerListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (signerListCmd) Help() string {
	return `The key that signs comes last; its public part is the last word.

Examples:
  wedge signer list
  wedge bundle verify wedge.bundle --trust $(wedge signer list | awk 'END {print $NF}')`
}

// Run prints.
func (c *signerListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListSigners(ctx) })
}

type signerRotateCmd struct {
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (signerRotateCmd) Help() string {
	return `Nodes learn of the new key by a revision that the former one signs, and go on believing both until one is retired.

Examples:
  wedge signer rotate --reason yearly`
}

// Run rotates.
func (c *signerRotateCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.RotateSigner(ctx) })
}

type signerRetireCmd struct {
	Name string `arg:"" help:"The key's name, as wedge signer list tells it."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (signerRetireCmd) Help() string {
	return `A node that has not heard of the newer key by then must be invited again: wedge fleet tells whether there is one.

Examples:
  wedge signer retire 9f2b61c04d8e7a35`
}

// Run retires.
func (c *signerRetireCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.RetireSigner(ctx, c.Name) })
}
