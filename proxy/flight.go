package proxy

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/stream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// shared is a flight that several exchanges may read, or whose answer is kept. It lives as long as the last of them.
type shared struct {
	flight stream.Flight
	up     upcall
	keeper keeper
}

// join gives the exchange a flight to read its answer from: one of its own, a shared one that it leads, or one that
// an equal request leads. done tells that the answer came from the leader, or from the cache after all.
func (x *exchange) join() (done bool, e *dialect.Error) {
	if x.rules.onlyIfCached {
		return true, fail(codeNotCached, "", "no answer is cached, and only-if-cached was asked for")
	}
	x.parseAgain()
	x.reader = stream.Reader{
		Tail:  !x.streaming || x.tellsUsage(),
		Timed: !x.timeout.IsZero(),
	}
	for {
		x.takeFlight()
		x.watchClient()
		x.setAlarm()
		if x.leads && !x.rules.noCache {
			// Whoever led before may have filled the cache since the look-up.
			if e, stale := x.s.o.Cache.LookupMemory(&x.key, x.rules.want, x.start); x.hit(e, cache.Memory, stale) {
				x.endFlight(e, nil)
				return true, x.replay()
			}
		}
		if x.up != nil {
			return false, nil
		}
		if done, e := x.follow(); done {
			return true, e
		}
		x.leaveFlight() // the leader gave up for a reason of its own: ask again, somebody takes over
		x.reader = stream.Reader{Tail: x.reader.Tail, Timed: x.reader.Timed}
	}
}

func (x *exchange) takeFlight() {
	switch {
	case x.cache != cacheMiss:
		x.up, x.flight, x.alone = &x.ownUp, &x.own, true
		x.up.dialects, x.up.op = x.s.o.Dialects, x.op
		x.own.Reset(x.up, &x.reader, false)
	case x.rules.noCache:
		x.flight, x.leads = x.newFlight(), true
	default:
		x.flight, x.leads = x.s.o.Cache.Flights.Join(x.flightKey(), &x.reader, x.newFlight)
	}
}

// flightKey names the flight of equal requests. Those of different operations share the answer that is kept, but not the
// call: what flows is in the words of one dialect. Neither do those that other budgets pay for: one of them may end it early.
func (x *exchange) flightKey() *cache.Key {
	x.shared = x.key
	x.shared[0] ^= byte(x.op)
	for i, b := range x.who.payers {
		x.shared[1+i] ^= b
	}
	return &x.shared
}

func (x *exchange) newFlight() *stream.Flight {
	s := &shared{}
	s.up.reset()
	s.up.dialects, s.up.op = x.s.o.Dialects, x.op
	s.up.flights, s.up.key, s.up.flight = &x.s.o.Cache.Flights, *x.flightKey(), &s.flight
	s.keeper.cache, s.keeper.key = x.s.o.Cache, x.key
	s.up.kept = &s.keeper
	s.flight.Reset(&s.up, &x.reader, true)
	x.up = &s.up
	return &s.flight
}

// follow waits for what the leader's call brings, and answers with it. It returns false when the leader gave up.
func (x *exchange) follow() (done bool, e *dialect.Error) {
	began := time.Now()
	result, err := x.flight.Await(&x.reader)
	x.upstream += time.Since(began)
	var failure *dialect.Error
	switch {
	case errors.Is(err, stream.ErrHandover):
		return false, nil
	case errors.Is(err, stream.ErrGone):
		return true, x.leftEarly()
	}
	x.cache = cacheCoalesced
	up := x.flight.Source().(*upcall)
	x.answered = up.target
	if up.kept != nil {
		x.dropped = up.kept.entry.Dropped
	}
	if errors.As(err, &failure) {
		return true, failure
	}
	if err != nil {
		return true, x.explainFailure(err)
	}
	if entry, ok := result.(*cache.Entry); ok {
		x.entry, x.usage = entry, entry.Usage
		return true, x.replay()
	}
	x.up = up
	return true, x.reply()
}

