package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/wedge-proxy/wedge/wire"
)

// bundleFile is the source of a node's catalog that is a signed file.
type bundleFile struct {
	n     *node
	path  string
	trust wire.Trust
	allow []string

	last   lastRead
	sum    [32]byte      // of the content that was last offered
	broken string        // why the file could not be read, as last reported
	at     wire.Position // in use
	seen   seenBundles
}

func newBundleFile(n *node, path string, keys, allow []string) (*bundleFile, error) {
	trust, err := wire.TrustOf(keys...)
	if err != nil {
		return nil, usageError{fmt.Errorf("--trust: %w", err)}
	}
	f := &bundleFile{n: n, path: path, trust: trust, allow: allow}
	if f.seen, err = readSeen(n.o.Data); err != nil {
		return nil, err
	}
	n.resolve = func(ref string) (string, error) { return n.allowed(ref, f.allow) }
	return f, nil
}

func (f *bundleFile) begin(context.Context) error { return f.load() }

// run follows the file until ctx ends.
func (f *bundleFile) run(ctx context.Context) error {
	return watch(ctx, func() { _ = f.load() }) // reported by load
}

// load publishes what has changed. What is not taken changes nothing, and the reason shows on /status.
func (f *bundleFile) load() error {
	if f.last.asRead(f.path) {
		return nil
	}
	data, err := f.last.read(f.path)
	if err != nil {
		err = fmt.Errorf("cannot read the bundle: %w", err)
		if err.Error() != f.broken {
			f.broken = err.Error()
			f.refuse(err)
		}
		return err
	}
	sum := sha256.Sum256(data)
	if f.broken == "" && sum == f.sum {
		return nil
	}
	f.sum, f.broken = sum, ""
	c, at, err := f.read(data)
	if err != nil {
		f.refuse(err)
		return err
	}
	if err := f.n.server.Republish(c, f.path); err != nil {
		return err
	}
	f.at = at.Position
	f.remember(&at)
	return nil
}

// refuse reports what was not taken; before the first bundle is in use, the error is the only report.
func (f *bundleFile) refuse(reason error) {
	if f.at != (wire.Position{}) {
		f.n.server.Refuse("", f.path, reason)
	}
}

// read verifies a bundle and takes this node's catalog out of it. One that is older than the one in use is not taken:
// whoever can write the file is not who signs.
func (f *bundleFile) read(data []byte) (c *wire.Catalog, head wire.SignedHead, err error) {
	b, err := wire.ReadBundle(bytes.NewReader(data), f.trust)
	if err != nil {
		return nil, head, err
	}
	head = b.Head
	if head.Position.Before(f.at) {
		return nil, head, fmt.Errorf("the bundle is of revision %s, older than %s, which is in use", head.Position, f.at)
	}
	if highest := f.seen[head.Key.String()]; head.Position.Before(highest) {
		return nil, head, fmt.Errorf("the bundle is of revision %s, older than %s, which this node has served; to go back all the same, delete %s",
			head.Position, highest, seenFile(f.n.o.Data))
	}
	own, err := wire.ApplyReleases(b.Resources, f.n.o.Name)
	if err != nil {
		return nil, head, err
	}
	text, err := wire.JoinCatalog(own)
	if err != nil {
		return nil, head, err
	}
	if c, err = wire.ParseCatalog(f.path, text); err != nil {
		return nil, head, err
	}
	return c, head, c.LoadBlobs(func(digest string) ([]byte, error) {
		if blob, ok := b.Blobs[digest]; ok {
			return blob, nil
		}
		return nil, errors.New("it is not in the bundle")
	})
}
