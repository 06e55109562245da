package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// SyncSchema is the version of what node and origin say to each other, and of the resources' schema, that this build
// knows. An origin sends no more than a node knows; a node refuses what it does not know.
const SyncSchema = 1

// Paths of the origin that nodes call.
const (
	PathEnrol   = "/v1/node/enrol"   // POST Enrolment → Enrolled; no identity needed
	PathRenew   = "/v1/node/renew"   // POST Renewal → Enrolled
	PathHello   = "/v1/node/hello"   // POST Hello → Welcome
	PathStream  = "/v1/node/stream"  // GET ?session&epoch&rev&chain[&wait=30s] → frames
	PathAck     = "/v1/node/ack"     // POST Ack → 204
	PathReport  = "/v1/node/report"  // POST Report → ReportReply
	PathLease   = "/v1/node/lease"   // POST LeaseRequest → LeaseReply
	PathSecrets = "/v1/node/secrets" // POST SecretsWanted → Secrets
	PathBlob    = "/v1/node/blob/"   // GET …/sha256:HEX, with Range → bytes
)

// Enrolment asks for an identity.
type Enrolment struct {
	Token  string `json:"token"`  // a join token
	Name   string `json:"name"`   // what the node wants to be called; "" where the token names it
	Region string `json:"region"` // may be empty
	CSR    []byte `json:"csr"`    // PKCS #10, DER, of an ECDSA P-256 key
}

// Renewal asks for a new certificate, for the same key or another.
type Renewal struct {
	CSR []byte `json:"csr"` // PKCS #10, DER
}

// Enrolled is an identity: a certificate whose common name is the node's name.
type Enrolled struct {
	Name        string    `json:"name"`
	Certificate []byte    `json:"certificate"` // DER
	CA          []byte    `json:"ca"`          // PEM: what the origins' and the nodes' certificates are signed with
	Trust       []string  `json:"trust"`       // public keys that sign heads
	Expires     time.Time `json:"expires"`
}

// Hello begins a session.
type Hello struct {
	Schema      int    `json:"schema"` // SyncSchema
	Version     string `json:"version"`
	Region      string `json:"region,omitempty"`
	Incarnation string `json:"incarnation"` // one life of the node's journal
	Epoch       int64  `json:"epoch"`       // what is in use on the node
	Rev         int64  `json:"rev"`
	Address     string `json:"address,omitempty"` // where clients reach the node, for people
}

// Welcome answers a Hello.
type Welcome struct {
	Session     string   `json:"session"`
	Schema      int      `json:"schema"`
	Time        int64    `json:"time"`            // unix milliseconds
	PingEvery   int64    `json:"ping_every_ms"`   // a stream that is silent for three times as long is dead
	ReportEvery int64    `json:"report_every_ms"` // how often usage is reported
	Trust       []string `json:"trust"`           // public keys that sign heads now
}

// SnapshotStart announces a whole state.
type SnapshotStart struct {
	Epoch     int64 `json:"epoch"`
	Rev       int64 `json:"rev"`
	Resources int   `json:"resources"` // how many FrameResource follow
}

// Control is what the origin asks of a node now; each one replaces the one before.
type Control struct {
	Drain  bool   `json:"drain"`  // take no new requests
	Pinned bool   `json:"pinned"` // the operator keeps the node at its revision
	Reason string `json:"reason,omitempty"`
}

// The codes of a refusal.
const (
	NackSignature = "sig"        // the head's signature, or an older head than one seen before
	NackChain     = "chain"      // a delta or a snapshot does not lead to the head
	NackSchema    = "schema"     // a field or kind that the node does not know
	NackCompile   = "compile"    // the catalog or a policy does not compile
	NackLimit     = "limit"      // too large
	NackResource  = "resource"   // a blob or secret cannot be had
	NackCrashLoop = "crash_loop" // the process died twice with it
	NackTimeout   = "timeout"    // it took too long to put into use
)

// Nack says why a node refuses a revision.
type Nack struct {
	Code     string `json:"code"`
	Resource string `json:"resource,omitempty"` // KIND/NAME
	Message  string `json:"message"`            // at most 2 KB
}

// Ack tells what became of the revision of a head: with a Nack it was refused and the one before stays in use.
type Ack struct {
	Session  string `json:"session"`
	Epoch    int64  `json:"epoch"`
	Rev      int64  `json:"rev"`
	Digest   string `json:"digest,omitempty"` // of the catalog in use
	ActiveMS int64  `json:"active_ms"`        // from the head's arrival until it was in use
	Nack     *Nack  `json:"nack,omitempty"`
}

// SecretRecord is the body of a secret's resource.
type SecretRecord struct {
	// Commit is sha256: and the SHA-256, in hexadecimal digits, of a random salt of 32 bytes and the secret.
	Commit string `json:"commit"`
}

// SecretsWanted names secrets.
type SecretsWanted struct {
	Names []string `json:"names"`
}

// Secrets are secrets by name, each sealed to the node's key: see SealSecret.
type Secrets struct {
	Sealed map[string][]byte `json:"sealed"`
}

