// Package control is what may be done to the catalog at the origin: apply, version, promote, roll back, and release step
// by step, each behind its gates; it knows neither HTTP nor how nodes learn of it.
package control

import (
	"encoding/json"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// By is who does something, why, and under which idempotency key; "" where there is none.
type By struct {
	Actor  string
	Reason string
	Key    string
}

// Apply is a whole catalog, or a part of one, to be made true.
type Apply struct {
	Name    string // what problems call it
	Catalog []byte // YAML or JSON; policies name their modules by digest
	Prune   bool   // delete what the catalog does not name
	DryRun  bool
}

// Result is what became of a change.
type Result struct {
	Epoch   int64    `json:"epoch"`
	Rev     int64    `json:"rev"` // the head: the change's own revision unless nothing changed or it was a dry run
	DryRun  bool     `json:"dry_run,omitempty"`
	Changes []Change `json:"changes"`         // what changes; empty where all was as wanted
	Gates   []Gate   `json:"gates,omitempty"` // what was looked at before
	// Revisions is how many revisions it takes, rev being the last one; absent where it is one, or none.
	Revisions int `json:"revisions,omitempty"`
}

// Change is what happens to one resource.
type Change struct {
	Kind   string          `json:"kind"`
	Name   string          `json:"name"`
	Action string          `json:"action"` // create | update | delete
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	Fields []FieldChange   `json:"fields,omitempty"` // of an update, by path
}

// FieldChange is one difference between two bodies.
type FieldChange struct {
	Path   string          `json:"path"` // such as targets[0].weight
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// The gates that a change passes.
const (
	GateCatalog   = "catalog"   // the whole catalog is valid, and nodes support what it asks for
	GateLifecycle = "lifecycle" // the step is one that the life cycle has
	GateTargets   = "targets"   // the targets' providers can be reached
	GatePolicies  = "policies"  // modules load and pass their cases
	GateTraffic   = "traffic"   // as much traffic was seen, with no more errors, as asked for
)

// Gate is a gate's finding.
type Gate struct {
	Name    string `json:"name"`
	Passed  bool   `json:"passed"`
	Skipped bool   `json:"skipped,omitempty"`
	Message string `json:"message,omitempty"`
}

// Resource is a resource as people see it.
type Resource struct {
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Version int64           `json:"version"` // the revision that changed it last: its ETag
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
	Body    json.RawMessage `json:"body"` // a model's with its versions; a secret's without the secret
}

// NewVersion is a configuration to be made a version of a model.
type NewVersion struct {
	Model  string          `json:"model"`
	Body   json.RawMessage `json:"body"`           // as in the catalog; version and status may be left out
	From   string          `json:"from,omitempty"` // a version whose fields are taken where Body is silent
	Bump   string          `json:"bump,omitempty"` // major | minor | patch; "": by what changed
	DryRun bool            `json:"dry_run,omitempty"`
}

// VersionMade tells the number that a new version got, and why.
type VersionMade struct {
	Result
	Model   string `json:"model"`
	Version string `json:"version"`
	Bump    string `json:"bump"` // first | major | minor | patch
	Why     string `json:"why"`
	Hash    string `json:"hash"` // sha256:… of the configuration
}

// Promotion moves a version on in its life.
type Promotion struct {
	Model   string   `json:"model"`
	Version string   `json:"version"`
	To      string   `json:"to,omitempty"` // a status; "": the next one
	DryRun  bool     `json:"dry_run,omitempty"`
	Skip    []string `json:"skip,omitempty"` // gates that are not looked at: targets, traffic
	// MinRequests and MaxErrorRate are the traffic gate: what nodes reported of the version in the last Window.
	MinRequests  int64         `json:"min_requests,omitempty"`
	MaxErrorRate float64       `json:"max_error_rate,omitempty"` // 0..1; 0: none is asked for
	Window       wire.Duration `json:"window,omitempty"`         // default 24h
	At           *time.Time    `json:"at,omitempty"`             // when; nil: now
	Canary       *Canary       `json:"canary,omitempty"`         // step by step; nil: at once
}

// Canary is how a version takes over step by step: on more and more nodes, as long as its errors stay bounded.
type Canary struct {
	Steps        []float64     `json:"steps"`          // per cent of nodes, rising; default 10, 50
	Every        wire.Duration `json:"every"`          // how long a step lasts; default 5m
	MaxErrorRate float64       `json:"max_error_rate"` // 0..1; default 0.05: above it the release is rolled back
	MinRequests  int64         `json:"min_requests"`   // before errors count, and before the next step; default 20
}

// Release is a promotion that is not over, or how it ended.
type Release struct {
	Promotion
	From     string    `json:"from"`  // the version in production before
	State    string    `json:"state"` // scheduled | running | done | rolled_back | canceled | failed
	Step     int       `json:"step"`
	Percent  float64   `json:"percent"`
	Started  time.Time `json:"started"`
	Stepped  time.Time `json:"stepped"`
	Requests int64     `json:"requests"` // of the candidate, since it started
	Errors   int64     `json:"errors"`
	Reason   string    `json:"reason,omitempty"` // why it ended
	Actor    string    `json:"actor"`
}

// Promoted is what became of a promotion.
type Promoted struct {
	Result
	Model   string   `json:"model"`
	Version string   `json:"version"`
	Status  string   `json:"status"`            // the version's now
	Former  string   `json:"former,omitempty"`  // the version that was in production
	Release *Release `json:"release,omitempty"` // where it goes step by step, or later
}

// Rollback goes back to a version that was in production before, or ends a release.
type Rollback struct {
	Model  string `json:"model"`
	To     string `json:"to,omitempty"` // "": the one before
	DryRun bool   `json:"dry_run,omitempty"`
}

// VersionDiff compares two versions.
type VersionDiff struct {
	Model    string          `json:"model"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Bump     string          `json:"bump"` // none | patch | minor | major
	SameHash bool            `json:"same_hash"`
	Fields   []FieldChange   `json:"fields"`
	Metrics  []VersionTotals `json:"metrics,omitempty"` // of both, in the last 24 hours
}

// VersionTotals is what nodes reported of a version.
type VersionTotals struct {
	Version   string  `json:"version"`
	Status    string  `json:"status,omitempty"`
	Requests  int64   `json:"requests"`
	Errors    int64   `json:"errors"`
	ErrorRate float64 `json:"error_rate"`
	CacheHits int64   `json:"cache_hits"`
	Input     int64   `json:"input_tokens"`
	Output    int64   `json:"output_tokens"`
	CostNano  int64   `json:"cost_nano_usd"`
	MeanMS    float64 `json:"mean_ms"`
	P50MS     float64 `json:"p50_ms"`
	P95MS     float64 `json:"p95_ms"`
	MeanTTFT  float64 `json:"mean_ttft_ms"`
}

// KeyMade is a new virtual key; it is told once.
type KeyMade struct {
	Result
	Name string `json:"name"`
	ID   string `json:"id"`
	Key  string `json:"key"`
}
