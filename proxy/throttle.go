package proxy

import (
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/rate"
	"github.com/wedge-proxy/wedge/wire"
)

// maxLimits is how many rate limits of a request are listed without allocating.
const maxLimits = 8

// useRates puts a catalog's rate limits into use: each key's own, and those that match keys, teams, models or everything.
func (s *Server) useRates(snap *Snapshot) {
	c := snap.catalog
	rules := make([]rate.Rule, 0, len(c.Rates))
	for i := range c.Rates {
		rules = append(rules, rate.Rule{Name: c.Rates[i].Name, Rate: c.Rates[i].Rate})
	}
	for i := range c.Keys {
		if r := c.Keys[i].Rate; r != nil {
			rules = append(rules, rate.Rule{Name: keyRate(&c.Keys[i]), Rate: *r})
		}
	}
	s.rates.Use(rules)
	matched := map[[2]string][]*rate.Limit{}
	for i := range c.Rates {
		at := [2]string{c.Rates[i].Scope, c.Rates[i].Match}
		matched[at] = append(matched[at], s.rates.Of(c.Rates[i].Name))
	}
	for _, p := range snap.principals {
		if p.Rate != nil {
			p.limits = append(p.limits, s.rates.Of(keyRate(p.Key)))
		}
		p.limits = append(p.limits, matched[[2]string{"key", p.Name}]...)
		if p.Team != "" {
			p.limits = append(p.limits, matched[[2]string{"team", p.Team}]...)
		}
		p.limits = append(p.limits, matched[[2]string{"total", ""}]...)
	}
	for _, v := range snap.versions {
		v.limits = matched[[2]string{"model", v.Model.Name}]
	}
}

// keyRate is what a key's own limit is called.
func keyRate(k *wire.Key) string { return "key/" + k.Name }

// throttle counts the request towards its rate limits, or refuses it.
func (x *exchange) throttle() *dialect.Error {
	if len(x.who.limits)+len(x.version.limits) == 0 {
		return nil
	}
	var room [maxLimits]*rate.Limit
	limits := append(append(room[:0], x.who.limits...), x.version.limits...)
	denied, ok := x.s.rates.Admit(&x.ticket, limits, x.askedTokens(), x.start)
	x.limited = true
	if ok {
		return nil
	}
	name := denied.Limit.Name()
	e := fail(codeRateLimited, "", "the limit of "+denied.What+" of "+name+" is reached; try again after the time that retry-after tells, or have the limit raised")
	e.RetryAfter = max(denied.RetryAfter, time.Millisecond)
	return e
}

// endTicket tells the rate limits what the request came to. Answers that no provider was asked for cost no tokens.
func (x *exchange) endTicket() {
	if !x.limited {
		return
	}
	u := &x.usage
	if !u.Known { // what was counted, where the provider did not tell
		u = &x.counts
	}
	tokens := u.Input + u.Output
	switch {
	case x.cache.hit() || x.cache == cacheCoalesced || x.answered == nil:
		tokens = 0
	case !u.Known: // others may still read the answer
		tokens = x.askedTokens()
	}
	x.ticket.Done(max(0, tokens), time.Now())
}

// setRates tells how much of the tightest rate limits is left, in the words of the client's dialect.
func (x *exchange) setRates(h *fasthttp.ResponseHeader) {
	if !x.limited {
		return
	}
	requests, tokens := x.tightest(x.who.limits, rate.Window{}, rate.Window{})
	requests, tokens = x.tightest(x.version.limits, requests, tokens)
	rate.Headers(x.client, requests, tokens, x.start, func(name, value []byte) { h.SetBytesKV(name, value) })
}

// tightest are the windows that have the least left.
func (x *exchange) tightest(limits []*rate.Limit, requests, tokens rate.Window) (rate.Window, rate.Window) {
	for _, l := range limits {
		r, t := l.Windows(x.start)
		if r.Limit > 0 && (requests.Limit == 0 || r.Remaining < requests.Remaining) {
			requests = r
		}
		if t.Limit > 0 && (tokens.Limit == 0 || t.Remaining < tokens.Remaining) {
			tokens = t
		}
	}
	return requests, tokens
}

// readTags reads x-wedge-tags: k=v,k=v. They are what requests are told apart by in reports of what they cost.
func (x *exchange) readTags() *dialect.Error {
	v := x.ctx.Request.Header.PeekBytes(headerTags)
	if len(v) == 0 {
		return nil
	}
	tags, ok := appendTags(x.tagBuf[:0], v)
	if x.tagBuf = tags; !ok {
		return fail(codeInvalidRequest, "", "x-wedge-tags takes at most "+strconv.Itoa(maxTags)+" tags as k=v,k=v, of letters, digits and . _ - / :, each name once")
	}
	x.tags = tags
	return nil
}
