package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// secretCmd keeps secrets at the origin.
type secretCmd struct {
	Put    secretPutCmd    `cmd:"" help:"Make or replace a secret; its value comes from standard input."`
	List   secretListCmd   `cmd:"" help:"List the secrets' names."`
	Delete secretDeleteCmd `cmd:"" help:"Delete a secret."`
}

type secretPutCmd struct {
	Name string `arg:"" help:"What providers call it: api_key: origin:NAME."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (secretPutCmd) Help() string {
	return `Reads the secret from standard input, without a line break at its end. The origin keeps it encrypted and tells nobody;
nodes get it sealed to their own keys.

Examples:
  wedge secret put openai < openai.key
  printf %s "$OPENAI_API_KEY" | wedge secret put openai`
}

// Run puts the secret.
func (c *secretPutCmd) Run(to console) error {
	if terminal(os.Stdin) {
		return errors.New("cannot read a secret from a terminal, which would show it: wedge secret put NAME < FILE")
	}
	value, err := readSecret(os.Stdin)
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.PutSecret(ctx, c.Name, value) })
}

// maxSecret is how many bytes a secret has at most.
const maxSecret = 64 << 10

// readSecret reads a secret as it is but for one line break at its end.
func readSecret(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSecret+1))
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read the secret: %w", err)
	case value == "":
		return "", errors.New("cannot put an empty secret: its value comes from standard input")
	case len(text) > maxSecret:
		return "", fmt.Errorf("cannot put a secret of more than %d KiB", maxSecret>>10)
	}
	return value, nil
}

type secretListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (secretListCmd) Help() string {
	return `Examples:
  wedge secret list`
}

// Run prints.
func (c *secretListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, wire.KindSecret, "") })
}

type secretDeleteCmd struct {
	Name string `arg:"" help:"Its name."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (secretDeleteCmd) Help() string {
	return `Examples:
  wedge secret delete openai`
}

// Run deletes.
func (c *secretDeleteCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Delete(ctx, wire.KindSecret, c.Name) })
}
