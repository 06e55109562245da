package sim

import (
	"bytes"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// begin makes a turn of the socket's: plan plans its answer, d is the form of its failures, body is for the log.
func (k *socket) begin(d dialect, body []byte, plan func(own *settings) (*answer, *failure)) {
	s := k.s
	t := turns.Get().(*turn)
	t.s, t.conn, t.d, t.start, t.state = s, k.raw, d, time.Now(), StateClientGone
	t.id = s.appendRequestID(t.id[:0])
	s.stats.requests.Add(1)
	s.stats.openRequests.Add(1)
	s.stats.openStreams.Add(1)
	t.rec = s.log.beginTurn(k.rec, body, t.start)
	k.heard = k.heard[:0]
	a, f := plan(&k.own)
	if t.a = a; f != nil {
		t.fail(f)
	}
	t.model = t.a.model // a spoilt answer has none
	t.settle(wanted{method: MethodTurn, path: k.path, model: t.model})
	_ = t.set.setAll(string(k.list)) // checked at the handshake
	t.spoilFrames()
	s.begun(t)
	k.turn = t
	if t.set.fault == faultRefused {
		k.drop(true)
		return
	}
	t.stamped()
	t.failAt = t.faultEvent()
	k.due.Reset(0)
}

// spoilFrames is spoil for what is sent as frames: every error is one in the protocol's words.
func (t *turn) spoilFrames() {
	if t.set.fault == fault502 {
		f := *t.d.manners().faults[fault500]
		f.status = http.StatusBadGateway
		t.fail(&f)
	} else {
		t.spoil()
	}
	if t.a.stream {
		return
	}
	out := *t.a
	out.stream = true
	for rest := out.body; len(rest) > 0; {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
		out.events = append(out.events, event{end: len(out.body) - len(rest)})
	}
	t.a = &out
}

// frameOf is what is sent of an event: its JSON.
func frameOf(event []byte) []byte {
	if _, data, ok := bytes.Cut(event, []byte("\ndata: ")); ok {
		event = data
	}
	return bytes.TrimSpace(event)
}

// advance sends the frames that are due, and sets the clock for the next.
func (k *socket) advance() {
	for k.turn != nil && !k.over {
		t := k.turn
		if t.next == t.failAt {
			t.failAt = -1
			if !k.strike() {
				return
			}
			continue
		}
		if t.next >= len(t.a.events) {
			k.complete(t.a.status < 300 && !t.set.fault.spoils())
			return
		}
		if wait := time.Until(t.start.Add(t.due())); wait > 0 {
			k.due.Reset(wait)
			return
		}
		k.sayNext()
	}
}

// sayNext sends the next event of the turn under way.
func (k *socket) sayNext() {
	t := k.turn
	event := t.buf[t.at():t.a.events[t.next].end]
	t.tokens += t.a.events[t.next].tokens
	t.next++
	k.sayEvent(event)
}

// sayEvent sends one event of the turn under way. The log has its end before the client can.
func (k *socket) sayEvent(event []byte) {
	t, frame := k.turn, frameOf(event)
	t.foretell(len(frame))
	k.say(frame)
	if !k.over {
		t.sent += len(frame)
	}
}

// strike does what a fault in the middle of a turn does, and tells whether the turn goes on.
func (k *socket) strike() bool {
	t := k.turn
	switch t.set.fault {
	case faultCut:
		k.drop(false)
	case faultCutClean:
		k.leave(StateCut, websocket.StatusCode(t.set.closeCode), "closed as asked for")
	case faultStall:
		t.stalled = true
		if k.draining {
			k.goAway()
		}
	case faultMalformed:
		k.say(frameOf(appendBroken(nil, t.lastSent())))
		return !k.over
	case faultErrorMid:
		k.breakDown()
	}
	return false
}

// breakDown ends the turn under way with an error in the middle; what was sent until then is billed.
func (k *socket) breakDown() {
	t := k.turn
	failed := t.d.appendStreamError(nil, t.buf[:t.at()], t.filled(t.d.manners().faults[faultError200]))
	k.curtail()
	for len(failed) > 0 && !k.over {
		var event []byte
		if event, failed, _ = bytes.Cut(failed, []byte("\n\n")); len(failed) == 0 {
			t.next = len(t.a.events)
		}
		k.sayEvent(event)
	}
	if !k.over {
		k.complete(false)
	}
}

// cancelTurn ends the turn under way for a client that stays.
func (k *socket) cancelTurn() {
	k.due.Stop()
	k.curtail()
	k.finish(StateCancelled)
}

// curtail has the turn under way cost what was sent of it.
func (k *socket) curtail() {
	out := *k.turn.a // others may be sending the same answer
	out.out = min(k.turn.tokens, out.out)
	k.turn.a = &out
	k.s.log.update(k.turn.rec, func(r *Record) { r.TokensOut = out.out })
}

// complete ends the turn under way with its last frame sent, and goes on with what is next.
func (k *socket) complete(good bool) {
	if k.draining {
		k.finish(StateFinished)
		k.goAway()
		return
	}
	t := k.turn
	k.turn = nil
	t.state = StateFinished
	k.talk.ended(t, good)
	k.release(t)
	if k.farewell != nil {
		k.leave(StateFinished, k.farewell.Code, k.farewell.Reason)
	}
}

// finish ends the turn under way, if any, as it is.
func (k *socket) finish(state State) {
	if t := k.turn; t != nil {
		k.turn = nil
		t.state = state
		k.release(t)
	}
}

func (k *socket) release(t *turn) {
	k.s.stats.openStreams.Add(-1)
	t.release()
}

// lastEvent is the last event of a turn's whole answer.
func (t *turn) lastEvent() []byte {
	n := len(t.a.events)
	switch n {
	case 0:
		return nil
	case 1:
		return t.buf[:t.a.events[0].end]
	}
	return t.buf[t.a.events[n-2].end:t.a.events[n-1].end]
}
