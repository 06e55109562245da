package wire

import (
	"maps"
	"slices"
	"strings"
)

// linker checks what the records of a catalog say about each other. Every record keeps its index even if it
// could not be read, so a path built from indices always points at it.
type linker struct {
	root      value
	catalog   *Catalog
	providers scope
	models    scope
	policies  scope
	prompts   scope
	keys      scope
	budgets   scope
	teams     scope
}

// scope is what names of one kind are defined: name → index of the first.
type scope map[string]int

// link reports duplicates, dangling references and contradictions.
func link(root value, c *Catalog) {
	l := &linker{root: root, catalog: c}
	l.define()
	for i := range c.Models {
		l.model(i, &c.Models[i])
	}
	l.fallbackCycles()
	for i := range c.Experiments {
		l.experiment(i, &c.Experiments[i])
	}
	l.running()
	l.layers()
	for i := range c.Prices {
		l.reference(l.providers, "provider", c.Prices[i].Provider, "prices", i, "provider")
	}
	for i := range c.Keys {
		l.key(i, &c.Keys[i])
	}
	for i := range c.Budgets {
		l.budget(i, &c.Budgets[i])
	}
	for i := range c.Rates {
		l.rate(i, &c.Rates[i])
	}
}

// define collects the names of every section and reports those given twice.
func (l *linker) define() {
	c := l.catalog
	l.providers = define(l.root, "providers", "name", c.Providers, func(p *Provider) string { return p.Name })
	l.models = define(l.root, "models", "name", c.Models, func(m *Model) string { return m.Name })
	l.policies = define(l.root, "policies", "name", c.Policies, func(p *Policy) string { return p.Name })
	l.prompts = define(l.root, "prompts", "version", c.Prompts, func(p *Prompt) string { return both(p.Name, "@", p.Version) })
	l.keys = define(l.root, "keys", "name", c.Keys, func(k *Key) string { return k.Name })
	l.budgets = define(l.root, "budgets", "name", c.Budgets, func(b *Budget) string { return b.Name })
	define(l.root, "keys", "id", c.Keys, func(k *Key) string { return k.ID })
	define(l.root, "experiments", "name", c.Experiments, func(e *Experiment) string { return e.Name })
	define(l.root, "prices", "model", c.Prices, func(p *Price) string { return both(p.Provider, "/", p.Model) + p.since() })
	define(l.root, "rates", "name", c.Rates, func(r *RateRule) string { return r.Name })
	webhooks := define(l.root, "webhooks", "name", c.Webhooks, func(w *Webhook) string { return w.Name })
	l.free("budgets", l.budgets, "status")
	l.free("webhooks", webhooks, "deliveries")
	l.teams = scope{}
	for i := range c.Keys {
		if team := c.Keys[i].Team; team != "" {
			l.teams[team] = i
		}
	}
	for i := range c.Providers {
		if strings.Contains(c.Providers[i].Name, "/") {
			l.root.locate("providers", i, "name").failf("a provider's name cannot hold a /: it ends the name in provider/model")
		}
	}
	for i := range c.Models {
		provider, _, direct := strings.Cut(c.Models[i].Name, "/")
		if _, is := l.providers[provider]; is && direct {
			l.root.locate("models", i, "name").failf("%s reads as a model of the provider %s; use another name", show(c.Models[i].Name), show(provider))
		}
	}
}

// free keeps a name that stands for something else where the origin's API has those of a section.
func (l *linker) free(section string, names scope, name string) {
	if i, is := names[name]; is {
		l.root.locate(section, i, "name").failf("%s stands for something else among the %s of the origin's API; use another name", show(name), section)
	}
}

// both joins two parts of a name, "" while one is missing.
func both(a, separator, b string) string {
	if a == "" || b == "" {
		return ""
	}
	return a + separator + b
}

// define collects the names of a list and reports those given twice at the field of the later one.
func define[T any](parent value, section, field string, items []T, name func(*T) string) scope {
	s := make(scope, len(items))
	for i := range items {
		n := name(&items[i])
		if n == "" {
			continue
		}
		if first, twice := s[n]; twice {
			line := parent.locate(section, first, field).node.Line
			parent.locate(section, i, field).failf("%s is defined twice in %s, first on line %d; each needs its own", show(n), section, line)
			continue
		}
		s[n] = i
	}
	return s
}

