package proxy

import (
	"bytes"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/wire"
)

// Header names in the form in which fasthttp keeps them.
var (
	headerArm            = []byte("X-Wedge-Arm")
	headerUser           = []byte("X-Wedge-User")
	headerSession        = []byte("X-Wedge-Session")
	headerCache          = []byte("X-Wedge-Cache")
	headerTimeout        = []byte("X-Wedge-Timeout")
	headerProvider       = []byte("X-Wedge-Provider")
	headerTags           = []byte("X-Wedge-Tags")
	headerResume         = []byte("X-Wedge-Resume")
	headerReceipt        = []byte("X-Wedge-Receipt")
	headerRequestID      = []byte("X-Request-Id")
	headerWedgeID        = []byte("X-Wedge-Request-Id")
	headerModel          = []byte("X-Wedge-Model")
	headerVersion        = []byte("X-Wedge-Version")
	headerTarget         = []byte("X-Wedge-Target")
	headerExperiment     = []byte("X-Wedge-Experiment")
	headerAttempts       = []byte("X-Wedge-Attempts")
	headerCost           = []byte("X-Wedge-Cost-Usd")
	headerOverhead       = []byte("X-Wedge-Overhead-Us")
	headerBundle         = []byte("X-Wedge-Bundle")
	headerNode           = []byte("X-Wedge-Node")
	headerPolicy         = []byte("X-Wedge-Policy")
	headerError          = []byte("X-Wedge-Error")
	headerAge            = []byte("Age")
	headerCacheStatus    = []byte("Cache-Status")
	headerServerTiming   = []byte("Server-Timing")
	headerRetryAfter     = []byte("Retry-After")
	headerRetryAfterMS   = []byte("Retry-After-Ms")
	headerAllow          = []byte("Allow")
	headerCacheControl   = []byte("Cache-Control")
	headerBuffering      = []byte("X-Accel-Buffering")
	headerAuthorization  = []byte("Authorization")
	headerShouldRetry    = []byte("X-Should-Retry")
	headerEstimated      = []byte("X-Wedge-Estimated")
	headerDropped        = []byte("X-Wedge-Dropped")
	headerRequestIDPlain = []byte("Request-Id") // as Anthropic's SDKs read it

	headerAnthropicVersion = []byte("Anthropic-Version")
	headerGoogleKey        = []byte("X-Goog-Api-Key")
	headerAnthropicBeta    = []byte("Anthropic-Beta")

	valueJSON        = []byte("application/json")
	valueEventStream = []byte("text/event-stream; charset=utf-8")
	valueNoCache     = []byte("no-cache")
	valueNo          = []byte("no")
	valueTrue        = []byte("true")
)

func bytesOf(s string) []byte { return bytesx.Bytes(s) }

// clientKey is the virtual key that the request carries, wherever the neighbouring SDKs put theirs; borrowed.
func clientKey(ctx *fasthttp.RequestCtx) []byte {
	if key := headerKey(&ctx.Request.Header); len(key) > 0 {
		return key
	}
	return ctx.QueryArgs().Peek("key")
}

func headerKey(h *fasthttp.RequestHeader) []byte {
	if auth := h.PeekBytes(headerAuthorization); len(auth) > 7 && bytes.EqualFold(auth[:7], []byte("bearer ")) {
		return bytes.TrimSpace(auth[7:])
	}
	for _, name := range [...]string{"X-Api-Key", "X-Goog-Api-Key", "Api-Key"} {
		if key := h.Peek(name); len(key) > 0 {
			return key
		}
	}
	return protocolKey(h)
}

// cacheRules are what x-wedge-cache asks for.
type cacheRules struct {
	noCache, noStore, onlyIfCached bool
	want                           cache.Want
}

