// Package sim is a simulated provider: it answers like the APIs of OpenAI, Anthropic and Gemini with deterministic
// text, honest usage and settable timing, and fails in every way that is asked of it. It knows nothing of the node
// in front of it.
package sim

import (
	"bytes"
	"cmp"
	"context"
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fastjson"
)

// Options says how a Server answers; the zero value answers at once, never fails and keeps no log.
type Options struct {
	Listen          string        // the address for ListenAndServe; "" is 127.0.0.1:9090
	Latency         time.Duration // of whole answers
	TTFT            time.Duration // until the first content of a stream
	TokensPerSecond float64       // of streams, and of whole answers without a Latency; 0 is no pacing
	FailRate        float64       // 0..1: the share of POST requests that fail with Fail
	Fail            string        // the kind of fault; "" is 500
	Seed            uint64        // another seed gives other answers and other requests that fail
	APIKey          string        // the key that a request must show; "" asks for none
	LogSize         int           // requests that the log keeps; 0 keeps none
	MaxBody         int           // bytes of a request's body; 0 is 64 MiB
	SocketLife      time.Duration // after which a WebSocket is closed; 0 is an hour
}

const (
	defaultListen  = "127.0.0.1:9090"
	defaultMaxBody = 64 << 20
	writeBuffer    = 16 << 10 // bytes per connection: a burst of events goes out in one or two writes
)

// Server is one simulated provider.
type Server struct {
	opts     Options
	defaults settings
	rateFail fault
	brain    brain
	routes   map[string][]*route
	http     fasthttp.Server
	memo     memo
	log      *requestLog
	script   script
	stats    counters
	waiters  waiters
	sockets  sockets
	kept     responseStore
	files    fileStore
	parsers  fastjson.ParserPool
	serial   atomic.Uint64 // of request ids
	draws    atomic.Uint64 // of the fail rate
}

// brain is what makes two servers' answers differ.
type brain struct{ seed uint64 }

// New checks o and returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	s := &Server{opts: o, log: newLog(o.LogSize), brain: brain{seed: o.Seed}, routes: byPath(endpoints())}
	if o.Fail == "" {
		o.Fail = fault500.String()
	}
	var err error
	if s.rateFail, err = parseFault(o.Fail); err != nil {
		return nil, fmt.Errorf("cannot simulate the fault %q: %w", o.Fail, err)
	}
	if o.FailRate < 0 || o.FailRate > 1 {
		return nil, fmt.Errorf("cannot fail at a rate of %v: it must be from 0 to 1", o.FailRate)
	}
	if o.Latency < 0 || o.TTFT < 0 || o.TokensPerSecond < 0 || o.SocketLife < 0 {
		return nil, fmt.Errorf("cannot answer before the request: latency, time to first token, tokens per second and a socket's life must not be negative")
	}
	s.defaults = settings{
		ttft: o.TTFT, latency: o.Latency, tps: o.TokensPerSecond, failAfter: -1, failDelay: defaultFailDelay,
		retry: defaultRetry, life: cmp.Or(o.SocketLife, defaultLife), closeCode: defaultCloseCode,
	}
	s.sockets.init()
	s.listen(cmp.Or(max(o.MaxBody, 0), defaultMaxBody))
	return s, nil
}

// listen prepares the HTTP server for bodies of at most maxBody bytes.
func (s *Server) listen(maxBody int) {
	s.http = fasthttp.Server{
		Handler:            s.handle,
		Name:               "wedge-sim",
		MaxRequestBodySize: maxBody,
		WriteBufferSize:    writeBuffer,
		ReadBufferSize:     16 << 10,
		ConnState:          s.stats.connState,
		CloseOnShutdown:    true,
		// Its pool's keeper sleeps for this long, also after a shutdown.
		MaxIdleWorkerDuration: 200 * time.Millisecond,
		// Connections that break are this server's trade, not news.
		Logger: log.New(io.Discard, "", 0),
	}
}

// Handler is the server's handler, for a fasthttp server of one's own.
func (s *Server) Handler() fasthttp.RequestHandler { return s.handle }

