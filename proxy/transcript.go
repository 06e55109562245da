package proxy

import (
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// transcribes is the model that writes down what the client of a session says; "" for none.
func transcribes(session []byte) string {
	input := memberValue(memberValue(session, "audio"), "input")
	for _, config := range [...][]byte{memberValue(input, "transcription"), memberValue(session, "input_audio_transcription")} {
		if model := textOf(memberValue(config, "model")); model != "" {
			return model
		}
	}
	return ""
}

// mostScribes bounds the items whose transcripts are awaited.
const mostScribes = 1024

// committed notes who writes down an item of sound: the session may name another one before that is done.
func (r *realtime) committed(words []byte) {
	item := textOf(memberValue(words, "item_id"))
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.transcriber == "" || item == "" || len(r.scribes) >= mostScribes {
		return
	}
	if r.scribes == nil {
		r.scribes = map[string]string{}
	}
	r.scribes[item] = r.transcriber
}

// transcribed books what a transcript cost, which the provider made of what the client said. It is another model's work, and
// a request of its own, that has been answered when the node hears of it. A conversation whose money is gone ends there: it
// may cost without asking for a response.
func (r *realtime) transcribed(words []byte) {
	told := lastUsage(words)
	if told == nil {
		return
	}
	item := textOf(memberValue(words, "item_id"))
	r.mu.Lock()
	model, noted := r.scribes[item]
	if delete(r.scribes, item); !noted {
		model = r.transcriber
	}
	r.mu.Unlock()
	var broke *dialect.Error
	a := &unheard{}
	v := &visit{ctx: r.k.ctx, peer: r.peer, to: a, line: callLine{realtime: r}, once: true, books: true}
	v.do = func(x *exchange) (e *dialect.Error) {
		if broke, e = x.bookTranscript(r, model, told.usage()); e != nil {
			broke = e // what cannot be booked must not go on
		}
		return e
	}
	var ctx fasthttp.RequestCtx
	body := append(append([]byte(`{"model":`), jsonscan.AppendString(nil, []byte(r.ref))...), `,"input":[],"store":false,"stream":true}`...)
	if v.read(&ctx, r.head, body) != nil || r.k.s.answer(&ctx, v) != nil { // neither can fail: the head was read before
		return
	}
	if broke != nil {
		r.refuse("", broke)
		_ = r.k.Close(websocket.StatusPolicyViolation, clip(broke.Code+": "+broke.Message))
	}
}

// unheard takes an answer that is nobody's.
type unheard struct{}

func (*unheard) begin(*fasthttp.ResponseHeader, int) error { return nil }
func (*unheard) Write(p []byte) (int, error)               { return len(p), nil }
func (*unheard) flush() error                              { return nil }

// bookTranscript books a transcript as what it is: done. broke tells of a budget that has no money left.
func (x *exchange) bookTranscript(r *realtime, model string, u dialect.Usage) (broke, e *dialect.Error) {
	x.op = dialect.OpResponses
	if e := x.authenticate(); e != nil {
		return nil, e
	}
	if e := x.parse(); e != nil {
		return nil, e
	}
	if e := x.resolve(); e != nil {
		return nil, e
	}
	t := x.version.targetNamed(r.where.provider, r.where.target)
	if t == nil {
		return nil, x.noTarget()
	}
	its := *t
	its.price = x.snap.prices.Of(t.provider.Provider, model)
	c := charge{price: its.price, begun: x.start, whole: true}
	var accounts []*budget.Account
	if x.s.o.Budgets != nil {
		accounts = x.accountsOf(x.version, t)
		x.s.o.Budgets.Owe(&c.hold, accounts, time.Now())
		c.book = x.s.o.Budgets
	}
	if plausible(&u) {
		x.usage, x.counts = u, u
	}
	billed := x.bill()
	billed.counted = 0 // nothing is learnt from it about the request's tokens
	billed.book(x.usage, &its, &c)
	x.answered, x.cost = &its, its.price.Bill(&x.counts, x.start).Nano
	x.setHeaders()
	for _, a := range accounts {
		if x.s.o.Budgets.Most([]*budget.Account{a}, time.Now()) <= 0 { // a hard one
			return x.exhausted(a), nil
		}
	}
	return nil, nil
}