// openFlight lets the answer flow to everyone.
func (x *exchange) openFlight(first []byte, err error) {
	x.leads = false
	if x.op != dialect.OpOther || x.up.meter != nil {
		billed := x.bill()
		x.up.billed = &billed
	}
	if !x.up.raw {
		x.up.heartbeat = x.s.o.Heartbeat
	}
	x.flight.Open(first, err)
}

// endFlight ends a shared flight that the exchange leads and that does not flow: with an entry, or with a failure,
// which followers share unless it is the leader's own.
func (x *exchange) endFlight(entry *cache.Entry, failure *dialect.Error) {
	if !x.leads {
		return
	}
	x.leads = false
	switch {
	case entry != nil:
		x.flight.Finish(entry, nil)
	case failure == nil || failure.Code == codeBudgetExhausted.name || failure.Code == codeUnpriced.name || x.up.call.Aborted() || x.late() || x.hurried:
		x.flight.Finish(nil, stream.ErrHandover)
	default:
		x.flight.Finish(nil, failure)
	}
	x.s.o.Cache.Flights.Remove(x.flightKey(), x.flight)
}

// leaveFlight ends the exchange's part in its flight. After it nobody calls the exchange any more.
func (x *exchange) leaveFlight() {
	x.endFlight(nil, nil)
	x.unwatchClient()
	x.cancelAlarm()
	if x.flight != nil {
		x.flight.Leave(&x.reader)
		if c := &x.ownUp.charge; x.alone && x.cost == price.Unknown && c.booked {
			x.cost, x.counts, x.guessed = c.cost, c.counts, c.guessed
		}
		x.flight, x.up = nil, nil
	}
}

// describeEntry writes down what the cache is to know of the answer besides its bytes.
func (x *exchange) describeEntry(t *target) {
	k := x.up.kept
	if k == nil {
		return
	}
	now := time.Now()
	k.entry.Op, k.entry.Dropped = x.up.op, x.dropped
	k.entry.Model, k.entry.Provider, k.entry.Target = x.model.Name, t.provider.Name, t.Name
	k.entry.Created, k.entry.Expires = now, now.Add(x.cacheTTL())
	k.discard = x.plan.version != x.version || x.fellBack(t) // a fallback's answer is not the version's own
}

// tellsUsage says that the client gets the events which tell nothing but usage.
func (x *exchange) tellsUsage() bool {
	return x.doc.includeUsage || x.op != dialect.OpChat && x.op != dialect.OpCompletions
}

// keepWhole makes an entry of a whole answer; nil where the answer is for this exchange alone.
func (x *exchange) keepWhole(words []byte) *cache.Entry {
	k := x.up.kept
	if k == nil {
		return nil
	}
	k.entry.Body, k.entry.Usage = bytes.Clone(words), x.usage
	return k.fill()
}

// gather reads a stream to its end for a client that wants the answer whole.
func (x *exchange) gather() (*cache.Form, *dialect.Error) {
	var sse []byte
	for {
		part, _, err := x.flight.Next(&x.reader)
		sse = append(sse, part...)
		switch {
		case err == nil && len(sse) > x.s.o.MaxAnswer:
			return nil, x.explainFailure(upstream.ErrBodyTooLarge)
		case err == nil:
			continue
		case err == io.EOF:
		case errors.Is(err, stream.ErrGone):
			return nil, x.leftEarly()
		default:
			return nil, x.explainFailure(err)
		}
		break
	}
	x.usage = x.up.events.Usage
	body, err := x.s.o.Dialects.For(x.op).AppendWhole(nil, x.op, sse)
	if err != nil {
		return nil, x.explainFailure(err)
	}
	return &cache.Form{Body: body}, nil
}

// setAlarm ends the exchange's wait when its x-wedge-timeout is over.
func (x *exchange) setAlarm() {
	if !x.timeout.IsZero() {
		x.alarm = whenOver(time.Until(x.timeout), func() { x.flight.Expire(&x.reader) })
	}
}

func (x *exchange) cancelAlarm() {
	x.alarm.silence()
	x.alarm = nil
}

// late says that the request's own time is up.
func (x *exchange) late() bool { return !x.timeout.IsZero() && x.remaining(time.Hour) <= 0 }
