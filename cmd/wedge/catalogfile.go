package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/wire"
)

// watchInterval is how often a catalog file and the secrets that it names are looked at. Looking works on every file
// system, and for files that are replaced, linked or mounted, where notifications do not.
const watchInterval = 250 * time.Millisecond

// lastRead is what a file was when it was last read, by which one that is still the same need not be read again.
type lastRead struct {
	info os.FileInfo // nil: it could not be read
	at   time.Time
}

const (
	settled    = 2 * time.Second // file systems may tell no finer when a file was changed
	readAnyway = time.Minute     // whoever changes a file may set its time back
)

// asRead says that the file at path is as it was when it was read.
func (s *lastRead) asRead(path string) bool {
	if s.info == nil || time.Since(s.at) > readAnyway || s.at.Sub(s.info.ModTime()) < settled {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && os.SameFile(info, s.info) && info.Size() == s.info.Size() && info.ModTime().Equal(s.info.ModTime())
}

// read reads the file at path.
func (s *lastRead) read(path string) ([]byte, error) {
	s.info, s.at = nil, time.Now()
	info, err := os.Stat(path) // before, so that a change meanwhile shows
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err == nil {
		s.info = info
	}
	return data, err
}

// catalogFile is a catalog that a node follows, with the secrets that it names.
type catalogFile struct {
	path   string
	server *proxy.Server
	secret func(ref string) (string, error)

	last    lastRead
	catalog *wire.Catalog // what was last offered; nil if it is no catalog
	sum     [32]byte      // of the file's content that was last offered
	secrets [32]byte      // of the secrets that it was offered with
	broken  string        // why the file could not be read, as last reported
	modules string        // which files the policies' modules were read from
	inUse   bool          // the file had a catalog that the node took
}

// load reads the file and publishes what has changed. What is not taken changes nothing, and the reason shows on
// /status; before the first catalog is in use, the error is the only report.
func (f *catalogFile) load() error {
	if f.last.asRead(f.path) && f.modulesNow() == f.modules {
		return f.renew()
	}
	data, err := f.last.read(f.path)
	if err != nil {
		err = fmt.Errorf("cannot read the catalog: %w", err)
		if err.Error() != f.broken {
			f.broken = err.Error()
			f.refuse(err)
		}
		return err
	}
	if sum := sha256.Sum256(data); f.broken != "" || sum != f.sum {
		f.sum, f.broken = sum, ""
		return f.offer(data)
	}
	if f.modulesNow() != f.modules {
		return f.offer(data)
	}
	return f.renew()
}

// renew publishes the catalog once more if its secrets are others.
func (f *catalogFile) renew() error {
	if f.catalog != nil && f.reread() {
		return f.server.Republish(f.catalog, f.path)
	}
	return nil
}

// offer publishes new content.
func (f *catalogFile) offer(data []byte) (err error) {
	if f.catalog, err = wire.ParseCatalog(f.path, data); err != nil {
		f.catalog, f.modules = nil, ""
		f.refuse(err)
		return err
	}
	f.modules = f.modulesNow()
	if err = f.catalog.LoadModules(filepath.Dir(f.path), moduleFile); err != nil {
		f.refuse(err)
		return err
	}
	if f.reread() || !f.inUse {
		err = f.server.Republish(f.catalog, f.path)
	} else {
		err = f.server.Publish(f.catalog, f.path)
	}
	f.inUse = f.inUse || err == nil
	return err
}

// maxModuleFile is how much of a file is read as a module, in bytes: more than a policy may have.
const maxModuleFile = 16 << 20

// moduleFile reads a policy's module. What is no file, or a very large one, would stop the node from following the catalog
// or take its memory.
func moduleFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > maxModuleFile:
		return nil, fmt.Errorf("%s has %d MiB, and a module may have 8", path, info.Size()>>20)
	}
	return os.ReadFile(path)
}

// modulesNow names the policies' files as they are: another text means that one was changed, came or went.
func (f *catalogFile) modulesNow() string {
	var b strings.Builder
	if f.catalog == nil {
		return ""
	}
	for i := range f.catalog.Policies {
		if path, ok := f.catalog.Policies[i].ModuleFile(filepath.Dir(f.path)); ok {
			info, err := os.Stat(path)
			if err != nil {
				_, _ = fmt.Fprintf(&b, "%q %v\n", path, err)
			} else {
				_, _ = fmt.Fprintf(&b, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}

func (f *catalogFile) refuse(reason error) {
	if f.inUse {
		f.server.Refuse("", f.path, reason)
	}
}

// reread reports whether the catalog's secrets, or the reasons why they cannot be read, differ from those it was last
// offered with.
func (f *catalogFile) reread() (changed bool) {
	sum := secretsSum(f.catalog, f.secret)
	changed = sum != f.secrets
	f.secrets = sum
	return changed
}

// secretsSum tells the secrets that a catalog names, and why they cannot be read, from others.
func secretsSum(c *wire.Catalog, resolve func(ref string) (string, error)) [32]byte {
	h := sha256.New()
	add := func(ref string) {
		secret, err := resolve(ref)
		_, _ = fmt.Fprintf(h, "%q %v\n", secret, err) // a hash takes everything
	}
	for i := range c.Providers {
		add(c.Providers[i].APIKey)
		for _, header := range c.Providers[i].Headers {
			if wire.IsSecretRef(header.Value) {
				add(header.Value)
			}
		}
	}
	return [32]byte(h.Sum(nil))
}

// begin puts the file's catalog into use.
func (f *catalogFile) begin(context.Context) error { return f.load() }

// run follows the file until ctx ends.
func (f *catalogFile) run(ctx context.Context) error {
	return watch(ctx, func() { _ = f.load() }) // reported by load
}

// watch looks at something again and again until ctx ends.
func watch(ctx context.Context, look func()) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			look()
		}
	}
}
