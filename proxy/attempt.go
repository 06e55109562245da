package proxy

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// maxTries is how many attempts at one request are remembered, and made at most.
const maxTries = 8

// try is one attempt as explain tells it.
type try struct {
	version *version
	target  *target
	result  string // "ok", or an error code
	status  int
	took    time.Duration
}

// plan walks through the targets of a version, then of its fallbacks.
type plan struct {
	version  *version
	next     int    // fallback to go on with
	tried    uint64 // targets of version
	whole    bool   // a provider that does not want to stream was found
	barred   uint64 // those that do not want to be asked again
	made     int    // attempts at version
	attempts int    // at the request
}

// attempt asks target after target until one answers.
func (x *exchange) attempt() *dialect.Error {
	var failure *dialect.Error
	x.plan.version = x.version
	x.carries = x.op.Chats() && dialect.MayCarry(x.op, x.requestBody())
	x.castShadow()
	for {
		t := x.nextTarget()
		if t == nil {
			break
		}
		var again bool
		failure, again = x.tryTarget(t)
		if failure == nil {
			return nil
		}
		if !again {
			break
		}
	}
	if failure == nil {
		failure = x.noTarget()
	}
	x.endFlight(nil, failure)
	return failure
}

// nextTarget picks the target of the next attempt, or nil when all there is has been tried.
func (x *exchange) nextTarget() *target {
	p := &x.plan
	for p.attempts < maxTries {
		if p.made < p.version.attempts {
			if t := x.pickTarget(); t != nil {
				p.made++
				p.attempts++
				return t
			}
		}
		if p.next >= len(x.version.fallback) {
			return nil
		}
		p.version, p.tried, p.barred, p.made = x.version.fallback[p.next], 0, 0, 0
		p.next++
	}
	return nil
}

func (x *exchange) pickTarget() *target {
	p, v := &x.plan, x.plan.version
	if l := x.conversation(); l != nil {
		return x.pinnedTarget(l)
	}
	if t, ruled := x.ruledTarget(); ruled {
		return t
	}
	if t := x.draw(); t != nil || !v.repeat || p.made == 0 || !x.pause(route.Backoff(v.backoff, p.made-1)) {
		return t
	}
	p.tried = x.excluded(v) | p.barred
	return x.draw()
}

// draw picks among the targets that have not been tried, or returns nil.
func (x *exchange) draw() *target {
	p, v := &x.plan, x.plan.version
	for {
		i := v.set.Pick(p.tried, time.Now().UnixNano())
		if i < 0 {
			return nil
		}
		p.tried |= 1 << i
		if t := &v.targets[i]; x.mayAsk(t) {
			return t
		}
	}
}

// mayAsk says whether a target is one of those that the client lets the node choose from.
func (x *exchange) mayAsk(t *target) bool {
	if x.op.Counts() && t.provider.dialect != x.client { // whose tokens are others
		return false
	}
	return len(x.forced) == 0 || t.provider.Name == string(x.forced)
}

// excluded are the targets that may not be asked.
func (x *exchange) excluded(v *version) (set uint64) {
	for i := range v.targets {
		if !x.mayAsk(&v.targets[i]) {
			set |= 1 << i
		}
	}
	return set
}

// pause waits before a target is tried again. It returns false if the client left or the time is up.
func (x *exchange) pause(d time.Duration) bool {
	if x.remaining(d+time.Millisecond) < d {
		x.hurried = true
		return false
	}
	for end := time.Now().Add(d); time.Now().Before(end); {
		if x.up.call.Aborted() {
			return false
		}
		time.Sleep(min(time.Until(end), 20*time.Millisecond))
	}
	return !x.up.call.Aborted()
}

func (x *exchange) noTarget() *dialect.Error {
	if len(x.forced) > 0 {
		return fail(codeNoTarget, "", "version "+x.version.Version.Version.Version+" of model "+x.model.Name+" has no target at the provider that x-wedge-provider names")
	}
	return fail(codeNoTarget, "", "no target of model "+x.model.Name+" can be tried now; try again later")
}

