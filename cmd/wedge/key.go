package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// keyCmd makes virtual keys.
type keyCmd struct {
	New keyNewCmd `cmd:"" help:"Make a virtual key and the catalog entry for it."`
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
