package proxy

import (
	"errors"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/wire"
)

// asked is what the client wants an entry of the cache to be.
func (x *exchange) asked() cache.Asked {
	return cache.Asked{Client: x.reads(), Stream: x.streaming}
}

// reads is what an answer in another dialect must know of the client.
func (x *exchange) reads() dialect.Client {
	return dialect.Client{Op: x.op, Body: x.requestBody(), Model: x.model.Name, Created: x.start.Unix()}
}

// appendBodyFor appends the request's body as a target of a version gets it: the client's bytes with the version's edits,
// or what they say in the target's dialect, and what of them it has no word for.
func (x *exchange) appendBodyFor(dst []byte, v *version, t *target) (out []byte, lost []string, failure *dialect.Error) {
	op := x.asks(t)
	if op == x.op {
		own := x.appendOwnBody(dst, v, t)
		if !x.carries {
			return own, nil, nil
		}
		google := strings.Contains(strings.ToLower(t.Model), "gemini")
		if out, cut := dialect.AppendOwn(nil, op, own, google); cut {
			return out, []string{x.s.o.Dialects.For(op).FieldName(op, dialect.FieldSignature)}, nil
		}
		return own, nil, nil
	}
	if op == dialect.OpOther {
		return dst, nil, fail(codeInvalidRequest, "", "provider "+t.provider.Name+" speaks "+t.provider.Dialect+", which has no such operation; ask a model of another provider")
	}
	return x.appendTranslated(dst, v, t, op)
}

// appendTranslated appends what the client's body says in the target's dialect.
func (x *exchange) appendTranslated(dst []byte, v *version, t *target, op dialect.Op) (out []byte, lost []string, failure *dialect.Error) {
	own := x.appendEditedBody(nil, v)
	out, lost, err := x.s.o.Dialects.AppendRequest(dst, x.op, own, t.provider.dialect, t.Model, x.asksStream())
	if err == nil {
		out, err = x.setOnce(out, v, op)
	}
	if err != nil {
		return dst, nil, fail(codeInvalidRequest, "", "the request cannot be sent to provider "+t.provider.Name+", which speaks "+t.provider.Dialect+": "+reasonOf(err))
	}
	lost = slices.DeleteFunc(lost, func(name string) bool { return x.setBy(v, name) })
	for i := range lost {
		lost[i] = headerSafe(lost[i])
	}
	if x.model.Strict && len(lost) > 0 {
		return dst, nil, fail(codeInvalidRequest, "", "the dialect "+t.provider.Dialect+" of provider "+t.provider.Name+" has no word for "+strings.Join(lost, ", ")+
			", and model "+x.model.Name+" is strict; leave it out")
	}
	x.s.metrics.countDropped(x.version, t, lost)
	return out, lost, nil
}

// reasonOf is what a codec says was wrong, without the words that wrap it.
func reasonOf(err error) string {
	words := err.Error()
	for _, wrapped := range [...]error{dialect.ErrInexpressible, dialect.ErrMalformed} {
		words = strings.TrimPrefix(strings.TrimSuffix(words, ": "+wrapped.Error()), wrapped.Error()+": ")
	}
	return words
}

// appendOwnBody appends the request's body for a target of the client's dialect: its bytes, but for what the version and
// the target set.
func (x *exchange) appendOwnBody(dst []byte, v *version, t *target) []byte {
	attempt := request.Attempt{
		Model: t.model, Stream: x.gathers, IncludeUsage: x.asksStream() && (x.op == dialect.OpChat || x.op == dialect.OpCompletions),
	}
	if x.client != dialect.Gemini || x.op == dialect.OpOther {
		return x.view.AppendBody(dst, v.edits[x.op], attempt)
	}
	own := x.appendEditedBody(nil, v)
	return appendGeminiModel(dst, own, x.op, t.Model)
}

// setBy says that it was the version that said what a field's name says, and not the client.
func (x *exchange) setBy(v *version, name string) bool {
	for list, params := range [...][]wire.Param{v.Force, v.Params} {
		for _, p := range params {
			own, _ := x.s.o.Dialects.For(x.op).Param(x.op, p.Key, p.Value)
			if (own == name || p.Key == name) && (list == 0 || !x.says(name)) {
				return true
			}
		}
	}
	return false
}

// says whether the client's body has a member: name, or one within another.
func (x *exchange) says(name string) bool {
	body := x.requestBody()
	outer, inner, nested := strings.Cut(name, ".")
	p := memberOf(body, 0, outer)
	if !nested || !p.found || body[p.at] != '{' {
		return p.found
	}
	return memberOf(body, p.at, inner).found
}

// setOnce sets in a translated body what the version sets and the client's dialect had no word for.
func (x *exchange) setOnce(body []byte, v *version, op dialect.Op) ([]byte, error) {
	if len(v.Params) == 0 && len(v.Force) == 0 {
		return body, nil
	}
	if err := x.chat.Parse(body); err != nil {
		return nil, err
	}
	defer x.chat.Reset()
	out := x.chat.AppendBody(nil, v.edits[op], request.Attempt{})
	if nested := v.nested[op]; len(nested) > 0 {
		out = setNested(out, nested)
	}
	return out, nil
}

// appendEditedBody appends the client's body with the version's edits.
func (x *exchange) appendEditedBody(dst []byte, v *version) []byte {
	dst = x.view.AppendBody(dst, v.edits[x.op], request.Attempt{})
	if nested := v.nested[x.op]; len(nested) > 0 {
		dst = setNested(dst, nested)
	}
	return dst
}

// translateWhole puts a whole answer into the client's dialect. x.out keeps it.
func (x *exchange) translateWhole(words []byte) (failure *dialect.Error, again bool) {
	out, lost, err := x.s.o.Dialects.AppendAnswer(nil, x.up.op, words, x.reads())
	if err != nil {
		if !errors.Is(err, dialect.ErrMalformed) {
			err = errors.Join(dialect.ErrMalformed, err)
		}
		return x.failed(err)
	}
	x.lose(lost)
	x.out = out
	return nil, false
}

// lose notes what the client is told was dropped.
func (x *exchange) lose(names []string) {
	for _, name := range names {
		if x.dropped != "" {
			x.dropped += ", "
		}
		x.dropped += headerSafe(name)
	}
}

// maxDropped bounds the name of one dropped field, in bytes.
const maxDropped = 64

// headerSafe is a field's name, which may be the client's own words, as a header or an error may show it.
func headerSafe(name string) string {
	if open, found := beforeSecret([]byte(name)); found {
		name = string(open)
	}
	safe := strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ',' {
			return '?'
		}
		return r
	}, name)
	return safe[:min(len(safe), maxDropped)]
}