// readControls reads the request's own x-wedge-* headers.
func (x *exchange) readControls() *dialect.Error {
	h := &x.ctx.Request.Header
	x.forced = h.PeekBytes(headerProvider)
	if v := h.PeekBytes(headerTimeout); len(v) > 0 {
		d, err := time.ParseDuration(string(v))
		if err != nil || d <= 0 {
			return fail(codeInvalidRequest, "", "x-wedge-timeout is not a duration such as 30s")
		}
		x.timeout, x.timed = x.start.Add(d), true
	}
	if e := x.readTags(); e != nil {
		return e
	}
	if enc := h.ContentEncoding(); len(enc) > 0 && !bytes.EqualFold(enc, []byte("identity")) {
		return fail(codeInvalidRequest, "", "the request body is encoded; send it without content-encoding")
	}
	if v := h.PeekBytes(headerCache); len(v) > 0 {
		return x.rules.parse(v)
	}
	return nil
}

// readUnits finds what the request may be assigned by besides its key.
func (x *exchange) readUnits() {
	h := &x.ctx.Request.Header
	x.units.User = h.PeekBytes(headerUser)
	x.units.Session = h.PeekBytes(headerSession)
	x.units.Request = x.id.bytes()
	if len(x.units.User) == 0 {
		if x.units.User = x.doc.user; len(x.units.User) == 0 {
			x.units.User = x.doc.metadataUser
		}
	}
}

func (r *cacheRules) parse(v []byte) *dialect.Error {
	for part := range bytes.SplitSeq(v, []byte(",")) {
		name, value, _ := bytes.Cut(bytes.TrimSpace(part), []byte("="))
		seconds, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 32)
		age := time.Duration(seconds) * time.Second
		bad := false
		switch string(bytes.ToLower(bytes.TrimSpace(name))) {
		case "no-cache":
			r.noCache = true
		case "no-store":
			r.noStore = true
		case "only-if-cached":
			r.onlyIfCached = true
		case "max-age":
			r.want.MaxAge, bad = age, err != nil || seconds < 0
			r.noCache = r.noCache || seconds == 0
		case "max-stale":
			r.want.MaxStale, bad = age, err != nil || seconds < 0
		default:
			bad = len(name) > 0
		}
		if bad {
			return fail(codeInvalidRequest, "", "x-wedge-cache takes no-cache, no-store, only-if-cached, max-age=SECONDS and max-stale=SECONDS, not "+quoteShort(part))
		}
	}
	return nil
}

// fate is what becomes of a client's header on its way to a provider.
type fate uint8

const (
	passKeyed fate = iota // goes upstream and, since it may change the answer, counts in the cache key
	passOnly              // goes upstream, changes no answer
	drop
)

// fates of the headers that are known; any other one is passed and counts in the key, so that what a provider makes
// of it can cost a hit but never bring a wrong one.
var fates = map[string]fate{
	"Accept": passOnly, "User-Agent": passOnly, "Content-Type": passOnly, "Idempotency-Key": passOnly,
	"Traceparent": passOnly, "Tracestate": passOnly, "Baggage": passOnly, "X-Client-Request-Id": passOnly, "X-Goog-Api-Client": passOnly,

	"Host": drop, "Connection": drop, "Keep-Alive": drop, "Proxy-Connection": drop, "Proxy-Authorization": drop,
	"Proxy-Authenticate": drop, "Te": drop, "Trailer": drop, "Transfer-Encoding": drop, "Upgrade": drop,
	"Content-Length": drop, "Content-Encoding": drop, "Accept-Encoding": drop, "Expect": drop, "Cookie": drop,
	"Authorization": drop, "X-Api-Key": drop, "X-Goog-Api-Key": drop, "Api-Key": drop, "Sec-Websocket-Protocol": drop,
	"Forwarded": drop, "X-Real-Ip": drop, "Via": drop, "Origin": drop, "Referer": drop, "Cache-Control": drop,
	"Pragma": drop, "X-Request-Id": drop, "Date": drop, "Priority": drop, "Last-Event-Id": drop,

	// They say which of the operator's accounts pays, or ask a provider for something else than the node has checked.
	"Openai-Organization": drop, "Openai-Project": drop, "X-Goog-User-Project": drop, "X-Method-Override": drop, "X-Original-Url": drop, "X-Rewrite-Url": drop,
}

