package proxy

import (
	"bytes"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
)

// passThrough serves the operations that the node does not read: a POST that names a model goes to its target, any
// other request to the provider that x-wedge-provider names, if the key may. What a provider keeps for one tenant is
// invisible to the others.
func (x *exchange) passThrough() *dialect.Error {
	x.op, x.parsed = dialect.OpOther, true // what can be read of the body is read in readContent
	if e := x.authenticate(); e != nil {
		return e
	}
	if e := x.passable(); e != nil {
		return e
	}
	if e := x.readControls(); e != nil {
		return e
	}
	c, e := x.readContent()
	if e != nil {
		return e
	}
	if len(x.ref) > 0 {
		e = x.resolve()
	} else {
		e = x.resolveProvider()
	}
	if e == nil {
		e = x.checkObjects(c)
	}
	if e != nil {
		return e
	}
	if e := x.mustBeRead(); e != nil {
		return e
	}
	if e := x.throttle(); e != nil {
		return e
	}
	if e := x.decide(); e != nil {
		return e
	}
	if e := x.afford(); e != nil {
		return e
	}
	x.cache, x.reason = cacheBypass, "the operation is passed through"
	if done, e := x.join(); done {
		return e
	}
	if e := x.attempt(); e != nil {
		return e
	}
	return x.replyRaw()
}

// mustBeRead refuses an operation that the node does not read if a policy must see what is asked and answered: to pass
// it by would be a way around the policy.
func (x *exchange) mustBeRead() *dialect.Error {
	c := x.snap.chainOf(x.version.Version)
	if c == nil {
		return nil
	}
	for _, p := range c.policies {
		if p.deny && p.sees(policy.Prompt|policy.Response|policy.Chunk) {
			return fail(codePolicyFailed, "", "policy "+p.Name+" must see what is asked and answered, and the node does not read this operation; use chat completions, responses, completions or embeddings")
		}
	}
	return nil
}

// rest is the path below /v1/.
func (x *exchange) rest() []byte { return bytes.TrimPrefix(x.ctx.Path(), []byte("/v1/")) }

// under says that the path is a collection's, or is below it.
func (x *exchange) under(collection string) bool {
	first, _, _ := bytes.Cut(x.rest(), []byte("/"))
	return string(first) == collection
}

// passable refuses methods and paths that are never passed through.
func (x *exchange) passable() *dialect.Error {
	switch string(x.ctx.Method()) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE":
	default:
		x.ctx.Response.Header.SetCanonical(headerAllow, []byte("GET, HEAD, POST, PUT, PATCH, DELETE"))
		return fail(codeMethodNotAllowed, "", "the method is not passed through; use GET, HEAD, POST, PUT, PATCH or DELETE")
	}
	if !x.plainPath() {
		return fail(codeInvalidRequest, "", "the path holds escapes, empty or dot segments; write it plainly")
	}
	if x.under("realtime") {
		return fail(codeForbidden, "", "the node hands out no keys of the provider's; connect to /v1/realtime as a WebSocket, with a virtual key")
	}
	if x.under("organization") {
		return fail(codeForbidden, "", "the provider's account is the operator's; its administration is not passed through")
	}
	return nil
}

// resolveProvider takes the provider that x-wedge-provider names.
func (x *exchange) resolveProvider() *dialect.Error {
	if len(x.forced) == 0 {
		return fail(codeInvalidRequest, "", "the request names no model; name the provider in x-wedge-provider")
	}
	p := x.snap.providers[string(x.forced)]
	if p == nil || !x.who.passthrough[p.Name] {
		return fail(codeForbidden, "", "the key "+x.who.Name+" may not use this path at provider "+quoteShort(x.forced)+"; list the provider in the key's passthrough")
	}
	x.version = x.s.directVersion(x.snap, p, "")
	x.version.targets[0].model = nil
	x.model, x.why = x.version.Version.Model, "provider named"
	return nil
}

// appendRawBody appends the body of a passed-through request, with the target's name of the model.
func (x *exchange) appendRawBody(dst []byte, t *target) []byte {
	body := x.ctx.Request.Body()
	if x.form.end > 0 {
		dst = append(append(dst, body[:x.form.start]...), t.Model...)
		return append(dst, body[x.form.end:]...)
	}
	return append(dst, body...)
}

// maxObjectBody bounds the JSON answers that are read for the ids of new objects, or filtered.
const maxObjectBody = 8 << 20

// openRaw takes an answer that is passed through: JSON about a provider's objects whole, the rest as it flows.
func (x *exchange) openRaw(t *target) (failure *dialect.Error, again bool) {
	x.answered = t
	meter := x.newRawMeter()
	if x.readsWhole() {
		out, err := x.up.call.AppendAll(x.out[:0], maxObjectBody)
		if x.out = out; err != nil {
			return x.failed(err)
		}
		x.up.leave(route.Good, 0)
		x.bookRaw(t, meter)
		return nil, false
	}
	x.up.raw, x.up.meter = true, meter
	x.openFlight(nil, nil)
	return nil, false
}

// bookRaw counts what a passed-through answer that is there as a whole consumed.
func (x *exchange) bookRaw(t *target, m *rawMeter) {
	c := &x.up.charge
	if m == nil {
		c.release()
		return
	}
	m.see(x.out)
	x.usage, c.whole = m.usage(), true
	x.price()
	b := x.bill()
	b.book(x.usage, t, c)
}

// readsWhole says that the answer may have to be filtered, or tells of new objects.
func (x *exchange) readsWhole() bool {
	switch {
	case x.listsAll():
		return true
	case !isJSON(x.up.call.ContentType()) || x.up.call.ContentLength() > maxObjectBody:
		return false
	case len(x.ref) == 0:
		return true
	}
	return !x.under("images") && !x.under("audio") && !x.under("moderations")
}

// isJSON says that a media type is JSON, or a kind of it.
func isJSON(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	return len(kind) >= 4 && bytes.EqualFold(kind[len(kind)-4:], []byte("json"))
}

// rawHeaders are the provider's headers that a passed-through answer keeps.
var rawHeaders = []string{"content-type", "content-disposition", "content-range", "accept-ranges", "etag", "last-modified", "openai-processing-ms"}

// replyRaw answers with what the provider answered.
func (x *exchange) replyRaw() *dialect.Error {
	up := x.up
	if !up.raw {
		if e := x.ownObjects(); e != nil {
			return e
		}
	}
	x.setHeaders()
	h := &x.ctx.Response.Header
	for _, name := range rawHeaders {
		if v := up.call.Header(name); len(v) > 0 {
			h.Set(name, string(v))
		}
	}
	x.status = up.call.Status()
	x.ctx.Response.SetStatusCode(x.status)
	if up.raw {
		x.sendStream(int(up.call.ContentLength()))
		return nil
	}
	x.sendOut()
	return nil
}

// cutRaw ends a passed-through answer that broke: the connection is cut, for there is no way to say it in its bytes.
func (x *exchange) cutRaw(err error) error {
	x.failure = x.explainFailure(err)
	return err
}
