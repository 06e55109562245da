// Package rate limits how many requests and tokens there are in a time, and how many requests at once; it knows neither
// keys nor models. Each limit is a virtual clock (GCRA) that may run ahead of the real one by what its burst allows.
package rate

import (
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

// Options are settings.
type Options struct{ Now func() time.Time }

// Rule is a limit by its name: a rule's, or key/NAME for a key's own.
type Rule struct {
	Name string
	wire.Rate
}

// Limiter has a node's limits. It is safe for concurrent use.
type Limiter struct {
	mu     sync.Mutex
	limits map[string]*Limit
	now    func() time.Time
}

// New makes a limiter without limits.
func New(o Options) *Limiter {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Limiter{limits: map[string]*Limit{}, now: o.Now}
}

// Limit is one limit.
type Limit struct {
	name     string
	mu       sync.Mutex
	rule     wire.Rate
	requests clock
	tokens   clock
	inFlight int64
	seen     [2]float64 // requests and tokens that were wanted since the last demand
	since    time.Time
	share    float64
	nodes    int
	until    time.Time
	gone     atomic.Bool
}

// clock is a virtual clock: tat is when what was admitted so far would have been, at the rate.
type clock struct{ tat time.Time }

// Name is what the limit is called.
func (l *Limit) Name() string { return l.name }

// Of is the limit of a name; nil without a rule.
func (l *Limiter) Of(name string) *Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits[name]
}

// Use puts rules into use. Limits keep their state by name.
func (l *Limiter) Use(rules []Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh := make(map[string]*Limit, len(rules))
	for _, r := range rules {
		limit := l.limits[r.Name]
		if limit == nil {
			limit = &Limit{name: r.Name, share: 1, since: l.now()}
		}
		limit.mu.Lock()
		limit.rule = r.Rate
		limit.mu.Unlock()
		fresh[r.Name] = limit
	}
	l.limits = fresh
}

const most = 8

// Ticket is what a request took of its limits. The zero value took nothing.
type Ticket struct {
	limits [most]*Limit
	more   []*Limit
	n      int
	tokens int64
}

// Denied says which limit refused a request.
type Denied struct {
	Limit      *Limit
	What       string // requests | tokens | concurrency
	RetryAfter time.Duration
}

// Admit takes one request and so many tokens of all limits, or of none.
func (l *Limiter) Admit(t *Ticket, limits []*Limit, tokens int64, now time.Time) (d Denied, ok bool) {
	*t = Ticket{tokens: tokens}
	for _, limit := range limits {
		if d := limit.take(tokens, now); d.Limit != nil {
			t.undo(now)
			return d, false
		}
		if t.n < most {
			t.limits[t.n] = limit
			t.n++
		} else {
			t.more = append(t.more, limit)
		}
	}
	return Denied{}, true
}

func (t *Ticket) each(do func(l *Limit)) {
	for _, l := range t.limits[:t.n] {
		do(l)
	}
	for _, l := range t.more {
		do(l)
	}
}

func (t *Ticket) undo(now time.Time) {
	t.each(func(l *Limit) { l.giveBack(1, t.tokens, now) })
	*t = Ticket{}
}

// Done ends a request that used so many tokens.
func (t *Ticket) Done(tokens int64, now time.Time) {
	t.each(func(l *Limit) { l.giveBack(0, t.tokens-tokens, now) })
	*t = Ticket{}
}

// period is how long one unit takes at the limit's rate, with the node's share of it.
func (l *Limit) period(n int64, per time.Duration) float64 {
	return float64(per) / (float64(n) * l.portion())
}

func (l *Limit) portion() float64 { return l.share }

// expire lets a share go that has not been renewed.
func (l *Limit) expire(now time.Time) {
	if !l.until.IsZero() && now.After(l.until) {
		l.share, l.until = 1/float64(max(1, l.nodes)), time.Time{}
	}
}

func (l *Limit) take(tokens int64, now time.Time) Denied {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	l.seen[0]++
	l.seen[1] += float64(tokens)
	if l.rule.Concurrency > 0 && l.inFlight >= max(1, int64(float64(l.rule.Concurrency)*l.portion())) {
		return Denied{l, "concurrency", time.Second}
	}
	if wait := l.check(&l.requests, l.rule.Requests, l.rule.RequestsPer, 1, now); wait > 0 {
		return Denied{l, "requests", wait}
	}
	if wait := l.check(&l.tokens, l.rule.Tokens, l.rule.TokensPer, tokens, now); wait > 0 {
		return Denied{l, "tokens", wait}
	}
	l.add(&l.requests, l.rule.Requests, l.rule.RequestsPer, 1, now)
	l.add(&l.tokens, l.rule.Tokens, l.rule.TokensPer, tokens, now)
	l.inFlight++
	return Denied{}
}