// tryTarget makes one attempt. again says whether another target may be tried after a failure.
func (x *exchange) tryTarget(t *target) (failure *dialect.Error, again bool) {
	record := &x.tries[x.plan.attempts-1]
	record.version, record.target = x.plan.version, t
	began := time.Now()
	failure, again, asked := x.askTarget(t, began)
	if asked && failure != nil && x.gathers && failure.Status == 400 { // some accounts may not stream
		x.plan.whole = true
		failure, again, asked = x.askTarget(t, began)
	}
	if !asked {
		record.result = failure.Code
		return failure, again
	}
	took := time.Since(began)
	record.took = took
	if x.up.target != t { // the hedge won
		record = &x.tries[x.plan.attempts-1]
		record.took = took - x.ruling.hedge
	}
	x.upstream += took
	record.status = x.up.call.Status()
	record.result = "ok"
	if failure != nil {
		record.result = failure.Code
	}
	return failure, again
}

// askTarget sends the request to a target that has room for it, if it can be paid for; asked is false where not.
func (x *exchange) askTarget(t *target, began time.Time) (failure *dialect.Error, again, asked bool) {
	if !x.up.enter(t) {
		return fail(codeOverloaded, "", "provider "+t.provider.Name+" has as many requests under way as its limits allow; try again later"), true, false
	}
	if failure, again = x.charge(t); failure != nil {
		x.up.leave(route.Neutral, 0)
		return failure, again, false
	}
	failure, again = x.send(t, began)
	return failure, again, true
}

// send sends the request to a target and takes the answer, or the beginning of a stream.
func (x *exchange) send(t *target, began time.Time) (failure *dialect.Error, again bool) {
	timeout := x.remaining(t.timeout)
	if timeout <= 0 {
		x.up.leave(route.Neutral, 0)
		return x.leftEarly(), false
	}
	ask, failure := x.prepare(t)
	if failure != nil {
		x.up.leave(route.Neutral, 0)
		return failure, true
	}
	ask.FirstByte = timeout
	first := t
	t, err := x.do(t, &ask)
	if err != nil {
		return x.failed(err)
	}
	if t != first { // the hedge won
		began = began.Add(x.ruling.hedge)
	}
	x.up.begin(x.asks(t), x.op)
	x.up.events.Wanted = x.wanted()
	t.live.ObserveFirstByte(time.Since(began))
	if status := x.up.call.Status(); status < 200 || status > 299 {
		return x.refused(t, status)
	}
	if x.op == dialect.OpOther {
		return x.openRaw(t)
	}
	if x.asksStream() && isEventStream(x.up.call.ContentType()) {
		if x.gathers {
			return x.takeGathered(t)
		}
		return x.openStream(t)
	}
	return x.takeWhole(t)
}

// prepare makes the request of an attempt, all but the time that it may take.
func (x *exchange) prepare(t *target) (ask upstream.Request, failure *dialect.Error) {
	var lost []string
	if x.op == dialect.OpOther && (len(x.ref) == 0 || x.form.end > 0) {
		x.body = x.appendRawBody(x.body[:0], t)
	} else {
		if x.body, lost, failure = x.appendBodyFor(x.body[:0], x.plan.version, t); failure != nil {
			return ask, failure
		}
		if x.up.charge.clamp > 0 {
			if failure = x.clampBody(x.asks(t)); failure != nil {
				return ask, failure
			}
		}
	}
	x.dropped = ""
	x.lose(lost)
	x.lines = x.appendUpstreamHead(x.lines[:0], t)
	x.path = x.appendUpstreamPath(x.path[:0], t, x.asks(t))
	return upstream.Request{Method: x.ctx.Method(), Path: x.path, Head: x.lines, Body: x.body, ChunkTimeout: t.timeout}, nil
}

// openStream waits for the first event: until it has come, another target may still be tried.
func (x *exchange) openStream(t *target) (failure *dialect.Error, again bool) {
	x.describeEntry(t)
	var first []byte
	if !x.leads { // a shared flight keeps its bytes for those who join, so they are no buffer of the pool
		first = stream.GetBuffer()
	}
	first, err := x.up.Pull(first)
	for err == nil && x.up.events.Events == 0 {
		first, err = x.up.Pull(first)
	}
	if err == io.EOF && x.up.events.Events == 0 {
		err = errUnfinished
	}
	if err != nil && err != io.EOF {
		stream.PutBuffer(first)
		return x.failed(err)
	}
	x.answered = t
	x.openFlight(first, err)
	return nil, false
}

