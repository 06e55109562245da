// Package wire holds what node, origin and CLI say to each other: the catalog as plain data, its strict reader, its
// digest, the bucketing that makes every node assign the same unit to the same arm, and the resources, signed heads,
// deltas, frames, messages and bundles in which a catalog reaches nodes. It knows no transport and no storage.
package wire

import "time"

// Catalog is what people write: everything a node needs to know to serve requests. A Catalog that came out of
// ParseCatalog is valid, has its defaults filled in and must not be changed.
type Catalog struct {
	Providers   []Provider
	Models      []Model
	Experiments []Experiment
	Policies    []Policy
	Prompts     []Prompt
	Prices      []Price
	Keys        []Key
	Budgets     []Budget
	Rates       []RateRule
	Webhooks    []Webhook

	name  string          // what ParseCatalog was told to call it
	marks map[string]mark // where the fields lie that CheckSupported may have to point at
}

// Provider is somebody's API: a dialect, a base URL and a reference to the credentials.
type Provider struct {
	Name         string
	Dialect      string   // openai | anthropic | gemini
	BaseURL      string   // with the version path, without a trailing slash
	APIKey       string   // a reference: "${ENV}", "file:/path" or "origin:name"; "" sends no credentials
	Auth         string   // bearer | x-api-key | x-goog-api-key | api-key | query: where the key goes; "": where the dialect has it
	Headers      []Header // sent with every request; sorted by Name
	AzureVersion string   // Azure's api-version: models are deployments, which stand in the path
	NoResponses  bool     // the provider has no Responses API: the node asks for chat completions in its place
	Prices       string   // whose prices of the built-in table hold for it: openai, …; none; "": what BaseURL's host tells
	Region       string
	Health       Health
	Limits       Limits
	Capabilities Capabilities
}

// Header is a header that a provider wants to see.
type Header struct {
	Name  string // in lower case
	Value string // a text, or a reference as APIKey is one
}

// Health says how a provider is probed; a zero Interval means it is not.
type Health struct {
	Interval time.Duration
	Path     string
}

// Limits bounds what a node opens towards a provider; zero means the node's default.
type Limits struct {
	Connections int
	InFlight    int
}

// Capabilities says what a provider or target can do; nil and zero mean unknown.
type Capabilities struct {
	Tools   *bool
	Vision  *bool
	Context int // tokens
}

// Model is the public name that a client asks for.
type Model struct {
	Name     string
	Unit     string // user | session | key | request
	Cache    CacheRule
	Resume   time.Duration
	Strict   bool
	Policies []string
	Versions []Version
}

// CacheRule says what a model's answers are kept for.
type CacheRule struct {
	Mode  string // off | exact | prefix | semantic
	TTL   time.Duration
	Scope string // key | user | shared
}

// Version is an immutable, semver-numbered configuration of a model.
type Version struct {
	Version  string // canonical semver: MAJOR.MINOR.PATCH[-pre][+build]
	Status   string // development | staging | production | deprecated | archived
	Strategy string // weighted | performance | cost | geographic | capability
	Balance  string // round_robin | weighted | least_connections | least_latency | p2c
	Targets  []Target
	Params   []Param // filled in where the client is silent; sorted by Key
	Force    []Param // overrides the client; sorted by Key
	Prompt   string  // name@version of a prompt, or ""
	Fallback []string
	Retry    Retry
}

// Target is one provider and upstream model that a version may use.
type Target struct {
	Provider     string
	Model        string // the upstream's name of the model
	Weight       int    // 1 where the catalog is silent
	Name         string // unique in the version; the provider's name where the catalog is silent
	Timeout      time.Duration
	Capabilities Capabilities
}

// Param is one top-level member of a request body.
type Param struct {
	Key   string
	Value []byte // compact JSON
}

// Retry bounds the attempts at one request; zero values mean the node's defaults.
type Retry struct {
	Attempts int
	Backoff  time.Duration
}

// Experiment splits a model's units between arms.
type Experiment struct {
	Name       string
	Model      string
	Status     string // draft | running | paused | concluded
	Seed       string // DefaultSeed(Name) where the catalog is silent
	Layer      string // experiments of one layer never share a unit
	Traffic    int    // per cent of the units that take part, 0..100; 100 where the catalog is silent
	Arms       []Arm
	Primary    string
	Guardrails []Guardrail
}

// Arm is one side of an experiment.
type Arm struct {
	Name    string
	Version string
	Weight  int
}

