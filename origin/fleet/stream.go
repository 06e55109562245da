package fleet

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// stream is one answer of PathStream: what the node has, and how frames get to it. It pulls what is due from what all
// streams share, so that a slow node holds no more memory than a fast one.
type stream struct {
	*session
	f      *Fleet
	ctx    context.Context
	w      http.ResponseWriter
	out    *http.ResponseController
	at     wire.Position // what has been sent
	folded int64         // the last revision whose whole state the node knows the digest of
	needs  bool          // a whole state: no delta leads from what the node has to the head
	slot   bool          // it may be sent one
	begun  bool          // the answer has begun
	wrote  bool          // something that the node has waited for
}

const (
	maxWait      = time.Minute     // of a long poll
	slotPatience = 2 * time.Second // how long a node waits for its turn to get a whole state
	busyFor      = 2 * time.Second // when to come again otherwise
	maxGap       = 1500            // revisions that are read from the store for one node: a whole state takes less
	oldPage      = 64              // of them at once
	maxOld       = 32              // nodes for which they are read at the same time
	chunk        = 256 << 10       // bytes for which a write's deadline is meant
)

// stream sends a node what it lacks, and what is new from then on.
func (f *Fleet) stream(w http.ResponseWriter, r *http.Request) error {
	c, err := f.identify(r)
	if err != nil {
		return err
	}
	at, wait, err := parseStream(r.URL.Query())
	if err != nil {
		return err
	}
	if f.feed.view() == nil {
		return busy(time.Second, "the origin is starting; try again")
	}
	session, err := f.resume(r, &c, r.URL.Query().Get("session"))
	if err == nil {
		err = f.local.enter()
	}
	if err != nil {
		return err
	}
	defer f.local.leave()
	ctx, done := session.open(r.Context(), wait > 0)
	defer f.ended(session, done)
	s := &stream{session: session, f: f, ctx: ctx, w: w, out: http.NewResponseController(w), at: at, folded: at.Rev}
	defer s.release()
	if err = s.place(); err == nil {
		err = s.run(wait)
	}
	return s.verdict(r.Context(), err)
}

// verdict is what is left to tell the node at the stream's end.
func (s *stream) verdict(request context.Context, err error) error {
	switch {
	case s.begun:
		if err != nil && s.ctx.Err() == nil {
			s.f.log.Info("node's stream broke off", "node", s.node, "error", err)
		}
		return nil
	case s.session.ctx.Err() != nil:
		return s.refusal()
	case s.ctx.Err() != nil && request.Err() == nil:
		return refuse(codeFenced, "another stream of the node %s has begun", s.node)
	}
	return err
}

// ended tells that the node is offline, unless it is expected back at once.
func (f *Fleet) ended(s *session, done func(time.Time)) {
	done(f.o.Now())
	if s.silent(f.o.Now(), f.patience()) {
		f.leave(s)
	}
}

// parseStream reads where the node stands, and how long it waits for an answer that ends; 0: as long as it takes.
func parseStream(q url.Values) (at wire.Position, wait time.Duration, err error) {
	epoch, epochErr := number(q.Get("epoch"))
	rev, revErr := number(q.Get("rev"))
	chain, chainErr := hex.DecodeString(q.Get("chain"))
	if epochErr != nil || revErr != nil || chainErr != nil || len(chain) != 0 && len(chain) != len(at.Chain) {
		return at, 0, refuse(codeInvalid, "the node does not tell its epoch, revision and chain as numbers and 64 hexadecimal digits")
	}
	at.Epoch, at.Rev = epoch, rev
	copy(at.Chain[:], chain)
	if text := q.Get("wait"); text != "" {
		wait, err = time.ParseDuration(text)
		if err != nil || wait <= 0 {
			return at, 0, refuse(codeInvalid, "%q is no time to wait; want one such as 30s", cut(text, 40))
		}
	}
	return at, min(wait, maxWait), nil
}

