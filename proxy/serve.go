package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/wire"
)

// serve is the order of a request. Each stage returns; none calls another.
func (x *exchange) serve() *dialect.Error {
	if e := x.authenticate(); e != nil {
		return e
	}
	if !x.recall() { // the same bytes are decided alike
		if e := x.parse(); e != nil { // spans into the body
			return e
		}
		if e := x.resolve(); e != nil { // model reference → version, arm
			return e
		}
		if e := x.checkKept(); e != nil { // what a provider keeps belongs to a tenant
			return e
		}
		if done, e := x.resume(); done { // the stream, or its rest, outlives the connection
			return e
		}
	}
	if e := x.throttle(); e != nil { // rates
		return e
	}
	if x.visit != nil && x.visit.warm { // no answer is wanted yet
		return x.warmUp()
	}
	if e := x.decide(); e != nil { // policies
		return e
	}
	if x.ruled() { // one of them answers
		return x.answerRuled()
	}
	if e := x.holdOn(); e != nil { // to what a conversation began with
		return e
	}
	return x.orCheaper(x.obtain())
}

// orCheaper asks a cheaper model where a budget has no money for this one.
func (x *exchange) orCheaper(e *dialect.Error) *dialect.Error {
	if e != nil && x.downgraded(e) {
		return x.obtain()
	}
	return e
}

// obtain answers from the cache or from a target, in the order of a request.
func (x *exchange) obtain() *dialect.Error {
	if e := x.afford(); e != nil { // budgets
		return e
	}
	if x.lookup() { // key → memory → disk
		return x.replay()
	}
	if x.aside((*exchange).fetchAside) { // streams wait in a goroutine of their own
		return nil
	}
	return x.fetch()
}

// fetchAside is what is left of serve.
func (x *exchange) fetchAside() *dialect.Error { return x.orCheaper(x.fetch()) }

// fetch answers from a target.
func (x *exchange) fetch() *dialect.Error {
	if done, e := x.join(); done { // equal misses share one upstream call
		return e
	}
	if e := x.attempt(); e != nil { // plan, hold, edit, send
		return e
	}
	return x.reply() // whole, or the exchange becomes the body
}

// authenticate finds out whose key the request carries.
func (x *exchange) authenticate() *dialect.Error {
	key := clientKey(x.ctx)
	if len(key) == 0 {
		return fail(codeUnauthenticated, "", "no API key was given; send a virtual key as Authorization: Bearer wk_…")
	}
	var who *principal
	if id, ok := wire.KeyID(key); ok {
		who = x.snap.principals[string(id)]
	}
	hash := sha256.Sum256(key)
	want := hash // an unknown key costs what a known one costs
	if who != nil {
		want = who.Hash
	}
	if subtle.ConstantTimeCompare(hash[:], want[:]) != 1 || who == nil {
		return fail(codeUnauthenticated, "", "the API key is not known to this node; check the key, or create it in the catalog")
	}
	x.who = who
	x.units.Key = bytesOf(who.ID)
	return nil
}

// parse reads the body in place, and the request's own headers.
func (x *exchange) parse() *dialect.Error {
	if e := x.readControls(); e != nil {
		return e
	}
	body := x.ctx.Request.Body()
	if x.known != nil {
		x.doc = x.known.doc
	} else {
		if err := x.view.Parse(body); err != nil {
			return bodyError(err)
		}
		x.parsed, x.doc = true, readDocument(&x.view, body)
	}
	if name := x.twiceSpelt(); name != "" {
		return fail(codeInvalidJSON, "", "the body has the member "+quoteShort([]byte(name))+" twice, in two spellings; write it once")
	}
	if x.readRef(); len(x.ref) == 0 {
		return fail(codeInvalidRequest, "model", "the request names no model; set \"model\" to one of GET /v1/models")
	}
	x.readUnits()
	return nil
}

func bodyError(err error) *dialect.Error {
	var syntax *request.SyntaxError
	if errors.As(err, &syntax) {
		return fail(codeInvalidJSON, "", "the request body is not valid JSON: "+err.Error())
	}
	var field *request.FieldError
	if errors.As(err, &field) {
		return fail(codeInvalidRequest, field.Param, err.Error())
	}
	return fail(codeInvalidJSON, "", err.Error())
}

