package main

import (
	"context"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// experimentCmd is what is done with experiments.
type experimentCmd struct {
	List     experimentListCmd     `cmd:"" help:"List the experiments."`
	Show     experimentShowCmd     `cmd:"" help:"Show an experiment."`
	Start    experimentStartCmd    `cmd:"" help:"Let an experiment run."`
	Pause    experimentPauseCmd    `cmd:"" help:"Let an experiment rest; its model is served from production."`
	Conclude experimentConcludeCmd `cmd:"" help:"End an experiment."`
}

type experimentListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (experimentListCmd) Help() string {
	return `Examples:
  wedge experiment list`
}

// Run prints.
func (c *experimentListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, wire.KindExperiment, "") })
}

type experimentShowCmd struct {
	Name string `arg:"" help:"Its name."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (experimentShowCmd) Help() string {
	return `Examples:
  wedge experiment show bigger-model`
}

// Run prints.
func (c *experimentShowCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, wire.KindExperiment, c.Name) })
}

// experimentStep gives an experiment another status.
type experimentStep struct {
	Name string `arg:"" help:"Its name."`
	changeFlags
}

func (c *experimentStep) to(status string, to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.SetStatus(ctx, c.Name, status) })
}

type experimentStartCmd struct{ experimentStep }

// Help is the part of the help text below the flags' summary.
func (experimentStartCmd) Help() string {
	return `Examples:
  wedge experiment start bigger-model`
}

// Run starts.
func (c *experimentStartCmd) Run(to console) error { return c.to("running", to) }

type experimentPauseCmd struct{ experimentStep }

// Help is the part of the help text below the flags' summary.
func (experimentPauseCmd) Help() string {
	return `Examples:
  wedge experiment pause bigger-model --reason "provider is slow today"`
}

// Run pauses.
func (c *experimentPauseCmd) Run(to console) error { return c.to("paused", to) }

type experimentConcludeCmd struct{ experimentStep }

// Help is the part of the help text below the flags' summary.
func (experimentConcludeCmd) Help() string {
	return `Ends an experiment. The version that did better is promoted with wedge model promote.

Examples:
  wedge experiment conclude bigger-model`
}

// Run concludes.
func (c *experimentConcludeCmd) Run(to console) error { return c.to("concluded", to) }