// number reads a number that is not negative; "" is 0.
func number(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

// place finds out whether deltas lead from where the node stands to the head.
func (s *stream) place() error {
	f, v := s.f, s.f.feed.view()
	if s.at.Epoch == 0 {
		s.needs = true
		return s.reserve(v)
	}
	if s.at.Epoch >= v.head.Epoch && s.at.Rev > v.head.Rev { // another origin may be ahead of what this one has read
		if err := f.refresh(s.ctx); err != nil {
			return err
		}
		v = f.feed.view()
	}
	ok, err := f.continues(s.ctx, v, s.at)
	if err != nil {
		return err
	}
	s.needs = !ok || v.base.Rev-s.at.Rev > maxGap && s.mayHaveState(v)
	return s.reserve(v)
}

// reserve takes the right to be sent a whole state if one is due, or tells the node to come again.
func (s *stream) reserve(v *view) error {
	if !s.needs || s.slot || !s.mayHaveState(v) {
		return nil
	}
	if s.slot = s.f.states.take(s.ctx, slotPatience); !s.slot {
		return busy(busyFor, "too many nodes want the whole state now; come again")
	}
	return nil
}

func (s *stream) release() {
	if s.slot {
		s.f.states.give()
		s.slot = false
	}
}

// mayHaveState says that the node may have the head: a new node always may, for without it it has nothing.
func (s *stream) mayHaveState(v *view) bool {
	wish, _, _, _ := s.control()
	return s.inUse().Epoch == 0 || s.f.front(v, s.session, wish.Pinned) >= v.head.Rev
}

// continues says that a position is part of the history, and that what followed is still known.
func (f *Fleet) continues(ctx context.Context, v *view, at wire.Position) (bool, error) {
	if at.Epoch != v.head.Epoch || at.Rev > v.head.Rev {
		return false, nil
	}
	if held, ok := v.find(at.Rev); ok {
		return held == at, nil
	}
	records, err := f.o.Store.Audit(ctx, at.Rev+1, 1)
	if err != nil || len(records) == 0 || records[0].Rev != at.Rev || records[0].Chain != at.Chain {
		return false, err
	}
	_, _, err = f.o.Store.Changes(ctx, at.Rev, 1)
	if errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrAhead) {
		return false, nil
	}
	return err == nil, err
}

// run sends until the node or the session is gone, or for a long poll until there was something to send.
func (s *stream) run(wait time.Duration) error {
	ping := time.NewTicker(s.f.o.PingEvery)
	defer ping.Stop()
	var over <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	} else if err := s.ping(); err != nil { // what buffers on the way shows at once
		return err
	}
	for {
		v := s.f.feed.view()
		changed, err := s.tellControl()
		if err == nil {
			err = s.bring(v)
		}
		if err != nil || s.ctx.Err() != nil {
			return err
		}
		if wait > 0 && s.wrote {
			return nil
		}
		select {
		case <-s.ctx.Done():
			return nil
		case <-v.changed:
		case <-changed:
		case <-over:
			return s.ping()
		case <-ping.C:
			if wait == 0 {
				err = s.ping()
			}
		}
		if err != nil {
			return err
		}
	}
}

// ping is sent also to say that there is nothing else.
func (s *stream) ping() error {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(s.f.now()))
	return s.send(wire.AppendFrame(nil, wire.FramePing, b[:]))
}

// tellControl tells the node what the operator wants of it, if it does not know.
func (s *stream) tellControl() (changed <-chan struct{}, err error) {
	wish, version, news, changed := s.control()
	if !news {
		return changed, nil
	}
	body, err := json.Marshal(wish)
	if err != nil {
		panic("BUG: a control has no JSON: " + err.Error())
	}
	if err := s.send(wire.AppendFrame(nil, wire.FrameControl, body)); err != nil {
		return changed, err
	}
	s.tell(version)
	s.wrote = true
	return changed, nil
}

