package proxy

import (
	"errors"
	"fmt"
	"time"

	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/rate"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/upstream"
	"github.com/wedge-proxy/wedge/wire"
)

// Snapshot is a catalog compiled for the request path. It is immutable; a request reads one snapshot, once.
type Snapshot struct {
	Digest string
	Loaded time.Time

	table      *catalog.Table
	principals map[string]*principal // by the key's public part
	versions   []*version            // by catalog.Version.Index
	providers  map[string]*provider
	prices     *price.Table
	catalog    *wire.Catalog
	chains     map[string]*chain // by model
	use        *policyUse
}

// principal is who a virtual key stands for.
type principal struct {
	*wire.Key
	all                        bool // models: ["*"]
	models                     map[string]bool
	arm, direct, nonproduction bool
	passthrough                map[string]bool
	accounts                   []*budget.Account // of its own budgets, its team's and the total ones
	payers                     [8]byte           // a digest of the accounts' names
	limits                     []*rate.Limit     // likewise
}

// allows says whether the key may use a model.
func (p *principal) allows(model string) bool { return p.all || p.models[model] }

// version is a version as requests use it.
type version struct {
	*catalog.Version
	label    string // the model in metrics: a client's own words never become a label
	set      *route.Set
	targets  []target
	edits    [dialect.Ops]*request.Edits
	nested   [dialect.Ops][]nestedSet
	caching  bool
	fallback []*version
	attempts int
	backoff  time.Duration
	repeat   bool // a target may be tried again

	forceStore, fillStore string // the JSON that the version sets for store, or ""
	handles               handles

	accounts              []*budget.Account // of the model's budgets
	limits                []*rate.Limit     // likewise
	forceLimit, fillLimit int64             // of an answer's tokens, as the version sets it; 0: it does not
}

// target is a target as requests use it.
type target struct {
	*wire.Target
	provider *provider
	live     *route.Target
	model    []byte // the upstream's name of the model, as JSON
	price    *price.Price
	timeout  time.Duration
	hides    bool // it reasons without showing it, by its name
}

const (
	defaultTimeout  = 2 * time.Minute // for the first byte, and between two chunks
	defaultAttempts = 3
)

// Support says which of a catalog's features this build of a node enforces.
var Support = wire.Support{
	ActiveHealth: true, Capabilities: true, // capabilities inform strategies that are refused by name
	Policies: true, Budgets: true, Rates: true, Resume: true,
	Dialects:   map[string]bool{"openai": true, "anthropic": true, "gemini": true},
	Strategies: map[string]bool{"weighted": true},
	Balances:   map[string]bool{"weighted": true},
	CacheModes: map[string]bool{"off": true, "exact": true},
}