// Release moves a model's production traffic to another version step by step: on nodes of its cohort the candidate
// takes the place of the version in production.
type Release struct {
	Model     string  `json:"model"`
	Candidate string  `json:"candidate"` // a version
	Percent   float64 `json:"percent"`   // of nodes, by hash of their names
	Seed      string  `json:"seed"`
}

// TrustRecord is the body of the resource that names the keys whose heads nodes believe.
type TrustRecord struct {
	Keys []string `json:"keys"` // see FormatPublicKey
}

// Report is what a node's traffic came to since the report before: sums, so that reports can be added up. Reports of one
// incarnation are numbered from 1 without gaps; the origin counts each exactly once.
type Report struct {
	Session     string  `json:"session"`
	Incarnation string  `json:"incarnation"`
	Seq         int64   `json:"seq"`
	From        int64   `json:"from"` // unix milliseconds
	To          int64   `json:"to"`
	Usage       []Usage `json:"usage"`
}

// Usage is what equal requests of a report came to. What a provider's answer consumed counts once, where it was asked for,
// whoever read it: it may stand in a row of no requests, and requests that were answered from the cache consumed nothing.
type Usage struct {
	Hour       int64  `json:"hour"`  // unix hours: when they were admitted
	Model      string `json:"model"` // as in metrics: PROVIDER/* where a request named no model of the catalog's
	Version    string `json:"version"`
	Experiment string `json:"experiment,omitempty"`
	Arm        string `json:"arm,omitempty"`
	Key        string `json:"key"`
	Provider   string `json:"provider,omitempty"`
	Target     string `json:"target,omitempty"`
	Cache      string `json:"cache,omitempty"` // as in x-wedge-cache
	Code       string `json:"code,omitempty"`  // as in x-wedge-error, or a Code…; "" went well
	Team       string `json:"team,omitempty"`
	Tags       string `json:"tags,omitempty"`   // k=v,k=v, sorted by k; as in x-wedge-tags
	Prices     string `json:"prices,omitempty"` // the digest of the prices that CostNano was counted with

	Requests    int64 `json:"requests"`
	Input       int64 `json:"input"` // tokens, cached ones included
	CachedInput int64 `json:"cached_input"`
	Output      int64 `json:"output"`
	CostNano    int64 `json:"cost_nano"`            // nano-USD
	Unpriced    int64 `json:"unpriced"`             // answers of providers whose cost is not known
	Estimated   int64 `json:"estimated,omitempty"`  // nano-USD of CostNano that no provider's usage tells, but an estimate
	ListNano    int64 `json:"list_nano,omitempty"`  // what CostNano would be if providers had no prompt caches
	SavedNano   int64 `json:"saved_nano,omitempty"` // what the requests would have cost that needed no provider
	WasteNano   int64 `json:"waste_nano,omitempty"` // of CostNano: answers that nobody got, of retries, hedges and shadows
	MicrosSum   int64 `json:"micros"`               // of the whole requests
	TTFTSum     int64 `json:"ttft_micros"`
	TTFTCount   int64 `json:"ttft_count"`
	// Latency counts the requests by their length: bucket i ends at 1 ms · 2^(i/2); empty ones at the end are left out.
	Latency []int64 `json:"latency,omitempty"`
}

// MostCounted bounds each number of a Usage: what is beyond no provider means, and sums of many such rows stay far from the
// end of 64 bits.
const MostCounted = 1_000_000_000_000_000

// Codes of a Usage besides those of x-wedge-error.
const (
	CodeClientGone = "client_gone" // the client left before its answer's end
	CodeOther      = "other"       // one of the failures, in a row that stands for many
	CodeRefused    = "refused"     // one of the client's faults, in such a row
)

// Failed says that the requests failed, and not by their clients' fault.
func (u *Usage) Failed() bool {
	switch u.Code {
	case "", CodeClientGone, CodeRefused, "invalid_json", "unauthenticated", "forbidden", "not_found", "unknown_model",
		"method_not_allowed", "request_timeout", "resume_lost", "policy_denied", "body_too_large", "headers_too_large",
		"not_cached", "draining":
		return false
	case "invalid_request", "rate_limited", "overloaded":
		return u.Provider != "" // or else it was the node that said so
	}
	return true
}

// ReportReply answers a report.
type ReportReply struct {
	Seq       int64 `json:"seq"` // the last one that is counted: the node forgets up to it
	Duplicate bool  `json:"duplicate,omitempty"`
}

// SyncError is the body of an answer of the origin's that is no success.
type SyncError struct {
	Code    string `json:"code"` // unauthenticated | forbidden | not_found | conflict | invalid | gap | fenced | upgrade | busy | internal
	Message string `json:"message"`
}

var errMore = errors.New("there is more after the value")

// DecodeStrict reads one JSON value whose every member v has a field for. Duplicate members are not found.
func DecodeStrict(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errMore
	}
	return nil
}

// Duration is a time span that stands in JSON as the catalog writes one: 500ms, 1h, 30d.
type Duration time.Duration

// MarshalText writes the span.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads the span.
func (d *Duration) UnmarshalText(b []byte) error {
	span, ok := parseDuration(string(b))
	if !ok {
		return errors.New(show(string(b)) + " is not a time span; want one such as 500ms, 1h or 30d")
	}
	*d = Duration(span)
	return nil
}
