package control

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// CreateKey makes a virtual key: body is its entry in the catalog without id and hash. The key is told once; what is
// kept is its hash.
func (c *Control) CreateKey(ctx context.Context, by By, body json.RawMessage) (KeyMade, error) {
	name := textOf(memberOfBody(body, "name"))
	if memberOfBody(body, "id") != nil || memberOfBody(body, "hash") != nil {
		return KeyMade{}, failf(CodeInvalid, "id and hash are made with the key; leave them out, or put a key that you made yourself")
	}
	return c.makeKey(ctx, by, name, call{by: by, verb: "key", request: string(body)}, func(s *state) ([]byte, error) {
		if _, there := s.there[id{wire.KindKey, name}]; there {
			return nil, failf(CodeConflict, "there is a key %q already; rotate it, or take another name", name)
		}
		entries, err := entriesOf(wire.KindKey, name, body)
		if err != nil {
			return nil, err
		}
		return entries[0].Body, nil
	})
}

// RotateKey gives a key's name and settings to a new key; the old one counts no more.
func (c *Control) RotateKey(ctx context.Context, by By, name string) (KeyMade, error) {
	return c.makeKey(ctx, by, name, call{by: by, verb: "rotate", request: name}, func(s *state) ([]byte, error) {
		r, there := s.there[id{wire.KindKey, name}]
		if !there {
			return nil, failf(CodeNotFound, "there is no key %q", name)
		}
		return r.Body, nil
	})
}

// makeKey puts the entry that settings returns, with a new id and hash.
func (c *Control) makeKey(ctx context.Context, by By, name string, k call, settings func(*state) ([]byte, error)) (KeyMade, error) {
	key, keyID, hash, err := wire.NewKey()
	if err != nil {
		return KeyMade{}, err
	}
	k.at = inBody(id{wire.KindKey, name})
	made, err := change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		body, err := settings(s)
		if err == nil {
			body, err = withMember(body, "id", keyID)
		}
		if err == nil {
			body, err = withMember(body, "hash", "sha256:"+hex.EncodeToString(hash[:]))
		}
		d.put(wire.KindKey, name, body)
		return d, err
	}, func(r Result) KeyMade { return KeyMade{Result: r, Name: name, ID: keyID, Key: key} })
	if err == nil && made.Key == "" {
		return KeyMade{}, failf(CodeConflict, "the key %q was made by an earlier request with the idempotency key %q, and told once; rotate it to get another", name, by.Key)
	}
	return made, err
}

// RevokeKey deletes a key.
func (c *Control) RevokeKey(ctx context.Context, by By, name string) (Result, error) {
	return c.Delete(ctx, by, wire.KindKey, name, store.Any)
}