// reference reports a name that nothing of its kind has. Names that could not be read were reported before.
func (l *linker) reference(s scope, kind, name string, at ...any) {
	if _, ok := s[name]; !ok && name != "" {
		l.root.locate(at...).failf("there is no %s %s%s", kind, show(name), l.suggest(name, s))
	}
}

// suggest names the defined thing that was probably meant, as long as the report is short enough to be read.
func (l *linker) suggest(name string, s scope) string {
	if len(l.root.problems) > maxProblems {
		return ""
	}
	return suggest(name, slices.Sorted(maps.Keys(s)))
}

func (l *linker) model(i int, m *Model) {
	for k, policy := range m.Policies {
		l.reference(l.policies, "policy", policy, "models", i, "policies", k)
	}
	at := l.root.locate("models", i)
	define(at, "versions", "version", m.Versions, func(v *Version) string { n, _, _ := strings.Cut(v.Version, "+"); return n })
	production := ""
	for j := range m.Versions {
		v := &m.Versions[j]
		l.version(i, j, v)
		switch {
		case v.Status != "production":
		case production != "":
			at.locate("versions", j, "status").failf("the model %s has two versions in production, %s and %s; deprecate one", show(m.Name), production, v.Version)
		default:
			production = v.Version
		}
	}
}

func (l *linker) version(i, j int, v *Version) {
	at := l.root.locate("models", i, "versions", j)
	define(at, "targets", "name", v.Targets, func(t *Target) string { return t.Name })
	weights := make([]int, len(v.Targets))
	for k := range v.Targets {
		weights[k] = v.Targets[k].Weight
		l.reference(l.providers, "provider", v.Targets[k].Provider, "models", i, "versions", j, "targets", k, "provider")
	}
	checkWeights(at.locate("targets"), "targets", weights)
	l.reference(l.prompts, "prompt", v.Prompt, "models", i, "versions", j, "prompt")
	for k, ref := range v.Fallback {
		l.modelReference(ref, at.locate("fallback", k))
	}
}

// checkWeights reports weights that leave nothing to choose from.
func checkWeights(at value, what string, weights []int) {
	sum := 0
	for _, w := range weights {
		if w < 0 {
			return // reported where it stands
		}
		sum += w
	}
	if sum == 0 && len(weights) > 0 {
		at.failf("the weights of the %s add up to 0; at least one must be above 0", what)
	}
}

// modelReference resolves a reference such as support-bot@0.9.0 to indices of a model and a version. It reports
// one that means nothing and returns false.
func (l *linker) modelReference(ref string, at value) (model, version int, ok bool) {
	name, selector, versioned := strings.Cut(ref, "@")
	if ref == "" {
		return 0, 0, false
	}
	model, ok = l.models[name]
	if !ok {
		at.failf("there is no model %s%s", show(name), l.suggest(name, l.models))
		return 0, 0, false
	}
	m := &l.catalog.Models[model]
	version = m.resolve(selector)
	switch {
	case versioned && (selector == "" || version < 0):
		at.failf("the model %s has no version %s in use; it has %s", show(name), show(selector), m.versions())
		return 0, 0, false
	case version < 0:
		at.failf("the model %s has no version in production; write %s@VERSION", show(name), name)
		return 0, 0, false
	}
	return model, version, true
}

// versions lists the numbers of a model's versions.
func (m *Model) versions() words {
	all := make(words, len(m.Versions))
	for i := range m.Versions {
		all[i] = m.Versions[i].Version
		if m.Versions[i].Status == "archived" {
			all[i] += " (archived)"
		}
	}
	return all
}

func (l *linker) experiment(i int, e *Experiment) {
	at := l.root.locate("experiments", i)
	l.reference(l.models, "model", e.Model, "experiments", i, "model")
	define(at, "arms", "name", e.Arms, func(a *Arm) string { return a.Name })
	weights := make([]int, len(e.Arms))
	for k := range e.Arms {
		weights[k] = e.Arms[k].Weight
	}
	checkWeights(at.locate("arms"), "arms", weights)
	checkShares(at.locate("arms"), weights)
	model, known := l.models[e.Model]
	if !known {
		return
	}
	m := &l.catalog.Models[model]
	for k := range e.Arms {
		l.armVersion(m, e, &e.Arms[k], at.locate("arms", k, "version"))
	}
}

