package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// kindRollout is what the origin remembers of a model's last release. Nodes do not get it: they get the wire.Release.
const kindRollout = "rollout"

// The states of a release.
const (
	stateScheduled  = "scheduled"
	stateRunning    = "running"
	stateDone       = "done"
	stateRolledBack = "rolled_back"
	stateCanceled   = "canceled"
	stateFailed     = "failed"
)

// rollout is a release, and what its traffic is counted from.
type rollout struct {
	Release
	Status string    `json:"status,omitempty"` // the candidate's, while it runs
	Since  time.Time `json:"since"`            // the hour in which it started
	Draw   int       `json:"draw,omitempty"`   // which of its seeds the cohort is drawn with
	// What the candidate had in that hour before it started.
	RequestsBefore int64 `json:"requests_before,omitempty"`
	ErrorsBefore   int64 `json:"errors_before,omitempty"`
}

func (r *rollout) active() bool { return r.State == stateScheduled || r.State == stateRunning }

// rollout is what is remembered of a model's last release.
func (d *draft) rollout(model string) (*rollout, bool) {
	body, ok := d.after[id{kindRollout, model}]
	r := new(rollout)
	return r, ok && json.Unmarshal(body, r) == nil
}

func (d *draft) putRollout(r *rollout) error {
	body, err := wire.CanonicalJSON(r)
	d.put(kindRollout, r.Model, body)
	return err
}

// begin drafts the first step of a release.
func (c *Control) begin(ctx context.Context, d *draft, p *Promotion, actor string) (*rollout, error) {
	now := c.now()
	r := &rollout{Release: Release{Promotion: *p, From: d.production(p.Model), Started: now, Actor: actor},
		Status: d.status(p.Model, p.Version), Since: now.Truncate(time.Hour)}
	if r.From == "" {
		return nil, failf(CodeInvalid, "the model %q has no version in production to take over from; promote %s at once, without canary", p.Model, p.Version)
	}
	before, err := c.totalsOf(ctx, p.Model, p.Version, r.Since, now)
	if err != nil {
		return nil, err
	}
	r.RequestsBefore, r.ErrorsBefore = before.Requests, before.Errors
	if err := c.drawCohort(ctx, r); err != nil {
		return nil, err
	}
	return r, d.step(r, 0, now)
}

// step drafts a step of a release.
func (d *draft) step(r *rollout, step int, now time.Time) error {
	r.State, r.Step, r.Percent, r.Stepped = stateRunning, step, r.Canary.Steps[step], now
	body, err := wire.CanonicalJSON(wire.Release{Model: r.Model, Candidate: r.Version, Percent: r.Percent, Seed: r.seed()})
	if err != nil {
		return err
	}
	d.put(wire.KindRelease, r.Model, body)
	return d.putRollout(r)
}

// end drafts the end of a release. Nodes that had the candidate go back to the version in production.
func (d *draft) end(r *rollout, state, reason string, now time.Time) error {
	r.State, r.Reason, r.Stepped, r.Status = state, reason, now, ""
	if state != stateDone {
		r.Percent, d.back = 0, true
	}
	d.remove(wire.KindRelease, r.Model)
	return d.putRollout(r)
}

// checkUnderWay refuses what would pull the versions away from under a running release, and what would be no catalog on
// the nodes that have the candidate.
func (d *draft) checkUnderWay(k *call) error {
	there := &draft{state: d.state, after: maps.Clone(d.after)}
	running := false
	for i := range d.after {
		if i.kind != kindRollout {
			continue
		}
		r, ok := d.rollout(i.name)
		if !ok || r.State != stateRunning {
			continue
		}
		if d.status(r.Model, r.Version) != r.Status || d.production(r.Model) != r.From {
			return failf(CodeConflict, "a release of %s is running from %s; finish, cancel or roll it back before its versions change",
				wire.VersionName(r.Model, r.Version), r.From)
		}
		running = true
		if err := there.move(r.Model, r.Version, production); err != nil {
			return err
		}
	}
	if !running {
		return nil
	}
	_, err := read(k.name, there.resources(), k.at)
	if e, is := errors.AsType[*Error](err); is {
		e.Message = "the catalog has problems on nodes that a running release has reached"
	}
	return err
}

// Releases lists each model's release that is scheduled or running, or its last one.
func (c *Control) Releases(ctx context.Context) ([]Release, error) {
	s, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	d, all := s.draft(), []Release{}
	for _, model := range s.names(kindRollout) {
		r, ok := d.rollout(model)
		if !ok {
			continue
		}
		if r.State == stateRunning {
			if err := c.count(ctx, r); err != nil {
				return nil, err
			}
		}
		all = append(all, r.Release)
	}
	return all, nil
}

// count brings the figures of a running release up to date.
func (c *Control) count(ctx context.Context, r *rollout) error {
	t, err := c.totalsOf(ctx, r.Model, r.Version, r.Since, c.now())
	r.Requests, r.Errors = max(t.Requests-r.RequestsBefore, 0), max(t.Errors-r.ErrorsBefore, 0)
	return err
}

// CancelRelease ends a model's scheduled or running release: production stays what it was.
func (c *Control) CancelRelease(ctx context.Context, by By, model string) error {
	k := call{by: by, verb: "cancel", request: model}
	_, err := change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		r, ok := d.rollout(model)
		if !ok || !r.active() {
			return nil, failf(CodeNotFound, "the model %q has no release that is scheduled or running", model)
		}
		return d, d.end(r, stateCanceled, by.Reason, c.now())
	}, resultOnly)
	return err
}

