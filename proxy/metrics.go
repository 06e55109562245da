package proxy

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/usage"
)

// metrics are what a node counts. Label values come from the catalog or from closed sets, never from a client.
type metrics struct {
	requests   *obs.Family[obs.Counter]
	seconds    *obs.Family[obs.Histogram]
	firstToken *obs.Family[obs.Histogram]
	overhead   *obs.Histogram
	tokens     *obs.Family[obs.Counter]
	cost       *obs.Family[obs.Counter]
	unpriced   *obs.Counter
	feedback   *obs.Family[obs.Counter]
	score      *obs.Family[obs.Counter]
	refused    *obs.Counter

	policyCalls, policyErrors, policyTags *obs.Family[obs.Counter]
	shadows                               *obs.Family[obs.Counter]
	policySeconds                         *obs.Family[obs.Histogram]
	panics                                *obs.Counter
	dropped                               *obs.Family[obs.Counter]
}

// handles are a model version's resolved metrics; they are resolved on first use and kept.
type handles struct {
	good    [cacheStatuses]atomic.Pointer[goodHandle]
	version atomic.Pointer[versionHandles]
}

// goodHandle counts the answers with status 200 of one provider.
type goodHandle struct {
	provider string
	count    *obs.Counter
}

type versionHandles struct {
	seconds, firstToken        *obs.Histogram
	input, output, cachedInput *obs.Counter
}

func newMetrics(r *obs.Registry) *metrics {
	return &metrics{
		requests: r.CounterFamily(obs.Opts{Name: "wedge_requests_total", Help: "Requests by what answered them.",
			Labels: []string{"model", "version", "provider", "code", "cache"}, MaxChildren: 50_000}),
		seconds: r.HistogramFamily(obs.Opts{Name: "wedge_request_seconds", Help: "From a request's first byte to its answer's last.",
			Labels: []string{"model"}}),
		firstToken: r.HistogramFamily(obs.Opts{Name: "wedge_time_to_first_token_seconds", Help: "Until the first token of a streamed answer.",
			Labels: []string{"model"}}),
		overhead: r.Histogram(obs.Opts{Name: "wedge_overhead_seconds", Help: "The node's own share of the time until an answer's first byte."}),
		tokens: r.CounterFamily(obs.Opts{Name: "wedge_tokens_total", Help: "Tokens that providers billed.",
			Labels: []string{"model", "direction"}}),
		cost: r.CounterFamily(obs.Opts{Name: "wedge_cost_usd_total", Help: "What answers cost, in USD.",
			Labels: []string{"model", "key"}, Per: obs.Nano}),
		unpriced: r.Counter(obs.Opts{Name: "wedge_unpriced_requests_total", Help: "Answers of providers whose cost is not known."}),
		feedback: r.CounterFamily(obs.Opts{Name: "wedge_feedback_total", Help: "Scores given to answers.",
			Labels: []string{"model", "version", "experiment", "arm"}}),
		score: r.CounterFamily(obs.Opts{Name: "wedge_feedback_score_total", Help: "Sum of the scores given to answers, each 0 to 1.",
			Labels: []string{"model", "version", "experiment", "arm"}, Per: 1e6}),
		panics: r.Counter(obs.Opts{Name: "wedge_panics_total", Help: "Requests that met a fault in the node's own code; it should stay 0."}),
		dropped: r.CounterFamily(obs.Opts{Name: "wedge_dropped_fields_total", Help: "Fields of requests that the target's dialect has no word for.",
			Labels: []string{"model", "dialect"}}),
		policyCalls: r.CounterFamily(obs.Opts{Name: "wedge_policy_calls_total", Help: "Calls of policies.",
			Labels: []string{"policy", "hook"}}),
		policyErrors: r.CounterFamily(obs.Opts{Name: "wedge_policy_errors_total", Help: "Calls of policies that failed; on_error decided.",
			Labels: []string{"policy", "hook", "reason"}}),
		shadows: r.CounterFamily(obs.Opts{Name: "wedge_shadow_requests_total", Help: "Copies of requests that policies sent to a target besides.",
			Labels: []string{"model", "target", "result"}}),
		policyTags: r.CounterFamily(obs.Opts{Name: "wedge_policy_tags_total", Help: "Tags that policies put on requests and answers.",
			Labels: []string{"policy", "key", "value"}}),
		policySeconds: r.HistogramFamily(obs.Opts{Name: "wedge_policy_seconds", Help: "Time that calls of policies took.",
			Labels: []string{"policy", "hook"}}),
		refused: r.Counter(obs.Opts{Name: "wedge_catalog_refused_total", Help: "Catalogs that were refused; the last good one stays."}),
	}
}

// observe counts a finished exchange.
func (m *metrics) observe(x *exchange, r *record) {
	m.count(x, r)
	m.overhead.Observe(int64(r.overhead))
	v := x.version
	if v == nil {
		return
	}
	h := v.handlesOf(m)
	h.seconds.Observe(int64(r.took))
	if r.firstToken > 0 {
		h.firstToken.Observe(int64(r.firstToken))
	}
}

