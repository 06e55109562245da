package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
)

// tokenCmd keeps the tokens that people and programs show to the origin.
type tokenCmd struct {
	Create tokenCreateCmd `cmd:"" help:"Make a token."`
	List   tokenListCmd   `cmd:"" help:"List who has a token."`
	Revoke tokenRevokeCmd `cmd:"" help:"Make a token good for nothing."`
}

type tokenCreateCmd struct {
	Name string `arg:"" help:"Whose it is; the audit trail names who made a change by it."`
	Role string `enum:"viewer,operator,admin" default:"viewer" help:"viewer reads, operator changes, admin does everything (default ${default})."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (tokenCreateCmd) Help() string {
	return `Makes a token. The token alone goes to standard output; the origin keeps only its hash.

Examples:
  wedge token create grafana
  WEDGE_TOKEN=$(wedge token create ci --role operator)`
}

// Run makes the token.
func (c *tokenCreateCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.CreateToken(ctx, c.Name, c.Role) })
}

type tokenListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (tokenListCmd) Help() string {
	return `Examples:
  wedge token list`
}

// Run prints.
func (c *tokenListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ListTokens(ctx) })
}

type tokenRevokeCmd struct {
	Name string `arg:"" help:"Whose it is."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (tokenRevokeCmd) Help() string {
	return `Examples:
  wedge token revoke ci`
}

// Run revokes.
func (c *tokenRevokeCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.RevokeToken(ctx, c.Name) })
}