// resolve finds the version that the reference means for this caller, and the arm of an experiment.
func (x *exchange) resolve() *dialect.Error {
	name, ref := catalog.Split(x.ref)
	x.model = x.snap.table.Model(name)
	if x.model == nil {
		return x.resolveDirect()
	}
	if !x.who.allows(x.model.Name) {
		return fail(codeForbidden, "model", "the key "+x.who.Name+" may not use model "+x.model.Name+"; add the model to the key's models")
	}
	if l := x.conversation(); l != nil {
		version, _, _ := l.pinned()
		return x.pinnedVersion(version)
	}
	v, e := x.choose(ref)
	if e != nil {
		return e
	}
	x.version = x.snap.versions[v.Index]
	return nil
}

// choose picks among the model's versions: an arm that the caller forces, what the reference names, the arm of an
// experiment, production.
func (x *exchange) choose(ref []byte) (*catalog.Version, *dialect.Error) {
	if arm := x.ctx.Request.Header.PeekBytes(headerArm); len(arm) > 0 {
		return x.forceArm(arm)
	}
	return x.pick(ref)
}

// pick is choose without what the caller forces.
func (x *exchange) pick(ref []byte) (*catalog.Version, *dialect.Error) {
	if ref != nil {
		v, err := x.model.Version(ref, x.who.nonproduction)
		x.why = "reference"
		return v, refError(err)
	}
	if x.exp, x.arm = x.model.Assign(&x.units); x.exp != nil {
		x.why = "experiment"
		return x.exp.Arms[x.arm], nil
	}
	if v := x.model.Production(); v != nil {
		x.why = "production"
		return v, nil
	}
	return nil, fail(codeUnknownModel, "model", "model "+x.model.Name+" has no production version; promote one, or name a version as "+x.model.Name+"@1.0.0")
}

func (x *exchange) forceArm(arm []byte) (*catalog.Version, *dialect.Error) {
	if !x.who.arm {
		return nil, fail(codeForbidden, "", "the key "+x.who.Name+" may not choose an arm; it needs may: [arm]")
	}
	e, i, ok := x.model.Arm(arm)
	if !ok {
		return nil, fail(codeInvalidRequest, "", "no running experiment on model "+x.model.Name+" has the arm that x-wedge-arm names")
	}
	x.exp, x.arm, x.why = e, i, "forced arm"
	return e.Arms[i], nil
}

func refError(err error) *dialect.Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, catalog.ErrForbidden):
		return fail(codeForbidden, "model", err.Error())
	}
	return fail(codeUnknownModel, "model", err.Error())
}

// resolveDirect takes a reference as provider/upstream-model.
func (x *exchange) resolveDirect() *dialect.Error {
	name, model, ok := bytes.Cut(x.ref, []byte("/"))
	p := x.snap.providers[string(name)]
	if !ok || p == nil || len(model) == 0 {
		return fail(codeUnknownModel, "model", "model "+quoteShort(x.ref)+" is not in the catalog; GET /v1/models lists the models of this key")
	}
	if !x.who.direct {
		return fail(codeForbidden, "model", "the key "+x.who.Name+" may not name a provider's own models; it needs may: [direct]")
	}
	if slices.ContainsFunc(strings.Split(string(model), "/"), func(s string) bool { return s == "." || s == ".." }) {
		return fail(codeInvalidRequest, "model", "the model's name holds dot segments, as a path would; name the provider's model as it calls it")
	}
	if bytes.ContainsFunc(model, unicode.IsControl) {
		return fail(codeInvalidRequest, "model", "the model's name holds control characters; leave them out")
	}
	x.version = x.s.directVersion(x.snap, p, string(model))
	x.model, x.why = x.version.Version.Model, "direct"
	return nil
}

// lookup asks the cache, if the model has one and the request does not forbid it.
func (x *exchange) lookup() bool {
	if x.reason = x.bypass(); x.reason != "" {
		x.cache = cacheBypass
		return false
	}
	x.cache = cacheMiss
	if !x.recallKey() {
		x.computeKey()
		x.rememberKey()
	}
	if x.rules.noCache {
		x.reason = "no-cache was asked for"
		return false
	}
	e, tier, stale := x.s.o.Cache.Lookup(&x.key, x.model.Name, x.rules.want, x.start)
	if !x.hit(e, tier, stale) {
		return false
	}
	if tier == cache.Memory {
		x.remember()
	}
	return true
}

