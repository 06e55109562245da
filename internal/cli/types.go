package cli

import (
	"encoding/json"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// What the API answers, as far as tables show it. Members that are not here are left alone: -o json shows them.

// Result is what became of a change.
type Result struct {
	Epoch     int64    `json:"epoch"`
	Rev       int64    `json:"rev"`
	DryRun    bool     `json:"dry_run"`
	Changes   []Change `json:"changes"`
	Gates     []Gate   `json:"gates"`
	Revisions int      `json:"revisions"` // how many it takes, 0 where it is one or none
}

// Change is what happens to one resource.
type Change struct {
	Kind   string          `json:"kind"`
	Name   string          `json:"name"`
	Action string          `json:"action"` // create | update | delete
	After  json.RawMessage `json:"after"`
	Fields []FieldChange   `json:"fields"` // of an update
}

// FieldChange is one difference between two bodies.
type FieldChange struct {
	Path   string          `json:"path"`
	Before json.RawMessage `json:"before"`
	After  json.RawMessage `json:"after"`
}

// Gate is a gate's finding.
type Gate struct {
	Name    string `json:"name"`
	Passed  bool   `json:"passed"`
	Skipped bool   `json:"skipped"`
	Message string `json:"message"`
}

// String is a gate's finding as one line.
func (g *Gate) String() string {
	word := "failed"
	switch {
	case g.Skipped:
		word = "skipped"
	case g.Passed:
		word = "passed"
	}
	if g.Message == "" {
		return "gate " + g.Name + " " + word
	}
	return "gate " + g.Name + " " + word + ": " + g.Message
}

// Resource is a resource of the catalog.
type Resource struct {
	Kind    string          `json:"kind"`
	Name    string          `json:"name"`
	Version int64           `json:"version"` // the revision that changed it last
	Created time.Time       `json:"created"`
	Updated time.Time       `json:"updated"`
	Body    json.RawMessage `json:"body"`
}

// page is a part of a list.
type page struct {
	Items []json.RawMessage `json:"items"`
	Next  json.RawMessage   `json:"next,omitempty"` // a text or a number; absent, null, "" or 0 at the end
}

// NewVersion is a configuration to be made a version of a model.
type NewVersion struct {
	Model  string          `json:"model"`
	Body   json.RawMessage `json:"body"`
	From   string          `json:"from,omitempty"`
	Bump   string          `json:"bump,omitempty"`
	DryRun bool            `json:"dry_run,omitempty"`
}

// VersionMade tells the number that a new version got, and why.
type VersionMade struct {
	Result
	Model   string `json:"model"`
	Version string `json:"version"`
	Bump    string `json:"bump"`
	Why     string `json:"why"`
	Hash    string `json:"hash"`
}

// Promotion moves a version on in its life.
type Promotion struct {
	Model        string        `json:"model"`
	Version      string        `json:"version"`
	To           string        `json:"to,omitempty"`
	DryRun       bool          `json:"dry_run,omitempty"`
	Skip         []string      `json:"skip,omitempty"`
	MinRequests  int64         `json:"min_requests,omitempty"`
	MaxErrorRate float64       `json:"max_error_rate,omitempty"`
	Window       wire.Duration `json:"window,omitzero"`
	At           *time.Time    `json:"at,omitempty"`
	Canary       *Canary       `json:"canary,omitempty"`
}

// Canary is how a version takes over step by step.
type Canary struct {
	Steps        []float64     `json:"steps,omitempty"`
	Every        wire.Duration `json:"every,omitzero"`
	MaxErrorRate float64       `json:"max_error_rate,omitempty"`
	MinRequests  int64         `json:"min_requests,omitempty"`
}

// Release is a promotion that is not over, or how it ended.
type Release struct {
	Promotion
	From     string    `json:"from"`
	State    string    `json:"state"`
	Step     int       `json:"step"`
	Percent  float64   `json:"percent"`
	Started  time.Time `json:"started"`
	Stepped  time.Time `json:"stepped"`
	Requests int64     `json:"requests"`
	Errors   int64     `json:"errors"`
	Reason   string    `json:"reason"`
	Actor    string    `json:"actor"`
}

// Promoted is what became of a promotion.
type Promoted struct {
	Result
	Model   string   `json:"model"`
	Version string   `json:"version"`
	Status  string   `json:"status"`
	Former  string   `json:"former"`
	Release *Release `json:"release"`
}

// Rollback goes back to a version that was in production before, or ends a release.
type Rollback struct {
	Model  string `json:"model"`
	To     string `json:"to,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// VersionDiff compares two versions.
type VersionDiff struct {
	Model    string          `json:"model"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Bump     string          `json:"bump"`
	SameHash bool            `json:"same_hash"`
	Fields   []FieldChange   `json:"fields"`
	Metrics  []VersionTotals `json:"metrics"`
}

// VersionTotals is what nodes reported of a version.
type VersionTotals struct {
	Version   string  `json:"version"`
	Status    string  `json:"status"`
	Requests  int64   `json:"requests"`
	Errors    int64   `json:"errors"`
	ErrorRate float64 `json:"error_rate"` // 0..1
	CacheHits int64   `json:"cache_hits"`
	Input     int64   `json:"input_tokens"`
	Output    int64   `json:"output_tokens"`
	CostNano  int64   `json:"cost_nano_usd"`
	MeanMS    float64 `json:"mean_ms"`
	P50MS     float64 `json:"p50_ms"`
	P95MS     float64 `json:"p95_ms"`
	MeanTTFT  float64 `json:"mean_ttft_ms"`
}

// KeyMade is a new virtual key.
type KeyMade struct {
	Result
	Name string `json:"name"`
	ID   string `json:"id"`
	Key  string `json:"key"`
}

// Node is what the origin knows of a node.
type Node struct {
	Name      string           `json:"name"`
	Region    string           `json:"region"`
	Version   string           `json:"version"`
	Address   string           `json:"address"`
	State     string           `json:"state"` // online | offline | held
	Epoch     int64            `json:"epoch"`
	Rev       int64            `json:"rev"`
	Digest    string           `json:"digest"`
	Lag       int64            `json:"lag"` // revisions
	Pinned    bool             `json:"pinned"`
	Drained   bool             `json:"drained"`
	Reason    string           `json:"reason"`
	Enrolled  time.Time        `json:"enrolled"`
	Expires   time.Time        `json:"expires"`
	Seen      time.Time        `json:"seen"`
	Refused   *RefusedRevision `json:"refused"`
	ReportSeq int64            `json:"report_seq"`
}

// RefusedRevision is the revision that a node does not take, and why.
type RefusedRevision struct {
	Epoch int64     `json:"epoch"`
	Rev   int64     `json:"rev"`
	At    time.Time `json:"at"`
	wire.Nack
}

// Fleet is the state of all nodes.
type Fleet struct {
	Epoch   int64     `json:"epoch"`
	Rev     int64     `json:"rev"`
	Chain   string    `json:"chain"`
	Issued  time.Time `json:"issued"`
	Rollout Rollout   `json:"rollout"`
	Nodes   int       `json:"nodes"`
	Online  int       `json:"online"`
	Spread  []Spread  `json:"spread"`
}

// Spread is how many nodes are at a revision.
type Spread struct {
	Epoch  int64 `json:"epoch"`
	Rev    int64 `json:"rev"`
	Nodes  int   `json:"nodes"`
	Online int   `json:"online"`
}

// Rollout is how far the head has come.
type Rollout struct {
	Stage   string    `json:"stage"`
	Canary  int64     `json:"canary"`
	Tenth   int64     `json:"tenth"`
	All     int64     `json:"all"`
	Since   time.Time `json:"since"`
	Waiting int       `json:"waiting"`
	Held    *Held     `json:"held"`
}

// Held is why a revision stopped.
type Held struct {
	Rev     int64  `json:"rev"`
	Node    string `json:"node"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Invitation is what lets one node enrol.
type Invitation struct {
	Name   string        `json:"name,omitempty"`
	Region string        `json:"region,omitempty"`
	TTL    wire.Duration `json:"ttl,omitzero"`
}

// Invited is an invitation's token.
type Invited struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// Record tells who made a revision, when, why and what it touched.
type Record struct {
	Rev    int64     `json:"rev"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Reason string    `json:"reason"`
	Items  []struct {
		Kind   string `json:"kind"`
		Name   string `json:"name"`
		Action string `json:"action"`
	} `json:"items"`
}

// AuditQuery says which part of the audit trail is asked for, from its end.
type AuditQuery struct {
	Before int64     // a revision that only earlier ones are told of; 0: the latest, too
	Limit  int       // how many records
	Since  time.Time // all from then on, in place of Limit; zero: Limit counts
}

// Action is something that was done without a revision.
type Action struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Subject string    `json:"subject"`
	Detail  string    `json:"detail"`
	Reason  string    `json:"reason"`
}

// Past is what a resource was from a revision on.
type Past struct {
	Rev    int64           `json:"rev"`
	At     time.Time       `json:"at"`
	Actor  string          `json:"actor"`
	Reason string          `json:"reason"`
	Body   json.RawMessage `json:"body"` // absent or null: deleted
}

// Token is what the origin knows of a person's or a program's token.
type Token struct {
	Name   string    `json:"name"`
	Role   string    `json:"role"`
	Public string    `json:"public"` // the part of it that is no secret
	Made   time.Time `json:"made"`
}

// TokenMade is a new token.
type TokenMade struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	Token string `json:"token"`
}

// Signer is a key that signs, or has signed, what nodes get.
type Signer struct {
	Name   string    `json:"name"`
	Public string    `json:"public"`
	Made   time.Time `json:"made"`
	Signs  bool      `json:"signs"` // now
}
