package uplink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// activate puts a candidate into use: verified, stored, swapped in. Where that fails, what was in use stays.
func (u *Uplink) activate(ctx context.Context, c *caller, candidate *state, h *wire.SignedHead, text []byte) error {
	catalog, err := u.prepare(ctx, c, candidate)
	if err != nil {
		return err
	}
	fresh := u.meta
	fresh.Highest = maps.Clone(fresh.Highest)
	if fresh.Highest == nil {
		fresh.Highest = map[string]wire.Position{}
	}
	fresh.Highest[h.Key.String()] = h.Position
	if len(fresh.Good.Head) == 0 { // none has proved itself yet: the one in use is better than none
		fresh.Good = fresh.Used
	}
	fresh.Trial, fresh.Trials = true, 0
	if err := u.store(&fresh, candidate, h, text); err != nil {
		return refused(wire.NackResource, "", fmt.Errorf("cannot keep the revision in the node's store: %w", err))
	}
	if err := u.swap(ctx, catalog, &fresh); err != nil {
		return err
	}
	u.meta, u.used, u.staging, u.inUse, u.vouched = fresh, candidate, staging{}, catalog.Digest(), nil
	u.shown.set(func(s *Status) {
		s.Epoch, s.Rev, s.Issued, s.Active, s.Trial, s.Refused = h.Epoch, h.Rev, h.IssuedAt, u.o.now().UTC(), true, nil
	})
	u.probation()
	u.settleTrust()
	return nil
}

// store writes what was staged, and the keys that it names; nothing of it counts before meta names it. A head that covers
// the whole state makes it one without a history.
func (u *Uplink) store(fresh *meta, candidate *state, h *wire.SignedHead, text []byte) error {
	base, head, deltas := u.staging.base, u.staging.head, u.staging.deltas
	if h.State != nil {
		base, head, deltas = candidate, text, nil
	}
	if base != nil {
		fresh.Used.Gen = u.freshGen()
		if err := u.disk.saveBase(fresh.Used.Gen, head, base.sorted()); err != nil {
			return err
		}
	}
	for _, d := range deltas {
		if err := u.disk.saveDelta(fresh.Used.Gen, d.rev, d.body); err != nil {
			return err
		}
	}
	fresh.Used.Head = text
	return u.believeAlso(candidate)
}

func (u *Uplink) freshGen() uint64 { return max(u.meta.Used.Gen, u.meta.Good.Gen) + 1 }

// swap makes a revision that was stored the node's, and puts its catalog into use; where that fails it takes all back.
// The order matters: should the catalog kill the process, the node's memory counts it.
func (u *Uplink) swap(ctx context.Context, catalog prepared, fresh *meta) error {
	if err := u.disk.saveMeta(fresh); err != nil {
		return errors.Join(refused(wire.NackResource, "", err), u.disk.saveMeta(&u.meta))
	}
	commits := u.secrets.swap(catalog.commits)
	err := u.install(ctx, catalog.Catalog)
	if err != nil {
		u.secrets.swap(commits)
		if err := u.disk.saveMeta(&u.meta); err != nil {
			u.o.Log.Error("cannot note that a revision was refused", "error", err)
		}
	}
	return err
}

// install gives a catalog to those who use it, who have a bounded time to take it.
func (u *Uplink) install(ctx context.Context, c *wire.Catalog) error {
	bounded, cancel := context.WithTimeout(ctx, u.o.activates)
	defer cancel()
	err := u.o.Activate(bounded, c)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case bounded.Err() != nil:
		return refused(wire.NackTimeout, "", fmt.Errorf("after %v: %w", u.o.activates, err))
	}
	return refused(wire.NackCompile, "", err)
}

// fold makes the revision in use, whose whole state a head covers, a generation of its own.
func (u *Uplink) fold(head []byte) error {
	fresh := u.meta
	fresh.Used = saved{u.freshGen(), head}
	if !fresh.Trial {
		fresh.Good = fresh.Used
	}
	err := u.disk.saveBase(fresh.Used.Gen, head, u.used.sorted())
	if err == nil {
		err = u.disk.saveMeta(&fresh)
	}
	if err != nil {
		return err
	}
	u.meta = fresh
	u.settleTrust()
	u.tidy()
	return nil
}

// probation begins: the revision in use has to prove itself.
func (u *Uplink) probation() {
	u.trialEnds = time.Now().Add(u.o.probation)
	u.trial.Reset(u.o.probation)
}

// prove waits for revisions to prove themselves.
func (u *Uplink) prove(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.trial.C:
			u.passed()
		}
	}
}

// passed makes the revision in use the one to fall back to, unless another one came into use just now.
func (u *Uplink) passed() {
	u.work.Lock()
	defer u.work.Unlock()
	if !u.meta.Trial || time.Now().Before(u.trialEnds) {
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
	u.settleTrust()
	u.tidy()
}
