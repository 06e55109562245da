package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/wire"
)

// staging is what came on the stream since the revision in use.
type staging struct {
	at     *state   // where the deltas so far lead; nil: nothing was staged
	base   *state   // a whole state that came, before its deltas; nil: at goes on from what is in use
	head   []byte   // the signed head of base
	deltas []staged // after base, or after what is in use
	taking *state   // a whole state that is coming
	start  wire.SnapshotStart
	bytes  int // of all that is held
}

type staged struct {
	rev  int64
	body []byte
}

// maxStaged bounds, in bytes, what an origin may send before a head covers it.
const maxStaged = wire.MaxBundleResources

// refusal is an error of a revision's. Every other error is one of the link's.
type refusal struct{ wire.Nack }

func (r *refusal) Error() string { return r.Message }

// refused makes a refusal; resource is KIND/NAME, or "".
func refused(code, resource string, err error) error {
	const most = 2 << 10
	text := err.Error()
	if len(text) > most {
		text = text[:most]
	}
	return &refusal{wire.Nack{Code: code, Resource: resource, Message: text}}
}

// refuse makes an answer of a refusal, and lets other errors through.
func (u *Uplink) refuse(at wire.Position, err error) (*wire.Ack, error) {
	r, is := errors.AsType[*refusal](err)
	if !is {
		return nil, err
	}
	u.o.Log.Error("revision refused; the last good one stays in use", "revision", at.String(), "code", r.Code, "resource", r.Resource,
		"reason", r.Message)
	u.shown.set(func(s *Status) { s.Refused = &Refused{at.Epoch, at.Rev, u.o.now().UTC(), r.Nack} })
	return &wire.Ack{Epoch: at.Epoch, Rev: at.Rev, Nack: &r.Nack}, nil
}

// resume is where the stream is to go on.
func (u *Uplink) resume() wire.Position {
	u.work.Lock()
	defer u.work.Unlock()
	u.staging = staging{}
	if u.used == nil || u.anew {
		return wire.Position{}
	}
	return u.used.at
}

// takeRevision takes a frame of a revision. It returns what the origin is to be told, and an error where the stream
// cannot go on.
func (u *Uplink) takeRevision(ctx context.Context, c *caller, t wire.FrameType, body []byte) (*wire.Ack, error) {
	u.work.Lock()
	defer u.work.Unlock()
	switch t {
	case wire.FrameSnapshot:
		fresh := staging{taking: newState()}
		if err := wire.DecodeStrict(body, &fresh.start); err != nil {
			return nil, fmt.Errorf("a snapshot of the origin's is not understood: %w", err)
		}
		u.staging = fresh
		return nil, nil
	case wire.FrameResource:
		return u.stageResource(slices.Clone(body))
	case wire.FrameDelta:
		return u.stage(slices.Clone(body))
	case wire.FrameHead:
		return u.takeHead(ctx, c, slices.Clone(body))
	}
	return nil, fmt.Errorf("a frame of the type %q is not understood", t)
}

// stageResource takes a part of a whole state.
func (u *Uplink) stageResource(body []byte) (*wire.Ack, error) {
	s := &u.staging
	if s.taking == nil {
		return nil, errors.New("a resource came without a snapshot")
	}
	if s.bytes += len(body); s.bytes > maxStaged {
		at := wire.Position{Epoch: s.start.Epoch, Rev: s.start.Rev}
		u.staging = staging{}
		err := fmt.Errorf("the origin's state has more than the %d bytes that a node takes", maxStaged)
		ack, _ := u.refuse(at, refused(wire.NackLimit, "", err))
		return ack, err
	}
	if err := s.taking.add(body); err != nil {
		return nil, fmt.Errorf("a snapshot of the origin's is not understood: %w", err)
	}
	return nil, nil
}

// stage takes a delta. Nothing of it counts before a head that covers it.
func (u *Uplink) stage(body []byte) (*wire.Ack, error) {
	s := &u.staging
	if s.taking != nil {
		return nil, errors.New("a delta came in the middle of a snapshot")
	}
	if s.at == nil {
		if u.used == nil {
			return nil, errors.New("a delta came to a node that has no state")
		}
		s.at = u.used.clone()
	}
	d, err := wire.ParseDelta(body)
	if err == nil {
		err = s.at.follow(&d)
	}
	if err != nil {
		u.anew = true
		ack, _ := u.refuse(wire.Position{Epoch: s.at.at.Epoch, Rev: max(d.Rev, s.at.at.Rev+1)}, refused(wire.NackChain, "", err))
		return ack, errAnew
	}
	if s.bytes += len(body); s.bytes > maxStaged { // many revisions that were refused: a whole state takes less
		u.anew = true
		return nil, errAnew
	}
	s.deltas = append(s.deltas, staged{d.Rev, body})
	return nil, nil
}