// bill is whose account a provider's answer goes to. It is booked once for each upstream call, whoever reads it.
type bill struct {
	metrics *metrics
	version *version
	key     string
	factors *factors
	counted int  // the request's own tokens, if its answer is to be learnt from
	waste   bool // nobody gets the answer
	usage   Meter
	account usage.Key
}

func (x *exchange) bill() bill {
	return bill{metrics: x.s.metrics, version: x.version, key: x.who.Name, factors: &x.s.factors, counted: x.sample(), usage: x.s.o.Usage, account: x.account()}
}

// book counts what the answer of a target consumed, and settles what was held for it.
func (b *bill) book(u dialect.Usage, t *target, c *charge) {
	h, m := b.version.handlesOf(b.metrics), b.metrics
	if u.Known && c.whole && b.counted > 0 && !c.estimated {
		b.factors.known.Learn(t.Model, b.counted, int(u.Input))
	}
	u, estimated := c.usage(u)
	if !estimated && c.hid(&u) {
		t.live.ObserveHidden()
	}
	c.settle(&u)
	h.input.Add(u.Input)
	h.output.Add(u.Output)
	h.cachedInput.Add(u.Cached)
	cost := t.price.Bill(&u, c.begun)
	c.booked, c.counts, c.cost, c.guessed = true, u, cost.Nano, estimated
	if cost.Nano == price.Unknown {
		m.unpriced.Inc()
	} else if cost.Nano > 0 {
		m.cost.With(b.version.label, b.key).Add(cost.Nano)
	}
	b.meter(&u, t, cost, estimated)
}

// countDropped counts what a request lost on its way to a target of another dialect. Names are the client's, and so no
// label.
func (m *metrics) countDropped(v *version, t *target, lost []string) {
	if len(lost) > 0 {
		m.dropped.With(v.label, t.provider.Dialect).Add(int64(len(lost)))
	}
}

// handlesOf resolves the version's metrics, once.
func (v *version) handlesOf(m *metrics) *versionHandles {
	h := v.handles.version.Load()
	if h == nil {
		h = &versionHandles{
			seconds: m.seconds.With(v.label), firstToken: m.firstToken.With(v.label),
			input: m.tokens.With(v.label, "input"), output: m.tokens.With(v.label, "output"), cachedInput: m.tokens.With(v.label, "cached_input"),
		}
		v.handles.version.Store(h)
	}
	return h
}

func (m *metrics) count(x *exchange, r *record) {
	v := x.version
	if v == nil {
		m.requests.With("", "", "", strconv.Itoa(r.status), r.cache).Inc()
		return
	}
	if r.status == 200 {
		slot := &v.handles.good[x.cache]
		h := slot.Load()
		if h == nil || h.provider != r.provider {
			h = &goodHandle{r.provider, m.requests.With(v.label, r.version, r.provider, "200", r.cache)}
			slot.Store(h)
		}
		h.count.Inc()
		return
	}
	m.requests.With(v.label, r.version, r.provider, strconv.Itoa(r.status), r.cache).Inc()
}

// registerState exposes what is read when somebody asks.
func (s *Server) registerState(r *obs.Registry) {
	r.GaugeFunc(obs.Opts{Name: "wedge_bundle_info", Help: "1 for the catalog in use.", Labels: []string{"digest"}}, func(emit obs.Emit) {
		if snap := s.snap.Load(); snap.Digest != "" {
			emit(1, snap.Digest)
		}
	})
	r.GaugeFunc(obs.Opts{Name: "wedge_bundle_age_seconds", Help: "Age of the catalog in use."}, func(emit obs.Emit) {
		if snap := s.snap.Load(); snap.Digest != "" {
			emit(time.Since(snap.Loaded).Seconds())
		}
	})
	r.GaugeFunc(obs.Opts{Name: "wedge_requests_in_flight", Help: "Requests under way."}, func(emit obs.Emit) {
		emit(float64(s.inFlight.Load()))
	})
	r.GaugeFunc(obs.Opts{Name: "wedge_websockets_open", Help: "Clients' WebSockets."}, func(emit obs.Emit) {
		emit(float64(s.sockets.count()))
	})
	r.GaugeFunc(obs.Opts{Name: "wedge_catalog_rejected", Help: "1 while the newest catalog offered is one that was refused."}, func(emit obs.Emit) {
		if s.refusal.Load() != nil {
			emit(1)
		} else {
			emit(0)
		}
	})
	if s.o.Usage != nil {
		r.GaugeFunc(obs.Opts{Name: "wedge_spool_records", Help: "Reports of usage that the origin has not counted yet."}, func(emit obs.Emit) {
			emit(float64(s.o.Usage.Pending()))
		})
	}
	s.registerTargets(r)
	s.registerCache(r)
	if s.o.Budgets != nil {
		s.registerBudgets(r)
	}
}

