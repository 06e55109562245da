package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// modelCmd is what is done with models and their versions.
type modelCmd struct {
	List     modelListCmd     `cmd:"" help:"List the models."`
	Show     modelShowCmd     `cmd:"" help:"Show a model and its versions."`
	Create   modelCreateCmd   `cmd:"" help:"Make a new version of a model."`
	Promote  modelPromoteCmd  `cmd:"" help:"Move a version on: to staging, to production, …"`
	Rollback modelRollbackCmd `cmd:"" help:"Go back to the version that was in production before."`
	Diff     modelDiffCmd     `cmd:"" help:"Compare two versions."`
	Metrics  modelMetricsCmd  `cmd:"" help:"Show what nodes reported of a model's versions."`
	Release  modelReleaseCmd  `cmd:"" help:"End promotions that are under way."`
}

type modelListCmd struct {
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (modelListCmd) Help() string {
	return `Examples:
  wedge model list
  wedge model list -o json | jq -r .items[].name`
}

// Run prints.
func (c *modelListCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Get(ctx, wire.KindModel, "") })
}

type modelShowCmd struct {
	Model string `arg:"" help:"Its name."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (modelShowCmd) Help() string {
	return `Examples:
  wedge model show support-bot
  wedge model show support-bot -o yaml`
}

// Run prints.
func (c *modelShowCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.ShowModel(ctx, c.Model) })
}

// modelCreateCmd makes a version.
type modelCreateCmd struct {
	Model  string `arg:"" help:"The model."`
	File   string `short:"f" required:"" help:"The version's configuration as in the catalog, in YAML or JSON; version and status may be left out. - reads standard input."`
	From   string `placeholder:"VERSION" help:"Take what the file is silent about from this version."`
	Bump   string `enum:"major,minor,patch," default:"" help:"Which part of the number grows: major, minor or patch (default: by what changed)."`
	DryRun bool   `help:"Show what would be made, and make nothing."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (modelCreateCmd) Help() string {
	return `Makes a configuration the next version of a model, in status development. The number follows from what changed:
major if answers come from something else, minor if something else is sent, patch if requests only take other ways.

Examples:
  wedge model create support-bot -f version.yaml
  echo '{params: {temperature: 0.4}}' | wedge model create support-bot -f - --from 1.2.0
  wedge model create support-bot -f version.yaml --bump major --dry-run`
}

// Run makes the version.
func (c *modelCreateCmd) Run(to console) error {
	configuration, err := readBody(c.File)
	if err != nil {
		return err
	}
	v := cli.NewVersion{Model: c.Model, From: c.From, Bump: c.Bump, DryRun: c.DryRun}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.CreateVersion(ctx, v, c.File, configuration) })
}

func readBody(file string) ([]byte, error) {
	text, err := readInput(file, os.Stdin)
	if err != nil {
		return nil, fmt.Errorf("cannot read the version's configuration: %w", errors.Unwrap(err))
	}
	return text, nil
}

