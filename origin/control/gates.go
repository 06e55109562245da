package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// probe is a look at something that takes a while.
type probe struct {
	gate string
	key  string // what it looks at: what was found of it before, is not looked for again
	look func(ctx context.Context) error
}

const (
	probeTime  = 5 * time.Second
	maxPolicy  = time.Minute // of compiling a module and trying its cases
	probesOnce = 8
)

// probeAll looks at everything, several things at a time, and notes what was found.
func probeAll(ctx context.Context, probes []probe, known map[string]error) error {
	var mu sync.Mutex
	var running sync.WaitGroup
	slots := make(chan struct{}, probesOnce)
	for _, p := range probes {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			err := p.look(ctx)
			mu.Lock()
			defer mu.Unlock()
			known[p.key] = err
		})
	}
	running.Wait()
	return ctx.Err()
}

// judge tells what each gate finds of a draft, or which probes it still needs. Where a gate is shut, all are told.
func (c *Control) judge(d *draft, k *call) (gates []Gate, missing []probe, err error) {
	x, err := c.check(d, k)
	if err != nil {
		return nil, nil, d.shut(err)
	}
	if err := d.checkLife(d.changed()); err != nil {
		return nil, nil, err
	}
	gates = []Gate{{Name: GateCatalog, Passed: true}, {Name: GateLifecycle, Passed: true}}
	failed := false
	for _, gate := range []struct {
		name   string
		probes []probe
	}{{GateTargets, c.targetProbes(d, x)}, {GatePolicies, c.policyProbes(d, x)}, {GateTraffic, c.trafficProbes(d)}} {
		skipped := slices.Contains(d.skip, gate.name)
		if skipped || len(gate.probes) == 0 {
			if d.all {
				gates = append(gates, Gate{Name: gate.name, Passed: true, Skipped: true})
			}
			continue
		}
		found, open := findings(gate.name, gate.probes, k.known)
		missing = append(missing, open...)
		gates, failed = append(gates, found), failed || !found.Passed
	}
	if failed && len(missing) == 0 {
		err = &Error{Code: CodeGate, Message: "a gate is shut, nothing was changed", Gates: gates}
	}
	return gates, missing, err
}

// shut makes a catalog with problems the catalog's gate that is shut, where gates are what was asked for.
func (d *draft) shut(err error) error {
	e, is := errors.AsType[*Error](err)
	if !is || e.Code != CodeInvalid || !d.all {
		return err
	}
	return &Error{Code: CodeGate, Message: "a gate is shut, nothing was changed", Problems: e.Problems,
		Gates: []Gate{{Name: GateCatalog, Message: e.Message}}}
}

// findings sums up what probes of a gate found, and lists those that have not looked yet.
func findings(name string, probes []probe, known map[string]error) (Gate, []probe) {
	var open []probe
	var messages []string
	for _, p := range probes {
		err, looked := known[p.key]
		switch {
		case !looked:
			open = append(open, p)
		case err != nil:
			messages = append(messages, err.Error())
		}
	}
	return Gate{Name: name, Passed: len(messages) == 0, Message: strings.Join(messages, "; ")}, open
}

// targetProbes ask the providers of the version whose targets have to answer.
func (c *Control) targetProbes(d *draft, x *catalogs) (probes []probe) {
	v := x.version(d.reach)
	if v == nil {
		return nil
	}
	var seen []string
	for i := range v.Targets {
		p := x.provider(v.Targets[i].Provider)
		if p == nil || slices.Contains(seen, p.Name) {
			continue
		}
		seen = append(seen, p.Name)
		probes = append(probes, probe{GateTargets, GateTargets + p.Name + p.BaseURL, func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, probeTime)
			defer cancel()
			if err := c.options.Reach(ctx, p); err != nil {
				return fmt.Errorf("the provider %q does not answer at %s: %w", p.Name, p.BaseURL, err)
			}
			return nil
		}})
	}
	return probes
}

// reach asks a provider for anything: whatever it answers, it is there.
func reach(ctx context.Context, p *wire.Provider) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.BaseURL+"/models", nil)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 1<<10)
	return answer.Body.Close()
}

// policyProbes try the policies that change, and those of the model whose policies have to pass.
func (c *Control) policyProbes(d *draft, x *catalogs) (probes []probe) {
	if c.options.CheckPolicy == nil {
		return nil
	}
	var names []string
	if m := x.models[d.policies]; m != nil {
		names = append(names, m.Policies...)
	}
	for _, i := range d.changed() {
		if i.kind == wire.KindPolicy {
			names = append(names, i.name)
		}
	}
	slices.Sort(names)
	for i := range x.Policies {
		p := &x.Policies[i]
		if !slices.Contains(names, p.Name) {
			continue
		}
		body := d.after[id{wire.KindPolicy, p.Name}]
		probes = append(probes, probe{GatePolicies, GatePolicies + string(body), func(ctx context.Context) error {
			if err := c.tryPolicy(ctx, p); err != nil {
				return fmt.Errorf("the policy %q: %w", p.Name, err)
			}
			return nil
		}})
	}
	return probes
}

func (c *Control) tryPolicy(ctx context.Context, p *wire.Policy) error {
	ctx, cancel := context.WithTimeout(ctx, maxPolicy)
	defer cancel()
	module, err := c.blob(ctx, p.Module)
	if err != nil {
		return err
	}
	var cases []byte
	if p.Cases != "" {
		if cases, err = c.blob(ctx, p.Cases); err != nil {
			return err
		}
	}
	return c.options.CheckPolicy(ctx, p, module, cases)
}

// blob reads a whole blob.
func (c *Control) blob(ctx context.Context, digest string) ([]byte, error) {
	b, err := c.store.OpenBlob(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("%w; upload it first", err)
	}
	return io.ReadAll(b)
}

// trafficProbes compare what nodes reported with what a promotion asks for.
func (c *Control) trafficProbes(d *draft) []probe {
	p := d.traffic
	if p == nil || p.MinRequests == 0 && p.MaxErrorRate == 0 {
		return nil
	}
	return []probe{{GateTraffic, GateTraffic, func(ctx context.Context) error {
		now := c.now()
		t, err := c.totalsOf(ctx, p.Model, p.Version, now.Add(-time.Duration(p.Window)), now)
		switch {
		case err != nil:
			return err
		case t.Requests < p.MinRequests:
			return fmt.Errorf("%d requests were seen in the last %s, and %d are asked for", t.Requests, time.Duration(p.Window), p.MinRequests)
		case p.MaxErrorRate > 0 && rate(t.Errors, t.Requests) > p.MaxErrorRate:
			return fmt.Errorf("%.2f %% of %d requests failed, and %.2f %% are allowed",
				100*rate(t.Errors, t.Requests), t.Requests, 100*p.MaxErrorRate)
		}
		return nil
	}}}
}

// rate is errors per request, 0 without requests.
func rate(errors, requests int64) float64 {
	if requests == 0 {
		return 0
	}
	return float64(errors) / float64(requests)
}
