package wire

import (
	"math"
	"slices"
	"strings"
	"time"
)

// The words of the catalog's closed lists.
var (
	sections   = []string{"providers", "models", "experiments", "policies", "prompts", "prices", "keys", "budgets", "rates", "webhooks"}
	dialects   = []string{"openai", "anthropic", "gemini"}
	auths      = []string{"bearer", "x-api-key", "x-goog-api-key", "api-key", "query"}
	units      = []string{"user", "session", "key", "request"}
	cacheModes = []string{"off", "exact", "prefix", "semantic"}
	scopes     = []string{"key", "user", "shared"}
	statuses   = []string{"development", "staging", "production", "deprecated", "archived"}
	strategies = []string{"weighted", "performance", "cost", "geographic", "capability"}
	balances   = []string{"round_robin", "weighted", "least_connections", "least_latency", "p2c"}
	phases     = []string{"draft", "running", "paused", "concluded"}
	metrics    = []string{"response_time", "ttft", "cost", "success", "satisfaction"}
	hooks      = []string{"route", "prompt", "response", "chunk", "done"}
	rights     = []string{"arm", "direct", "nonproduction"}
	spans      = []string{"daily", "weekly", "monthly", "quarterly", "total", "rolling-24h"} // and rolling-Nh for other hours
	levels     = []string{"key", "team", "model", "provider", "total"}
	rated      = []string{"key", "team", "model", "total"}
)

const (
	maxWeight = 1_000_000_000
	maxUSD    = math.MaxInt64 / 10 // nano-USD
	maxPrice  = 1e12               // pico-USD per token: a million USD per million tokens
	// maxOffline bounds for how many coming periods nodes get leases.
	maxOffline = 366 * 24 * time.Hour
)

// ParseCatalog reads a catalog in YAML or JSON; name is what problems call it, such as a file's path. It fills in
// the defaults. A catalog with any fault is refused with *Problems, which lists all of them in the order of the file.
func ParseCatalog(name string, data []byte) (*Catalog, error) { return parseCatalog(name, data, link) }

// ParseEntries is ParseCatalog for a part of a catalog: what the entries name need not be there.
func ParseEntries(name string, data []byte) (*Catalog, error) {
	return parseCatalog(name, data, func(value, *Catalog) {})
}

func parseCatalog(name string, data []byte, link func(value, *Catalog)) (*Catalog, error) {
	root, problem := parseYAML(data)
	if problem != nil {
		return nil, problemsOf(name, []Problem{*problem})
	}
	d := &decoder{left: 3*len(data) + 1<<20, marks: map[string]mark{}}
	v := d.at(root, "")
	c := readCatalog(v)
	if d.left >= 0 {
		link(v, c)
	}
	if err := problemsOf(name, d.problems); err != nil {
		return nil, err
	}
	c.name, c.marks = name, d.marks
	return c, nil
}

func readCatalog(v value) *Catalog {
	var c Catalog
	v.record(
		may("providers", list(&c.Providers, 0, readProvider)),
		may("models", list(&c.Models, 0, readModel)),
		may("experiments", list(&c.Experiments, 0, readExperiment)),
		may("policies", list(&c.Policies, 0, readPolicy)),
		may("prompts", list(&c.Prompts, 0, readPrompt)),
		may("prices", list(&c.Prices, 0, readPrice)),
		may("keys", list(&c.Keys, 0, readKey)),
		may("budgets", list(&c.Budgets, 0, readBudget)),
		may("rates", list(&c.Rates, 0, readRateRule)),
		may("webhooks", list(&c.Webhooks, 0, readWebhook)),
	)
	return &c
}

func readProvider(v value) (p Provider) {
	v.record(
		need("name", name(&p.Name)),
		need("dialect", oneOf(&p.Dialect, dialects...)),
		need("base_url", baseURL(&p.BaseURL)),
		may("api_key", secretRef(&p.APIKey)),
		may("auth", oneOf(&p.Auth, auths...)),
		may("headers", headers(&p.Headers)),
		may("azure_api_version", azureVersion(&p)),
		may("responses", func(v value) {
			has := true
			boolean(&has)(v)
			p.NoResponses = !has
		}),
		may("prices", text(&p.Prices)),
		may("region", text(&p.Region)),
		may("health", into(&p.Health, readHealth)),
		may("limits", into(&p.Limits, readLimits)),
		may("capabilities", into(&p.Capabilities, readCapabilities)),
	)
	return p
}

