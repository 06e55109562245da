package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// keyCmd makes virtual keys.
type keyCmd struct {
	New    keyNewCmd    `cmd:"" help:"Make a virtual key and the catalog entry for it, without an origin."`
	Create keyCreateCmd `cmd:"" help:"Make a virtual key at the origin."`
	Rotate keyRotateCmd `cmd:"" help:"Give a virtual key of the origin a new value."`
	Revoke keyRevokeCmd `cmd:"" help:"Take a virtual key out of the origin's catalog."`
	List   keyListCmd   `cmd:"" help:"List the origin's virtual keys."`
}

// keyNewCmd makes one key; nothing is stored.
type keyNewCmd struct {
	Name   string   `arg:"" help:"The key's name in the catalog."`
	Models []string `default:"*" placeholder:"MODEL" help:"Models that the key may use (default: all)."`
}

// Help is the part of the help text below the flags' summary.
func (keyNewCmd) Help() string {
	return `Prints a line for the catalog's keys, which holds no secret, and then the key itself, which is stored nowhere: it
is the last word of the output.

Examples:
  wedge key new team-a --models support-bot,embeddings
  KEY=$(wedge key new team-a | tee /dev/stderr | tail -1)`
}

// Run prints the entry and the key.
func (c keyNewCmd) Run(stdout io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	key, id, hash, err := wire.NewKey()
	if err != nil {
		return err
	}
	quoted := make([]string, len(c.Models))
	for i, m := range c.Models {
		quoted[i] = fmt.Sprintf("%q", m)
	}
	_, err = fmt.Fprintf(stdout, "  - {name: %q, id: %s, hash: \"sha256:%x\", models: [%s]}\n%s\n", c.Name, id, hash, strings.Join(quoted, ", "), key)
	return err
}

// check refuses what would make an entry that no catalog can hold.
func (c keyNewCmd) check() error {
	if err := wire.CheckName(c.Name); err != nil {
		return fmt.Errorf("cannot make a key: %w", err)
	}
	for i, m := range c.Models {
		if err := wire.CheckName(m); err != nil && m != "*" {
			return fmt.Errorf("cannot make a key for the model %q: %w", m, err)
		}
		if slices.Contains(c.Models[:i], m) {
			return fmt.Errorf("cannot make a key: --models names %s twice", m)
		}
	}
	if len(c.Models) == 0 {
		return errors.New("cannot make a key: --models names none")
	}
	return nil
}
