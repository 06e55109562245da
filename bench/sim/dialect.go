package sim

import (
	"bytes"
	"fmt"

	"github.com/valyala/fasthttp"
)

// dialect is the wire form in which an endpoint fails.
type dialect interface {
	// manners are how the provider fails.
	manners() *manners
	// credential returns the key that a request shows, nil if it shows none.
	credential(ctx *fasthttp.RequestCtx) []byte
	// appendError appends the body of an error answer.
	appendError(dst []byte, f *failure) []byte
	// appendStreamError appends the event by which a stream says that it failed, after the events in sent.
	appendStreamError(dst, sent []byte, f *failure) []byte
}

// manners are a provider's failures in its own words, and what goes with them.
type manners struct {
	faults    map[fault]*failure // those that are an error answer
	notJSON   failure
	noModel   string // the message, with %s for the model
	noKey     failure
	wrongKey  failure
	requestID string // the header that tells the request's id; "" tells none

	retryMillis bool // a rate limit tells in milliseconds, too, when to ask again
}

// codeNoModel is the code of the failure whose message is the dialect's own.
const codeNoModel = "model_not_found"

// bearer returns the key in the Authorization header.
func bearer(ctx *fasthttp.RequestCtx) []byte {
	key, ok := bytes.CutPrefix(ctx.Request.Header.Peek("Authorization"), []byte("Bearer "))
	if !ok {
		return nil
	}
	return key
}

// filled is f with what only t knows.
func (t *turn) filled(f *failure) *failure {
	out := *f
	out.requestID, out.retry = string(t.id), t.set.retry
	if out.code == codeNoModel {
		out.message = fmt.Sprintf(t.d.manners().noModel, out.model)
	}
	return &out
}

// fail makes f the answer, in t's dialect.
func (t *turn) fail(f *failure) {
	t.a = &answer{status: f.status, contentType: typeJSON, body: t.d.appendError(nil, t.filled(f))}
}
