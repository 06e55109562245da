package proxy

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/request"
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
	made     int    // attempts at version
	attempts int    // at the request
}

// attempt asks target after target until one answers.
func (x *exchange) attempt() *dialect.Error {
	var failure *dialect.Error
	x.plan.version = x.version
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
		p.version, p.tried, p.made = x.version.fallback[p.next], 0, 0
		p.next++
	}
	return nil
}

func (x *exchange) pickTarget() *target {
	p, v := &x.plan, x.plan.version
	if t, ruled := x.ruledTarget(); ruled {
		return t
	}
	if t := x.draw(); t != nil || !v.repeat || p.made == 0 || !x.pause(route.Backoff(v.backoff, p.made-1)) {
		return t
	}
	p.tried = x.excluded(v)
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
		if t := &v.targets[i]; len(x.forced) == 0 || t.provider.Name == string(x.forced) {
			return t
		}
	}
}

// excluded are the targets that a forced provider leaves out.
func (x *exchange) excluded(v *version) (set uint64) {
	for i := range v.targets {
		if len(x.forced) > 0 && v.targets[i].provider.Name != string(x.forced) {
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
	if !x.up.enter(t) {
		failure = fail(codeOverloaded, "", "provider "+t.provider.Name+" has as many requests under way as its limits allow; try again later")
		record.result = failure.Code
		return failure, true
	}
	began := time.Now()
	failure, again = x.send(t, began)
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

// send sends the request to a target and takes the answer, or the beginning of a stream.
func (x *exchange) send(t *target, began time.Time) (failure *dialect.Error, again bool) {
	timeout := x.remaining(t.timeout)
	if timeout <= 0 {
		x.up.leave(route.Neutral, 0)
		return x.leftEarly(), false
	}
	x.appendUpstreamBody(t)
	x.lines = x.appendUpstreamHead(x.lines[:0], t)
	x.up.begin()
	first := t
	t, err := x.do(t, &upstream.Request{
		Method: x.ctx.Method(), Path: x.upstreamPath(), Head: x.lines, Body: x.body, FirstByte: timeout, ChunkTimeout: t.timeout,
	})
	if err != nil {
		return x.failed(err)
	}
	if t != first { // the hedge won
		began = began.Add(x.ruling.hedge)
	}
	t.live.ObserveFirstByte(time.Since(began))
	if status := x.up.call.Status(); status < 200 || status > 299 {
		return x.refused(t, status)
	}
	if x.op == dialect.OpOther {
		return x.openRaw(t)
	}
	if x.streaming && isEventStream(x.up.call.ContentType()) {
		return x.openStream(t)
	}
	return x.takeWhole(t)
}

// appendUpstreamBody makes the body of an attempt: the client's bytes with the version's edits, or as they are.
func (x *exchange) appendUpstreamBody(t *target) {
	if x.op == dialect.OpOther && (len(x.ref) == 0 || x.form.end > 0) {
		x.body = x.appendRawBody(x.body[:0], t)
		return
	}
	x.body = x.appendBodyFor(x.body[:0], x.plan.version, t)
}

// appendBodyFor appends the request's body as a target of a version gets it.
func (x *exchange) appendBodyFor(dst []byte, v *version, t *target) []byte {
	return x.view.AppendBody(dst, v.edits[x.op], request.Attempt{
		Model: t.model, IncludeUsage: x.streaming && (x.op == dialect.OpChat || x.op == dialect.OpCompletions),
	})
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
	if x.usage, err = x.s.o.Answers.Whole(x.op, out); err != nil {
		return x.failed(err)
	}
	x.up.leave(route.Good, 0)
	x.answered = t
	if x.op == dialect.OpResponses {
		x.claimResponse(responseID(out))
	}
	x.describeEntry(t)
	x.bill().book(x.usage, t)
	x.entry = x.keepWhole()
	x.endFlight(x.entry, nil)
	return nil, false
}

// failed turns a broken attempt into the client's error, and the target's reputation.
func (x *exchange) failed(err error) (failure *dialect.Error, again bool) {
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
		return fail(codeOverloaded, "", "all connections to "+who+" are in use; try again later")
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
	retryAfter := retryAfterOf(&x.up.call)
	who := "provider " + t.provider.Name
	if status < 400 || status > 422 || status == 408 || status <= 403 && status > 400 {
		x.out, _ = x.up.call.AppendAvailable(x.out[:0]) // so that the connection can be used again, without waiting
	}
	switch {
	case status == 429:
		x.up.leave(route.Limited, retryAfter)
		failure = fail(codeRateLimited, "", who+" limits its requests now; try again after the time that retry-after tells")
		failure.RetryAfter = max(retryAfter, time.Second)
		return failure, true
	case status == 408 || status >= 500:
		x.up.leave(route.Bad, 0)
		return fail(codeUpstreamError, "", who+" failed with status "+strconv.Itoa(status)+"; try again"), true
	case status == 401 || status == 402 || status == 403:
		x.up.leave(route.Bad, 0)
		return fail(codeUpstreamError, "", who+" refused the operator's credentials with status "+strconv.Itoa(status)+"; tell the operator of this node"), true
	case status >= 400:
		out, err := x.up.call.AppendAll(x.out[:0], maxErrorBody)
		x.out = out
		x.up.leave(route.Good, 0)
		failure = fail(codeInvalidRequest, "", who+" refused the request with status "+strconv.Itoa(status))
		failure.Status = status
		if err == nil && isErrorObject(out) && !t.provider.exposedBy(out) {
			failure.Body = append([]byte(nil), out...)
		}
		return failure, false
	}
	x.up.leave(route.Bad, 0)
	return fail(codeUpstreamProtocol, "", who+" answered with status "+strconv.Itoa(status)+", which is no answer"), true
}

const maxErrorBody = 64 << 10

// isErrorObject says that a provider's body is an error in the dialect's form, so that SDKs can read it.
func isErrorObject(body []byte) bool {
	var v request.View
	if v.Parse(body) != nil {
		return false
	}
	_, ok := v.Field("error")
	return ok
}

// exposedBy says that a text shows a part of the provider's credentials that may be of use to somebody.
func (p *provider) exposedBy(text []byte) bool {
	const least = 8 // bytes
	secret := bytes.TrimSpace(bytes.TrimPrefix(p.auth, []byte("Authorization: Bearer ")))
	if len(secret) <= least {
		return len(secret) > 0 && bytes.Contains(text, secret)
	}
	for i := range len(secret) - least + 1 {
		if bytes.Contains(text, secret[i:i+least]) {
			return true
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
