package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/internal/cli"
	"github.com/wedge-proxy/wedge/wire"
)

// appliedFile is a catalog file that is made true at the origin beside the node, at the start and whenever it changes.
type appliedFile struct {
	path  string
	n     *node
	o     *runningOrigin
	token string // the file of the origin's token

	seen    catalogFile // the file and those that it names, as they were last looked at
	offered string      // what the file and the files that it names were when they were last offered
	inUse   bool
}

// run follows the file until ctx ends.
func (f *appliedFile) run(ctx context.Context) error {
	return watch(ctx, func() { _ = f.load(ctx) }) // reported by load
}

// load applies what has changed. What the origin does not take changes nothing, and the reason shows on the node's
// /status.
func (f *appliedFile) load(ctx context.Context) error {
	if f.seen.last.asRead(f.path) && f.seen.modulesNow() == f.seen.modules {
		return nil
	}
	text, now, err := f.look()
	if now == f.offered {
		return nil
	}
	f.offered = now
	if err == nil {
		err = f.apply(ctx, text)
	}
	if err != nil && f.inUse {
		f.n.server.Refuse("", f.path, err)
	}
	f.inUse = f.inUse || err == nil
	return err
}

// look reads the file and tells it, and the modules that it names, from what they were before.
func (f *appliedFile) look() (text []byte, now string, err error) {
	s := &f.seen
	s.path, s.catalog, s.modules = f.path, nil, ""
	text, err = s.last.read(f.path)
	if err != nil {
		err = fmt.Errorf("cannot read the catalog: %w", err)
		return nil, err.Error(), err
	}
	catalog, err := wire.ParseCatalog(f.path, text)
	if err != nil {
		return nil, fmt.Sprintf("%x", sha256.Sum256(text)), err
	}
	s.catalog = catalog
	s.modules = s.modulesNow()
	return text, fmt.Sprintf("%x %s", sha256.Sum256(text), s.modules), catalog.LoadModules(filepath.Dir(f.path), moduleFile)
}

// apply does what wedge apply --prune does.
func (f *appliedFile) apply(ctx context.Context, text []byte) error {
	catalog, err := cli.ReadCatalog(f.path, text)
	if err != nil {
		return err
	}
	token, err := os.ReadFile(f.token)
	if err != nil {
		return fmt.Errorf("cannot read the origin's token: %w", err)
	}
	client, err := cli.Open(cli.Options{Origin: f.o.URL(), Token: strings.TrimSpace(string(token))})
	if err != nil {
		return err
	}
	defer client.Close()
	s := cli.Session{Client: client, Out: io.Discard, Notes: io.Discard, Format: cli.Table, Reason: "wedge up --catalog " + f.path, Now: time.Now}
	return s.Apply(ctx, catalog, cli.Apply{Prune: true})
}
