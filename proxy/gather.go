package proxy

import (
	"errors"
	"io"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// asksStream says that the provider is asked for a stream: because the client wants one, or because budgets must see what
// a whole answer comes to before it is there.
func (x *exchange) asksStream() bool { return x.streaming || x.gathers }

// takeGathered reads a stream to its end for a client that wants the answer whole: until it is all there, another target
// may still be tried.
func (x *exchange) takeGathered(t *target) (failure *dialect.Error, again bool) {
	kept := x.up.kept
	x.up.kept = nil // it is the whole answer that is kept
	words, err := x.pullAll()
	x.up.kept = kept
	var whole []byte
	if err == nil {
		whole, err = x.s.o.Dialects.For(x.op).AppendWhole(nil, x.op, words)
	}
	if err != nil {
		return x.failed(err)
	}
	x.out, x.usage, x.up.charge.whole = append(x.out[:0], whole...), x.up.events.Usage, true
	x.describeEntry(t)
	x.up.leave(route.Good, 0)
	x.answered = t
	x.claimResponse(x.up.responseID)
	b := x.bill()
	b.book(x.usage, t, &x.up.charge)
	if x.up.charge.cut { // what one budget could not pay for is nobody else's answer
		x.endFlight(nil, nil)
		return nil, false
	}
	if kept != nil {
		kept.entry.Op = x.op
	}
	x.entry = x.keepWhole(whole)
	x.endFlight(x.entry, nil)
	return nil, false
}

// pullAll reads the provider's stream, in the client's dialect, up to its good end.
func (x *exchange) pullAll() ([]byte, error) {
	words := x.out[:0]
	for {
		var err error
		words, err = x.up.Pull(words)
		x.out = words
		switch {
		case err == io.EOF:
			return words, nil
		case errors.Is(err, stream.ErrQuiet), err == nil && len(words) <= x.s.o.MaxAnswer:
		case err == nil:
			return nil, upstream.ErrBodyTooLarge
		default:
			return nil, err
		}
	}
}
