package proxy

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
)

// errPolicy says that a policy which must see an answer could not.
var errPolicy = errors.New("a policy could not see the answer")

// edits says whether policies see the text of the answer. One that is bound to chunk alone sees a whole answer as a
// single chunk.
func (x *exchange) edits(stream bool) bool {
	if x.ruling == nil || !x.op.Chats() {
		return false
	}
	hooks := policy.Chunk
	if !stream {
		hooks |= policy.Response
	}
	return x.ruling.chain.hooks&hooks != 0
}

// editAnswer is an answer that is there as a whole as the policies leave it.
func (x *exchange) editAnswer(f *cache.Form) (*cache.Form, *dialect.Error) {
	if !x.edits(f.Stream) {
		return f, nil
	}
	if f.Stream {
		return x.editForm(f)
	}
	return x.editWhole(f.Body)
}

// editWhole returns the whole answer as the policies leave it. It is valid until the ruling is released.
func (x *exchange) editWhole(body []byte) (*cache.Form, *dialect.Error) {
	r := x.ruling
	out, err := x.s.o.Dialects.Rewriters[x.client].AppendWhole(r.out[:0], body, x.op, x)
	if err != nil {
		return nil, x.explainFailure(err)
	}
	r.out = out
	return &cache.Form{Body: bytes.Clone(out)}, nil
}

// editForm returns a streamed answer that is there as a whole as the policies leave it.
func (x *exchange) editForm(f *cache.Form) (*cache.Form, *dialect.Error) {
	r := x.ruling
	edited := &cache.Form{Stream: true}
	out := r.out[:0]
	for _, part := range [...]struct {
		events []byte
		end    *int
	}{{f.Body[:f.Tail], &edited.Tail}, {f.Body[f.Tail:f.TailEnd], &edited.TailEnd}, {f.Body[f.TailEnd:f.Terminal], &edited.Terminal}, {f.Body[f.Terminal:], nil}} {
		var err error
		if !r.stopped {
			out, r.stopped, err = x.s.o.Dialects.Rewriters[x.client].AppendEvents(out, part.events, x.op, &r.stream, x)
		}
		if err != nil {
			return nil, x.explainFailure(err)
		}
		if part.end != nil {
			*part.end = len(out)
		}
	}
	r.out, edited.Body = out, out
	return edited, nil
}

// editPart returns a part of a stream as the policies leave it; ended tells that they end the stream with it.
func (x *exchange) editPart(events []byte) (out []byte, ended bool, err error) {
	r := x.ruling
	r.out, r.stopped, err = x.s.o.Dialects.Rewriters[x.client].AppendEvents(r.out[:0], events, x.op, &r.stream, x)
	return r.out, r.stopped, err
}

// EditText is part of dialect.Editor: it shows a piece of the answer's text to the policies, each in turn.
func (x *exchange) EditText(t *dialect.Text) (out dialect.Edit, err error) {
	r := x.ruling
	text := t.Bytes
	for i, p := range r.chain.policies {
		kind := x.answerHook(p)
		if kind < 0 {
			continue
		}
		began := time.Now()
		list, err := x.showText(i, kind, t, text)
		took := time.Since(began)
		r.verdicts[i].took += took
		p.calls[kind].Inc()
		p.seconds[kind].Observe(int64(took))
		if err != nil {
			if x.policyFailed(i, kind, err) != nil {
				return out, errPolicy
			}
			continue
		}
		text = x.applyToText(i, t, list, text, &out)
	}
	r.seq++
	r.tokens += uint32(len(text)+bytesPerToken-1) / bytesPerToken
	out.Text = text
	return out, nil
}

// answerHook is the call that shows a policy this answer, or -1.
func (x *exchange) answerHook(p *boundPolicy) int {
	switch {
	case !x.streaming && p.sees(policy.Response):
		return onResponse
	case p.sees(policy.Chunk):
		return onChunk
	}
	return -1
}

// showText makes the call. The list is valid until the next one.
func (x *exchange) showText(i, kind int, t *dialect.Text, text []byte) ([]byte, error) {
	r := x.ruling
	p, state := r.chain.policies[i], *r.state(i, t.Choice)
	if kind == onResponse {
		list, err := p.program.Response(&abi.Response{
			Flags: x.answerFlags(), ID: x.id.seq, Status: uint32(x.status), Choice: uint32(t.Choice),
			Input: uint32(x.usage.Input), Output: uint32(x.usage.Output), Text: text, State: state, Finish: t.Finish,
		}, r.chunks[:0])
		r.chunks = list[:0]
		return list, err
	}
	c := abi.Chunk{ID: x.id.seq, Seq: r.seq, Choice: uint32(t.Choice), Tokens: r.tokens, Text: text, State: state, Finish: t.Finish}
	if t.First {
		c.Flags |= abi.ChunkFirst
	}
	if t.Last {
		c.Flags |= abi.ChunkLast
	}
	list, err := p.program.Chunk(&c, r.chunks[:0])
	r.chunks = list[:0]
	return list, err
}

// answerFlags are the flags of a response's view.
func (x *exchange) answerFlags() (flags uint32) {
	if x.cache.hit() || x.cache == cacheCoalesced {
		flags |= abi.DoneCached
	}
	return flags
}