func fateOf(name []byte) fate {
	if f, ok := fates[string(name)]; ok {
		return f
	}
	switch {
	case bytes.HasPrefix(name, []byte("X-Wedge-")), bytes.HasPrefix(name, []byte("X-Forwarded-")),
		bytes.HasPrefix(name, []byte("Sec-")), bytes.HasPrefix(name, []byte("X-Http-Method")),
		bytes.IndexByte(name, '_') >= 0: // some servers take X_Y for X-Y
		return drop
	case bytes.HasPrefix(name, []byte("X-Stainless-")):
		return passOnly
	}
	return passKeyed
}

// headerFate is what becomes of a header of one request: those that are for the next hop only, and those that hold a
// virtual key, go no further either. hop is what the request's Connection headers say.
func headerFate(hop [][]byte, name, value []byte) fate {
	for _, list := range hop {
		for listed := range bytes.SplitSeq(list, []byte(",")) {
			if bytes.EqualFold(bytes.TrimSpace(listed), name) {
				return drop
			}
		}
	}
	if _, found := beforeSecret(value); found {
		return drop
	}
	return fateOf(name)
}

// beforeSecret finds a virtual key in what a client sent: before is everything up to the key's secret part.
func beforeSecret(b []byte) (before []byte, found bool) {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte("wk_"))
		if i < 0 {
			return nil, false
		}
		at += i
		if id, ok := wire.KeyID(b[at:]); ok {
			return b[:at+len(id)], true
		}
	}
}

// appendKeyedHeaders appends the headers and the query that may change the answer, to what is digested. A shared key has
// none of those that belong to the client's dialect.
func (x *exchange) appendKeyedHeaders(dst []byte, shared bool) []byte {
	hop := x.ctx.Request.Header.PeekAll("Connection")
	for name, value := range x.ctx.Request.Header.All() {
		if headerFate(hop, name, value) == passKeyed && !(shared && bytes.Equal(name, headerAnthropicVersion)) {
			dst = appendPart(append(dst, 'h'), name)
			dst = appendPart(dst, value)
		}
	}
	dst = append(dst, '?')
	return appendPart(dst, x.query())
}

// query is the request's query without the key that it may carry, and without what says how a stream is framed.
func (x *exchange) query() []byte {
	whole := true
	for name, value := range x.ctx.QueryArgs().All() {
		whole = whole && !x.ownArgument(name, value)
	}
	if whole {
		return x.ctx.URI().QueryString()
	}
	var rest fasthttp.Args
	for name, value := range x.ctx.QueryArgs().All() {
		if !x.ownArgument(name, value) {
			rest.AddBytesKV(name, value)
		}
	}
	return rest.QueryString()
}

// ownArgument says that an argument of the query is meant for the node and for nobody behind it.
func (x *exchange) ownArgument(name, value []byte) bool {
	return holdsKey(name, value) || len(x.pathModel) > 0 && string(name) == "alt"
}

// holdsKey says that an argument of the query is, or holds, a virtual key.
func holdsKey(name, value []byte) bool {
	_, named := beforeSecret(name)
	_, held := beforeSecret(value)
	return named || held || string(name) == "key"
}

// appendUpstreamHead appends the header lines of an attempt: the provider's credentials and what the client's
// request may show to it.
func (x *exchange) appendUpstreamHead(dst []byte, t *target) []byte {
	dst = append(dst, t.provider.head...)
	typed, isJSON := false, x.readAsJSON()
	versioned := t.provider.dialect != dialect.Anthropic
	hop := x.ctx.Request.Header.PeekAll("Connection")
	for name, value := range x.ctx.Request.Header.All() {
		isType := string(name) == "Content-Type"
		if headerFate(hop, name, value) == drop || isType && isJSON || bytes.ContainsAny(value, "\r\n\x00") || x.ruledOut(name) ||
			t.provider.sets[string(name)] || x.client != t.provider.dialect && ofDialect(name) {
			continue
		}
		typed = typed || isType
		versioned = versioned || bytes.Equal(name, headerAnthropicVersion)
		dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
	}
	dst = x.appendRuledHeaders(dst)
	if !versioned {
		dst = append(dst, anthropicVersion...)
	}
	if !typed && len(x.body) > 0 {
		dst = append(dst, "Content-Type: application/json\r\n"...)
	}
	return dst
}