// check is how long to wait until n more fit, or 0.
func (l *Limit) check(c *clock, limit int64, per time.Duration, n int64, now time.Time) time.Duration {
	if limit == 0 {
		return 0
	}
	c.settle(now, per)
	unit := l.period(limit, per)
	need := time.Duration(math.Min(float64(n)*unit, float64(per))) // more than a whole burst would never fit
	if over := c.tat.Add(need).Sub(now) - per; over > 0 {
		return over
	}
	return 0
}

// settle keeps the clock within a burst of the real one, whichever way that was set.
func (c *clock) settle(now time.Time, per time.Duration) {
	if c.tat.Before(now) {
		c.tat = now
	}
	if ahead := now.Add(2 * per); c.tat.After(ahead) {
		c.tat = ahead
	}
}

func (l *Limit) add(c *clock, limit int64, per time.Duration, n int64, now time.Time) {
	if limit > 0 {
		c.settle(now, per)
		c.tat = c.tat.Add(time.Duration(float64(n) * l.period(limit, per)))
	}
}

func (l *Limit) giveBack(requests, tokens int64, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight = max(0, l.inFlight-1)
	l.add(&l.requests, l.rule.Requests, l.rule.RequestsPer, -requests, now)
	l.add(&l.tokens, l.rule.Tokens, l.rule.TokensPer, -tokens, now)
}

// Window is what is left of a limit.
type Window struct {
	Limit, Remaining int64
	Reset            time.Duration
}

// Windows are what is left of requests and tokens; a Limit of 0 means that there is none.
func (l *Limit) Windows(now time.Time) (requests, tokens Window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.window(&l.requests, l.rule.Requests, l.rule.RequestsPer, now), l.window(&l.tokens, l.rule.Tokens, l.rule.TokensPer, now)
}

func (l *Limit) window(c *clock, limit int64, per time.Duration, now time.Time) Window {
	if limit == 0 {
		return Window{}
	}
	ahead := max(0, c.tat.Sub(now))
	left := float64(per-ahead) / l.period(limit, per)
	return Window{max(1, int64(float64(limit)*l.portion())), max(0, int64(left)), ahead}
}

// Headers tells the windows in the words of a client's dialect.
func Headers(d dialect.ID, r, t Window, now time.Time, set func(name, value []byte)) {
	var b [64]byte
	number := func(name string, n int64) { set([]byte(name), strconv.AppendInt(b[:0], n, 10)) }
	for _, w := range [...]struct {
		Window
		what string
	}{{r, "requests"}, {t, "tokens"}} {
		if w.Limit == 0 {
			continue
		}
		switch d {
		case dialect.Anthropic:
			number("anthropic-ratelimit-"+w.what+"-limit", w.Limit)
			number("anthropic-ratelimit-"+w.what+"-remaining", w.Remaining)
			set([]byte("anthropic-ratelimit-"+w.what+"-reset"), now.Add(w.Reset).UTC().AppendFormat(b[:0], time.RFC3339))
		case dialect.OpenAI:
			number("x-ratelimit-limit-"+w.what, w.Limit)
			number("x-ratelimit-remaining-"+w.what, w.Remaining)
			set([]byte("x-ratelimit-reset-"+w.what), append(b[:0], w.Reset.Round(time.Millisecond).String()...))
		}
		v := append(append(append(b[:0], '"'), w.what...), `";r=`...)
		v = strconv.AppendInt(v, w.Remaining, 10)
		v = strconv.AppendInt(append(v, ";t="...), int64(math.Ceil(w.Reset.Seconds())), 10)
		set([]byte("ratelimit"), v)
	}
}

// Demand is what was wanted of each limit lately.
func (l *Limiter) Demand() []wire.RateDemand {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []wire.RateDemand
	now := l.now()
	for name, limit := range l.limits {
		limit.mu.Lock()
		if seconds := now.Sub(limit.since).Seconds(); seconds > 0 {
			out = append(out, wire.RateDemand{Rate: name, Requests: limit.seen[0] / seconds, Tokens: limit.seen[1] / seconds, InFlight: float64(limit.inFlight)})
			limit.seen, limit.since = [2]float64{}, now
		}
		limit.mu.Unlock()
	}
	return out
}

// Share takes the parts of the limits that the node may use.
func (l *Limiter) Share(shares []wire.RateShare) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range shares {
		if limit := l.limits[s.Rate]; limit != nil && s.Share > 0 {
			limit.mu.Lock()
			limit.share, limit.nodes, limit.until = min(1, s.Share), s.Nodes, l.now().Add(time.Duration(s.TTLMS)*time.Millisecond)
			limit.mu.Unlock()
		}
	}
}
