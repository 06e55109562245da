package upstream

import (
	"errors"
	"io"
	"os"
	"strings"
)

// What can go wrong with an attempt. Every error of Do and of the body's readers, except io.EOF and
// ErrBodyTooLarge, is an *Error whose Kind is one of these, so errors.Is tells them apart.
var (
	ErrRefused  = errors.New("the endpoint cannot be reached")                   // dial, name look-up or TLS handshake failed: nothing was sent
	ErrBusy     = errors.New("no further connection can be had")                 // the pool, or this process's files or ports, are used up: nothing was sent
	ErrTimeout  = errors.New("no progress in time")                              // Error.Phase says in which phase
	ErrAborted  = errors.New("the attempt was aborted")                          // Call.Abort
	ErrCut      = errors.New("the connection ended before the answer's end")     // or before its beginning
	ErrProtocol = errors.New("the answer is not the HTTP/1.1 that was expected") // garbage, smuggling, or an unasked-for encoding
	ErrRequest  = errors.New("the request cannot be sent as it is")              // a target or head that would break the framing: nothing was sent
)

// ErrQuiet is what WaitFor returns when nothing came in time. It is no failure.
var ErrQuiet = errors.New("nothing came for a while")

// ErrBodyTooLarge is returned by AppendAll for a body that is longer than its bound.
var ErrBodyTooLarge = errors.New("the answer's body is larger than allowed")

// Phase is how far an attempt had come.
type Phase uint8

const (
	PhaseDial Phase = iota // nothing has been sent
	PhaseHead              // the request may have been sent, the response head is not complete
	PhaseBody              // the response head was read
)

func (p Phase) String() string {
	return [...]string{"connect to", "get an answer from", "read the answer's body from"}[p]
}

// Error is a failed attempt.
type Error struct {
	Kind     error  // one of the Err… values
	Phase    Phase  // how far the attempt had come
	Sent     bool   // bytes of the request may have reached the endpoint
	Endpoint string // scheme and address
	Cause    error  // what the network or the parser said, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("cannot ")
	b.WriteString(e.Phase.String())
	b.WriteString(" ")
	b.WriteString(e.Endpoint)
	b.WriteString(": ")
	b.WriteString(e.Kind.Error())
	if e.Cause != nil {
		b.WriteString(": ")
		b.WriteString(e.Cause.Error())
	}
	return b.String()
}

// Is reports whether target is the error's Kind.
func (e *Error) Is(target error) bool { return e.Kind == target }

func (e *Error) Unwrap() error { return e.Cause }

// violation is a breach of HTTP/1.1 by the endpoint.
type violation string

func (v violation) Error() string { return string(v) }

// kindOf classifies what the network or a parser said about an attempt that nobody aborted.
func kindOf(cause error) error {
	var v violation
	switch {
	case errors.As(cause, &v):
		return ErrProtocol
	case errors.Is(cause, os.ErrDeadlineExceeded):
		return ErrTimeout
	default: // io.EOF, a reset, a broken pipe, a broken TLS record
		return ErrCut
	}
}

// endOf is what an EOF in the middle of an answer is reported as.
func endOf(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
