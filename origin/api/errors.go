package api

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// The codes of failures, besides those of control.Error. They stay as they are: programs tell failures apart by them.
const (
	codeInvalid         = control.CodeInvalid
	codeNotFound        = control.CodeNotFound
	codeConflict        = control.CodeConflict
	codeUnauthenticated = "unauthenticated"
	codeForbidden       = "forbidden"
	codeMethod          = "method_not_allowed"
	codeTooLarge        = "too_large"
	codeBusy            = "busy"        // try again after Retry-After
	codeUnavailable     = "unavailable" // the database cannot be reached: try again
	codeInternal        = "internal"
)

// codes are all codes.
var codes = []string{
	codeInvalid, codeNotFound, codeConflict, control.CodeGate, control.CodeFixed, control.CodeStep, codeUnauthenticated,
	codeForbidden, codeMethod, codeTooLarge, codeBusy, codeUnavailable, codeInternal,
}

// Failure is the body of every answer that is no success.
type Failure struct {
	Error FailureDetail `json:"error"`
}

// FailureDetail is why something was not done.
type FailureDetail struct {
	Code     string         `json:"code"`
	Message  string         `json:"message"`
	Problems []wire.Problem `json:"problems,omitempty"` // of a catalog
	Gates    []control.Gate `json:"gates,omitempty"`
}

// fault is a failure with what HTTP says of it.
type fault struct {
	FailureDetail
	status int
	header http.Header
	cause  error // what people are not told
}

func (f *fault) Error() string { return f.Message }

func faultf(status int, code, format string, args ...any) *fault {
	return &fault{status: status, FailureDetail: FailureDetail{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func invalid(format string, args ...any) *fault {
	return faultf(http.StatusBadRequest, codeInvalid, format, args...)
}

// known are errors of the packages below whose texts people are told.
var known = []struct {
	err    error
	status int
	code   string
}{
	{store.ErrNotFound, http.StatusNotFound, codeNotFound},
	{store.ErrConflict, http.StatusConflict, codeConflict},
	{store.ErrKeyUsed, http.StatusConflict, codeConflict},
	{vault.ErrExists, http.StatusConflict, codeConflict},
	{store.ErrInvalid, http.StatusBadRequest, codeInvalid},
}

// faultOf is what people are told of an error. What went wrong inside is logged, and not told.
func faultOf(err error) *fault {
	if f, is := errors.AsType[*fault](err); is {
		return f
	}
	if e, is := errors.AsType[*control.Error](err); is {
		return &fault{status: e.Status(), FailureDetail: FailureDetail{e.Code, e.Message, e.Problems, e.Gates}}
	}
	if e, is := errors.AsType[*http.MaxBytesError](err); is {
		return faultf(http.StatusRequestEntityTooLarge, codeTooLarge, "the body has more than the %d bytes that are read here", e.Limit)
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return faultf(k.status, k.code, "%s", err)
		}
	}
	f := faultf(http.StatusInternalServerError, codeInternal, "the origin failed; its log tells why, under this answer's X-Request-Id")
	if outOfReach(err) {
		f = faultf(http.StatusServiceUnavailable, codeUnavailable, "the origin cannot reach its database, or it takes too long; "+
			"it may have done what you asked: ask again, with the same Idempotency-Key")
		f.header = http.Header{"Retry-After": {"1"}}
	}
	f.cause = err
	return f
}

// outOfReach tells whether the database, rather than the origin, is why something failed.
func outOfReach(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, store.ErrUnknown) || errors.Is(err, driver.ErrBadConn) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// fail answers with a failure. Where the answer has begun, nothing but its breaking off can tell.
func (a *API) fail(x *exchange, r *http.Request, err error) {
	f := faultOf(err)
	if f.cause != nil && r.Context().Err() == nil {
		a.log.Error("request failed", "id", x.id, "method", r.Method, "path", r.URL.Path, "error", f.cause)
	}
	if x.status != 0 {
		panic(http.ErrAbortHandler)
	}
	h := x.Header()
	for _, stale := range []string{"Content-Disposition", "Etag", "Content-Length"} {
		h.Del(stale)
	}
	for name, values := range f.header {
		h[name] = values
	}
	h.Set("Content-Type", mediaJSON)
	x.WriteHeader(f.status)
	if err := json.NewEncoder(x).Encode(Failure{f.FailureDetail}); err != nil {
		a.log.Debug("answer not taken", "id", x.id, "error", err)
	}
}
