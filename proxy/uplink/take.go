package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// staging is what came on the stream since the revision in use.
type staging struct {
	at     *state   // where the deltas so far lead; nil: nothing was staged
	base   *state   // a whole state that came, before its deltas; nil: at goes on from what is in use
	head   []byte   // the signed head of base
	deltas []staged // after base, or after what is in use
	taking *state   // a whole state that is coming
}

type staged struct {
	rev  int64
	body []byte
}

// resume is where the stream is to go on.
func (u *Uplink) resume() wire.Position {
	u.work.Lock()
	defer u.work.Unlock()
	u.staging = staging{}
	if u.used == nil || u.anew {
		u.anew = false
		return wire.Position{}
	}
	return u.used.at
}

// refused makes a refusal.
func refused(code, resource string, err error) *wire.Nack {
	const most = 2 << 10
	text := err.Error()
	if len(text) > most {
		text = text[:most]
	}
	return &wire.Nack{Code: code, Resource: resource, Message: text}
}

// takeRevision takes a frame of a revision. It returns what the origin is to be told, and an error where the stream
// cannot go on.
func (u *Uplink) takeRevision(ctx context.Context, c *caller, t wire.FrameType, body []byte) (*wire.Ack, error) {
	u.work.Lock()
	defer u.work.Unlock()
	switch t {
	case wire.FrameSnapshot:
		var start wire.SnapshotStart
		if err := wire.DecodeStrict(body, &start); err != nil {
			return nil, fmt.Errorf("a snapshot of the origin's is not understood: %w", err)
		}
		u.staging = staging{taking: newState()}
		return nil, nil
	case wire.FrameResource:
		if u.staging.taking == nil {
			return nil, errors.New("a resource came without a snapshot")
		}
		if err := u.staging.taking.add(slices.Clone(body)); err != nil {
			return nil, fmt.Errorf("a snapshot of the origin's is not understood: %w", err)
		}
		return nil, nil
	case wire.FrameDelta:
		return u.stage(slices.Clone(body))
	case wire.FrameHead:
		return u.takeHead(ctx, c, slices.Clone(body))
	}
	return nil, fmt.Errorf("a frame of the type %q is not understood", t)
}

// stage takes a delta. Nothing of it counts before a head that covers it.
func (u *Uplink) stage(body []byte) (*wire.Ack, error) {
	s := &u.staging
	if s.at == nil {
		if u.used == nil {
			return nil, errors.New("a delta came to a node that has no state")
		}
		s.at = u.used.clone()
	}
	d, err := wire.ParseDelta(body)
	if err == nil {
		err = s.at.follow(body)
	}
	if err != nil {
		u.anew = true
		nack := refused(wire.NackChain, "", err)
		return u.refuse(wire.Position{Epoch: s.at.at.Epoch, Rev: max(d.Rev, s.at.at.Rev+1)}, nack), errAnew
	}
	s.deltas = append(s.deltas, staged{d.Rev, body})
	return nil, nil
}

// refuse notes a refusal and makes it an answer.
func (u *Uplink) refuse(at wire.Position, nack *wire.Nack) *wire.Ack {
	u.o.Log.Error("revision refused; the last good one stays in use", "revision", at.String(), "code", nack.Code, "resource", nack.Resource,
		"reason", nack.Message)
	u.shown.set(func(s *Status) { s.Refused = &Refused{at.Epoch, at.Rev, u.o.now().UTC(), *nack} })
	return &wire.Ack{Epoch: at.Epoch, Rev: at.Rev, Nack: nack}
}

// takeHead puts what was staged into use if the head covers it.
func (u *Uplink) takeHead(ctx context.Context, c *caller, text []byte) (*wire.Ack, error) {
	began := u.o.now()
	h, err := wire.ParseHead(text)
	if err != nil {
		return nil, err
	}
	if nack := u.believes(&h); nack != nil {
		u.staging = staging{} // what came with it is of no use; a delta that follows it will tell
		return u.refuse(h.Position, nack), nil
	}
	candidate, nack := u.candidate(&h, text)
	if nack != nil {
		u.staging = staging{}
		return u.refuse(h.Position, nack), nil
	}
	if u.used != nil && candidate.at == u.used.at {
		return u.same(candidate, &h, text), nil
	}
	if slices.Contains(u.meta.Quarantined, h.Position) {
		return u.refuse(h.Position, refused(wire.NackCrashLoop, "", errors.New("the node died twice with it"))), nil
	}
	if nack := u.activate(ctx, c, candidate, &h, text); nack != nil {
		return u.refuse(h.Position, nack), nil
	}
	u.shown.set(func(s *Status) { s.Refused = nil })
	return &wire.Ack{Epoch: h.Epoch, Rev: h.Rev, Digest: u.inUse, ActiveMS: u.o.now().Sub(began).Milliseconds()}, nil
}

// believes tells why the node does not believe a head, or nil: the signature, and heads that were seen before.
func (u *Uplink) believes(h *wire.SignedHead) *wire.Nack {
	keys, err := u.trust()
	if err == nil {
		err = keys.Verify(h)
	}
	if err != nil {
		return refused(wire.NackSignature, "", err)
	}
	if highest := u.meta.Highest[h.Key.String()]; h.Position.Before(highest) {
		return refused(wire.NackSignature, "", fmt.Errorf("revision %s is older than %s, which the node has seen", h.Position, highest))
	}
	if u.used != nil && h.Position.Before(u.used.at) {
		return refused(wire.NackSignature, "", fmt.Errorf("revision %s is older than %s, which is in use", h.Position, u.used.at))
	}
	return nil
}

// trust is the keys whose heads the node believes now.
func (u *Uplink) trust() (wire.Trust, error) {
	if u.used != nil {
		return u.used.trust(u.anchor)
	}
	return wire.TrustOf(u.anchor...)
}

