package uplink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/wedge-proxy/wedge/wire"
)

// secrets are what the origin's secrets that are in use were committed to, by name.
type secrets struct {
	mu      sync.Mutex
	commits map[string]string
}

// swap puts others in place and returns those that were there.
func (s *secrets) swap(commits map[string]string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.commits
	s.commits = commits
	return before
}

// Secret resolves origin:NAME: it opens what lies sealed in the node's store. It waits for nobody. No error holds the
// secret.
func (u *Uplink) Secret(ref string) (string, error) {
	name, ok := strings.CutPrefix(ref, "origin:")
	if !ok {
		return "", fmt.Errorf("cannot resolve the secret %s: it is not the origin's", ref)
	}
	u.secrets.mu.Lock()
	commit, known := u.secrets.commits[name]
	u.secrets.mu.Unlock()
	if !known {
		return "", fmt.Errorf("cannot resolve the secret %s: no origin gave it to this node", ref)
	}
	return u.open(name, commit)
}

func (u *Uplink) open(name, commit string) (string, error) {
	sealed, err := u.o.KV.Get(secretKey(name, commit))
	if err != nil {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: it is not in the node's store: %w", name, err)
	}
	id := u.identity()
	if id == nil {
		return "", fmt.Errorf("cannot resolve the secret origin:%s: this node has not enrolled", name)
	}
	return wire.OpenSecret(id.key, name, commit, sealed)
}

// fetchSecrets makes sure that the node can open the secrets that were committed to.
func (u *Uplink) fetchSecrets(ctx context.Context, c *caller, commits map[string]string) error {
	var missing []string
	for name, commit := range commits {
		if _, err := u.open(name, commit); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	resource := wire.KindSecret + "/" + missing[0]
	if c == nil {
		return refused(wire.NackResource, resource, errNotHere)
	}
	var got wire.Secrets
	if err := c.post(ctx, wire.PathSecrets, wire.SecretsWanted{Names: missing}, &got); err != nil {
		return fault(fmt.Errorf("cannot fetch the secrets %s: %w", strings.Join(missing, ", "), err), resource)
	}
	for _, name := range missing {
		if err := u.keepSecret(name, commits[name], got.Sealed[name]); err != nil {
			return refused(wire.NackResource, wire.KindSecret+"/"+name, err)
		}
	}
	return nil
}

// keepSecret stores a sealed secret beside the one in use: which of them counts is decided with the revision.
func (u *Uplink) keepSecret(name, commit string, sealed []byte) error {
	if _, err := wire.OpenSecret(u.identity().key, name, commit, sealed); err != nil {
		return err
	}
	if err := u.o.KV.Put(secretKey(name, commit), sealed); err != nil {
		return fmt.Errorf("cannot keep the secret %s in the node's store: %w", name, err)
	}
	return nil
}
