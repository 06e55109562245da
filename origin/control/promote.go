package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// Promote moves a version on in its life: now, later (At), or on more and more nodes (Canary). Into production it takes
// the place of the version that is there, which becomes deprecated in the same revision. Where the version has the status
// already, as after somebody else's promotion of it, nothing changes and nothing is wrong.
func (c *Control) Promote(ctx context.Context, by By, p Promotion) (Promoted, error) {
	k := call{by: by, verb: "promote", request: p, dry: p.DryRun}
	if err := p.settle(); err != nil {
		return Promoted{}, err
	}
	var made Promoted
	return change(ctx, c, k, func(s *state) (d *draft, err error) {
		d = s.draft()
		made, err = c.promote(ctx, d, &p, by.Actor)
		return d, err
	}, func(r Result) Promoted {
		made.Result = r
		return made
	})
}

// settle checks what can be checked without the catalog, and fills in defaults.
func (p *Promotion) settle() error {
	for _, gate := range p.Skip {
		if gate != GateTargets && gate != GateTraffic {
			return failf(CodeInvalid, "skip: the gate %q cannot be skipped; only %s and %s can", gate, GateTargets, GateTraffic)
		}
	}
	if p.MaxErrorRate < 0 || p.MaxErrorRate > 1 || p.MinRequests < 0 || p.Window < 0 {
		return failf(CodeInvalid, "max_error_rate is 0 to 1, min_requests and window are not negative")
	}
	if p.Window == 0 {
		p.Window = wire.Duration(day)
	}
	if p.Canary == nil {
		return nil
	}
	canary := *p.Canary
	p.Canary = &canary
	return canary.settle()
}

// What a canary is where nothing is said.
const (
	stepLasts    = 5 * time.Minute
	stepErrors   = 0.05
	stepRequests = 20
)

func (c *Canary) settle() error {
	if len(c.Steps) == 0 {
		c.Steps = []float64{10, 50}
	}
	c.Steps = slices.Clone(c.Steps)
	for i, percent := range c.Steps {
		if percent <= 0 || percent > 100 || i > 0 && percent <= c.Steps[i-1] {
			return failf(CodeInvalid, "canary.steps are per cent of nodes, above 0, up to 100, each more than the one before")
		}
	}
	if c.Every < 0 || c.MinRequests < 0 || c.MaxErrorRate < 0 || c.MaxErrorRate > 1 {
		return failf(CodeInvalid, "canary.max_error_rate is 0 to 1, every and min_requests are not negative")
	}
	if c.Every == 0 {
		c.Every = wire.Duration(stepLasts)
	}
	if c.MaxErrorRate == 0 {
		c.MaxErrorRate = stepErrors
	}
	if c.MinRequests == 0 {
		c.MinRequests = stepRequests
	}
	return nil
}

// promote drafts a promotion. Where it goes, if it was not said, is decided at first sight and stays: what somebody else
// did in the meantime must not carry it a step further.
func (c *Control) promote(ctx context.Context, d *draft, p *Promotion, actor string) (Promoted, error) {
	status, err := d.need(p.Model, p.Version)
	if err != nil {
		return Promoted{}, err
	}
	name := wire.VersionName(p.Model, p.Version)
	if p.To == "" {
		if p.To = onward[status]; p.To == "" {
			return Promoted{}, failf(CodeStep, "%s is in %s; say where it shall go: %s", name, status, orNowhere(steps[status]))
		}
	}
	made := Promoted{Model: p.Model, Version: p.Version, Status: status}
	if status == p.To {
		return made, nil
	}
	if err := checkStep(name, status, p.To); err != nil {
		return made, err
	}
	if p.Canary != nil && p.To != production {
		return made, failf(CodeInvalid, "only a promotion to production goes step by step; leave canary out")
	}
	later := p.At != nil && p.At.After(c.now())
	if r, ok := d.rollout(p.Model); ok && r.active() && (later || p.To == production) { // a model has one release at a time
		return made, failf(CodeConflict, "a release of %s is %s; cancel it first", wire.VersionName(r.Model, r.Version), r.State)
	}
	d.all, d.skip = true, p.Skip
	if later {
		r := &rollout{Release: Release{Promotion: *p, From: d.production(p.Model), State: stateScheduled, Stepped: c.now(), Actor: actor}}
		made.Release = &r.Release
		return made, d.putRollout(r)
	}
	return c.start(ctx, d, p, actor, made)
}

func orNowhere(statuses []string) string {
	if len(statuses) == 0 {
		return "there is nowhere"
	}
	return strings.Join(statuses, " or ")
}