// Serve answers the connections that ln accepts, until Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.http.Serve(ln); err != nil {
		return fmt.Errorf("cannot serve the simulated provider on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Listen opens the listener that the options name.
func (s *Server) Listen() (net.Listener, error) {
	addr := s.opts.Listen
	if addr == "" {
		addr = defaultListen
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s for the simulated provider: %w", addr, err)
	}
	return ln, nil
}

// Shutdown stops listening, ends what stalls, and waits for the answers under way, also on WebSockets, which are
// closed with "going away" then; when ctx ends it closes those as well.
func (s *Server) Shutdown(ctx context.Context) error {
	s.waiters.drain()
	s.sockets.drain()
	err := s.ended(ctx)
	if err == nil {
		return nil
	}
	s.waiters.stop()
	s.sockets.stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if s.ended(grace) == nil {
		return nil
	}
	return fmt.Errorf("cannot end all answers of the simulated provider in time: %w", err)
}

// ended waits until nothing is answered any more.
func (s *Server) ended(ctx context.Context) error {
	if err := s.http.ShutdownWithContext(ctx); err != nil {
		return err
	}
	return s.sockets.wait(ctx)
}

// Requests returns the requests that the log holds, oldest first.
func (s *Server) Requests() []Record { return s.log.since(0) }

// ClearRequests empties the log.
func (s *Server) ClearRequests() { s.log.clear() }

// Script appends steps that the following requests use up in order.
func (s *Server) Script(steps ...Step) error { return s.script.add(steps) }

// ClearScript forgets the steps still to come.
func (s *Server) ClearScript() { s.script.clear() }

// Stats returns the server's counters.
func (s *Server) Stats() Stats { return s.stats.snapshot() }

// appendRequestID appends an id that no other request has.
func (s *Server) appendRequestID(dst []byte) []byte {
	r := rng(mix(s.brain.seed ^ s.serial.Add(1)))
	return r.appendDigits(append(dst, "req_"...), hexDigits, 32)
}

// handle answers one request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	if uri := ctx.RequestURI(); bytes.HasPrefix(uri, []byte("//")) {
		// Gemini's SDK for JavaScript asks for //ws/…, and fasthttp would take that for a host.
		ctx.Request.SetRequestURI(string(uri[1:]))
	}
	if bytes.HasPrefix(ctx.Path(), []byte(controlPrefix)) {
		s.control(ctx)
		return
	}
	t := s.acquireTurn(ctx)
	s.stats.requests.Add(1)
	s.stats.openRequests.Add(1)
	t.rec = s.log.begin(ctx, t.start)
	t.prepare()
	if t.a.status == fasthttp.StatusSwitchingProtocols && t.set.fault != faultRefused {
		t.upgrade()
		return
	}
	t.deliver()
}

// prepare finds t's answer, its settings and its fault.
func (t *turn) prepare() {
	ctx, s := t.ctx, t.s
	t.id = s.appendRequestID(t.id[:0])
	special, f := readHeaders(ctx, &t.own)
	rt, arg, routeFailure := s.route(ctx)
	t.d = rt.dialect
	if f == nil && !rt.late {
		f = s.keyFailure(t.d, ctx)
	}
	switch {
	case f != nil:
	case routeFailure != nil:
		f = routeFailure
	default:
		t.a, f = s.answer(t, rt, arg, special)
	}
	if f != nil {
		t.fail(f)
	}
	t.talk = rt.socket
	t.settle(wanted{string(ctx.Method()), string(ctx.Path()), t.a.model, t.a.status == fasthttp.StatusSwitchingProtocols})
	if special {
		if _, f := readHeaders(ctx, &t.set); f != nil {
			t.fail(f)
		}
	}
	if t.a.status == fasthttp.StatusSwitchingProtocols && !t.set.fault.refuses() {
		t.set.fault = faultNone // it is for what is said on the socket
	}
	t.model = t.a.model // a spoilt answer has none
	t.spoil()
	s.begun(t)
}

// answer plans the answer, or remembers it.
func (s *Server) answer(t *turn, rt *route, arg string, special bool) (*answer, *failure) {
	if rt.plan == nil {
		return rt.serve(s, t.ctx, arg)
	}
	body := t.ctx.Request.Body()
	if !special {
		if a := s.memo.get(rt, arg, body); a != nil {
			return a, nil
		}
	}
	p := s.parsers.Get()
	defer s.parsers.Put(p)
	a, f := s.planJSON(p, rt, body, &query{own: &t.own, arg: arg})
	if f == nil && !special {
		s.memo.put(rt, arg, body, a)
	}
	return a, f
}

