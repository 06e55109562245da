package proxy

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
)

// record is what is remembered of a finished request: every decision with its reason, no text.
type record struct {
	facts
	tries    [maxTries]triedRecord // as many as there were attempts
	policies []policyRecord
}

// policyRecord is what one policy decided.
type policyRecord struct {
	name, verdict, err string
	took               time.Duration
}

type facts struct {
	id                                      [28]byte
	seq                                     uint64
	start                                   time.Time
	took, overhead, upstream, firstToken    time.Duration
	op                                      dialect.Op
	stream, scored                          bool
	key, tenant, model, label, version, why string
	experiment, arm, unit                   string
	cache, reason, provider, target, digest string
	cacheKey                                [32]byte
	usage                                   dialect.Usage
	cost, bytes, saved, waste               int64
	guessed                                 bool
	prices                                  string
	priced                                  *price.Price  // nil where no provider was paid for the answer
	counts                                  dialect.Usage // that the cost was counted from
	status, attempts                        int
	code, message, dropped                  string
}

type triedRecord struct {
	version, target, provider, result string
	status                            int
	took                              time.Duration
}

// explainSize is how many finished requests are remembered.
const explainSize = 4096

// explainRing remembers the last requests by their sequence number.
type explainRing struct {
	slots []explainSlot
}

type explainSlot struct {
	mu sync.Mutex
	r  *record
}

func newExplainRing() *explainRing { return &explainRing{slots: make([]explainSlot, explainSize)} }

// next locks the record that is to tell of a request, over the oldest one; done gives it back.
func (e *explainRing) next(seq uint64) (s *explainSlot) {
	s = &e.slots[seq%explainSize]
	s.mu.Lock()
	if s.r == nil {
		s.r = new(record) // on first use: an idle node has none
	}
	return s
}

func (s *explainSlot) done() { s.mu.Unlock() }

// get copies the record of a request, if it is still there.
func (e *explainRing) get(seq uint64, id []byte) (r record, ok bool) {
	s := &e.slots[seq%explainSize]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r == nil || string(s.r.id[:]) != string(id) {
		return r, false
	}
	r = *s.r
	r.policies = slices.Clone(r.policies)
	return r, true
}

// score marks a request of a tenant as scored. first is false if it was before.
func (e *explainRing) score(seq uint64, id []byte, tenant string) (r record, found, first bool) {
	s := &e.slots[seq%explainSize]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.r == nil || string(s.r.id[:]) != string(id) || s.r.tenant != tenant || tenant == "" {
		return r, false, false
	}
	first, s.r.scored = !s.r.scored, true
	return *s.r, true, first
}

// explanation is a record as GET /explain/{request-id} shows it.
type explanation struct {
	RequestID  string            `json:"request_id"`
	Time       time.Time         `json:"time"`
	Operation  string            `json:"operation"`
	Stream     bool              `json:"stream"`
	Status     int               `json:"status"`
	Error      string            `json:"error,omitempty"`
	Message    string            `json:"message,omitempty"`
	Key        string            `json:"key,omitempty"`
	Tenant     string            `json:"tenant,omitempty"`
	Bundle     string            `json:"bundle"`
	Model      string            `json:"model,omitempty"`
	Version    *explainedVersion `json:"version,omitempty"`
	Experiment *explainedArm     `json:"experiment,omitempty"`
	Policies   []explainedPolicy `json:"policies,omitempty"`
	Cache      *explainedCache   `json:"cache,omitempty"`
	Provider   string            `json:"provider,omitempty"`
	Target     string            `json:"target,omitempty"`
	Attempts   []explainedTry    `json:"attempts"`
	Dropped    string            `json:"dropped,omitempty"`
	Usage      json.RawMessage   `json:"usage,omitempty"`
	CostUSD    *float64          `json:"cost_usd,omitempty"`
	Cost       *explainedCost    `json:"cost,omitempty"`
	Timing     explainedTiming   `json:"timing_ms"`
	Bytes      int64             `json:"bytes"`
}

type explainedVersion struct {
	Version string `json:"version"`
	Reason  string `json:"reason"`
}

