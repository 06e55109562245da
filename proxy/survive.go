package proxy

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// errPanicked wraps what the node's own code panicked with. It costs the requests that met it, not the node.
var errPanicked = errors.New("the node's own code panicked")

func asError(cause any) error { return fmt.Errorf("%w: %v\n%s", errPanicked, cause, debug.Stack()) }

// safely does a part of the request; it answers a panic with an error.
func (x *exchange) safely(part func(*exchange) *dialect.Error) (e *dialect.Error) {
	defer func() {
		if cause := recover(); cause != nil {
			e = x.panicked(asError(cause))
		}
	}()
	return part(x)
}

// survive does a part of what is called by name and no request's own. A fault of the node's own is its end, and no more.
func (s *Server) survive(name string, part func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = asError(cause)
			s.metrics.panics.Inc()
			s.o.Log.Error(name+" met a fault of the node's own and was ended", "error", err)
		}
	}()
	return part()
}

// WriteTo relays the stream. After a panic the connection is cut: the client must not take what it got for the whole.
func (x *exchange) WriteTo(w io.Writer) (n int64, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = asError(cause)
			n, x.failure = x.sent, x.panicked(err)
		}
	}()
	return x.relay(w)
}

// panicked notes a panic. The exchange is in no state to be used again.
func (x *exchange) panicked(err error) *dialect.Error {
	x.s.metrics.panics.Inc()
	x.s.o.Log.Error("a request met a fault of the node's own and was answered with an error", "request_id", string(x.id.bytes()), "error", err)
	x.broken, x.entry = true, nil
	x.ctx.SetConnectionClose()
	return fail(codeInternal, "", "this node met a fault of its own; try again, and tell its operator the request id")
}
