package fleet

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Codes of a wire.SyncError.
const (
	codeUnauthenticated = "unauthenticated"
	codeForbidden       = "forbidden"
	codeNotFound        = "not_found"
	codeConflict        = "conflict"
	codeInvalid         = "invalid"
	codeGap             = "gap"
	codeFenced          = "fenced"
	codeUpgrade         = "upgrade"
	codeBusy            = "busy"
	codeInternal        = "internal"
)

var statusOf = map[string]int{
	codeUnauthenticated: http.StatusUnauthorized,
	codeForbidden:       http.StatusForbidden,
	codeNotFound:        http.StatusNotFound,
	codeConflict:        http.StatusConflict,
	codeInvalid:         http.StatusBadRequest,
	codeGap:             http.StatusConflict,
	codeFenced:          http.StatusConflict,
	codeUpgrade:         http.StatusUpgradeRequired,
	codeBusy:            http.StatusServiceUnavailable,
	codeInternal:        http.StatusInternalServerError,
}

// refusal is what a node is told in place of what it asked for.
type refusal struct {
	wire.SyncError
	after time.Duration // when to ask again; 0: nothing is said
}

func (r *refusal) Error() string { return r.Message }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{SyncError: wire.SyncError{Code: code, Message: fmt.Sprintf(format, args...)}}
}

func busy(after time.Duration, format string, args ...any) *refusal {
	r := refuse(codeBusy, format, args...)
	r.after = after
	return r
}

// serve makes a handler of a function that answers, or returns why it does not.
func (f *Fleet) serve(answer func(w http.ResponseWriter, r *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		err := answer(w, r)
		if err == nil || r.Context().Err() != nil {
			return
		}
		told, is := errors.AsType[*refusal](err)
		if !is {
			told = refusalOf(err)
			f.log.Error("node's request failed", "path", r.URL.Path, "error", err)
		}
		if told.after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((told.after+time.Second-1)/time.Second)))
		}
		send(w, statusOf[told.Code], told.SyncError)
	}
}

// refusalOf is what a node is told of an error that is not its fault.
func refusalOf(err error) *refusal {
	switch {
	case errors.Is(err, errStopped):
		return busy(time.Second, "the origin is being stopped; go to another one")
	case outOfReach(err):
		return busy(time.Second, "the origin cannot reach its database now; try again")
	}
	return refuse(codeInternal, "the origin could not do it; its log tells why")
}

// outOfReach tells whether the database, rather than the origin or the node, is why something failed.
func outOfReach(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, store.ErrUnknown) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func send(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("BUG: an answer to a node has no JSON: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b) // a node that is gone asks again
}

// How many bytes of requests are read.
const (
	maxEnrolment = 64 << 10
	maxHello     = 16 << 10
	maxAck       = 32 << 10
	maxSecrets   = 256 << 10
	maxReport    = 32 << 20
	maxLease     = 8 << 20
)

// readTimeout is how long a request's body may take.
const readTimeout = 30 * time.Second

// read decodes a request's body, strictly.
func read(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Now().Add(readTimeout)) // where there are no deadlines the server's own must do
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	_ = out.SetReadDeadline(time.Time{})
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return refuse(codeInvalid, "the request has more than the %d bytes that are read here", limit)
	}
	if err != nil {
		return refuse(codeInvalid, "the request broke off: %s", err)
	}
	if err := wire.DecodeStrict(body, v); err != nil {
		return refuse(codeInvalid, "the request is not what is expected here: %s", err)
	}
	return nil
}

// checkText refuses what the tables cannot hold, or should not.
func checkText(what, s string, most int) error {
	if len(s) > most || strings.ContainsRune(s, 0) {
		return refuse(codeInvalid, "%s has more than %d bytes, or a zero among them", what, most)
	}
	return nil
}

// cut shortens a text to some bytes of whole letters, without zeros.
func cut(s string, most int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}
