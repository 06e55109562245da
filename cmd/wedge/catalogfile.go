package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/wedge-proxy/wedge/proxy"
	"github.com/wedge-proxy/wedge/wire"
)

// watchInterval is how often a catalog file is looked at. Looking works on every file system, and for files that
// are replaced, linked or mounted, where notifications do not.
const watchInterval = 250 * time.Millisecond

// catalogFile is a catalog that a node follows.
type catalogFile struct {
	path   string
	server *proxy.Server
	log    *slog.Logger
	sum    [32]byte // of the content that was last offered
	broken string   // why the file could not be read, as last reported
}

// load reads the file and publishes it. A file that is not taken changes nothing, and the reason shows on /status.
func (f *catalogFile) load() error {
	data, err := os.ReadFile(f.path)
	if err != nil {
		err = fmt.Errorf("cannot read the catalog: %w", err)
		if err.Error() != f.broken {
			f.broken = err.Error()
			f.server.Refuse("", f.path, err)
		}
		return err
	}
	sum := sha256.Sum256(data)
	if f.broken == "" && bytes.Equal(sum[:], f.sum[:]) {
		return nil
	}
	f.sum, f.broken = sum, ""
	c, err := wire.ParseCatalog(f.path, data)
	if err != nil {
		f.server.Refuse("", f.path, err)
		return err
	}
	return f.server.Publish(c, f.path)
}

// run follows the file until ctx ends.
func (f *catalogFile) run(ctx context.Context) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_ = f.load() // reported by load
		}
	}
}
