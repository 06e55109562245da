package proxy

import (
	"bytes"
	"context"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// maxShadows is how many shadow requests are under way at a time; further ones are left out and counted.
const maxShadows = 64

// shadow is a copy of a request on its way to a target whose answer nobody waits for.
type shadow struct {
	target  *target
	op      dialect.Op
	answers dialect.Answers
	bill    bill
	charge  charge
	ask     upstream.Request
	most    int // bytes of the answer
}

// castShadow sends a copy of the request to the target that policies named.
func (x *exchange) castShadow() {
	if x.conversation() != nil || x.ruling == nil || x.ruling.shadow == nil || x.op == dialect.OpOther {
		return
	}
	t := x.ruling.shadow
	select {
	case x.s.shadows <- struct{}{}:
	default:
		x.s.metrics.shadows.With(x.version.label, t.Name, "left out").Inc()
		return
	}
	body, _, failure := x.appendBodyFor(nil, x.version, t)
	if failure != nil {
		<-x.s.shadows
		x.s.metrics.shadows.With(x.version.label, t.Name, "left out").Inc()
		return
	}
	op := x.asks(t)
	x.body = body // which the headers follow
	s := &shadow{
		target: t, op: op, answers: x.s.o.Dialects.For(op), bill: x.bill(), most: x.s.o.MaxAnswer,
		charge: charge{price: t.price, begun: x.start, asked: x.askedTokens()},
		ask: upstream.Request{
			Method: bytes.Clone(x.ctx.Method()), Path: x.appendUpstreamPath(nil, t, op), Head: x.appendUpstreamHead(nil, t),
			Body: bytes.Clone(body), FirstByte: t.timeout, ChunkTimeout: t.timeout,
		},
	}
	s.bill.waste = true
	if !x.holdFor(&s.charge, x.version, t, true) {
		<-x.s.shadows
		x.s.metrics.shadows.With(x.version.label, t.Name, "left out").Inc()
		return
	}
	server := x.s
	server.work.Go(func() {
		defer func() { <-server.shadows }()
		result := "failed"
		_ = server.survive("a shadow request", func() error { result = s.run(server.life); return nil })
		server.metrics.shadows.With(s.bill.version.label, s.target.Name, result).Inc()
	})
}

// run makes the call, unless ctx ends before, and books what it cost. It returns the result as a label.
func (s *shadow) run(ctx context.Context) string {
	var call upstream.Call
	defer call.Close()
	defer s.charge.release()
	defer context.AfterFunc(ctx, call.Abort)()
	if !s.target.provider.gate.Enter(s.target.provider.Limits.InFlight) {
		return "left out"
	}
	defer s.target.provider.gate.Leave()
	if err := s.target.provider.endpoint.Do(&call, &s.ask); err != nil {
		if !neverSent(err) {
			s.bill.book(dialect.Usage{}, s.target, &s.charge)
		}
		return "failed"
	}
	out, err := call.AppendAll(nil, s.most)
	if status := call.Status(); err != nil || status < 200 || status > 299 {
		return "failed"
	}
	if isEventStream(call.ContentType()) {
		out, err = s.answers.AppendWhole(nil, s.op, out)
	}
	if err != nil {
		return "failed"
	}
	usage, err := s.answers.Whole(s.op, out)
	if err != nil {
		return "failed"
	}
	s.charge.whole = true
	s.bill.book(usage, s.target, &s.charge)
	return "ok"
}