// anthropicVersion is the version of Anthropic's API that requests of other dialects are translated to.
const anthropicVersion = "Anthropic-Version: 2023-06-01\r\n"

// ofDialect says that a header has a meaning in one dialect only.
func ofDialect(name []byte) bool {
	return bytes.HasPrefix(name, []byte("Anthropic-")) || bytes.HasPrefix(name, []byte("Openai-")) || bytes.HasPrefix(name, []byte("X-Goog-"))
}

// readAsJSON says that the node read the body as JSON, and so sends it as such, whatever the client called it.
func (x *exchange) readAsJSON() bool {
	return x.op != dialect.OpOther || len(x.ref) > 0 && x.form.end == 0
}

// appendUpstreamPath appends the path of an attempt below the provider's base URL, with the client's query where it asks the same
// thing.
func (x *exchange) appendUpstreamPath(dst []byte, t *target, op dialect.Op) []byte {
	p := t.provider
	dst = p.appendDeployment(dst, op, t)
	if op == dialect.OpOther {
		dst = append(dst, bytes.TrimPrefix(x.ctx.Path(), []byte("/v1"))...)
	} else {
		dst = x.s.o.Dialects.For(op).AppendPath(dst, op, t.Model, x.asksStream())
	}
	if q := p.without(x.query()); len(q) > 0 && op == x.op {
		dst = append(append(dst, separator(dst)), q...)
	}
	if len(p.query) > 0 {
		dst = append(append(dst, separator(dst)), p.query...)
	}
	return dst
}

// separator stands between a path, which may have a query, and a further argument.
func separator(path []byte) byte {
	if bytes.IndexByte(path, '?') >= 0 {
		return '&'
	}
	return '?'
}

// plainPath says that the path is written as it is meant: what the node has checked is what a provider is asked for.
func (x *exchange) plainPath() bool { return bytes.Equal(x.ctx.URI().PathOriginal(), x.ctx.Path()) }

func isEventStream(contentType []byte) bool {
	return len(contentType) >= 17 && bytes.EqualFold(contentType[:17], []byte("text/event-stream"))
}

// setHeaders sets what every answer tells about itself.
func (x *exchange) setHeaders() {
	x.overhead = max(0, time.Since(x.start)-x.upstream)
	h := &x.ctx.Response.Header
	if p := x.preparedHit(); p != nil {
		p.header.CopyTo(h)
		x.setOwnHeaders(h)
		return
	}
	x.setOwnHeaders(h)
	x.setSharedHeaders(h)
}

// setOwnHeaders sets what no other answer tells alike.
func (x *exchange) setOwnHeaders(h *fasthttp.ResponseHeader) {
	h.SetCanonical(headerRequestID, x.id.bytes())
	h.SetCanonical(headerWedgeID, x.id.bytes())
	if x.client == dialect.Anthropic {
		h.SetCanonical(headerRequestIDPlain, x.id.bytes())
	}
	x.setAge(h)
	x.setTimes(h)
	x.setRates(h)
	x.setRuledHeaders(h)
	if len(x.s.o.Origins) > 0 {
		x.letOrigin(h)
	}
}

