// Package rate limits how many requests and tokens there are in a time, and how many requests at once; it knows neither
// keys nor models. Each limit is a virtual clock (GCRA) that may run ahead of the real one by what its burst allows.
package rate

import (
	"fmt"
	"math"
	"strconv"
	"sync"
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
	slots    int64 // requests at once, with the node's share; 0: no bound
	inFlight int64
	seen     [2]float64 // requests and tokens that were wanted since the last demand
	since    time.Time
	told     bool // at the last demand it was in use
	share    float64
	nodes    int
	until    int64 // unix nanoseconds, when the share ends; 0: never
}

// clock is a virtual clock: it is where the real one would be at the end of what was admitted, at the rate.
type clock struct {
	at   int64   // unix nanoseconds
	per  int64   // nanoseconds that a whole burst takes; 0: no limit
	unit float64 // nanoseconds that one takes, with the node's share
}

// set gives the clock a limit of n in a time, of which the node has a share. What was admitted stays so.
func (c *clock) set(n int64, per time.Duration, share float64) {
	if n == 0 {
		*c = clock{}
		return
	}
	c.per, c.unit = int64(per), float64(per)/(float64(n)*share)
}

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
		limit.apportion(limit.share)
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
	at := now.UnixNano()
	for _, limit := range limits {
		if d := limit.take(tokens, at); d.Limit != nil {
			t.undo(at)
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

func (t *Ticket) undo(now int64) {
	t.each(func(l *Limit) { l.giveBack(1, t.tokens, now) })
	*t = Ticket{}
}

// Done ends a request that used so many tokens.
func (t *Ticket) Done(tokens int64, now time.Time) {
	at := now.UnixNano()
	t.each(func(l *Limit) { l.giveBack(0, t.tokens-tokens, at) })
	*t = Ticket{}
}

// apportion gives the node a share of the limit.
func (l *Limit) apportion(share float64) {
	l.share = share
	l.requests.set(l.rule.Requests, l.rule.RequestsPer, share)
	l.tokens.set(l.rule.Tokens, l.rule.TokensPer, share)
	if l.slots = 0; l.rule.Concurrency > 0 {
		l.slots = max(1, int64(float64(l.rule.Concurrency)*share))
	}
}

// expire lets a share go that has not been renewed.
func (l *Limit) expire(now int64) {
	if l.until != 0 && now > l.until {
		l.until = 0
		l.apportion(1 / float64(max(1, l.nodes)))
	}
}

func (l *Limit) take(tokens, now int64) Denied {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(now)
	l.seen[0]++
	l.seen[1] += float64(tokens)
	if l.slots > 0 && l.inFlight >= l.slots {
		return Denied{l, "concurrency", time.Second}
	}
	if wait := l.requests.wait(1, now); wait > 0 {
		return Denied{l, "requests", wait}
	}
	if wait := l.tokens.wait(tokens, now); wait > 0 {
		return Denied{l, "tokens", wait}
	}
	l.requests.add(1, now)
	l.tokens.add(tokens, now)
	l.inFlight++
	return Denied{}
}

// wait is how long to wait until n more fit, or 0.
func (c *clock) wait(n, now int64) time.Duration {
	if c.per == 0 {
		return 0
	}
	c.settle(now)
	need := int64(math.Min(float64(n)*c.unit, float64(c.per))) // more than a whole burst would never fit
	return time.Duration(max(0, c.at+need-now-c.per))
}

// farthest is how many bursts a clock may be ahead: what one used beyond all estimates is not paid back for ever,
// and a clock that is set back locks nobody out for long.
const farthest = 2

// settle keeps the clock near the real one, whichever way that was set.
func (c *clock) settle(now int64) { c.at = min(max(c.at, now), now+farthest*c.per) }

func (c *clock) add(n, now int64) {
	if c.per > 0 {
		c.settle(now)
		c.at += int64(float64(n) * c.unit)
	}
}

func (l *Limit) giveBack(requests, tokens, now int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight = max(0, l.inFlight-1)
	if requests != 0 {
		l.requests.add(-requests, now)
	}
	if tokens != 0 {
		l.tokens.add(-tokens, now)
	}
}

// Window is what is left of a limit.
type Window struct {
	Limit, Remaining int64
	Reset            time.Duration // until all of it is there again
}

// Windows are what is left of requests and tokens; a Limit of 0 means that there is none.
func (l *Limit) Windows(now time.Time) (requests, tokens Window) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := now.UnixNano()
	return l.requests.window(at), l.tokens.window(at)
}

func (c *clock) window(now int64) Window {
	if c.per == 0 {
		return Window{}
	}
	ahead := max(0, c.at-now)
	const rounding = 1e-6 // of one
	return Window{
		max(1, int64(float64(c.per)/c.unit+rounding)), max(0, int64(float64(c.per-ahead)/c.unit+rounding)), time.Duration(ahead),
	}
}

// Headers tells the windows in the words of a client's dialect, and as the IETF's draft has them. Values are valid until set
// returns.
func Headers(d dialect.ID, r, t Window, now time.Time, set func(name, value []byte)) {
	switch d {
	case dialect.OpenAI:
		openaiHeaders(&openaiNames[0], r, set)
		openaiHeaders(&openaiNames[1], t, set)
	case dialect.Anthropic:
		anthropicHeaders(&anthropicNames[0], r, now, set)
		anthropicHeaders(&anthropicNames[1], t, now, set)
	case dialect.Gemini: // has none of its own
	}
	var left, policy [96]byte
	v, p := left[:0], policy[:0]
	for i, w := range [...]Window{r, t} {
		if w.Limit == 0 {
			continue
		}
		if len(v) > 0 {
			v, p = append(v, ", "...), append(p, ", "...)
		}
		v, p = append(v, whats[i]...), append(p, whats[i]...)
		v = strconv.AppendInt(append(v, ";r="...), w.Remaining, 10)
		v = strconv.AppendInt(append(v, ";t="...), int64(math.Ceil(w.Reset.Seconds())), 10)
		p = strconv.AppendInt(append(p, ";q="...), w.Limit, 10)
	}
	if len(v) > 0 {
		set(rateLimitPolicy, p)
		set(rateLimit, v)
	}
}

var (
	whats           = [2]string{`"requests"`, `"tokens"`}
	rateLimit       = []byte("RateLimit")
	rateLimitPolicy = []byte("RateLimit-Policy")
	openaiNames     = names("x-ratelimit-limit-%s", "x-ratelimit-remaining-%s", "x-ratelimit-reset-%s")
	anthropicNames  = names("anthropic-ratelimit-%s-limit", "anthropic-ratelimit-%s-remaining", "anthropic-ratelimit-%s-reset")
)

// names are those of a dialect's headers for requests and for tokens: limit, remaining, reset.
func names(forms ...string) (all [2][3][]byte) {
	for i, what := range [...]string{"requests", "tokens"} {
		for k, form := range forms {
			all[i][k] = fmt.Appendf(nil, form, what)
		}
	}
	return all
}

func openaiHeaders(names *[3][]byte, w Window, set func(name, value []byte)) {
	if w.Limit == 0 {
		return
	}
	var b [32]byte
	set(names[0], strconv.AppendInt(b[:0], w.Limit, 10))
	set(names[1], strconv.AppendInt(b[:0], w.Remaining, 10))
	set(names[2], append(b[:0], w.Reset.Round(time.Millisecond).String()...))
}

func anthropicHeaders(names *[3][]byte, w Window, now time.Time, set func(name, value []byte)) {
	if w.Limit == 0 {
		return
	}
	var b [32]byte
	set(names[0], strconv.AppendInt(b[:0], w.Limit, 10))
	set(names[1], strconv.AppendInt(b[:0], w.Remaining, 10))
	reset := now.Add(w.Reset + time.Second - 1).UTC() // to whole seconds, and not before it is true
	set(names[2], reset.AppendFormat(b[:0], time.RFC3339))
}

// Demand is what was wanted lately of the limits that are in use. One that no longer is appears once more, with nothing, and
// then not until it is used again: a node has a limit for each of its keys, and few of them at work.
func (l *Limiter) Demand() []wire.RateDemand {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []wire.RateDemand
	now := l.now()
	for name, limit := range l.limits {
		limit.mu.Lock()
		if seconds := now.Sub(limit.since).Seconds(); seconds > 0 {
			used := limit.seen[0] > 0 || limit.inFlight > 0
			if used || limit.told {
				out = append(out, wire.RateDemand{Rate: name, Requests: limit.seen[0] / seconds, Tokens: limit.seen[1] / seconds, InFlight: float64(limit.inFlight)})
			}
			limit.seen, limit.since, limit.told = [2]float64{}, now, used
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
			limit.nodes, limit.until = s.Nodes, l.now().Add(time.Duration(s.TTLMS)*time.Millisecond).UnixNano()
			limit.apportion(min(1, s.Share))
			limit.mu.Unlock()
		}
	}
}
