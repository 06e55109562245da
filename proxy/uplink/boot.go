package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/wire"
)

// Boot puts the last good revision of the node's store into use, verified anew, without asking anybody. ok is false where
// there is none; an error says what kept one from being used. Call it before Run.
func (u *Uplink) Boot(ctx context.Context) (ok bool, err error) {
	u.work.Lock()
	defer u.work.Unlock()
	if u.meta, err = u.disk.loadMeta(); err != nil {
		return false, err
	}
	if u.count(); u.resort {
		return false, errResort
	}
	return u.bootKept(ctx)
}

var errResort = errors.New("the node died twice with the only revision in its store; an origin is asked for another one first")

// lastResort puts the store's only revision into use although the process died with it: no origin has another one.
func (u *Uplink) lastResort(ctx context.Context) {
	u.work.Lock()
	defer u.work.Unlock()
	if !u.resort || u.used != nil {
		return
	}
	u.resort = false
	if _, err := u.bootKept(ctx); err != nil {
		u.o.Log.Error("cannot serve the last revision in the store", "error", err)
	}
}

// bootKept puts the first of the store's revisions into use that can be.
func (u *Uplink) bootKept(ctx context.Context) (ok bool, err error) {
	var failed error
	for _, s := range u.meta.kept() {
		err := u.bootFrom(ctx, s)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if failed != nil {
			u.o.Log.Error("the last revision in the node's store cannot be used; the one before is", "reason", failed)
		}
		u.settleTrust()
		return true, nil
	}
	if failed != nil {
		failed = fmt.Errorf("cannot use the revision in the node's store; a whole one is asked for: %w", failed)
	}
	return false, failed
}

// kept are the revisions that the node may start with, the one to be preferred first.
func (m *meta) kept() (all []saved) {
	if len(m.Used.Head) > 0 {
		all = append(all, m.Used)
	}
	if len(m.Good.Head) > 0 && (m.Good.Gen != m.Used.Gen || !bytes.Equal(m.Good.Head, m.Used.Head)) {
		all = append(all, m.Good)
	}
	return all
}

// count notes a start with a revision on probation. One that the process died with twice is not tried again where there
// is another one to fall back to. That it cannot be noted keeps nobody from being served.
func (u *Uplink) count() {
	if !u.meta.Trial {
		return
	}
	u.meta.Trials++
	h, err := wire.ParseHead(u.meta.Used.Head)
	u.resort = u.meta.Trials >= 2 && len(u.meta.kept()) == 1
	if u.meta.Trials >= 2 && err == nil && len(u.meta.kept()) > 1 {
		u.meta.quarantine(h.Position)
		u.owed, _ = u.refuse(h.Position, refused(wire.NackCrashLoop, "", errDied))
		u.meta.fallBack()
	}
	if err := u.disk.saveMeta(&u.meta); err != nil {
		u.o.Log.Error("cannot count the start with a revision on probation", "error", err)
	}
}

// bootFrom puts a revision of the store into use.
func (u *Uplink) bootFrom(ctx context.Context, s saved) error {
	st, h, err := u.disk.load(s, u.anchor)
	if err != nil {
		return err
	}
	catalog, err := u.prepare(ctx, nil, st)
	if err != nil {
		return err
	}
	commits := u.secrets.swap(catalog.commits)
	if err := u.install(ctx, catalog.Catalog); err != nil {
		u.secrets.swap(commits)
		return err
	}
	if s.Gen != u.meta.Used.Gen || !bytes.Equal(s.Head, u.meta.Used.Head) { // a later start need not try the other one
		u.meta.Used, u.meta.Trial, u.meta.Trials = s, false, 0
		if err := u.disk.saveMeta(&u.meta); err != nil {
			u.o.Log.Error("cannot note which revision is in use", "error", err)
		}
	}
	u.used, u.inUse = st, catalog.Digest()
	u.shown.set(func(status *Status) {
		status.Epoch, status.Rev, status.Issued, status.Active, status.Trial = h.Epoch, h.Rev, h.IssuedAt, u.o.now().UTC(), u.meta.Trial
	})
	if u.meta.Trial {
		u.probation()
	}
	return nil
}