// Guardrail ends an experiment whose metric got worse than a bound.
type Guardrail struct {
	Metric    string
	WorseThan string
}

// Policy is a Wasm module bound to hooks.
type Policy struct {
	Name      string
	Module    string // file:PATH or sha256:…
	Digest    string // sha256: and 64 hexadecimal digits of the module, once LoadModules has read it
	Cases     string // file:PATH of a JSON file or a folder, or sha256:…: what an origin tries the module with; "" is nothing
	Hooks     []string
	Headers   []string
	Isolation string // shared | clean | fresh; "": clean if several tenants may use the policy, else shared
	Config    []byte // compact JSON, nil where the catalog is silent
	Memory    int64  // bytes
	Time      time.Duration
	OnError   string // continue | deny

	code []byte
}

// Code is the module itself, nil before LoadModules.
func (p *Policy) Code() []byte { return p.code }

// Prompt is a versioned template.
type Prompt struct {
	Name     string
	Version  string
	Role     string
	Template string
}

// Price is what a provider bills for one upstream model from a time on.
type Price struct {
	Provider string
	Model    string
	From     time.Time // the beginning of time where the catalog is silent
	Tariff
	Tiers   []PriceTier // rising; what they are silent about is as below the first
	Request int64       // nano-USD for each request
	Image   int64       // nano-USD for each image that is made
	Second  int64       // nano-USD for each second of audio that is heard
	Letter  int64       // pico-USD for each character that is spoken
	Batch   int         // per cent of all this that a batch costs; 100 where the catalog is silent
}

// Tariff has prices in pico-USD per token (1 USD per million tokens is 1,000,000 pico-USD per token), so that every
// catalog figure with up to six decimals is exact. A negative price is unknown. Where the catalog is silent, CachedInput,
// CacheWrite, AudioInput and ImageInput are Input, CacheWriteHour is CacheWrite, Reasoning, AudioOutput and ImageOutput
// are Output, and Output is unknown.
type Tariff struct {
	Input, CachedInput, CacheWrite, CacheWriteHour, AudioInput, ImageInput int64
	Output, Reasoning, AudioOutput, ImageOutput                            int64
}

// PriceTier is the tariff of requests whose input has more tokens than Above: for all of their tokens.
type PriceTier struct {
	Above int64
	Tariff
}

// Key is a virtual key: who may call, and what.
type Key struct {
	Name        string
	ID          string   // the public part, wk_ and twelve characters
	Hash        [32]byte // SHA-256 over the whole key
	Models      []string // names, or "*"
	Team        string
	Tenant      string // the key's own name where the catalog is silent
	Rate        *Rate
	Budgets     []string
	May         []string // arm | direct | nonproduction
	Passthrough []string // provider names
}

// Rate limits a key. Zero means unlimited.
type Rate struct {
	Requests, Tokens       int64
	RequestsPer, TokensPer time.Duration
	Concurrency            int
}

// Budget is a limit on what requests may cost together: those of the keys that name it, and those that its scope matches.
type Budget struct {
	Name        string
	LimitNano   int64         // nano-USD
	Period      string        // daily | weekly | monthly | quarterly | total | rolling-Nh
	Timezone    string        // an IANA name: where days begin
	Alerts      []int         // per cent of the limit, rising
	Scope       string        // key | team | model | provider | total
	Match       string        // the name of what is matched; "": nothing but the keys that name the budget, unless total
	Kind        string        // hard | soft: account and alert only
	OnExhausted string        // deny | downgrade: MODEL | cache_only
	Offline     string        // pessimistic | safe | optimistic: see docs/MONEY.md
	GraceNano   int64         // what a node that cannot reach its origin may spend beyond its lease in a period; safe only
	OfflineFor  time.Duration // how long leases are to last, and how long before it begins the next period is leased
	Unpriced    string        // deny | flat | allow: what becomes of requests whose price nobody knows
	Flat        int64         // pico-USD per token that they are held to cost; flat only
}

// RateRule limits the rate of all requests that its scope matches, together.
type RateRule struct {
	Name  string
	Scope string // key | team | model | total
	Match string
	Rate
}

// Webhook is where an origin tells what happens. Nodes do not get it.
type Webhook struct {
	Name   string
	URL    string
	Secret string   // origin:NAME: what deliveries are signed with, as standardwebhooks.com says; "": they are not
	Events []string // kinds of alerts; none: all
}
