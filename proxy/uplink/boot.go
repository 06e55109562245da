package uplink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/wedge-proxy/wedge/wire"
)

// believe keeps the keys whose heads the node believes at its next start.
func (u *Uplink) believe(keys []string) error {
	if err := saveTrust(u.o.Dir, keys); err != nil {
		return err
	}
	u.anchor = slices.Clone(keys)
	return nil
}

// believeState keeps the keys that a state names, beside those that what is in use was verified with: after a crash
// either may be what is there.
func (u *Uplink) believeState(s *state) error {
	keys, err := s.trust(u.anchor)
	if err != nil {
		return err
	}
	var all []string
	for _, key := range keys {
		all = append(all, wire.FormatPublicKey(key))
	}
	if u.used != nil {
		now, err := u.used.trust(u.anchor)
		if err != nil {
			return err
		}
		for name, key := range now {
			if _, both := keys[name]; !both {
				all = append(all, wire.FormatPublicKey(key))
			}
		}
	}
	slices.Sort(all)
	if slices.Equal(all, u.anchor) {
		return nil
	}
	return u.believe(all)
}

// Boot puts the last good revision of the node's store into use, verified anew, without asking anybody. ok is false where
// there is none; an error says what kept one from being used. Call it before Run.
func (u *Uplink) Boot(ctx context.Context) (ok bool, err error) {
	u.work.Lock()
	defer u.work.Unlock()
	if u.meta, err = u.disk.loadMeta(); err != nil {
		return false, err
	}
	if len(u.meta.Used.Head) == 0 {
		return false, nil
	}
	if err := u.count(); err != nil {
		return false, err
	}
	err = u.bootFrom(ctx, u.meta.Used)
	if err != nil && len(u.meta.Good.Head) > 0 && !bytes.Equal(u.meta.Good.Head, u.meta.Used.Head) {
		fallback := u.bootFrom(ctx, u.meta.Good)
		if fallback == nil {
			u.o.Log.Error("the last revision in the node's store cannot be used; the one before is", "reason", err)
			u.meta.Used, u.meta.Trial, u.meta.Trials = u.meta.Good, false, 0
			return true, u.disk.saveMeta(&u.meta)
		}
		err = errors.Join(err, fallback)
	}
	if err != nil {
		u.anew = true
		return false, fmt.Errorf("cannot use the revision in the node's store; a whole one is asked for: %w", err)
	}
	return true, nil
}

// count notes a start with a revision on probation. One that the process died with twice is not tried again where there
// is another one to fall back to.
func (u *Uplink) count() error {
	if !u.meta.Trial {
		return nil
	}
	u.meta.Trials++
	if u.meta.Trials >= 2 && len(u.meta.Good.Head) > 0 {
		h, err := wire.ParseHead(u.meta.Used.Head)
		if err != nil {
			return err
		}
		u.meta.quarantine(h.Position)
		u.owed = u.refuse(h.Position, refused(wire.NackCrashLoop, "", errors.New("the node died twice with it")))
		u.meta.Used, u.meta.Trial, u.meta.Trials = u.meta.Good, false, 0
	}
	return u.disk.saveMeta(&u.meta)
}

func (u *Uplink) bootFrom(ctx context.Context, s saved) error {
	if len(s.Head) == 0 {
		return errors.New("there is none that is known to be good")
	}
	st, err := u.disk.load(s, func(*state) (wire.Trust, error) { return wire.TrustOf(u.anchor...) })
	if err != nil {
		return err
	}
	h, err := wire.ParseHead(s.Head)
	if err != nil {
		return err
	}
	catalog, nack := u.prepare(ctx, nil, st)
	if nack != nil {
		return errors.New(nack.Message)
	}
	commits := u.secrets.swap(catalog.commits)
	if _, err := u.install(ctx, catalog.Catalog); err != nil {
		u.secrets.swap(commits)
		return err
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

// Import makes a signed bundle the last good revision of a node that is not running. dir is the folder of the node's
// identity. One that is older than what the node has is refused.
func Import(kv KV, dir string, bundle io.Reader, trust wire.Trust) (wire.Position, error) {
	b, err := wire.ReadBundle(bundle, trust)
	if err != nil {
		return wire.Position{}, err
	}
	d := disk{kv}
	m, err := d.loadMeta()
	if err != nil {
		return b.Head.Position, err
	}
	if used, err := wire.ParseHead(m.Used.Head); err == nil && b.Head.Position.Before(used.Position) {
		return b.Head.Position, fmt.Errorf("the bundle is of revision %s, older than %s, which the node has", b.Head.Position, used.Position)
	}
	for digest, blob := range b.Blobs {
		if err := kv.Put(blobKey(digest), blob); err != nil {
			return b.Head.Position, fmt.Errorf("cannot keep the bundle's module %s: %w", digest, err)
		}
	}
	head := b.Head.Append(nil)
	gen := max(m.Used.Gen, m.Good.Gen) + 1
	if err := d.saveBase(gen, head, b.Resources); err != nil {
		return b.Head.Position, err
	}
	var keys []string
	for _, key := range trust {
		keys = append(keys, wire.FormatPublicKey(key))
	}
	slices.Sort(keys)
	if err := saveTrust(dir, keys); err != nil {
		return b.Head.Position, err
	}
	m = meta{Used: saved{gen, head}, Good: saved{gen, head}, Highest: map[string]wire.Position{b.Head.Key.String(): b.Head.Position}}
	return b.Head.Position, d.saveMeta(&m)
}