// hit takes an entry for the answer. One that cannot take the form that the client asked for is none: the provider is
// asked, as if no-cache had been.
func (x *exchange) hit(e *cache.Entry, t cache.Tier, stale bool) bool {
	if e == nil {
		return false
	}
	if _, err := e.Answer(x.asked(), x.s.o.Dialects); err != nil {
		x.rules.noCache, x.reason = true, "the cached answer cannot take the form asked for"
		return false
	}
	x.entry = e
	switch {
	case stale:
		x.cache = cacheStale
	case t == cache.Disk:
		x.cache = cacheHitDisk
	default:
		x.cache = cacheHitMemory
	}
	return true
}

// bypass says why the cache has no part in the request, or "".
func (x *exchange) bypass() string {
	switch {
	case x.ruling != nil && x.ruling.cacheMode == abi.CacheOff:
		return "a policy said so"
	case x.cacheTTL() <= 0:
		return "the model has no cache"
	case x.rules.noStore:
		return "no-store was asked for"
	case x.stores():
		return "store: true keeps the answer at the provider"
	case x.doc.continues, x.conversation() != nil:
		return "the answer depends on what the provider keeps"
	}
	return ""
}

// cacheTTL is how long an answer may be kept; 0: not at all.
func (x *exchange) cacheTTL() time.Duration {
	ttl := time.Duration(0)
	if x.version.caching {
		ttl = x.model.Cache.TTL
	}
	if r := x.ruling; r != nil && (x.version.caching || r.cacheMode == abi.CacheExact) && r.ttl > 0 {
		ttl = r.ttl
	}
	return ttl
}

// stores says whether the provider is asked to keep the answer: what the version forces comes before what the client
// says, and that before what the version fills in.
func (x *exchange) stores() bool {
	v := x.version
	switch {
	case v.forceStore != "":
		return v.forceStore == "true"
	case x.doc.store || x.doc.forgets:
		return x.doc.store
	}
	return v.fillStore == "true"
}

// keyFormat changes whenever the meaning of a key does, so that old answers on disk are not found any more.
const keyFormat = 3

// computeKey digests everything that may change the answer. What can be said as a chat of OpenAI's dialect without a
// loss has the key of that chat, so that clients of all dialects share answers.
func (x *exchange) computeKey() {
	d := x.digestDocument()
	b := append(x.keyBuf[:0], keyFormat, byte(d.op))
	b = appendPart(b, x.who.Tenant)
	switch x.model.Cache.Scope {
	case "shared":
		b = append(b, 's')
	case "user":
		b = append(b, 'u')
		if len(x.units.User) == 0 {
			b = appendPart(append(b, 'k'), x.who.ID)
		} else {
			b = appendPart(b, x.units.User)
		}
	default:
		b = appendPart(append(b, 'k'), x.who.ID)
	}
	b = append(b, x.version.Hash[:]...)
	b = appendPart(b, x.forced)
	b = x.appendKeyedHeaders(b, d.op != x.op)
	b = x.appendRuled(b)
	b = append(b, d.sum[:]...)
	x.key = sha256.Sum256(b)
	x.keyBuf = b
}

// appendPart appends a string so that no two lists of parts come out alike.
func appendPart[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, byte(len(s)>>24), byte(len(s)>>16), byte(len(s)>>8), byte(len(s)))
	return append(dst, s...)
}

// quoteShort quotes what a client sent, for an error message. Of a virtual key it shows the public part only.
func quoteShort(b []byte) string {
	if open, found := beforeSecret(b); found {
		b = append(bytes.Clone(open), "…"...)
	}
	if len(b) > 100 {
		return strconv.Quote(string(b[:100])) + "…"
	}
	return strconv.Quote(string(b))
}

// limitName says who limits the request's time.
func (x *exchange) limitName() string {
	if x.timed {
		return "x-wedge-timeout"
	}
	return "the time that a policy gives it"
}

// remaining is the time left for the request, at most d. It is 0 when the time is over that the client or a policy
// gives it.
func (x *exchange) remaining(d time.Duration) time.Duration {
	if x.timeout.IsZero() {
		return d
	}
	return max(0, min(d, time.Until(x.timeout)))
}