// compile builds the snapshot of a valid catalog. It changes nothing but the pools of live state, which only grow.
func (s *Server) compile(c *wire.Catalog, now time.Time) (*Snapshot, error) {
	support := Support
	support.OriginSecrets = s.o.FromOrigin
	support.Budgets = s.o.Budgets != nil
	if err := c.CheckSupported(support); err != nil {
		return nil, err
	}
	snap := &Snapshot{
		Digest: c.Digest(), Loaded: now, catalog: c, table: catalog.Compile(c),
		principals: make(map[string]*principal, len(c.Keys)),
		providers:  make(map[string]*provider, len(c.Providers)),
		prices:     price.New(c),
	}
	var faults []error
	for i := range c.Providers {
		p, err := s.compileProvider(&c.Providers[i])
		if err != nil {
			faults = append(faults, err)
			continue
		}
		snap.providers[p.Name] = p
	}
	for i := range c.Keys {
		snap.principals[c.Keys[i].ID] = compileKey(&c.Keys[i])
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	for _, m := range snap.table.Models() {
		for _, v := range m.Versions {
			compiled, err := s.compileVersion(snap, v)
			if err != nil {
				faults = append(faults, fmt.Errorf("model %s, version %s: %w", m.Name, v.Version.Version, err))
			}
			snap.versions = append(snap.versions, compiled)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	snap.sortVersions()
	snap.linkFallbacks()
	if err := s.compilePolicies(snap, c); err != nil {
		snap.use.done()
		return nil, err
	}
	return snap, nil
}

// sortVersions puts the versions where their index says: the table lists models by name, indexes follow the catalog.
func (snap *Snapshot) sortVersions() {
	sorted := make([]*version, len(snap.versions))
	for _, v := range snap.versions {
		sorted[v.Index] = v
	}
	snap.versions = sorted
}

func (snap *Snapshot) linkFallbacks() {
	for _, v := range snap.versions {
		for _, ref := range v.Fallback {
			name, rest := catalog.Split([]byte(ref))
			m := snap.table.Model(name)
			if m == nil {
				continue // refused by wire before
			}
			to := m.Production()
			if rest != nil {
				to, _ = m.Version(rest, true)
			}
			if to != nil {
				v.fallback = append(v.fallback, snap.versions[to.Index])
			}
		}
	}
}

func compileKey(k *wire.Key) *principal {
	p := &principal{Key: k, models: map[string]bool{}, passthrough: map[string]bool{}}
	for _, m := range k.Models {
		p.all = p.all || m == "*"
		p.models[m] = true
	}
	for _, name := range k.Passthrough {
		p.passthrough[name] = true
	}
	for _, right := range k.May {
		switch right {
		case "arm":
			p.arm = true
		case "direct":
			p.direct = true
		case "nonproduction":
			p.nonproduction = true
		}
	}
	p.nonproduction = p.nonproduction || p.all
	return p
}

func (s *Server) compileVersion(snap *Snapshot, v *catalog.Version) (*version, error) {
	c := &version{Version: v, label: v.Model.Name, caching: v.Model.Cache.Mode == "exact"}
	var err error
	if c.forceStore, err = storeOf(v.Force); err != nil {
		return c, err
	}
	if c.fillStore, err = storeOf(v.Params); err != nil {
		return c, err
	}
	if err := s.compileEdits(c); err != nil {
		return c, err
	}
	c.forceLimit, c.fillLimit = limitOf(v.Force), limitOf(v.Params)
	live, weights := make([]*route.Target, 0, len(v.Targets)), make([]int, 0, len(v.Targets))
	if len(v.Targets) > route.MaxTargets {
		return c, fmt.Errorf("%d targets are more than the %d that a version may have", len(v.Targets), route.MaxTargets)
	}
	for i := range v.Targets {
		t := s.compileTarget(snap, &v.Targets[i], s.live.Get(targetKey(snap.providers[v.Targets[i].Provider], &v.Targets[i])))
		c.targets = append(c.targets, t)
		live, weights = append(live, t.live), append(weights, t.Weight)
	}
	c.set = route.NewSet(live, weights)
	c.attempts, c.backoff, c.repeat = v.Retry.Attempts, v.Retry.Backoff, v.Retry.Attempts > 0
	if c.attempts == 0 {
		c.attempts = min(len(c.targets), defaultAttempts)
	}
	if c.backoff == 0 {
		c.backoff = 100 * time.Millisecond
	}
	return c, nil
}

func (s *Server) compileTarget(snap *Snapshot, t *wire.Target, live *route.Target) target {
	p := snap.providers[t.Provider]
	c := target{
		Target: t, provider: p, timeout: t.Timeout, live: live,
		model: request.AppendString(nil, t.Model),
		price: snap.prices.Of(p.Provider, t.Model), hides: reasons(t.Model),
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	return c
}

func targetKey(p *provider, t *wire.Target) string {
	return p.Name + "\x00" + p.BaseURL + "\x00" + t.Model
}

// directVersion stands for a provider's own model, for a key that may name it.
func (s *Server) directVersion(snap *Snapshot, p *provider, model string) *version {
	w := &wire.Version{Version: "direct", Targets: []wire.Target{{Provider: p.Name, Model: model, Name: p.Name, Weight: 1}}}
	m := &catalog.Model{Model: &wire.Model{Name: p.Name + "/" + model, Unit: "request", Cache: wire.CacheRule{Mode: "off"}}}
	v := &version{Version: &catalog.Version{Version: w, Model: m}, label: p.Name + "/*", attempts: 1}
	_ = s.compileEdits(v)                                        // there are none
	t := s.compileTarget(snap, &w.Targets[0], new(route.Target)) // a client's word makes no live state
	v.targets, v.set = []target{t}, route.NewSet([]*route.Target{t.live}, []int{1})
	return v
}

// endpoint returns the live endpoint of a provider: the same for every snapshot that names it alike.
func (s *Server) endpoint(p *wire.Provider) (*upstream.Endpoint, error) {
	s.endpointsMu.Lock()
	defer s.endpointsMu.Unlock()
	key := endpointKey(p)
	if e := s.endpoints[key]; e != nil {
		return e, nil
	}
	e, err := upstream.NewEndpoint(upstream.Options{BaseURL: p.BaseURL, MaxConns: p.Limits.Connections})
	if err == nil {
		s.endpoints[key] = e
	}
	return e, err
}

func endpointKey(p *wire.Provider) string {
	return fmt.Sprintf("%s\x00%s\x00%d", p.Name, p.BaseURL, p.Limits.Connections)
}

// retain lets go what no snapshot names any more; requests under way keep what they hold.
func (s *Server) retain(snap *Snapshot) {
	endpoints, targets, providers := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range snap.providers {
		endpoints[endpointKey(p.Provider)] = true
		providers[p.Name] = true
	}
	for _, v := range snap.versions {
		for i := range v.targets {
			targets[targetKey(v.targets[i].provider, v.targets[i].Target)] = true
		}
	}
	s.endpointsMu.Lock()
	for key, e := range s.endpoints {
		if !endpoints[key] {
			e.Close()
			delete(s.endpoints, key)
		}
	}
	s.endpointsMu.Unlock()
	s.live.Retain(targets, providers)
}

// operations are the paths of the operations that a node reads, below /v1/.
var operations = map[string]dialect.Op{
	"chat/completions":      dialect.OpChat,
	"responses":             dialect.OpResponses,
	"completions":           dialect.OpCompletions,
	"embeddings":            dialect.OpEmbeddings,
	"messages":              dialect.OpMessages,
	"messages/count_tokens": dialect.OpCountTokens,
}
