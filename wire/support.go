package wire

import (
	"fmt"
	"strings"
)

// Support is what a build of the node does with a catalog. The zero value does nothing beyond serving targets.
type Support struct {
	Policies, Prompts, Budgets, Rates, Resume  bool
	Webhooks                                   bool // tells what happens
	ActiveHealth                               bool // probes providers
	OriginSecrets                              bool // resolves origin:NAME
	Guardrails, Capabilities                   bool
	Dialects, Strategies, Balances, CacheModes map[string]bool // the words that work; CacheModes needs no "off"
}

// pointedAt are the fields whose places a catalog remembers.
var pointedAt = map[string]bool{
	"dialect": true, "api_key": true, "health": true, "capabilities": true, "resume": true, "mode": true,
	"policies": true, "prompts": true, "budgets": true, "strategy": true, "balance": true, "prompt": true,
	"guardrails": true, "rate": true, "rates": true, "webhooks": true, "module": true, "prices": true,
}

// CheckSupported tells, as *Problems, what a catalog asks for that a build does not do: it must not look as if
// it worked.
func (c *Catalog) CheckSupported(s Support) error {
	r := &supportReport{catalog: c}
	r.section(s.Policies, len(c.Policies), "policies", "run policies")
	r.section(s.Prompts, len(c.Prompts), "prompts", "render prompts")
	r.section(s.Budgets, len(c.Budgets), "budgets", "enforce budgets")
	r.section(s.Rates, len(c.Rates), "rates", "limit rates")
	if !s.Webhooks && len(c.Webhooks) > 0 {
		r.add("webhooks", "a node does not deliver to webhooks, only an origin does; put the section there, and remove it here")
	}
	for i := range c.Providers {
		r.provider(&s, &c.Providers[i], fmt.Sprintf("providers[%d]", i))
	}
	for i := range c.Models {
		r.model(&s, &c.Models[i], fmt.Sprintf("models[%d]", i))
	}
	for i := range c.Experiments {
		r.lacks(!s.Guardrails && len(c.Experiments[i].Guardrails) > 0, fmt.Sprintf("experiments[%d].guardrails", i), "act on guardrails")
	}
	for i := range c.Keys {
		k, path := &c.Keys[i], fmt.Sprintf("keys[%d]", i)
		r.lacks(!s.Rates && k.Rate != nil, path+".rate", "limit rates")
		r.lacks(!s.Budgets && len(k.Budgets) > 0, path+".budgets", "enforce budgets")
	}
	return problemsOf(c.name, r.problems)
}

type supportReport struct {
	catalog  *Catalog
	problems []Problem
}

func (r *supportReport) provider(s *Support, p *Provider, path string) {
	r.word(s.Dialects, p.Dialect, path+".dialect", "speak the dialect")
	r.lacks(!s.OriginSecrets && strings.HasPrefix(p.APIKey, "origin:"), path+".api_key", "take secrets from an origin")
	r.lacks(!s.ActiveHealth && p.Health.Interval > 0, path+".health", "probe providers")
	r.lacks(!s.Capabilities && p.Capabilities != Capabilities{}, path+".capabilities", "choose by capabilities")
}

func (r *supportReport) model(s *Support, m *Model, path string) {
	if m.Cache.Mode != "off" {
		r.word(s.CacheModes, m.Cache.Mode, path+".cache.mode", "cache in the mode")
	}
	r.lacks(!s.Resume && m.Resume > 0, path+".resume", "resume streams")
	r.lacks(!s.Policies && len(m.Policies) > 0, path+".policies", "run policies")
	for j := range m.Versions {
		v, path := &m.Versions[j], fmt.Sprintf("%s.versions[%d]", path, j)
		r.word(s.Strategies, v.Strategy, path+".strategy", "route by the strategy")
		r.word(s.Balances, v.Balance, path+".balance", "balance by")
		r.lacks(!s.Prompts && v.Prompt != "", path+".prompt", "render prompts")
		for k := range v.Targets {
			lacks := !s.Capabilities && v.Targets[k].Capabilities != Capabilities{}
			r.lacks(lacks, fmt.Sprintf("%s.targets[%d].capabilities", path, k), "choose by capabilities")
		}
	}
}

func (r *supportReport) section(supported bool, items int, path, verb string) {
	if !supported && items > 0 {
		r.add(path, "this build of wedge does not %s yet; remove the section", verb)
	}
}

func (r *supportReport) lacks(lacks bool, path, verb string) {
	if lacks {
		r.add(path, "this build of wedge does not %s yet; remove the field", verb)
	}
}

func (r *supportReport) word(supported map[string]bool, word, path, verb string) {
	if !supported[word] {
		r.add(path, "this build of wedge does not %s %s yet; use another", verb, word)
	}
}

func (r *supportReport) add(path, format string, args ...any) {
	r.problems = append(r.problems, r.catalog.ProblemAt(path, fmt.Sprintf(format, args...)))
}

// ProblemAt is a problem where the field of the path stands, or where the record stands that got it by default.
func (c *Catalog) ProblemAt(path, message string) Problem {
	at := mark{1, 1}
	for p := path; p != ""; p = p[:max(strings.LastIndexAny(p, ".["), 0)] {
		if m, ok := c.marks[p]; ok {
			at = m
			break
		}
	}
	return Problem{at.line, at.column, path, message}
}

// AsError tells all problems of the catalog, as *Problems; nil without any.
func (c *Catalog) AsError(list []Problem) error { return problemsOf(c.name, list) }