func readHealth(v value) Health {
	h := Health{Path: "/models"}
	v.record(
		need("interval", duration(&h.Interval, 10*time.Millisecond)),
		may("path", urlPath(&h.Path)),
	)
	return h
}

func readLimits(v value) (l Limits) {
	v.record(
		may("connections", integer(&l.Connections, 1, 1_000_000)),
		may("in_flight", integer(&l.InFlight, 1, 1_000_000)),
	)
	return l
}

func readCapabilities(v value) (c Capabilities) {
	v.record(
		may("tools", knownBoolean(&c.Tools)),
		may("vision", knownBoolean(&c.Vision)),
		may("context", integer(&c.Context, 1, math.MaxInt32)),
	)
	return c
}

func readModel(v value) Model {
	m := Model{Unit: "user", Cache: CacheRule{Mode: "off", TTL: time.Hour, Scope: "key"}}
	v.record(
		need("name", name(&m.Name)),
		may("unit", oneOf(&m.Unit, units...)),
		may("cache", func(v value) { readCache(v, &m.Cache) }),
		may("resume", duration(&m.Resume, 0)),
		may("strict", boolean(&m.Strict)),
		may("policies", set(&m.Policies, 0, named)),
		need("versions", list(&m.Versions, 1, readVersion)),
	)
	return m
}

func readCache(v value, c *CacheRule) {
	v.record(
		may("mode", oneOf(&c.Mode, cacheModes...)),
		may("ttl", duration(&c.TTL, time.Millisecond)),
		may("scope", oneOf(&c.Scope, scopes...)),
	)
}

func readVersion(v value) Version {
	x := Version{Status: "development", Strategy: "weighted"}
	v.record(
		need("version", semantic(&x.Version)),
		may("status", oneOf(&x.Status, statuses...)),
		may("strategy", oneOf(&x.Strategy, strategies...)),
		may("balance", oneOf(&x.Balance, balances...)),
		need("targets", list(&x.Targets, 1, readTarget)),
		may("params", params(&x.Params)),
		may("force", params(&x.Force)),
		may("prompt", text(&x.Prompt)),
		may("fallback", set(&x.Fallback, 0, reference)),
		may("retry", into(&x.Retry, readRetry)),
	)
	if x.Balance == "" {
		x.Balance = defaultBalance(x.Strategy)
	}
	return x
}

func defaultBalance(strategy string) string {
	if strategy == "weighted" {
		return "weighted"
	}
	return "p2c"
}

// reference is one reference to a model, with or without @VERSION.
func reference(v value) string {
	var s string
	text(&s)(v)
	return s
}

func readTarget(v value) Target {
	t := Target{Weight: 1}
	v.record(
		need("provider", name(&t.Provider)),
		need("model", text(&t.Model)),
		may("weight", integer(&t.Weight, 0, maxWeight)),
		may("name", name(&t.Name)),
		may("timeout", duration(&t.Timeout, time.Millisecond)),
		may("capabilities", into(&t.Capabilities, readCapabilities)),
	)
	if t.Name == "" {
		t.Name = t.Provider
	}
	return t
}

func readRetry(v value) (r Retry) {
	v.record(
		may("attempts", integer(&r.Attempts, 1, 100)),
		may("backoff", duration(&r.Backoff, time.Microsecond)),
	)
	return r
}

func readExperiment(v value) Experiment {
	e := Experiment{Status: "draft", Traffic: 100, Primary: "response_time"}
	v.record(
		need("name", name(&e.Name)),
		need("model", name(&e.Model)),
		may("status", oneOf(&e.Status, phases...)),
		may("seed", text(&e.Seed)),
		may("layer", name(&e.Layer)),
		may("traffic", integer(&e.Traffic, 0, 100)),
		need("arms", list(&e.Arms, 2, readArm)),
		may("primary", oneOf(&e.Primary, metrics...)),
		may("guardrails", list(&e.Guardrails, 0, readGuardrail)),
	)
	if e.Seed == "" {
		e.Seed = DefaultSeed(e.Name)
	}
	return e
}

func readArm(v value) Arm {
	a := Arm{Weight: 1}
	v.record(
		need("name", name(&a.Name)),
		need("version", semantic(&a.Version)),
		may("weight", integer(&a.Weight, 0, maxWeight)),
	)
	return a
}

func readGuardrail(v value) (g Guardrail) {
	v.record(
		need("metric", oneOf(&g.Metric, metrics...)),
		need("worse_than", percent(&g.WorseThan)),
	)
	return g
}

