package proxy

import (
	"errors"
	"net"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// code is an entry of the closed vocabulary of errors.
type code struct {
	name   string
	status int
}

var (
	codeInvalidJSON      = code{"invalid_json", 400}
	codeInvalidRequest   = code{"invalid_request", 400}
	codeUnauthenticated  = code{"unauthenticated", 401}
	codeForbidden        = code{"forbidden", 403}
	codeNotFound         = code{"not_found", 404}
	codeUnknownModel     = code{"unknown_model", 404}
	codeMethodNotAllowed = code{"method_not_allowed", 405}
	codeRequestTimeout   = code{"request_timeout", 408}
	codeResumeLost       = code{"resume_lost", 409}
	codePolicyDenied     = code{"policy_denied", 403}
	codePolicyFailed     = code{"policy_failed", 503}
	codeBodyTooLarge     = code{"body_too_large", 413}
	codeHeadersTooLarge  = code{"headers_too_large", 431}
	codeRateLimited      = code{"rate_limited", 429}
	codeBudgetExhausted  = code{"budget_exhausted", 429}
	codeUnpriced         = code{"unpriced", 403}
	codeNoTarget         = code{"no_target", 503}
	codeUpstreamError    = code{"upstream_error", 502}
	codeUpstreamTimeout  = code{"upstream_timeout", 504}
	codeUpstreamProtocol = code{"upstream_protocol", 502}
	codeOverloaded       = code{"overloaded", 503}
	codeNotCached        = code{"not_cached", 504}
	codeDraining         = code{"draining", 503}
	codeInternal         = code{"internal", 500}
)

// fail makes an error. message says what could not be done, to what, and what to do; param names the request's
// field at fault, if there is one.
func fail(c code, param, message string) *dialect.Error {
	return &dialect.Error{Status: c.status, Code: c.name, Message: message, Param: param}
}

// readError says what was wrong with bytes that did not become a request.
func readError(err error) *dialect.Error {
	var small *fasthttp.ErrSmallBuffer
	var timeout net.Error
	switch {
	case errors.As(err, &small):
		return fail(codeHeadersTooLarge, "", "the request's headers are larger than this node takes; send fewer or shorter ones")
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		return fail(codeBodyTooLarge, "", "the request's body is larger than this node takes; send less, or raise the node's max_body")
	case errors.As(err, &timeout) && timeout.Timeout():
		return fail(codeRequestTimeout, "", "the request did not arrive in time; send it faster")
	}
	return fail(codeInvalidRequest, "", "the bytes sent are not an HTTP/1.1 request that this node understands; check the client, and that it does not speak TLS or HTTP/2 here")
}