// takeWhole reads a whole answer and checks it: until it is all there, another target may still be tried.
func (x *exchange) takeWhole(t *target) (failure *dialect.Error, again bool) {
	out, err := x.up.call.AppendAll(x.out[:0], x.s.o.MaxAnswer)
	x.out = out
	if err != nil {
		return x.failed(err)
	}
	if x.usage, err = x.s.o.Dialects.For(x.up.op).Whole(x.up.op, out); err != nil {
		return x.failed(err)
	}
	c := &x.up.charge
	if c.whole = true; !x.usage.Known {
		c.whole, c.came = false, int64(len(out))/bytesPerToken
	}
	x.describeEntry(t)
	if x.up.op != x.op {
		if failure, again := x.translateWhole(out); failure != nil {
			return failure, again
		}
	}
	x.up.leave(route.Good, 0)
	x.answered = t
	if x.up.op == dialect.OpResponses {
		x.claimResponse(responseID(out))
	}
	if !x.op.Counts() { // which cost nothing
		b := x.bill()
		b.book(x.usage, t, c)
	}
	x.up.keepNoneCut(&x.usage)
	x.entry = x.keepWhole(out)
	x.endFlight(x.entry, nil)
	return nil, false
}

// failed turns a broken attempt into the client's error, and the target's reputation.
func (x *exchange) failed(err error) (failure *dialect.Error, again bool) {
	if neverSent(err) {
		x.up.charge.release()
	} else {
		x.waste(x.up.target)
	}
	if errors.Is(err, upstream.ErrAborted) || errors.Is(err, upstream.ErrTimeout) && x.remaining(time.Hour) <= 0 {
		x.up.leave(route.Neutral, 0)
		return x.leftEarly(), false
	}
	o := route.Bad
	if errors.Is(err, upstream.ErrBusy) || errors.Is(err, upstream.ErrRequest) {
		o = route.Neutral
	}
	x.up.leave(o, 0)
	return x.explainFailure(err), true
}

// neverSent says that an attempt failed before anything reached the provider, which will not bill it.
func neverSent(err error) bool {
	return errors.Is(err, upstream.ErrRefused) || errors.Is(err, upstream.ErrBusy) || errors.Is(err, upstream.ErrRequest)
}

// leftEarly is the failure of a request that ended before its answer for a reason of its own.
func (x *exchange) leftEarly() *dialect.Error {
	if x.timeout.IsZero() || x.remaining(time.Hour) > 0 {
		x.gone = true
	}
	return fail(codeUpstreamTimeout, "", "no answer came within "+x.limitName()+"; allow more time")
}

// explainFailure says what a broken attempt means to the client. Providers are named, their words are not repeated.
func (x *exchange) explainFailure(err error) *dialect.Error {
	who := "the provider"
	if x.up != nil && x.up.target != nil {
		who = "provider " + x.up.target.provider.Name
	}
	switch {
	case errors.Is(err, errPanicked):
		return x.panicked(err)
	case errors.Is(err, errPolicy):
		return fail(codePolicyFailed, "", "a policy could not see the answer, and the catalog says that it must; try again, and tell the operator of this node")
	case errors.Is(err, upstream.ErrTimeout):
		return fail(codeUpstreamTimeout, "", who+" did not answer in time; try again, or allow more time")
	case errors.Is(err, upstream.ErrRefused):
		return fail(codeUpstreamError, "", who+" cannot be reached; try again later")
	case errors.Is(err, upstream.ErrBusy):
		return fail(codeOverloaded, "", "this node has no further connection to "+who+"; try again later")
	case errors.Is(err, upstream.ErrCut):
		return fail(codeUpstreamError, "", who+" broke the connection before the end of its answer; try again")
	case errors.Is(err, dialect.ErrProvider), errors.Is(err, errStreamFailed), errors.Is(err, errStreamError):
		return fail(codeUpstreamError, "", who+" answered with an error of its own; try again")
	case errors.Is(err, upstream.ErrBodyTooLarge), errors.Is(err, stream.ErrEventTooLarge):
		return fail(codeUpstreamProtocol, "", who+" sent a larger answer than this node takes")
	}
	return fail(codeUpstreamProtocol, "", who+" sent something that is not an answer; try again")
}