// modelPromoteCmd moves a version on.
type modelPromoteCmd struct {
	Model   string `arg:"" help:"The model."`
	Version string `arg:"" help:"Its version."`

	To     string   `placeholder:"STATUS" help:"staging, production, deprecated, archived or development (default: the next one)."`
	At     string   `placeholder:"TIME" help:"When: 2027-01-31T06:00:00Z, or a span from now such as 2h (default: now)."`
	Skip   []string `enum:"targets,traffic" placeholder:"GATE" help:"Gates that are not looked at: targets, traffic."`
	DryRun bool     `help:"Show what the gates say and what would change, and change nothing."`

	MinRequests  int64         `placeholder:"N" help:"Gate: nodes must have reported so many requests of the version. With --canary: in each step."`
	MaxErrorRate float64       `placeholder:"RATE" help:"Gate: of which no more than this part, 0 to 1, may have failed. With --canary: more rolls the release back."`
	Window       wire.Duration `placeholder:"SPAN" help:"How far back the gate looks (default 24h)."`

	Canary bool          `help:"Take over step by step, and go back if too many requests fail."`
	Steps  []float64     `placeholder:"PERCENT" help:"With --canary: on how many nodes (default 10,50)."`
	Every  wire.Duration `placeholder:"SPAN" help:"With --canary: how long a step lasts (default 5m)."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (modelPromoteCmd) Help() string {
	return `Moves a version on in its life: development, staging, production, deprecated, archived. The version that was in
production becomes deprecated in the same revision. What the gates find is shown; one that is shut stops it.

Examples:
  wedge model promote support-bot 1.2.0
  wedge model promote support-bot 1.2.0 --to production --min-requests 100 --max-error-rate 0.01
  wedge model promote support-bot 1.2.0 --canary --steps 5,25,50 --every 10m
  wedge model promote support-bot 1.2.0 --at 2027-01-31T06:00:00Z`
}

// Run promotes.
func (c *modelPromoteCmd) Run(to console) error {
	p, err := c.promotion(time.Now())
	if err != nil {
		return err
	}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Promote(ctx, p) })
}

func (c *modelPromoteCmd) promotion(now time.Time) (cli.Promotion, error) {
	p := cli.Promotion{Model: c.Model, Version: c.Version, To: c.To, DryRun: c.DryRun, Skip: c.Skip, Window: c.Window}
	switch {
	case c.Canary:
		p.Canary = &cli.Canary{Steps: c.Steps, Every: c.Every, MaxErrorRate: c.MaxErrorRate, MinRequests: c.MinRequests}
	case len(c.Steps) > 0 || c.Every != 0:
		return p, errors.New("cannot promote: --steps and --every go with --canary")
	default:
		p.MinRequests, p.MaxErrorRate = c.MinRequests, c.MaxErrorRate
	}
	if c.At == "" {
		return p, nil
	}
	at, err := time.Parse(time.RFC3339, c.At)
	if err != nil {
		var span wire.Duration
		if span.UnmarshalText([]byte(c.At)) != nil {
			return p, fmt.Errorf("cannot promote: --at %s is no time; want 2027-01-31T06:00:00Z, or a span from now such as 2h", c.At)
		}
		at = now.Add(time.Duration(span)).UTC().Truncate(time.Second)
	}
	p.At = &at
	return p, nil
}

// modelRollbackCmd goes back.
type modelRollbackCmd struct {
	Model  string `arg:"" help:"The model."`
	To     string `placeholder:"VERSION" help:"To this version (default: the one that was in production before)."`
	DryRun bool   `help:"Show what would change, and change nothing."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (modelRollbackCmd) Help() string {
	return `Puts the version that was in production before back there, or ends the release that is under way.

Examples:
  wedge model rollback support-bot --reason "answers in the wrong language"
  wedge model rollback support-bot --to 1.0.0`
}

// Run rolls back.
func (c *modelRollbackCmd) Run(to console) error {
	r := cli.Rollback{Model: c.Model, To: c.To, DryRun: c.DryRun}
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.Rollback(ctx, r) })
}

type modelDiffCmd struct {
	Model string `arg:"" help:"The model."`
	From  string `arg:"" help:"A version."`
	With  string `arg:"" name:"to" help:"Another one."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (modelDiffCmd) Help() string {
	return `Shows in which fields two versions differ, and what nodes reported of both in the last 24 hours.

Examples:
  wedge model diff support-bot 1.1.0 1.2.0`
}

// Run compares.
func (c *modelDiffCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.DiffVersions(ctx, c.Model, c.From, c.With) })
}

type modelMetricsCmd struct {
	Model string        `arg:"" help:"The model."`
	Since wire.Duration `default:"24h" placeholder:"SPAN" help:"How far back, such as 1h or 7d (default ${default})."`
	verbFlags
}

// Help is the part of the help text below the flags' summary.
func (modelMetricsCmd) Help() string {
	return `Examples:
  wedge model metrics support-bot
  wedge model metrics support-bot --since 1h -o json`
}

// Run prints.
func (c *modelMetricsCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error {
		return s.Metrics(ctx, c.Model, time.Duration(c.Since))
	})
}

type modelReleaseCmd struct {
	Cancel modelReleaseCancelCmd `cmd:"" help:"End a model's release; the version in production stays."`
}

type modelReleaseCancelCmd struct {
	Model string `arg:"" help:"The model."`
	changeFlags
}

// Help is the part of the help text below the flags' summary.
func (modelReleaseCancelCmd) Help() string {
	return `Ends a promotion that waits for its time or goes step by step. wedge get releases lists them.

Examples:
  wedge model release cancel support-bot --reason "not this week"`
}

// Run cancels.
func (c *modelReleaseCancelCmd) Run(to console) error {
	return c.do(to, func(ctx context.Context, s *cli.Session) error { return s.CancelRelease(ctx, c.Model) })
}