// planJSON parses body into q and has rt plan its answer.
func (s *Server) planJSON(p *fastjson.Parser, rt *route, body []byte, q *query) (*answer, *failure) {
	if fastjson.ValidateBytes(body) != nil {
		return nil, &rt.dialect.manners().notJSON
	}
	v, err := p.ParseBytes(body)
	if err != nil || v.Type() != fastjson.TypeObject {
		return nil, &rt.dialect.manners().notJSON
	}
	q.body = v
	return rt.plan(&s.brain, q)
}

// settle merges t's settings from all their sources but the headers, and draws its fault.
func (t *turn) settle(what wanted) {
	s := t.s
	t.set = s.defaults
	// Steps and names were checked when they came, and once more they cannot fail.
	step, scripted := s.script.take(what)
	if scripted {
		_ = t.set.set("fail", step.Fail)
		_ = t.set.setAll(step.Set)
	} else if s.opts.FailRate > 0 && what.asks() && s.draw() < s.opts.FailRate {
		t.set.fault = s.rateFail
	}
	if t.a.opts != "" {
		_ = t.set.setAll(string(t.a.opts))
	}
}

func (s *Server) draw() float64 {
	r := rng(s.brain.seed + s.draws.Add(1)*0x9e3779b97f4a7c15)
	return r.unit()
}

// readHeaders applies the request's x-sim-… headers and tells whether there were any.
func readHeaders(ctx *fasthttp.RequestCtx, set *settings) (special bool, f *failure) {
	for k, v := range ctx.Request.Header.All() {
		ours, err := set.setHeader(k, v)
		special = special || ours
		if err != nil && f == nil {
			f = invalid("", "invalid_setting", "Invalid header '%s': %v.", k, err)
		}
	}
	return special, f
}

// keyFailure is what is wrong with the key that a request shows, nil if nothing is.
func (s *Server) keyFailure(d dialect, ctx *fasthttp.RequestCtx) *failure {
	if s.opts.APIKey == "" {
		return nil
	}
	key := d.credential(ctx)
	switch {
	case subtle.ConstantTimeCompare(key, []byte(s.opts.APIKey)) == 1:
		return nil
	case len(key) == 0:
		return &d.manners().noKey
	}
	return &d.manners().wrongKey
}

// begun books what is known of t before its first byte.
func (s *Server) begun(t *turn) {
	s.stats.faults[t.set.fault].Add(1)
	if t.a.stream {
		s.stats.streams.Add(1)
	}
	s.log.update(t.rec, func(r *Record) {
		r.Model, r.Stream, r.Fault = t.model, t.a.stream, t.set.fault.String()
		r.TokensIn, r.TokensOut = t.a.in, t.a.out
		if t.set.fault != faultRefused {
			r.Status = t.a.status
		}
	})
}

// end books the rest of t.
func (s *Server) end(t *turn) {
	s.stats.openRequests.Add(-1)
	switch t.state {
	case StateFinished:
		s.stats.tokensIn.Add(uint64(t.a.in))
		s.stats.tokensOut.Add(uint64(t.a.out))
	case StateCancelled:
		s.stats.tokensIn.Add(uint64(t.a.in))
		s.stats.tokensOut.Add(uint64(t.tokens))
	}
	s.stats.bytesSent.Add(uint64(t.sent))
	if t.state == StateClientGone {
		s.stats.clientGone.Add(1)
	}
	if t.rec == nil {
		return
	}
	now := time.Now()
	s.log.update(t.rec, func(r *Record) {
		r.State, r.BytesSent, r.Ended = t.state, t.sent, &now
		if t.a.stream && t.state != StateFinished { // what a provider bills: it stops when nobody listens
			r.TokensOut = min(t.tokens+t.a.thought, r.TokensOut)
		}
	})
}

// parseSince reads ?since=N.
func parseSince(b []byte) uint64 {
	n, err := strconv.ParseUint(string(b), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