// takeHead puts what was staged into use if the head covers it. What it covers stays staged where it is refused: the
// next delta may mend it.
func (u *Uplink) takeHead(ctx context.Context, c *caller, text []byte) (*wire.Ack, error) {
	began := u.o.now()
	h, err := wire.ParseHead(text)
	if err != nil {
		return nil, err
	}
	if err := u.believes(&h); err != nil {
		u.staging = staging{} // what came with it is of no use; a delta that follows it will tell
		return u.refuse(h.Position, err)
	}
	candidate, err := u.candidate(&h, text)
	if err != nil { // nothing on this stream can mend it: the head is the origin's, and what it covers is not here
		u.staging, u.anew = staging{}, true
		ack, err := u.refuse(h.Position, err)
		return ack, errors.Join(err, errAnew)
	}
	if u.used != nil && candidate.at == u.used.at {
		return u.same(&h, text), nil
	}
	if slices.Contains(u.meta.Quarantined, h.Position) {
		return u.refuse(h.Position, refused(wire.NackCrashLoop, "", errDied))
	}
	if err := u.activate(ctx, c, candidate, &h, text); err != nil {
		return u.refuse(h.Position, u.impatient(h.Position, err))
	}
	u.took.Store(true)
	ack := &wire.Ack{Epoch: h.Epoch, Rev: h.Rev, Digest: u.inUse, ActiveMS: u.o.now().Sub(began).Milliseconds()}
	if u.outlived() {
		u.anew = true
		return ack, errAnew
	}
	return ack, nil
}

var errDied = errors.New("the node died twice with it")

// believes tells why the node does not believe a head, or nil. Here alone is decided which position may follow which:
// none that is older than what is in use, or than what was ever taken from the same key.
func (u *Uplink) believes(h *wire.SignedHead) error {
	keys, err := u.trust()
	if err == nil {
		err = keys.Verify(h)
	}
	switch {
	case err != nil:
	case u.used != nil && h.Position == u.used.at: // it may be older than one that was refused
	case u.used != nil && h.Position.Before(u.used.at):
		err = fmt.Errorf("revision %s is older than %s, which is in use", h.Position, u.used.at)
	default:
		err = u.meta.admits(h)
	}
	if err != nil {
		return refused(wire.NackSignature, "", err)
	}
	return nil
}

// candidate is what the head covers.
func (u *Uplink) candidate(h *wire.SignedHead, text []byte) (*state, error) {
	s := &u.staging
	if taking := s.taking; taking != nil {
		if err := taking.conclude(h); err != nil {
			return nil, refused(wire.NackChain, "", err)
		}
		*s = staging{at: taking, base: taking.clone(), head: text, bytes: s.bytes}
		u.anew = false
		return taking, nil
	}
	at := s.at
	if at == nil {
		at = u.used
	}
	if at == nil || at.at != h.Position {
		return nil, refused(wire.NackChain, "", errors.New("what came does not lead to the head"))
	}
	if h.State != nil && wire.DigestState(at.sorted()) != *h.State {
		return nil, refused(wire.NackChain, "", errors.New("the node's state is not the origin's"))
	}
	return at, nil
}

// same takes a head of the revision in use. One that covers the whole state makes the node's history short.
func (u *Uplink) same(h *wire.SignedHead, text []byte) *wire.Ack {
	u.staging = staging{}
	if h.State != nil {
		if err := u.fold(text); err != nil {
			u.o.Log.Error("cannot make the node's history short", "error", err)
		}
	}
	return &wire.Ack{Epoch: h.Epoch, Rev: h.Rev, Digest: u.inUse}
}

// impatient makes a refusal of an error of the link's that comes again and again with the same revision: the origin
// should know.
func (u *Uplink) impatient(at wire.Position, err error) error {
	if _, is := errors.AsType[*refusal](err); is || errors.Is(err, context.Canceled) {
		return err
	}
	if u.failing.at != at {
		u.failing.at, u.failing.times = at, 0
	}
	if u.failing.times++; u.failing.times < 3 {
		return err
	}
	return refused(wire.NackResource, "", err)
}
