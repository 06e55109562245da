package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/proxy/uplink"
	"github.com/wedge-proxy/wedge/wire"
)

// followOptions say which origins a node follows, and how.
type followOptions struct {
	Origins  []string
	Join     string
	Region   string
	CA       string
	Allow    []string // references to the node's own secrets that a bundle may hold
	AllowAll bool     // any: who runs the node writes the catalog
}

// follower is the source of a node's catalog that is an origin.
type follower struct {
	n  *node
	o  followOptions
	up *uplink.Uplink

	mu      sync.Mutex
	catalog *wire.Catalog // in use
	secrets [32]byte      // of the node's own secrets that it was compiled with
}

// follow prepares a node to follow origins.
func follow(n *node, o followOptions) (*follower, error) {
	if n.disk == nil {
		return nil, errNoStore
	}
	f := &follower{n: n, o: o}
	var err error
	f.up, err = uplink.Open(uplink.Options{
		Origins: o.Origins, Join: o.Join, Name: n.o.Name, Region: o.Region, Address: reachable(n.data.Addr()), Version: version,
		Incarnation: n.usage.Incarnation(), Dir: identityDir(n.o.Data), CAFile: o.CA, KV: n.disk,
		Activate: f.activate, Check: f.mayResolve, Control: func(c wire.Control) { n.server.Drain(c.Drain) }, Reports: n.usage, Log: n.log,
	})
	if err != nil {
		return nil, err
	}
	lease := f.up.Lease
	n.lender.lease.Store(&lease)
	n.resolve, n.link = f.secret, func() any { return f.up.Status() }
	return f, nil
}

// activate puts a catalog from the origin into use.
func (f *follower) activate(_ context.Context, c *wire.Catalog) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	secrets := f.secretsNow(c)
	if err := f.n.server.Republish(c, "origin"); err != nil {
		return err
	}
	f.catalog, f.secrets = c, secrets
	return nil
}

// begin serves what the node's own store has. Without anything there the node is ready once an origin gave it a
// revision.
func (f *follower) begin(ctx context.Context) error {
	if _, err := f.up.Boot(ctx); err != nil {
		f.n.note("cannot serve the last revision in the store; a new one is asked for", err)
	}
	return nil
}

// run follows the origins until ctx ends.
func (f *follower) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return f.up.Run(ctx) })
	work.Go(func() error { return watch(ctx, f.rereadSecrets) })
	return work.Wait()
}

// rereadSecrets takes up the node's own secrets that have changed.
func (f *follower) rereadSecrets() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.catalog == nil {
		return
	}
	if now := f.secretsNow(f.catalog); now != f.secrets {
		f.secrets = now
		_ = f.n.server.Republish(f.catalog, "origin") // a refusal shows on /status
	}
}

// secret resolves a reference in a catalog from the origin.
func (f *follower) secret(ref string) (string, error) {
	if strings.HasPrefix(ref, "origin:") {
		return f.up.Secret(ref)
	}
	if f.o.AllowAll {
		return f.n.ownSecret(ref)
	}
	return f.n.allowed(ref, f.o.Allow)
}

// mayResolve tells why a revision may not name one of this machine's secrets, or nil.
func (f *follower) mayResolve(ref string) error {
	if f.o.AllowAll || slices.Contains(f.o.Allow, ref) {
		return nil
	}
	return fmt.Errorf("secrets_allow in this node's settings does not list %s", ref)
}

// secretsNow tells the secrets that a catalog names from what they were before.
func (f *follower) secretsNow(c *wire.Catalog) [32]byte { return secretsSum(c, f.secret) }

// identityDir is where a node keeps who it is.
func identityDir(data string) string { return filepath.Join(data, "identity") }
