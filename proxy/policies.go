package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/wire"
)

// Policies brings policies to life.
type Policies interface {
	// Load returns the program of a policy whose module has been read; the same one for the same module, config and
	// limits. isolation is "shared", "clean" or "fresh".
	Load(ctx context.Context, p *wire.Policy, hooks policy.Hook, isolation string) (Policy, error)
}

// Policy is a program in use. Release gives it back; it ends after its last use, when the calls under way have ended.
type Policy interface {
	policy.Program
	Release()
	Status() any // for /status
}

// maxPolicies is how many policies a model may have.
const maxPolicies = 16

// boundPolicy is a policy of a catalog with its program.
type boundPolicy struct {
	*wire.Policy
	program Policy
	hooks   policy.Hook // that the catalog binds
	deny    bool        // on_error
	headers []seenHeader

	tags    atomic.Pointer[map[string]*obs.Counter]
	calls   [hookKinds]*obs.Counter
	seconds [hookKinds]*obs.Histogram
}

// seenHeader is a header that a policy may see.
type seenHeader struct {
	name   []byte // as the view names it
	header string // as fasthttp keeps it
}

// The calls of a program, as metrics and explain name them.
const (
	onRequest = iota
	onResponse
	onChunk
	onDone
	hookKinds
)

var hookNames = [hookKinds]string{"request", "response", "chunk", "done"}

// chain is the policies of a model in the catalog's order.
type chain struct {
	policies []*boundPolicy
	hooks    policy.Hook
	use      *policyUse
}

// policyUse is a snapshot's hold on its programs. It is given up when the snapshot has been replaced for a while and
// the last request that uses a program has ended.
type policyUse struct {
	n        atomic.Int64
	released atomic.Bool // once: a request may have come later than any is waited for
	policies []*boundPolicy
}

func (u *policyUse) add() { u.n.Add(1) }

func (u *policyUse) done() {
	if u.n.Add(-1) == 0 && u.released.CompareAndSwap(false, true) {
		for _, p := range u.policies {
			p.program.Release()
		}
	}
}

// retireAfter is how long a replaced snapshot keeps its programs: a request that has just read the snapshot has not
// counted itself in yet.
const retireAfter = time.Second

// compilePolicies loads the policies of a catalog. If any cannot be loaded, none is held.
func (s *Server) compilePolicies(snap *Snapshot, c *wire.Catalog) error {
	snap.use = &policyUse{}
	snap.use.add()
	if len(c.Policies) == 0 {
		return nil
	}
	var problems []wire.Problem
	bound := map[string]*boundPolicy{}
	for i := range c.Policies {
		p, err := s.loadPolicy(c, &c.Policies[i])
		if err != nil {
			problems = append(problems, c.ProblemAt(fmt.Sprintf("policies[%d].module", i), err.Error()))
			continue
		}
		bound[p.Name] = p
		snap.use.policies = append(snap.use.policies, p)
	}
	snap.chains = map[string]*chain{}
	for i := range c.Models {
		m := &c.Models[i]
		if len(m.Policies) > maxPolicies {
			problems = append(problems, c.ProblemAt(fmt.Sprintf("models[%d].policies", i), fmt.Sprintf("a model may have %d policies", maxPolicies)))
		} else if len(m.Policies) > 0 && len(problems) == 0 {
			snap.chains[m.Name] = newChain(m.Policies, bound, snap.use)
		}
	}
	return c.AsError(problems)
}

func newChain(names []string, bound map[string]*boundPolicy, use *policyUse) *chain {
	c := &chain{use: use}
	for _, name := range names {
		p := bound[name]
		c.policies = append(c.policies, p)
		c.hooks |= p.hooks
	}
	return c
}

// sees says that the policy is bound to one of the hooks.
func (p *boundPolicy) sees(h policy.Hook) bool { return p.hooks&h != 0 }

func (s *Server) loadPolicy(c *wire.Catalog, p *wire.Policy) (*boundPolicy, error) {
	if s.o.Policies == nil {
		return nil, fmt.Errorf("this node runs no policies")
	}
	hooks, err := policy.ParseHooks(p.Hooks)
	if err != nil {
		return nil, err
	}
	isolation := p.Isolation
	if isolation == "" {
		isolation = isolationOf(c, p.Name)
	}
	program, err := s.o.Policies.Load(context.Background(), p, hooks, isolation)
	if err != nil {
		return nil, err
	}
	b := &boundPolicy{Policy: p, program: program, hooks: hooks, deny: p.OnError == "deny"}
	for _, h := range p.Headers {
		b.headers = append(b.headers, seenHeader{[]byte(h), h})
	}
	for k, name := range hookNames {
		b.calls[k] = s.metrics.policyCalls.With(p.Name, name)
		b.seconds[k] = s.metrics.policySeconds.With(p.Name, name)
	}
	return b, nil
}

// isolationOf is clean where keys of several tenants may use models with the policy, else shared.
func isolationOf(c *wire.Catalog, name string) string {
	tenant, found := "", false
	for i := range c.Models {
		if !slices.Contains(c.Models[i].Policies, name) {
			continue
		}
		for k := range c.Keys {
			if !slices.Contains(c.Keys[k].Models, c.Models[i].Name) && !slices.Contains(c.Keys[k].Models, "*") {
				continue
			}
			if found && c.Keys[k].Tenant != tenant {
				return "clean"
			}
			tenant, found = c.Keys[k].Tenant, true
		}
	}
	return "shared"
}

// chainOf is the policies of a version's model, or nil.
func (snap *Snapshot) chainOf(v *catalog.Version) *chain { return snap.chains[v.Model.Name] }

// retire gives up a replaced snapshot's programs after a while.
func (s *Server) retire(old *Snapshot) {
	if old.use == nil || len(old.use.policies) == 0 {
		return
	}
	s.retiring.Add(1)
	time.AfterFunc(retireAfter, func() {
		defer s.retiring.Done()
		old.use.done()
	})
}
