package proxy

import (
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// hedge is a second attempt that policies ask for when the first one is slow.
type hedge struct {
	target *target
	charge charge
	after  time.Duration
	tried  uint64 // the plan's, without the hedge
	begun  atomic.Bool
}

// nextHedge prepares the hedge of the request's first attempt, or returns nil. It never waits: the first attempt has not
// been made yet.
func (x *exchange) nextHedge() *hedge {
	if x.conversation() != nil || x.ruling == nil || x.ruling.hedge <= 0 || x.plan.attempts != 1 || x.op == dialect.OpOther {
		return nil
	}
	h := &hedge{after: x.ruling.hedge, tried: x.plan.tried}
	var ruled bool
	if h.target, ruled = x.ruledTarget(); !ruled {
		h.target = x.draw()
	}
	if h.target == nil || h.target == x.up.target {
		x.plan.tried = h.tried
		return nil
	}
	return h
}

// do makes an attempt, and its hedge if there is one. It returns the target whose answer is there.
func (x *exchange) do(t *target, ask *upstream.Request) (*target, error) {
	h := x.nextHedge()
	if h == nil {
		return t, x.endpointOf(t).Do(&x.up.call, ask)
	}
	h.charge = charge{price: h.target.price, begun: x.start, asked: x.askedTokens()}
	if !x.holdFor(&h.charge, x.plan.version, h.target, !x.asksStream()) { // one attempt is what can be paid for
		x.plan.tried = h.tried
		return t, t.provider.endpoint.Do(&x.up.call, ask)
	}
	second := *ask
	body, lost, failure := x.appendBodyFor(nil, x.plan.version, h.target)
	if failure != nil { // it cannot say what the first one can
		h.charge.release()
		x.plan.tried = h.tried
		return t, t.provider.endpoint.Do(&x.up.call, ask)
	}
	second.Head, second.Body, second.Path = x.appendUpstreamHead(nil, h.target), body, x.appendUpstreamPath(nil, h.target, x.asks(h.target))
	won, err := t.provider.endpoint.DoHedged(&x.up.call, ask, &upstream.Hedge{
		After: h.after, Endpoint: h.target.provider.endpoint, Request: &second, Begin: h.begin,
	})
	x.settleHedge(h, won, err)
	if won {
		x.dropped = ""
		x.lose(lost)
		return h.target, nil
	}
	return t, err
}

// begin counts the hedge in, unless its provider has as many requests under way as its limits allow.
func (h *hedge) begin() bool {
	if !h.target.provider.gate.Enter(h.target.provider.Limits.InFlight) {
		return false
	}
	h.target.live.Acquire()
	h.begun.Store(true)
	return true
}

// settleHedge writes down what became of the two attempts, and counts the one that was not needed out.
func (x *exchange) settleHedge(h *hedge, won bool, err error) {
	if !h.begun.Load() {
		h.charge.release()
		x.plan.tried = h.tried
		return
	}
	loser, result := h.target, "not needed"
	switch {
	case err != nil:
		result = "failed"
	case won:
		loser, result = x.up.target, "ok"
		x.tries[x.plan.attempts-1].result = "overtaken"
		x.up.target = h.target
		x.up.charge, h.charge = h.charge, x.up.charge
	}
	if neverSent(err) {
		h.charge.release()
	} else {
		b := x.bill()
		b.counted, b.waste = 0, true
		b.book(dialect.Usage{}, loser, &h.charge) // it was sent, and may be billed
		x.wasted += max(0, h.charge.cost)
	}
	loser.provider.gate.Leave()
	loser.live.Release(route.Neutral, time.Now(), 0)
	x.plan.attempts++
	x.tries[x.plan.attempts-1] = try{version: x.plan.version, target: h.target, result: result}
}
