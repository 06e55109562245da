package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
)

// policyPushCmd gives a policy of the origin another module.
type policyPushCmd struct {
	Name string `arg:"" help:"The policy, which is in the origin's catalog."`
	File string `arg:"" help:"The module."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (policyPushCmd) Help() string {
	return `Sends a module to the origin and puts it into use: all else of the policy stays. A new policy comes with wedge apply.

Examples:
  wedge policy push route-by-language policy.wasm`
}

// Run pushes.
func (c *policyPushCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.PushPolicy(ctx, c.Name, c.File) })
}