// Run steps scheduled and canary releases until ctx is done, while this process has the lead of it.
func (c *Control) Run(ctx context.Context) error {
	tick := time.NewTicker(c.options.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		lead, ok, err := c.store.TryLead(ctx, "releases")
		if err != nil && ctx.Err() == nil {
			c.options.Log.Warn("cannot take the lead of releases", "error", err)
		}
		if err != nil || !ok {
			continue
		}
		c.lead(ctx, lead.Context(), tick)
		lead.Release()
	}
}

// lead steps releases at each tick until it has to stop or has lost the lead.
func (c *Control) lead(ctx, held context.Context, tick *time.Ticker) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(held, cancel)()
	for ctx.Err() == nil {
		if err := c.stepAll(ctx); err != nil && ctx.Err() == nil {
			c.options.Log.Error("cannot step the releases", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// stepAll looks at every release once.
func (c *Control) stepAll(ctx context.Context) error {
	var failures []error
	for after := ""; ; {
		page, err := c.store.List(ctx, kindRollout, after, maxPage)
		if err != nil {
			return err
		}
		for _, resource := range page {
			r := new(rollout)
			err := json.Unmarshal(resource.Body, r)
			if err == nil {
				err = c.look(ctx, r)
			}
			if err != nil {
				failures = append(failures, fmt.Errorf("the release of %q: %w", resource.Name, err))
			}
		}
		if len(page) < maxPage {
			return errors.Join(failures...)
		}
		after = page[maxPage-1].Name
	}
}

// What becomes of a running release.
type verdict int

const (
	wait verdict = iota
	forward
	finish
	back
)

// judge says what becomes of a running release, by what was seen since it started.
func (r *rollout) judge(now time.Time) verdict {
	enough := r.Requests >= r.Canary.MinRequests
	switch {
	case enough && rate(r.Errors, r.Requests) > r.Canary.MaxErrorRate:
		return back
	case !enough || now.Before(r.Stepped.Add(time.Duration(r.Canary.Every))):
		return wait
	case r.Step+1 < len(r.Canary.Steps):
		return forward
	}
	return finish
}

// look does what is due for a release.
func (c *Control) look(ctx context.Context, r *rollout) error {
	now := c.now()
	switch {
	case r.State == stateScheduled && !r.At.After(now):
		return c.due(ctx, r)
	case r.State != stateRunning:
		return nil
	}
	if err := c.count(ctx, r); err != nil {
		return err
	}
	switch r.judge(now) {
	case forward:
		step := r.Step + 1
		return c.turnTo(ctx, r, r.why("step %d, %g %% of nodes", step+1, r.Canary.Steps[step]), func(d *draft, r *rollout) error {
			return d.step(r, step, now)
		})
	case finish:
		return c.orFail(ctx, r, c.turnTo(ctx, r, r.why("to all nodes"), func(d *draft, r *rollout) error {
			r.Percent = 100
			if err := d.end(r, stateDone, "", now); err != nil {
				return err
			}
			return d.move(r.Model, r.Version, production)
		}))
	case back:
		reason := fmt.Sprintf("%.2f %% of %d requests failed, and %.2f %% are allowed", 100*rate(r.Errors, r.Requests), r.Requests, 100*r.Canary.MaxErrorRate)
		return c.turnTo(ctx, r, r.why("rolled back: %s", reason), func(d *draft, r *rollout) error {
			return d.end(r, stateRolledBack, reason, now)
		})
	}
	return nil
}

// due starts a scheduled promotion, behind all its gates.
func (c *Control) due(ctx context.Context, r *rollout) error {
	return c.orFail(ctx, r, c.turnTo(ctx, r, r.why("as scheduled"), func(d *draft, r *rollout) error {
		d.remove(kindRollout, r.Model) // from here on it is like any other promotion
		p := r.Promotion
		p.At = nil
		made, err := c.promote(ctx, d, &p, r.Actor)
		if err != nil || made.Release != nil {
			return err
		}
		r.Started, r.Percent = c.now(), 100
		return d.end(r, stateDone, "", c.now())
	}))
}

// orFail ends a release that cannot go on, and says why.
func (c *Control) orFail(ctx context.Context, r *rollout, err error) error {
	e, is := told(err).(*Error)
	if !is || e.Code == CodeConflict {
		return err
	}
	return c.turnTo(ctx, r, r.why("failed: %s", e.Message), func(d *draft, r *rollout) error {
		return d.end(r, stateFailed, e.Error(), c.now())
	})
}

// turnTo changes a release unless somebody else did since it was read.
func (c *Control) turnTo(ctx context.Context, r *rollout, reason string, draw func(d *draft, r *rollout) error) error {
	k := call{by: By{Actor: "origin for " + r.Actor, Reason: reason}, verb: "release"}
	_, err := change(ctx, c, k, func(s *state) (*draft, error) {
		d, drawn := s.draft(), *r
		is, ok := d.rollout(r.Model)
		if !ok || is.State != r.State || is.Step != r.Step || !is.Started.Equal(r.Started) {
			return d, nil
		}
		return d, draw(d, &drawn)
	}, resultOnly)
	if err == nil {
		c.options.Log.Info(reason, "model", r.Model, "version", r.Version)
	}
	return err
}
