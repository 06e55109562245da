package uplink

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/wedge-proxy/wedge/wire"
)

// Import makes a signed bundle the last good revision of a node that is not running. dir is the folder of the node's
// identity. One that is older than what the node has had is refused.
func Import(kv KV, dir string, bundle io.Reader, trust wire.Trust) (wire.Position, error) {
	b, err := wire.ReadBundle(bundle, trust)
	if err != nil {
		return wire.Position{}, err
	}
	d := disk{kv}
	m, err := d.loadMeta()
	if err == nil {
		err = m.admits(&b.Head)
	}
	if err == nil {
		if used, parsed := wire.ParseHead(m.Used.Head); parsed == nil && b.Head.Before(used.Position) {
			err = fmt.Errorf("revision %s is older than %s, which the node has", b.Head.Position, used.Position)
		}
	}
	if err != nil {
		return b.Head.Position, fmt.Errorf("cannot take the bundle: %w", err)
	}
	return b.Head.Position, d.importBundle(dir, b, m, trust)
}

// importBundle writes a bundle, meta last: after a crash the node has what it had, or the bundle.
func (d disk) importBundle(dir string, b *wire.Bundle, m meta, trust wire.Trust) error {
	for digest, blob := range b.Blobs {
		if err := d.kv.Put(blobKey(digest), blob); err != nil {
			return fmt.Errorf("cannot keep the bundle's module %s: %w", digest, err)
		}
	}
	head := b.Head.Append(nil)
	imported := saved{max(m.Used.Gen, m.Good.Gen) + 1, head}
	if err := d.saveBase(imported.Gen, head, b.Resources); err != nil {
		return fmt.Errorf("cannot keep the bundle in the node's store: %w", err)
	}
	before, err := loadTrust(dir)
	if err != nil {
		return err
	}
	if err := saveTrust(dir, union(before, trust)); err != nil {
		return err
	}
	highest := maps.Clone(m.Highest)
	if highest == nil {
		highest = map[string]wire.Position{}
	}
	highest[b.Head.Key.String()] = b.Head.Position
	quarantined := slices.DeleteFunc(m.Quarantined, func(at wire.Position) bool { return at == b.Head.Position })
	return d.saveMeta(&meta{Used: imported, Good: imported, Highest: highest, Quarantined: quarantined})
}