type explainedArm struct {
	Name string `json:"name"`
	Arm  string `json:"arm"`
	Unit string `json:"unit"`
}

type explainedCache struct {
	Result string `json:"result"`
	Reason string `json:"reason,omitempty"`
	Key    string `json:"key,omitempty"`
}

type explainedPolicy struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Error   string  `json:"error,omitempty"`
	TookMS  float64 `json:"took_ms"`
}

type explainedTry struct {
	Version  string  `json:"version"`
	Target   string  `json:"target"`
	Provider string  `json:"provider"`
	Result   string  `json:"result"`
	Status   int     `json:"status,omitempty"`
	TookMS   float64 `json:"took_ms"`
}

// explainedCost is how a cost came about, in USD.
type explainedCost struct {
	Estimated bool            `json:"estimated,omitempty"` // the provider did not tell what it billed
	List      float64         `json:"list_usd"`            // without the provider's own prompt cache
	Discount  float64         `json:"discount_usd"`        // what that cache saved
	Saved     float64         `json:"saved_usd"`           // by the node's cache, or by sharing the answer of an equal request
	Waste     float64         `json:"waste_usd"`           // besides: attempts, hedges and shadows whose answer nobody got
	Prices    string          `json:"prices"`              // the digest of the prices
	Lines     []explainedLine `json:"lines,omitempty"`
}

type explainedLine struct {
	What  string  `json:"what"`
	Count int64   `json:"count"`
	USD   float64 `json:"usd"`
}

type explainedTiming struct {
	Total      float64 `json:"total"`
	Overhead   float64 `json:"overhead"`
	Upstream   float64 `json:"upstream"`
	FirstToken float64 `json:"first_token,omitempty"`
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *record) explain() *explanation {
	e := &explanation{
		RequestID: string(r.id[:]), Time: r.start.UTC(), Operation: r.op.String(), Stream: r.stream, Status: r.status,
		Error: r.code, Message: r.message, Key: r.key, Tenant: r.tenant, Bundle: r.digest, Model: r.model,
		Provider: r.provider, Target: r.target, Dropped: r.dropped, Attempts: []explainedTry{}, Bytes: r.bytes,
		Timing: explainedTiming{millis(r.took), millis(r.overhead), millis(r.upstream), millis(r.firstToken)},
	}
	if r.version != "" {
		e.Version = &explainedVersion{r.version, r.why}
	}
	if r.experiment != "" {
		e.Experiment = &explainedArm{r.experiment, r.arm, r.unit}
	}
	if r.cache != "" {
		e.Cache = &explainedCache{Result: r.cache, Reason: r.reason}
		if r.cacheKey != [32]byte{} {
			e.Cache.Key = hex.EncodeToString(r.cacheKey[:8])
		}
	}
	for _, p := range r.policies {
		e.Policies = append(e.Policies, explainedPolicy{p.name, p.verdict, p.err, millis(p.took)})
	}
	for _, t := range r.tries[:min(r.attempts, maxTries)] {
		e.Attempts = append(e.Attempts, explainedTry{t.version, t.target, t.provider, t.result, t.status, millis(t.took)})
	}
	if r.usage.Known {
		e.Usage = appendUsage(nil, &r.usage)
	}
	if r.cost != price.Unknown {
		usd := float64(r.cost) / 1e9
		e.CostUSD = &usd
		e.Cost = r.explainCost()
	}
	return e
}

func (r *record) explainCost() *explainedCost {
	usd := func(nano int64) float64 { return float64(nano) / 1e9 }
	c := &explainedCost{Estimated: r.guessed, Saved: usd(r.saved), Waste: usd(r.waste), Prices: r.prices}
	if r.priced == nil {
		return c
	}
	list := r.priced.Bill(&r.counts, r.start).List
	c.List, c.Discount = usd(list), usd(max(0, list-r.cost))
	for _, l := range r.priced.Lines(&r.counts, r.start) {
		c.Lines = append(c.Lines, explainedLine{l.What, l.Count, usd(l.Nano)})
	}
	return c
}