func (l *linker) armVersion(m *Model, e *Experiment, a *Arm, at value) {
	j := slices.IndexFunc(m.Versions, func(v Version) bool { return v.Version == a.Version })
	switch {
	case !isSemantic(a.Version): // reported where it was read
	case j < 0:
		at.failf("the model %s has no version %s; it has %s", show(m.Name), show(a.Version), m.versions())
	case m.Versions[j].Status == "archived" && e.Status == "running":
		at.failf("version %s of the model %s is archived; a running experiment cannot use it", a.Version, show(m.Name))
	}
}

// checkShares reports arms whose weight is too small to ever get a unit.
func checkShares(at value, weights []int) {
	for k, n := range sizes(weights) {
		if n == 0 && weights[k] > 0 {
			at.locate(k, "weight").failf("the weight is less than 1 in %d of all weights, so the arm would get nobody", Buckets)
		}
	}
}

// running reports running experiments that would both claim the units of one model.
func (l *linker) running() {
	first := map[string]*Experiment{}
	for i := range l.catalog.Experiments {
		e := &l.catalog.Experiments[i]
		if e.Status != "running" || e.Model == "" {
			continue
		}
		other := first[e.Model]
		if other == nil {
			first[e.Model] = e
			continue
		}
		if e.Layer == "" || e.Layer != other.Layer {
			l.root.locate("experiments", i, "status").failf("the experiments %s and %s both run on the model %s; put them into one layer or pause one", show(other.Name), show(e.Name), show(e.Model))
		}
	}
}

// layers reports layers whose experiments want more units than there are.
func (l *linker) layers() {
	sums := map[string]int{}
	for i := range l.catalog.Experiments {
		e := &l.catalog.Experiments[i]
		if e.Layer == "" {
			continue
		}
		before := sums[e.Layer]
		if sums[e.Layer] += e.Traffic; before <= 100 && sums[e.Layer] > 100 {
			l.root.locate("experiments", i, "traffic").failf("the experiments of the layer %s take %d %% of the units with this one; lower their traffic to 100 in all, or remove one", show(e.Layer), sums[e.Layer])
		}
	}
}

func (l *linker) key(i int, k *Key) {
	for j, model := range k.Models {
		if model != "*" {
			l.reference(l.models, "model", model, "keys", i, "models", j)
		}
	}
	for j, budget := range k.Budgets {
		l.reference(l.budgets, "budget", budget, "keys", i, "budgets", j)
	}
	for j, provider := range k.Passthrough {
		l.reference(l.providers, "provider", provider, "keys", i, "passthrough", j)
	}
}

func (l *linker) budget(i int, b *Budget) {
	l.matches(b.Scope, b.Match, "budgets", i)
	ref, is := Downgrade(b.OnExhausted)
	if !is {
		return
	}
	at := l.root.locate("budgets", i, "on_exhausted")
	model, _, known := l.modelReference(ref, at)
	if known && b.Scope == "model" && l.catalog.Models[model].Name == b.Match {
		at.failf("%s is the model that the budget limits; downgrade to another, or use deny", show(b.Match))
	}
}

func (l *linker) rate(i int, r *RateRule) {
	l.matches(r.Scope, r.Match, "rates", i)
	if r.Match == "" && r.Scope != "total" && r.Scope != "" {
		l.root.locate("rates", i, "scope").failf("the rule matches no %s; name one in match, or use the scope total", r.Scope)
	}
	if strings.HasPrefix(r.Name, "key/") {
		l.root.locate("rates", i, "name").failf("names with key/ are those of keys' own limits; use another")
	}
}

// matches looks at what a budget or a rate rule is for.
func (l *linker) matches(kind, match, section string, i int) {
	s := map[string]scope{"key": l.keys, "team": l.teams, "model": l.models, "provider": l.providers}[kind]
	switch {
	case kind == "": // reported where it was read
		return
	case match != "" && s == nil:
		l.root.locate(section, i, "match").failf("the scope total matches everything; remove match")
		return
	}
	l.reference(s, kind, match, section, i, "match")
}
