package proxy

import (
	"net"
	"time"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
)

// statusGone is what metrics and logs call a request whose client left before its answer's end.
const statusGone = 499

// finish gives everything that the exchange learnt back to the world: metrics, usage, the access log, explain. Only then
// is the exchange over. What the provider's call learnt goes back in upcall.leave and upcall.finish.
func (x *exchange) finish() {
	x.leaveFlight()
	if x.passes {
		x.s.inFlight.Add(-1)
		x.release()
		return
	}
	x.endTicket()
	if x.visit != nil && x.visit.learn != nil {
		x.visit.learn(x)
	}
	if x.gone {
		x.status = statusGone
	}
	slot := x.s.explain.next(x.id.seq)
	x.describe(slot.r)
	x.s.metrics.observe(x, slot.r)
	x.meter(slot.r)
	x.log(slot.r)
	x.tellDone(slot.r)
	slot.done()
	x.s.inFlight.Add(-1)
	x.release()
}

func (x *exchange) log(r *record) {
	line := obs.AccessRecord{
		Time: r.start.UnixNano(), RequestID: bytesx.String(x.id.bytes()), ClientIP: x.clientIP(),
		Status: r.status, Attempts: r.attempts, InputTokens: r.usage.Input, OutputTokens: r.usage.Output, Bytes: r.bytes,
		DurationUS: r.took.Microseconds(), OverheadUS: r.overhead.Microseconds(), TTFTUS: r.firstToken.Microseconds(),
		CostNano: max(0, r.cost), Stream: r.stream,
	}
	if p := x.preparedHit(); p != nil {
		line.Shared = p.line
	} else {
		x.describeShared(&line, r)
		x.prepareHit(&line)
	}
	if x.s.o.AccessLog != nil {
		x.s.o.AccessLog.Write(&line)
	}
}

// describeShared fills in the part of a line that equal requests with equal answers share.
func (x *exchange) describeShared(line *obs.AccessRecord, r *record) {
	line.Method, line.Path = bytesx.String(x.ctx.Method()), bytesx.String(loggedPath(x.ctx.Path()))
	line.Model, line.Version, line.Provider, line.Target = r.model, r.version, r.provider, r.target
	line.Cache, line.Code, line.Key, line.Experiment = r.cache, r.code, r.key, x.armName()
}

// loggedPath is a path without the virtual key that somebody may have put into it.
func loggedPath(path []byte) []byte {
	if open, found := beforeSecret(path); found {
		return open
	}
	return path
}

func (x *exchange) clientIP() string {
	switch {
	case x.conn != nil:
		return x.conn.PeerIP()
	case x.visit != nil:
		if host, _, err := net.SplitHostPort(x.visit.peer.String()); err == nil {
			return host
		}
	}
	return ""
}

// describe writes down what became of the request, without a word of its prompt or its answer.
func (x *exchange) describe(r *record) {
	r.facts = facts{
		id: x.id.text, start: x.start, took: x.overhead, op: x.op, stream: x.streaming, status: x.status, bytes: x.sent,
		why: x.why, cache: x.cache.String(), reason: x.reason, usage: x.usage, cost: x.cost, overhead: x.overhead,
		upstream: x.upstream, firstToken: x.firstToken, attempts: x.plan.attempts, saved: x.saved(), waste: x.wasted, guessed: x.guessed, digest: x.snap.Digest, dropped: x.dropped,
	}
	if x.streamed || !x.cache.hit() { // a hit is over when its first byte is
		r.took = time.Since(x.start)
	}
	if x.who != nil {
		r.key, r.tenant = x.who.Name, x.who.Tenant
	}
	if x.model != nil {
		r.model = x.model.Name
	}
	if x.version != nil {
		r.version, r.label = x.version.Version.Version.Version, x.version.label
	}
	if x.exp != nil {
		r.experiment, r.arm, r.unit = x.exp.Name, x.exp.Experiment.Arms[x.arm].Name, x.model.Unit
	}
	if x.failure != nil {
		r.code, r.message = x.failure.Code, x.failure.Message
		switch r.code { // where and why repeats the body's words, or a guest's
		case codeInvalidJSON.name:
			r.message = "the request body is not valid JSON"
		case codePolicyDenied.name:
			r.message = "a policy refused the request"
		}
	}
	if x.cache > cacheBypass {
		r.cacheKey = x.key
	}
	switch {
	case x.entry != nil && x.entry.Provider != "":
		r.provider, r.target = x.entry.Provider, x.entry.Target
	case x.answered != nil:
		r.provider, r.target = x.answered.provider.Name, x.answered.Name
	}
	for i := range min(x.plan.attempts, maxTries) {
		t := &x.tries[i]
		r.tries[i] = triedRecord{t.version.Version.Version.Version, t.target.Name, t.target.provider.Name, t.result, t.status, t.took}
	}
	if r.prices = x.snap.prices.Digest(); x.cost > 0 && x.answered != nil {
		r.priced, r.counts = x.answered.price, x.counts
	}
	r.policies = r.policies[:0]
	if x.ruling != nil {
		for i, p := range x.ruling.chain.policies {
			if v := &x.ruling.verdicts[i]; v.word != "" {
				r.policies = append(r.policies, policyRecord{p.Name, v.word, v.err, v.took})
			}
		}
	}
	if x.op == dialect.OpOther && x.cost == 0 {
		r.cost = price.Unknown
	}
}
