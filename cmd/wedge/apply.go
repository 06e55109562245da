package main

import (
	"context"
	"os"

	"github.com/wedge-proxy/wedge/internal/cli"
)

// applyCmd makes a catalog true at the origin.
type applyCmd struct {
	File   string `arg:"" help:"The catalog, or a part of one, in YAML or JSON; - reads standard input."`
	DryRun bool   `help:"Show what would change, and what the origin's gates say, and change nothing."`
	Prune  bool   `help:"Delete what the catalog does not name."`
	Yes    bool   `short:"y" help:"Do not ask."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (applyCmd) Help() string {
	return `Shows what the catalog changes at the origin, asks if somebody sits at a terminal, and makes all of it one revision or
nothing. More than 1000 resources become several revisions, each of them valid. Entries replace those of the same names;
others stay unless --prune is given. The files of policies, modules and cases, are sent along where the origin does not
have them yet.

Examples:
  wedge apply catalog.yaml
  wedge apply catalog.yaml --dry-run
  wedge apply catalog.yaml --prune --yes --reason "prices of November"
  wedge get catalog | sed s/gpt-5-mini/gpt-5/ | wedge apply -`
}

// Run applies.
func (c *applyCmd) Run(to console) error {
	catalog, err := readCatalog(c.File)
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error {
		if !c.Yes && c.File != "-" {
			s.Ask = asker()
		}
		return s.Apply(ctx, catalog, cli.Apply{Prune: c.Prune, DryRun: c.DryRun})
	})
}

func readCatalog(file string) (*cli.Catalog, error) {
	text, err := readInput(file, os.Stdin)
	if err != nil {
		return nil, err
	}
	return cli.ReadCatalog(file, text)
}

// diffCmd tells what apply would do.
type diffCmd struct {
	File  string `arg:"" help:"The catalog, or a part of one, in YAML or JSON; - reads standard input."`
	Prune bool   `help:"Delete what the catalog does not name."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (diffCmd) Help() string {
	return `Shows what wedge apply would change, and changes nothing: + is new, ~ is changed, - goes away.

Examples:
  wedge diff catalog.yaml
  wedge diff catalog.yaml --prune -o json`
}

// Run compares.
func (c *diffCmd) Run(to console) error {
	catalog, err := readCatalog(c.File)
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error {
		return s.Apply(ctx, catalog, cli.Apply{Prune: c.Prune, DryRun: true})
	})
}
