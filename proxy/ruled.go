package proxy

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// ruled says that a policy answers the request.
func (x *exchange) ruled() bool { return x.ruling != nil && x.ruling.answers }

// changed says that policies decided something that another equal request may be decided otherwise about.
func (x *exchange) changed() bool { return x.ruling != nil && x.ruling.changed }

// answerRuled answers with a policy's words, as a provider would.
func (x *exchange) answerRuled() *dialect.Error {
	x.cache, x.reason = cacheBypass, "a policy answered"
	body, err := x.s.o.Dialects.For(x.op).AppendAnswer(nil, x.op, "wedge-"+string(x.id.bytes()), x.model.Name, x.start.Unix(), x.ruling.answer)
	if err != nil {
		return fail(codePolicyFailed, "", "a policy answers the request itself, and the node cannot put its words into this operation's form; tell the operator of this node")
	}
	if !x.streaming {
		return x.answer(&cache.Form{Body: body})
	}
	events, tail, terminal, err := x.s.o.Dialects.For(x.op).AppendStream(nil, x.op, body)
	if err != nil {
		return x.explainFailure(err)
	}
	return x.answer(&cache.Form{Stream: true, Body: events, Tail: tail, TailEnd: terminal, Terminal: terminal})
}

// appendRuled appends what policies decided that may change the answer, to what is digested.
func (x *exchange) appendRuled(dst []byte) []byte {
	r := x.ruling
	if r == nil || !r.changed {
		return dst
	}
	dst = append(dst, 'p')
	if r.target > 0 {
		dst = appendPart(append(dst, 't'), x.version.targets[r.target-1].Name)
	}
	if len(r.salt) > 0 {
		dst = appendPart(append(dst, 's'), r.salt)
	}
	for a := range r.headerActions() {
		if a.Tag != abi.TagResponseHeader {
			dst = appendPart(append(dst, 'h', byte(a.Tag)), a.Payload)
		}
	}
	return dst
}

// headerActions walks the actions on headers, in the order of the chain.
func (r *ruling) headerActions() func(yield func(abi.Action) bool) {
	return func(yield func(abi.Action) bool) {
		for rest := r.lists; r.headed && len(rest) > 0; {
			a, next, err := abi.Next(rest)
			if err != nil {
				return
			}
			if rest = next; (a.Tag == abi.TagSetHeader || a.Tag == abi.TagDeleteHeader || a.Tag == abi.TagResponseHeader) && !yield(a) {
				return
			}
		}
	}
}

// ruledOut says that policies delete or replace a header of the client's.
func (x *exchange) ruledOut(name []byte) bool {
	if x.ruling == nil || !x.ruling.headed {
		return false
	}
	for a := range x.ruling.headerActions() {
		switch a.Tag {
		case abi.TagDeleteHeader:
			if bytes.EqualFold(a.Text(), name) {
				return true
			}
		case abi.TagSetHeader:
			if set, _ := a.Pair(); bytes.EqualFold(set, name) {
				return true
			}
		}
	}
	return false
}

// appendRuledHeaders appends the headers that policies send upstream. Of several with one name the last one counts.
func (x *exchange) appendRuledHeaders(dst []byte) []byte {
	if x.ruling == nil || !x.ruling.headed {
		return dst
	}
	i := 0
	for a := range x.ruling.headerActions() {
		if i++; a.Tag != abi.TagSetHeader || x.overruled(a, i) {
			continue
		}
		name, value := a.Pair()
		dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
	}
	return dst
}

// overruled says that an action after the nth sets or deletes the header that a sets.
func (x *exchange) overruled(a abi.Action, n int) bool {
	name, _ := a.Pair()
	i := 0
	for later := range x.ruling.headerActions() {
		if i++; i <= n {
			continue
		}
		other := later.Payload
		if later.Tag == abi.TagSetHeader {
			other, _ = later.Pair()
		}
		if later.Tag != abi.TagResponseHeader && bytes.EqualFold(other, name) {
			return true
		}
	}
	return false
}

// setRuledHeaders tells what the policies decided, and sets the headers that they want.
func (x *exchange) setRuledHeaders(h *fasthttp.ResponseHeader) {
	r := x.ruling
	if r == nil {
		return
	}
	r.line = r.line[:0]
	for i, p := range r.chain.policies {
		word := r.verdicts[i].word
		switch {
		case word == "":
			continue
		case len(r.line) > 0:
			r.line = append(r.line, ", "...)
		}
		r.line = append(append(append(r.line, p.Name...), '='), word...)
	}
	if len(r.line) > 0 {
		h.SetCanonical(headerPolicy, r.line)
	} else {
		h.DelBytes(headerPolicy) // which a prepared header may have
	}
	for a := range r.headerActions() {
		if a.Tag == abi.TagResponseHeader {
			name, value := a.Pair()
			h.SetBytesKV(name, value)
		}
	}
}

// forgetHeaders takes out of an answer's header what the policies put into it.
func (r *ruling) forgetHeaders(h *fasthttp.ResponseHeader) {
	h.DelBytes(headerPolicy)
	for a := range r.headerActions() {
		if a.Tag == abi.TagResponseHeader {
			name, _ := a.Pair()
			h.DelBytes(name)
		}
	}
}

// ruledTarget is the next target in the order that policies chose. ruled is false where they chose none, for the first
// attempt where they chose fallbacks only, and once the target that they chose without fallbacks has been tried.
func (x *exchange) ruledTarget() (t *target, ruled bool) {
	r, p := x.ruling, &x.plan
	if r == nil || r.target == 0 && (len(r.fallen) == 0 || p.tried == 0) || p.version != x.version {
		return nil, false
	}
	if t := x.untried(r.target - 1); t != nil {
		return t, true
	}
	for _, i := range r.fallen {
		if t := x.untried(i); t != nil {
			return t, true
		}
	}
	return nil, len(r.fallen) > 0
}

// untried is a target of the version by its index, unless it was tried or the client forces another provider.
func (x *exchange) untried(i int) *target {
	if i < 0 || x.plan.tried&(1<<i) != 0 {
		return nil
	}
	x.plan.tried |= 1 << i
	if t := &x.version.targets[i]; x.mayAsk(t) {
		return t
	}
	return nil
}

// fellBack says that a target answered which policies did not choose.
func (x *exchange) fellBack(t *target) bool {
	return x.ruling != nil && x.ruling.target > 0 && t != &x.version.targets[x.ruling.target-1]
}