// applyToText does what a policy decided about a piece of text, and returns the text it leaves.
func (x *exchange) applyToText(i int, t *dialect.Text, list, text []byte, out *dialect.Edit) []byte {
	r := x.ruling
	r.verdicts[i].word = stronger(r.verdicts[i].word, policy.Verdict(list))
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			break
		}
		rest = next
		switch a.Tag {
		case abi.TagText:
			r.texts[i&1] = append(r.texts[i&1][:0], a.Text()...)
			text, out.Replace = r.texts[i&1], true
		case abi.TagDrop:
			text, out.Replace = nil, true
		case abi.TagStop:
			r.reason = append(r.reason[:0], a.Text()...)
			out.Stop, out.Reason = true, r.reason
		case abi.TagState:
			s := r.state(i, t.Choice)
			*s = append((*s)[:0], a.Text()...)
		case abi.TagMetric:
			x.tag(r.chain.policies[i], a)
		}
	}
	return text
}

// stronger is the word that tells more.
func stronger(a, b string) string {
	order := [...]string{"", "pass", "tag", "route", "edit", "answer", "deny", "failed"}
	for i := len(order) - 1; i > 0; i-- {
		if order[i] == a || order[i] == b {
			return order[i]
		}
	}
	return a
}

// state is what a policy carries from one call for a choice to the next. Every choice begins with what the request's
// call left.
func (r *ruling) state(policy, choice int) *[]byte {
	first := &r.verdicts[policy].state
	if choice == 0 || choice >= maxStates {
		return first
	}
	if r.choices == nil {
		r.choices = map[[2]int]*[]byte{}
	}
	s := r.choices[[2]int{policy, choice}]
	if s == nil {
		s = new([]byte)
		*s = bytes.Clone(r.begun[policy])
		r.choices[[2]int{policy, choice}] = s
	}
	return s
}

// maxStates bounds the choices that have a state of their own.
const maxStates = 128

// tag counts a policy's tag.
func (x *exchange) tag(p *boundPolicy, a abi.Action) {
	x.s.metrics.tag(p, a)
}

// tag counts a tag. What was counted before is found without allocating.
func (m *metrics) tag(p *boundPolicy, a abi.Action) {
	known := p.tags.Load()
	if known != nil {
		if c := (*known)[string(a.Payload)]; c != nil {
			c.Inc()
			return
		}
	}
	if known != nil && len(*known) >= maxKnownTags {
		m.policyTags.With(p.Name, "other", "other").Inc()
		return
	}
	name, value := a.Pair()
	c := m.policyTags.With(p.Name, string(name), string(value))
	c.Inc()
	more := map[string]*obs.Counter{string(a.Payload): c}
	if known != nil {
		maps.Copy(more, *known)
	}
	p.tags.CompareAndSwap(known, &more)
}

// maxKnownTags is how many different tags of a policy are counted by name.
const maxKnownTags = 128

// ended is a finished request that a policy is to be told of.
type ended struct {
	policy *boundPolicy
	use    *policyUse
	view   abi.Done
}

// doneQueue is how many finished requests wait for policies at most; of more they are not told.
const doneQueue = 1024

// tellDone queues the request for the policies that want to know how it ended.
func (x *exchange) tellDone(r *record) {
	if x.ruling == nil || x.ruling.chain.hooks&policy.Done == 0 {
		return
	}
	view := abi.Done{
		ID: x.id.seq, Status: uint32(x.status), TTFT: uint32(r.firstToken.Microseconds()), Duration: uint32(r.took.Microseconds()),
		Input: uint32(r.usage.Input), Output: uint32(r.usage.Output), Cached: uint32(r.usage.Cached), Reasoning: uint32(r.usage.Reasoning),
		CostNanoUSD: uint64(r.cost), Model: bytesOf(r.model), Version: bytesOf(r.version), Target: bytesOf(r.target), Flags: x.answerFlags(),
	}
	if r.cost == price.Unknown {
		view.CostNanoUSD = ^uint64(0)
	}
	for _, f := range [...]struct {
		set  bool
		flag uint32
	}{{x.failure != nil, abi.DoneError}, {x.gone, abi.DoneCancelled}, {x.streaming, abi.DoneStream}} {
		if f.set {
			view.Flags |= f.flag
		}
	}
	for i, p := range x.ruling.chain.policies {
		if !p.sees(policy.Done) {
			continue
		}
		e := ended{policy: p, use: x.ruling.chain.use, view: view}
		e.view.State = bytes.Clone(x.ruling.verdicts[i].state)
		e.use.add()
		select {
		case x.s.ended <- e:
		default:
			e.use.done()
			x.s.metrics.policyErrors.With(p.Name, hookNames[onDone], "dropped").Inc()
		}
	}
}

// tellPolicies calls the done hooks until ctx ends, then of the requests that wait.
func (s *Server) tellPolicies(ctx context.Context) {
	var list []byte
	for {
		select {
		case e := <-s.ended:
			list = s.tell(e, list)
			continue
		default:
		}
		select {
		case e := <-s.ended:
			list = s.tell(e, list)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) tell(e ended, list []byte) []byte {
	defer e.use.done()
	began := time.Now()
	list, err := e.policy.program.Done(&e.view, list[:0])
	e.policy.calls[onDone].Inc()
	e.policy.seconds[onDone].Observe(int64(time.Since(began)))
	if err != nil {
		s.metrics.policyErrors.With(e.policy.Name, hookNames[onDone], failureKind(err)).Inc()
		return list
	}
	for rest := list; len(rest) > 0; {
		a, next, err := abi.Next(rest)
		if err != nil {
			break
		}
		if rest = next; a.Tag == abi.TagMetric {
			s.metrics.tag(e.policy, a)
		}
	}
	return list
}