// bring sends the node everything that it may have.
func (s *stream) bring(v *view) error {
	if s.needs {
		return s.sendState(v)
	}
	if s.at.Epoch != v.head.Epoch {
		return errBehind
	}
	wish, _, _, _ := s.control()
	front := s.f.front(v, s.session, wish.Pinned)
	fold := v.fold.at
	if fold.Epoch == s.at.Epoch && s.folded < fold.Rev && s.at.Rev <= fold.Rev && fold.Rev <= front {
		if err := s.sendDeltas(v, fold.Rev, &v.fold.state); err != nil {
			return err
		}
		s.folded = fold.Rev
	}
	if front > s.at.Rev {
		return s.sendDeltas(v, front, nil)
	}
	return nil
}

// errBehind ends a stream which the history does not continue any more: the node comes again and gets a whole state.
var errBehind = errors.New("what follows what the node has is not known any more")

// sendDeltas sends the revisions up to one, which is within the view, and the head that concludes them.
func (s *stream) sendDeltas(v *view, upTo int64, state *wire.StateDigest) error {
	for s.at.Rev < v.base.Rev && s.at.Rev < upTo {
		if err := s.sendOld(upTo); err != nil {
			return err
		}
	}
	var entries []entry
	if s.at.Rev < upTo {
		var ok bool
		if entries, ok = v.between(s.at.Rev, upTo); !ok {
			return errBehind
		}
	}
	at := s.at
	if len(entries) > 0 {
		at = entries[len(entries)-1].at
	}
	head, err := s.f.head(s.ctx, s.inUse(), at, state)
	if err != nil {
		return err
	}
	frames := make([][]byte, 0, len(entries)+1)
	for _, e := range entries {
		frames = append(frames, e.frame)
	}
	if err := s.send(append(frames, head)...); err != nil {
		return err
	}
	s.at, s.wrote = at, true
	return nil
}

// sendOld sends some revisions that are not held in memory.
func (s *stream) sendOld(upTo int64) error {
	select {
	case s.f.old <- struct{}{}:
		defer func() { <-s.f.old }()
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	changes, _, err := s.f.o.Store.Changes(s.ctx, s.at.Rev, oldPage)
	if errors.Is(err, store.ErrCompacted) || errors.Is(err, store.ErrAhead) || err == nil && len(changes) == 0 {
		return errBehind
	}
	if err != nil {
		return err
	}
	for i := range changes {
		if changes[i].Rev > upTo {
			break
		}
		e := encodeChange(s.at.Epoch, &changes[i])
		if err := s.send(e.frame); err != nil {
			return err
		}
		s.at = e.at
	}
	return nil
}

// sendState sends the whole state, if the node may have it.
func (s *stream) sendState(v *view) error {
	if !s.mayHaveState(v) {
		return nil
	}
	if err := s.reserve(v); err != nil {
		return err
	}
	state, err := s.f.state(s.ctx)
	if err != nil {
		return err
	}
	wish, _, _, _ := s.control()
	used := s.inUse()
	if now := s.f.feed.view(); used.Epoch != 0 && s.f.front(now, s.session, wish.Pinned) < state.at.Rev {
		return nil // there is another revision meanwhile, which it may not have yet
	}
	head, err := s.f.head(s.ctx, used, state.at, &state.digest)
	if err != nil {
		return err
	}
	if err := s.send(state.frames, head); err != nil {
		return err
	}
	s.at, s.folded, s.wrote, s.needs = state.at, state.at.Rev, true, false
	s.release()
	return nil
}

// send writes frames and flushes them. Who does not take them in time is let go: it comes again and goes on from where
// it stands.
func (s *stream) send(frames ...[]byte) error {
	if !s.begun {
		s.begun = true
		s.w.Header().Set("Content-Type", "application/octet-stream")
		s.w.Header().Set("X-Accel-Buffering", "no")
	}
	for _, frame := range frames {
		for len(frame) > 0 {
			n := min(len(frame), chunk)
			if err := s.out.SetWriteDeadline(time.Now().Add(s.f.patience())); err != nil && !errors.Is(err, http.ErrNotSupported) {
				return err
			}
			if _, err := s.w.Write(frame[:n]); err != nil {
				return err
			}
			frame = frame[n:]
		}
	}
	return s.out.Flush()
}