// candidate is what the head covers.
func (u *Uplink) candidate(h *wire.SignedHead, text []byte) (*state, *wire.Nack) {
	s := &u.staging
	if taking := s.taking; taking != nil {
		if err := taking.conclude(h); err != nil {
			return nil, refused(wire.NackChain, "", err)
		}
		*s = staging{at: taking, base: taking.clone(), head: text}
		return taking, nil
	}
	at := s.at
	if at == nil {
		at = u.used
	}
	if at == nil || at.at != h.Position {
		return nil, refused(wire.NackChain, "", errors.New("what came does not lead to the head"))
	}
	return at, nil
}

// same takes a head of the revision in use. One that covers the whole state shows whether the node has it right, and
// makes its history short.
func (u *Uplink) same(candidate *state, h *wire.SignedHead, text []byte) *wire.Ack {
	ack := &wire.Ack{Epoch: h.Epoch, Rev: h.Rev, Digest: u.inUse}
	if h.State == nil {
		return ack
	}
	sorted := u.used.sorted()
	if candidate == u.used && wire.DigestState(sorted) != *h.State {
		u.anew = true
		return u.refuse(h.Position, refused(wire.NackChain, "", errors.New("the node's state is not the origin's")))
	}
	if !u.meta.Trial {
		fresh := u.meta
		fresh.Used = saved{u.freshGen(), text}
		fresh.Good = fresh.Used
		err := u.disk.saveBase(fresh.Used.Gen, text, sorted)
		if err == nil {
			err = u.disk.saveMeta(&fresh)
		}
		if err != nil {
			u.o.Log.Error("cannot make the node's history short", "error", err)
			return ack
		}
		u.meta = fresh
		u.tidy()
	}
	u.staging = staging{}
	return ack
}

func (u *Uplink) freshGen() uint64 { return max(u.meta.Used.Gen, u.meta.Good.Gen) + 1 }

// activate puts a candidate into use: verified, stored, swapped in. Where that fails, what was in use stays.
func (u *Uplink) activate(ctx context.Context, c *caller, candidate *state, h *wire.SignedHead, text []byte) *wire.Nack {
	catalog, nack := u.prepare(ctx, c, candidate)
	if nack != nil {
		return nack
	}
	fresh := u.meta
	fresh.Highest = map[string]wire.Position{}
	for key, at := range u.meta.Highest {
		fresh.Highest[key] = at
	}
	fresh.Highest[h.Key.String()] = h.Position
	if err := u.store(&fresh, text); err != nil {
		return refused(wire.NackResource, "", err)
	}
	before, commits := u.meta, u.secrets.swap(catalog.commits)
	fresh.Trial, fresh.Trials = true, 0
	if err := u.believeState(candidate); err != nil {
		u.secrets.swap(commits)
		return refused(wire.NackResource, "", err)
	}
	if err := u.disk.saveMeta(&fresh); err != nil {
		u.secrets.swap(commits)
		return refused(wire.NackResource, "", err)
	}
	if code, err := u.install(ctx, catalog.Catalog); err != nil {
		u.secrets.swap(commits)
		before.Highest = fresh.Highest
		if err := u.disk.saveMeta(&before); err != nil {
			u.o.Log.Error("cannot note that a revision was refused", "error", err)
		}
		u.meta = before
		return refused(code, "", err)
	}
	u.meta, u.used, u.staging, u.inUse = fresh, candidate, staging{}, catalog.Digest()
	u.shown.set(func(s *Status) {
		s.Epoch, s.Rev, s.Issued, s.Active, s.Trial = h.Epoch, h.Rev, h.IssuedAt, u.o.now().UTC(), true
	})
	u.probation()
	return nil
}

// store writes what was staged; meta is not written yet.
func (u *Uplink) store(fresh *meta, head []byte) error {
	s := &u.staging
	if s.base != nil {
		fresh.Used.Gen = u.freshGen()
		if err := u.disk.saveBase(fresh.Used.Gen, s.head, s.base.sorted()); err != nil {
			return fmt.Errorf("cannot keep the revision in the node's store: %w", err)
		}
	}
	for _, d := range s.deltas {
		if err := u.disk.saveDelta(fresh.Used.Gen, d.rev, d.body); err != nil {
			return fmt.Errorf("cannot keep the revision in the node's store: %w", err)
		}
	}
	fresh.Used.Head = head
	return nil
}

// install swaps a catalog in, within a bounded time.
func (u *Uplink) install(ctx context.Context, c *wire.Catalog) (code string, err error) {
	began := time.Now()
	err = u.o.Activate(ctx, c)
	switch took := time.Since(began); {
	case err == nil:
		return "", nil
	case took > activateTime:
		return wire.NackTimeout, fmt.Errorf("after %v: %w", took.Round(time.Second), err)
	}
	return wire.NackCompile, err
}

// probation waits until the revision in use has proved itself.
func (u *Uplink) probation() {
	if u.trialed != nil {
		u.trialed.Stop()
	}
	at := u.used.at
	u.trialed = time.AfterFunc(u.o.probation, func() { u.passed(at) })
}

// passed makes the revision in use the one to fall back to.
func (u *Uplink) passed(at wire.Position) {
	u.work.Lock()
	defer u.work.Unlock()
	if u.used == nil || u.used.at != at || !u.meta.Trial {
		return
	}
	fresh := u.meta
	fresh.Trial, fresh.Trials, fresh.Good = false, 0, fresh.Used
	if err := u.disk.saveMeta(&fresh); err != nil {
		u.o.Log.Error("cannot note that the revision proved itself", "error", err)
		return
	}
	u.meta = fresh
	u.shown.set(func(s *Status) { s.Trial = false })
	u.tidy()
}