// setSharedHeaders sets what the answers from one entry to equal requests have in common.
func (x *exchange) setSharedHeaders(h *fasthttp.ResponseHeader) {
	h.SetCanonical(headerNode, bytesOf(x.s.o.Node))
	h.SetCanonical(headerBundle, bytesOf(x.snap.Digest))
	if x.version != nil {
		h.SetCanonical(headerModel, bytesOf(x.model.Name))
		h.SetCanonical(headerVersion, bytesOf(x.version.Version.Version.Version))
	}
	if x.exp != nil {
		h.SetCanonical(headerExperiment, bytesOf(x.armName()))
	}
	x.setOriginHeaders(h)
	if x.cache != cacheNone {
		h.SetCanonical(headerCache, bytesOf(x.cache.String()))
	}
	if x.cost != price.Unknown {
		var b [32]byte
		h.SetCanonical(headerCost, price.AppendUSD(b[:0], x.cost))
	}
	if x.op == dialect.OpOther {
		return
	}
	x.setDropped(h)
	if x.streaming && !x.array {
		h.SetContentTypeBytes(valueEventStream)
		h.SetCanonical(headerCacheControl, valueNoCache)
		h.SetCanonical(headerBuffering, valueNo)
	} else {
		h.SetContentTypeBytes(valueJSON)
	}
}

// armName is the experiment and the arm as name=arm.
func (x *exchange) armName() string {
	if x.exp == nil {
		return ""
	}
	return x.exp.Labels[x.arm]
}

// setOriginHeaders says who answered.
func (x *exchange) setOriginHeaders(h *fasthttp.ResponseHeader) {
	switch {
	case x.entry != nil && x.entry.Provider != "":
		h.SetCanonical(headerProvider, bytesOf(x.entry.Provider))
		h.SetCanonical(headerTarget, bytesOf(x.entry.Target))
	case x.answered != nil:
		h.SetCanonical(headerProvider, bytesOf(x.answered.provider.Name))
		h.SetCanonical(headerTarget, bytesOf(x.answered.Name))
	}
	if x.version != nil {
		var b [8]byte
		h.SetCanonical(headerAttempts, strconv.AppendInt(b[:0], int64(x.plan.attempts), 10))
	}
}

// setAge says what the cache did in the words of RFC 9211, and how old the answer is.
func (x *exchange) setAge(h *fasthttp.ResponseHeader) {
	if x.cache == cacheNone {
		return
	}
	var b [64]byte
	v := b[:0]
	switch {
	case x.cache.hit():
		h.SetCanonical(headerAge, strconv.AppendInt(v, max(0, int64(x.start.Sub(x.entry.Created)/time.Second)), 10))
		v = append(v, "wedge; hit; ttl="...)
		v = strconv.AppendInt(v, int64(x.entry.Expires.Sub(x.start)/time.Second), 10)
	case x.cache == cacheCoalesced:
		v = append(v, "wedge; fwd=miss; collapsed"...)
	case x.cache == cacheBypass:
		v = append(v, "wedge; fwd=bypass"...)
	case x.rules.noCache:
		v = append(v, "wedge; fwd=request"...)
	default:
		v = append(v, "wedge; fwd=miss"...)
	}
	h.SetCanonical(headerCacheStatus, v)
}

// setTimes says how long the answer took so far.
func (x *exchange) setTimes(h *fasthttp.ResponseHeader) {
	var b [96]byte
	h.SetCanonical(headerOverhead, strconv.AppendInt(b[:0], x.overhead.Microseconds(), 10))
	v := append(b[:0], "wedge;dur="...)
	v = appendMillis(v, x.overhead)
	if x.upstream > 0 {
		v = appendMillis(append(v, ", upstream;dur="...), x.upstream)
	}
	h.SetCanonical(headerServerTiming, v)
}

// appendMillis appends a duration in milliseconds with three decimals.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	dst = strconv.AppendInt(dst, us/1000, 10)
	return append(dst, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
}

// setDropped names what of the request, or of the answer, the other side's dialect has no word for.
func (x *exchange) setDropped(h *fasthttp.ResponseHeader) {
	if len(x.dropped) > 0 {
		h.SetCanonical(headerDropped, bytesOf(x.dropped))
	}
}