func (s *Server) registerBudgets(r *obs.Registry) {
	each := func(name, help string, read func(b *budget.Status) int64) {
		r.GaugeFunc(obs.Opts{Name: name, Help: help, Labels: []string{"budget"}}, func(emit obs.Emit) {
			for _, b := range s.o.Budgets.Status() {
				emit(float64(read(&b))/1e9, b.Budget)
			}
		})
	}
	each("wedge_budget_limit_usd", "What a budget may spend in its period.", func(b *budget.Status) int64 { return b.LimitNano })
	each("wedge_budget_spent_usd", "What this node spent of a budget in its period.", func(b *budget.Status) int64 { return b.SpentNano + b.UnverifiedNano })
	each("wedge_budget_held_usd", "What is held of a budget for requests under way.", func(b *budget.Status) int64 { return b.HeldNano })
	each("wedge_budget_remaining_usd", "What is left of a budget in its period, as far as this node knows.", func(b *budget.Status) int64 { return b.RemainingNano })
	each("wedge_lease_usd", "What this node may still spend of a budget without asking.", func(b *budget.Status) int64 { return b.LeaseNano })
	r.GaugeFunc(obs.Opts{Name: "wedge_budget_overshoot_bound_usd", Help: "What requests under way may yet cost beyond what is held for them."}, func(emit obs.Emit) {
		emit(float64(s.o.Budgets.BoundNano()) / 1e9)
	})
}

func (s *Server) registerTargets(r *obs.Registry) {
	labels := []string{"model", "version", "target", "provider"}
	each := func(read func(t *target) float64) func(obs.Emit) {
		return func(emit obs.Emit) {
			for _, v := range s.snap.Load().versions {
				for i := range v.targets {
					t := &v.targets[i]
					emit(read(t), v.label, v.Version.Version.Version, t.Name, t.provider.Name)
				}
			}
		}
	}
	r.GaugeFunc(obs.Opts{Name: "wedge_target_healthy", Help: "0 while a target is skipped for its failures.", Labels: labels},
		each(func(t *target) float64 {
			if t.live.Healthy(time.Now()) {
				return 1
			}
			return 0
		}))
	r.GaugeFunc(obs.Opts{Name: "wedge_target_inflight", Help: "Attempts under way.", Labels: labels},
		each(func(t *target) float64 { return float64(t.live.InFlight()) }))
	r.GaugeFunc(obs.Opts{Name: "wedge_target_latency_seconds", Help: "Smoothed time until a target's first byte.", Labels: labels},
		each(func(t *target) float64 { return t.live.FirstByte().Seconds() }))
}

func (s *Server) registerCache(r *obs.Registry) {
	c := s.o.Cache
	counters := func(name, help string, read func(emit obs.Emit)) {
		r.CounterFunc(obs.Opts{Name: name, Help: help, Labels: []string{"tier"}}, read)
	}
	counters("wedge_cache_hits_total", "Answers found in a tier.", func(emit obs.Emit) {
		emit(float64(c.Stats.MemoryHits.Load()), "memory")
		emit(float64(c.Stats.DiskHits.Load()), "disk")
	})
	r.CounterFunc(obs.Opts{Name: "wedge_cache_misses_total", Help: "Look-ups that found nothing in any tier."}, func(emit obs.Emit) {
		emit(float64(c.Stats.Misses.Load()))
	})
	counters("wedge_cache_evictions_total", "Answers forgotten for room.", func(emit obs.Emit) {
		emit(float64(c.MemoryUsage().Evictions), "memory")
		if u, ok := c.DiskUsage(); ok {
			emit(float64(u.Evictions), "disk")
		}
	})
	r.GaugeFunc(obs.Opts{Name: "wedge_cache_bytes", Help: "What a tier holds.", Labels: []string{"tier"}}, func(emit obs.Emit) {
		emit(float64(c.MemoryUsage().Bytes), "memory")
		if u, ok := c.DiskUsage(); ok {
			emit(float64(u.Bytes), "disk")
		}
	})
	for name, read := range map[string]func(*cache.Stats) *atomic.Int64{
		"wedge_cache_fills_total":        func(s *cache.Stats) *atomic.Int64 { return &s.Fills },
		"wedge_cache_dropped_total":      func(s *cache.Stats) *atomic.Int64 { return &s.Dropped },
		"wedge_cache_disk_errors_total":  func(s *cache.Stats) *atomic.Int64 { return &s.DiskErrors },
		"wedge_cache_disk_skipped_total": func(s *cache.Stats) *atomic.Int64 { return &s.DiskSkipped },
		"wedge_cache_disk_corrupt_total": func(s *cache.Stats) *atomic.Int64 { return &s.Corrupt },
		"wedge_cache_disk_written_total": func(s *cache.Stats) *atomic.Int64 { return &s.DiskWrites },
		"wedge_cache_queued_bytes":       func(s *cache.Stats) *atomic.Int64 { return &s.QueuedBytes },
	} {
		r.CounterFunc(obs.Opts{Name: name, Help: "Of the answer cache since the start: " + name + "."}, func(emit obs.Emit) {
			emit(float64(read(&c.Stats).Load()))
		})
	}
}
