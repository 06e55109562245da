package uplink

import (
	"crypto/ed25519"
	"maps"
	"slices"

	"github.com/wedge-proxy/wedge/wire"
)

// What the node trusts: the state in use says so. The file beside the node's identity, the anchor, holds what the node's
// store needs at the next start, when no state is there yet: the same keys, and for as long as heads that others signed
// lie there, those too. So it grows before a revision comes into use, and shrinks after.

// trust is the keys whose heads the node believes now.
func (u *Uplink) trust() (wire.Trust, error) {
	if u.used == nil {
		return u.anchor, nil
	}
	keys, err := u.used.trust(u.anchor)
	return union(keys, u.vouched), err
}

// believe keeps the keys whose heads the node believes at its next start.
func (u *Uplink) believe(keys wire.Trust) error {
	if maps.EqualFunc(keys, u.anchor, func(a, b ed25519.PublicKey) bool { return a.Equal(b) }) {
		return nil
	}
	if err := saveTrust(u.o.Dir, keys); err != nil {
		return err
	}
	u.anchor = keys
	return nil
}

// believeAlso keeps the keys that a state names beside those that are kept: after a crash either may be what is there.
func (u *Uplink) believeAlso(s *state) error {
	keys, err := s.trust(u.anchor)
	if err != nil {
		return err
	}
	return u.believe(union(keys, u.anchor))
}

// settleTrust forgets the keys that neither the state in use names nor a head in the store was signed with.
func (u *Uplink) settleTrust() {
	keys, err := u.used.trust(u.anchor)
	if err == nil {
		keys = union(keys, u.vouched)
		for _, name := range u.disk.signers(u.meta.Used, u.meta.Good) {
			if key, there := u.anchor[name]; there {
				keys[name] = key
			}
		}
		err = u.believe(keys)
	}
	if err != nil {
		u.o.Log.Error("cannot forget the keys that are not trusted any more", "error", err)
	}
}

// outlived says that what is in use was signed, in part, with a key that it trusts no more: the node needs another
// signature for the same, or it could not use it after the key is forgotten.
func (u *Uplink) outlived() bool {
	keys, err := u.trust()
	return err == nil && slices.ContainsFunc(u.disk.signers(u.meta.Used), func(name wire.KeyName) bool {
		_, there := keys[name]
		return !there
	})
}

func union(a, b wire.Trust) wire.Trust {
	all := wire.Trust{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}