// start drafts a promotion that begins now, behind all its gates.
func (c *Control) start(ctx context.Context, d *draft, p *Promotion, actor string, made Promoted) (Promoted, error) {
	if p.To == staging || p.To == production {
		d.reach, d.policies = wire.VersionName(p.Model, p.Version), p.Model
	}
	if p.To == production {
		d.traffic = p
		made.Former = d.production(p.Model)
	}
	if p.Canary == nil {
		made.Status = p.To
		return made, d.move(p.Model, p.Version, p.To)
	}
	r, err := c.begin(ctx, d, p, actor)
	if err != nil {
		return made, err
	}
	made.Release = &r.Release
	return made, nil
}

// move gives a version a status; into production it takes the place of the version that is there.
func (d *draft) move(model, version, status string) error {
	former := d.production(model)
	if err := d.setStatus(model, version, status); err != nil {
		return err
	}
	if status != production || former == "" || former == version {
		return nil
	}
	return d.setStatus(model, former, deprecated)
}

// Rollback ends a model's running release or, without one, brings back the version that was in production before; To
// names another one that was. Only the gates of the catalog and the life cycle are looked at: the way back is short.
func (c *Control) Rollback(ctx context.Context, by By, r Rollback) (Promoted, error) {
	var made Promoted
	var was *turn
	k := call{by: by, verb: "rollback", request: r, dry: r.DryRun}
	return change(ctx, c, k, func(s *state) (d *draft, err error) {
		d = s.draft()
		d.all = true
		if was == nil {
			if was, err = c.wayBack(ctx, d, r); err != nil {
				return nil, err
			}
		}
		made = Promoted{Model: r.Model, Version: was.to, Status: production, Former: was.from}
		return d, d.turn(r.Model, was, &made, by.Reason, c.now())
	}, func(result Result) Promoted {
		made.Result = result
		return made
	})
}

// turn is a rollback as it was decided at first sight: what somebody else rolled back in the meantime must not carry us
// further back.
type turn struct {
	from, to string
	release  bool // a running release is what ends
}

// wayBack decides where a rollback goes.
func (c *Control) wayBack(ctx context.Context, d *draft, r Rollback) (*turn, error) {
	if _, there := d.after[id{wire.KindModel, r.Model}]; !there {
		return nil, failf(CodeNotFound, "there is no model %q", r.Model)
	}
	t := &turn{from: d.production(r.Model), to: r.To}
	run, ok := d.rollout(r.Model)
	t.release = ok && run.State == stateRunning
	if t.release && (r.To == "" || r.To == run.From) {
		t.from, t.to = run.Version, run.From
		return t, nil
	}
	var err error
	if r.To == "" {
		t.to, err = c.formerProduction(ctx, d, r.Model)
	} else {
		err = d.backTo(r.Model, r.To)
	}
	return t, err
}

// turn drafts a rollback.
func (d *draft) turn(model string, t *turn, made *Promoted, reason string, now time.Time) error {
	if run, ok := d.rollout(model); ok && t.release && run.State == stateRunning {
		made.Release = &run.Release
		if err := d.end(run, stateRolledBack, reason, now); err != nil {
			return err
		}
	}
	switch d.production(model) {
	case t.to:
		return nil
	case t.from:
	default:
		return failf(CodeConflict, "another version of the model %q came into production in the meantime; look which, and roll back again if need be", model)
	}
	d.moved, d.back = model, true
	return d.move(model, t.to, production)
}

// formerProduction is the version that was in production before the one that is, and can be again.
func (c *Control) formerProduction(ctx context.Context, d *draft, model string) (string, error) {
	all, err := c.productions(ctx, model)
	if err != nil {
		return "", err
	}
	for _, version := range all {
		if d.status(model, version) == deprecated {
			return version, nil
		}
	}
	return "", failf(CodeNotFound, "no version of the model %q was in production before and can be again; promote one", model)
}

// backTo checks that a model can go back to a version.
func (d *draft) backTo(model, version string) error {
	status, err := d.need(model, version)
	if err == nil && status != deprecated && status != production {
		err = failf(CodeStep, "%s is in %s; only a deprecated version, which was in production, can be gone back to; promote it",
			wire.VersionName(model, version), status)
	}
	return err
}

// why says what a change that the origin makes by itself is about.
func (r *rollout) why(format string, args ...any) string {
	return fmt.Sprintf("release of %s: ", wire.VersionName(r.Model, r.Version)) + fmt.Sprintf(format, args...)
}
