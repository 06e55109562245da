package control

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// PutSecret makes or replaces a secret. What it is goes to nodes that need it, sealed, and to nobody else.
func (c *Control) PutSecret(ctx context.Context, by By, name, value string) (Result, error) {
	if !wire.IsSecretRef("origin:" + name) {
		return Result{}, failf(CodeInvalid, "%q cannot be the name of a secret; use letters, digits and . _ / -, beginning with a letter or digit", name)
	}
	if value == "" {
		return Result{}, failf(CodeInvalid, "the secret %q is empty", name)
	}
	if c.options.Secrets == nil {
		return Result{}, errNoSecrets
	}
	digest := sha256.Sum256([]byte(value)) // for the idempotency key, which is hashed once more, with the actor
	k := call{by: by, verb: "secret", request: []any{name, digest[:]}}
	return change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		was, there := s.there[id{wire.KindSecret, name}]
		hidden := Change{Kind: wire.KindSecret, Name: name, Action: "create"}
		if there {
			hidden.Action = "update"
		}
		d.hidden = append(d.hidden, hidden)
		d.within = func(t *store.Tx) ([]store.Op, error) {
			body, err := c.options.Secrets.PutSecret(t, name, value)
			return []store.Op{store.Put(wire.KindSecret, name, body, was.Version)}, err
		}
		return d, nil
	}, resultOnly)
}

var errNoSecrets = errors.New("this origin keeps no secrets")

// DeleteSecret deletes a secret that no provider names.
func (c *Control) DeleteSecret(ctx context.Context, by By, name string) (Result, error) {
	if c.options.Secrets == nil {
		return Result{}, errNoSecrets
	}
	return change(ctx, c, call{by: by, verb: "delete secret", request: name}, func(s *state) (*draft, error) {
		d := s.draft()
		if _, there := d.after[id{wire.KindSecret, name}]; !there {
			return nil, failf(CodeNotFound, "there is no secret %q", name)
		}
		d.remove(wire.KindSecret, name)
		d.within = func(t *store.Tx) ([]store.Op, error) { return nil, c.options.Secrets.DeleteSecret(t, name) }
		return d, nil
	}, resultOnly)
}
