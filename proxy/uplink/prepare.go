package uplink

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// prepared is a catalog with all that it needs.
type prepared struct {
	*wire.Catalog
	commits map[string]string
}

// prepare makes a candidate's catalog, with its modules and its secrets at hand. c is nil where nothing can be fetched.
func (u *Uplink) prepare(ctx context.Context, c *caller, candidate *state) (prepared, error) {
	catalog, err := candidate.catalog(u.name())
	if err != nil {
		return prepared{}, refused(wire.NackSchema, "", err)
	}
	if err := u.checkRefs(catalog); err != nil {
		return prepared{}, err
	}
	if err := u.loadBlobs(ctx, c, catalog); err != nil {
		return prepared{}, err
	}
	commits, err := candidate.commits(catalog)
	if err != nil {
		return prepared{}, refused(wire.NackResource, "", err)
	}
	return prepared{catalog, commits}, u.fetchSecrets(ctx, c, commits)
}

// checkRefs refuses a catalog that asks for more of the machine's own secrets than the node may resolve.
func (u *Uplink) checkRefs(catalog *wire.Catalog) error {
	for _, ref := range secretRefs(catalog) {
		if strings.HasPrefix(ref.text, "origin:") {
			continue
		}
		err := errors.New("this node may resolve none of its machine's secrets for an origin")
		if u.o.Check != nil {
			err = u.o.Check(ref.text)
		}
		if err != nil {
			return refused(wire.NackResource, wire.KindProvider+"/"+ref.provider, err)
		}
	}
	return nil
}

// secretRef is a provider's reference to a secret.
type secretRef struct{ provider, text string }

// secretRefs are the references of a catalog to secrets.
func secretRefs(c *wire.Catalog) (refs []secretRef) {
	for i := range c.Providers {
		p := &c.Providers[i]
		if p.APIKey != "" {
			refs = append(refs, secretRef{p.Name, p.APIKey})
		}
		for _, h := range p.Headers {
			if wire.IsSecretRef(h.Value) {
				refs = append(refs, secretRef{p.Name, h.Value})
			}
		}
	}
	return refs
}

var errNotHere = errors.New("it is not in the node's store, and there is no origin to ask")

// fault tells whose a failure to fetch something is: the revision's, where the origin says that it does not have it, or
// the link's, where asking again may help.
func fault(err error, resource string) error {
	switch codeOf(err) {
	case "not_found", "invalid", "forbidden":
		return refused(wire.NackResource, resource, err)
	}
	return err
}

// loadBlobs gives a catalog its modules.
func (u *Uplink) loadBlobs(ctx context.Context, c *caller, catalog *wire.Catalog) error {
	policies := map[string]string{}
	for i := range catalog.Policies {
		policies[catalog.Policies[i].Module] = catalog.Policies[i].Name
	}
	var failed error
	err := catalog.LoadBlobs(func(digest string) ([]byte, error) {
		if failed != nil {
			return nil, failed
		}
		var blob []byte
		blob, failed = u.blob(ctx, c, digest)
		if r, is := errors.AsType[*refusal](failed); is {
			r.Resource = wire.KindPolicy + "/" + policies[digest]
		}
		return blob, failed
	})
	switch {
	case failed != nil:
		return fmt.Errorf("cannot get a module: %w", failed)
	case err != nil:
		return refused(wire.NackResource, "", err)
	}
	return nil
}

// tidy forgets what no revision needs any more. Modules and secrets are left alone for as long as there is an older
// revision to fall back to.
func (u *Uplink) tidy() {
	err := u.disk.clean(&u.meta)
	if u.meta.Good.Gen == u.meta.Used.Gen && slices.Equal(u.meta.Good.Head, u.meta.Used.Head) {
		needed := u.needed()
		old := func(key []byte) bool { return !needed[string(key)] }
		err = errors.Join(err, u.disk.forget([]byte(prefix+"blob/"), old), u.disk.forget([]byte(prefix+"secret/"), old))
	}
	if err != nil {
		u.o.Log.Warn("cannot tidy up the node's store", "error", err)
	}
}

// needed are the keys of the modules and secrets of what is in use.
func (u *Uplink) needed() map[string]bool {
	keys := map[string]bool{}
	for _, r := range u.used.resources {
		digests, _ := wire.BlobsOf(r.Kind, r.Body) // it was read before
		for _, digest := range digests {
			keys[string(blobKey(digest))] = true
		}
	}
	u.secrets.mu.Lock()
	defer u.secrets.mu.Unlock()
	for name, commit := range u.secrets.commits {
		keys[string(secretKey(name, commit))] = true
	}
	return keys
}