func readPolicy(v value) Policy {
	p := Policy{Memory: 16 << 20, Time: 2 * time.Millisecond, OnError: "continue"}
	v.record(
		need("name", name(&p.Name)),
		need("module", module(&p.Module, "a module")),
		may("cases", module(&p.Cases, "a policy's cases")),
		need("hooks", set(&p.Hooks, 1, wordOf(hooks...))),
		may("headers", set(&p.Headers, 0, header)),
		may("isolation", oneOf(&p.Isolation, "shared", "clean", "fresh")),
		may("config", object(&p.Config)),
		may("limits", func(v value) {
			v.record(
				may("memory", size(&p.Memory, 64<<10, 1<<30)),
				may("time", duration(&p.Time, time.Microsecond)),
			)
		}),
		may("on_error", oneOf(&p.OnError, "continue", "deny")),
	)
	return p
}

func readPrompt(v value) Prompt {
	p := Prompt{Role: "system"}
	v.record(
		need("name", name(&p.Name)),
		need("version", semantic(&p.Version)),
		may("role", oneOf(&p.Role, "system", "developer", "user", "assistant")),
		need("template", template(&p.Template)),
	)
	return p
}

func readPrice(v value) Price {
	p, before := Price{Tariff: silent, Batch: 100}, len(v.problems)
	v.record(append(tariff(&p.Tariff),
		need("provider", name(&p.Provider)),
		need("model", text(&p.Model)),
		may("from", date(&p.From)),
		may("tiers", list(&p.Tiers, 0, readTier)),
		may("request_usd", decimal(&p.Request, 9, maxUSD)),
		may("image_usd", decimal(&p.Image, 9, maxUSD)),
		may("second_usd", decimal(&p.Second, 9, maxUSD)),
		may("letters", decimal(&p.Letter, 6, maxPrice)),
		may("batch", integer(&p.Batch, 1, 100)),
	)...)
	if flat := p.Request + p.Image + p.Second + p.Letter; p.Input < 0 && flat == 0 && len(v.problems) == before {
		v.failf("nothing tells what the model costs; give input (and output, if it has any), or request_usd, image_usd, second_usd or letters")
	}
	p.follow(v)
	return p
}

// follow fills in what the price is silent about.
func (p *Price) follow(v value) {
	below := p.Tariff
	for i := range p.Tiers {
		tier := &p.Tiers[i]
		if i > 0 && tier.Above <= p.Tiers[i-1].Above {
			v.locate("tiers", i, "above").failf("the tiers must rise; %d is not above %d", tier.Above, p.Tiers[i-1].Above)
		}
		tier.Settle(&below)
	}
	p.Settle(nil)
}