// refused deals with an answer that is not 2xx.
func (x *exchange) refused(t *target, status int) (failure *dialect.Error, again bool) {
	x.up.charge.release()
	retryAfter, who := retryAfterOf(&x.up.call), "provider "+t.provider.Name
	refusal := x.readRefusal(t, status)
	if retryAfter == 0 {
		retryAfter = refusal.RetryAfter
	}
	wish := x.wish(t)
	switch {
	case refusal.Broke || status == 402:
		x.up.leave(route.Bad, 0)
		word := codeUpstreamError
		if status == codeRateLimited.status {
			word = codeRateLimited
		}
		failure = fail(word, "", who+" says that the operator's account has run out of money or quota; tell the operator of this node")
		failure.Final = true
		x.bar(t)
		return failure, true
	case status == 429:
		x.up.leave(route.Limited, retryAfter)
		failure = fail(codeRateLimited, "", who+" limits its requests now; try again after the time that retry-after tells")
		failure.RetryAfter = max(retryAfter, time.Second)
		failure.Final = wish == "false"
		return failure, true
	case status == 408 || status >= 500:
		x.up.leave(route.Bad, 0)
		failure = fail(codeUpstreamError, "", who+" failed with status "+strconv.Itoa(status)+"; try again")
		failure.Final = wish == "false"
		return failure, true
	case status == 401 || status == 403:
		x.up.leave(route.Bad, 0)
		return fail(codeUpstreamError, "", who+" refused the operator's credentials with status "+strconv.Itoa(status)+"; tell the operator of this node"), true
	case status >= 400:
		x.up.leave(route.Good, 0)
		failure = fail(codeInvalidRequest, "", who+" refused the request with status "+strconv.Itoa(status))
		failure.Status = status
		again = wish == "true"
		switch {
		case refusal.Message == "" || t.provider.exposedBy(x.out):
		case t.provider.dialect == x.client:
			failure.Body = bytes.Clone(x.out)
		default:
			failure.Message += ": " + refusal.Message
		}
		return failure, again
	}
	x.up.leave(route.Bad, 0)
	return fail(codeUpstreamProtocol, "", who+" answered with status "+strconv.Itoa(status)+", which is no answer"), true
}

const maxErrorBody = 64 << 10

// wish is the provider's x-should-retry, which the official SDKs obey: true, false or "". A target that says false is not
// asked again.
func (x *exchange) wish(t *target) string {
	wish := string(x.up.call.Header("x-should-retry"))
	if wish == "false" {
		x.bar(t)
	}
	return wish
}

func (x *exchange) bar(t *target) {
	p := &x.plan
	for i := range p.version.targets {
		if &p.version.targets[i] == t {
			p.barred |= 1 << i
		}
	}
}

// readRefusal reads what a provider says with a status that is not 2xx, as far as it is there without much waiting.
func (x *exchange) readRefusal(t *target, status int) (r dialect.Refusal) {
	var err error
	if status >= 400 && status <= 429 {
		x.out, err = x.up.call.AppendAll(x.out[:0], maxErrorBody)
	} else {
		x.out, err = x.up.call.AppendAvailable(x.out[:0]) // so that the connection can be used again
	}
	if err == nil || err == io.EOF {
		r = x.s.o.Dialects.Codecs[t.provider.dialect].ReadError(status, x.out)
	}
	return r
}

// exposedBy says that a text shows a part of the provider's credentials that may be of use to somebody.
func (p *provider) exposedBy(text []byte) bool {
	const least = 8 // bytes
	for _, secret := range p.secrets {
		n := min(len(secret), least)
		for i := 0; n > 0 && i+n <= len(secret); i++ {
			if bytes.Contains(text, bytesOf(secret[i:i+n])) {
				return true
			}
		}
	}
	return false
}

// retryAfterOf reads how long a provider asks to be left alone; 0 if it does not say.
func retryAfterOf(c *upstream.Call) time.Duration {
	if ms, err := strconv.ParseFloat(string(c.Header("retry-after-ms")), 64); err == nil && ms > 0 && ms < 1e9 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	v := c.Header("retry-after")
	if s, err := strconv.ParseFloat(string(v), 64); err == nil && s > 0 && s < 1e6 {
		return time.Duration(s * float64(time.Second))
	}
	if at, err := fasthttp.ParseHTTPDate(v); err == nil {
		return min(max(0, time.Until(at)), 24*time.Hour)
	}
	return 0
}
