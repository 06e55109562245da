package control

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// The codes of errors.
const (
	CodeInvalid  = "invalid"      // it can never be done as it was asked for: Problems tell where
	CodeNotFound = "not_found"    // what it is about is not there
	CodeConflict = "conflict"     // somebody else was first, or it does not go together with what is under way
	CodeGate     = "gate_failed"  // a gate is shut: Gates tell which
	CodeFixed    = "immutable"    // a version outside of development does not change
	CodeStep     = "illegal_step" // the life cycle has no such step
)

// Error is why something was not done. Errors of another type are failures of the database or of the origin.
type Error struct {
	Code     string         `json:"code"`
	Message  string         `json:"message"`
	Problems []wire.Problem `json:"problems,omitempty"`
	Gates    []Gate         `json:"gates,omitempty"`
}

// Error is the message, and what the problems and gates that did not pass say, one a line.
func (e *Error) Error() string {
	lines := []string{e.Message}
	for i := range e.Problems {
		lines = append(lines, e.Problems[i].String())
	}
	for _, g := range e.Gates {
		if !g.Passed {
			lines = append(lines, g.Name+": "+g.Message)
		}
	}
	return strings.Join(lines, "\n")
}

// Status is the status of HTTP that goes with the code.
func (e *Error) Status() int {
	switch e.Code {
	case CodeInvalid:
		return http.StatusBadRequest
	case CodeNotFound:
		return http.StatusNotFound
	case CodeConflict:
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

func failf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// told turns errors of the store and of the catalog's reader into those that people are told.
func told(err error) error {
	if err == nil {
		return nil
	}
	if _, is := errors.AsType[*Error](err); is {
		return err
	}
	if p, is := errors.AsType[*wire.Problems](err); is {
		return &Error{Code: CodeInvalid, Message: "the catalog has problems", Problems: p.List}
	}
	for target, code := range map[error]string{
		store.ErrNotFound: CodeNotFound, store.ErrConflict: CodeConflict, store.ErrInvalid: CodeInvalid, store.ErrKeyUsed: CodeConflict,
	} {
		if errors.Is(err, target) {
			return &Error{Code: code, Message: err.Error()}
		}
	}
	return err
}