// silent is a tariff that says nothing.
var silent = Tariff{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

// tariff reads prices in USD per million tokens.
func tariff(t *Tariff) []field {
	return []field{
		may("input", decimal(&t.Input, 6, maxPrice)),
		may("cached_input", decimal(&t.CachedInput, 6, maxPrice)),
		may("cache_write", decimal(&t.CacheWrite, 6, maxPrice)),
		may("cache_write_hour", decimal(&t.CacheWriteHour, 6, maxPrice)),
		may("audio_input", decimal(&t.AudioInput, 6, maxPrice)),
		may("image_input", decimal(&t.ImageInput, 6, maxPrice)),
		may("output", decimal(&t.Output, 6, maxPrice)),
		may("reasoning", decimal(&t.Reasoning, 6, maxPrice)),
		may("audio_output", decimal(&t.AudioOutput, 6, maxPrice)),
		may("image_output", decimal(&t.ImageOutput, 6, maxPrice)),
	}
}

func readTier(v value) PriceTier {
	t := PriceTier{Tariff: silent}
	above := 0
	v.record(append(tariff(&t.Tariff), need("above", integer(&above, 1, 1_000_000_000)))...)
	t.Above = int64(above)
	return t
}

func readKey(v value) (k Key) {
	v.record(
		need("name", name(&k.Name)),
		need("id", keyID(&k.ID)),
		need("hash", keyHash(&k.Hash)),
		need("models", set(&k.Models, 1, reference)),
		may("team", text(&k.Team)),
		may("tenant", text(&k.Tenant)),
		may("rate", func(v value) { k.Rate = new(Rate); readRate(v, k.Rate) }),
		may("budgets", set(&k.Budgets, 0, named)),
		may("may", set(&k.May, 0, wordOf(rights...))),
		may("passthrough", set(&k.Passthrough, 0, named)),
	)
	if k.Tenant == "" {
		k.Tenant = k.Name
	}
	return k
}

func readRate(v value, r *Rate) {
	v.record(
		may("requests", rate(&r.Requests, &r.RequestsPer)),
		may("tokens", rate(&r.Tokens, &r.TokensPer)),
		may("concurrency", integer(&r.Concurrency, 1, 1_000_000)),
	)
}

func readRateRule(v value) RateRule {
	var r RateRule
	before := len(v.problems)
	v.record(
		need("name", name(&r.Name)),
		may("scope", oneOf(&r.Scope, rated...)),
		may("match", text(&r.Match)),
		may("requests", rate(&r.Requests, &r.RequestsPer)),
		may("tokens", rate(&r.Tokens, &r.TokensPer)),
		may("concurrency", integer(&r.Concurrency, 1, 1_000_000)),
	)
	if len(v.problems) > before { // a scope that is not understood stays empty, so that nothing is said of what it matches
		return r
	}
	if r.Scope == "" {
		r.Scope = "total"
	}
	if r.Rate == (Rate{}) {
		v.failf("the rule limits nothing; give requests, tokens or concurrency")
	}
	return r
}

func readWebhook(v value) (w Webhook) {
	v.record(
		need("name", name(&w.Name)),
		need("url", hookURL(&w.URL)),
		may("secret", secretRef(&w.Secret)),
		may("events", set(&w.Events, 0, wordOf(AlertKinds...))),
	)
	if w.Secret != "" && !strings.HasPrefix(w.Secret, "origin:") {
		v.locate("secret").failf("an origin signs deliveries with secrets of its own only: put it with wedge secret put NAME, and name it as origin:NAME")
	}
	return w
}

func readBudget(v value) Budget {
	b, before := Budget{Timezone: "UTC", Scope: "key", Kind: "hard", OnExhausted: "deny"}, len(v.problems)
	v.record(
		need("name", name(&b.Name)),
		need("limit_usd", decimal(&b.LimitNano, 9, maxUSD)),
		need("period", period(&b.Period)),
		may("timezone", zone(&b.Timezone)),
		may("alerts", func(v value) {
			b.Alerts = []int{}
			list(&b.Alerts, 0, integerOf(1, 1000))(v)
		}),
		may("scope", oneOf(&b.Scope, levels...)),
		may("match", text(&b.Match)),
		may("kind", oneOf(&b.Kind, "hard", "soft")),
		may("on_exhausted", onExhausted(&b.OnExhausted)),
		may("offline", oneOf(&b.Offline, "pessimistic", "safe", "optimistic")),
		may("grace_usd", decimal(&b.GraceNano, 9, maxUSD)),
		may("offline_for", func(v value) {
			if duration(&b.OfflineFor, 0)(v); b.OfflineFor > maxOffline {
				v.failf("%s is too long; want at most 366d", show(v.node.Value))
			}
		}),
		may("unpriced", oneOf(&b.Unpriced, "deny", "flat", "allow")),
		may("flat", decimal(&b.Flat, 6, maxPrice)),
	)
	if b.Alerts == nil {
		b.Alerts = []int{50, 75, 90, 100}
	}
	soft := b.Kind == "soft"
	b.Offline = orDefault(b.Offline, soft, "optimistic", "pessimistic")
	b.Unpriced = orDefault(b.Unpriced, soft, "allow", "deny")
	slices.Sort(b.Alerts)
	b.Alerts = slices.Compact(b.Alerts)
	if len(v.problems) == before {
		b.check(v)
	}
	return b
}

// check looks for fields that contradict each other.
func (b *Budget) check(v value) {
	switch {
	case b.GraceNano > 0 && b.Offline != "safe":
		v.locate("grace_usd").failf("only a budget with offline: safe has a grace")
	case b.Offline == "safe" && b.GraceNano == 0:
		v.locate("offline").failf("offline: safe needs grace_usd: what a node may spend beyond its lease while it cannot reach its origin")
	}
	switch {
	case b.Unpriced == "flat" && b.Flat == 0:
		v.locate("unpriced").failf("unpriced: flat needs flat: the USD per million tokens that requests without a price are held to cost")
	case b.Unpriced != "flat" && b.Flat > 0:
		v.locate("flat").failf("only a budget with unpriced: flat has one")
	case b.Unpriced == "allow" && b.Kind == "hard":
		v.locate("unpriced").failf("a hard budget cannot allow what nobody knows the price of; use deny or flat, or kind: soft")
	}
}

// orDefault is s, or where it is empty the default for a soft or a hard budget.
func orDefault(s string, soft bool, ifSoft, ifHard string) string {
	switch {
	case s != "":
		return s
	case soft:
		return ifSoft
	}
	return ifHard
}
