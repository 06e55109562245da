package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/wedge-proxy/wedge/wire"
)

// seenBundles are the highest revisions that a node has served from bundles, by the key that signed them. It outlives the
// process: a restart must not make an old bundle good again.
type seenBundles map[string]wire.Position

func seenFile(data string) string { return filepath.Join(data, "bundle.seen") }

func readSeen(data string) (seenBundles, error) {
	seen := seenBundles{}
	text, err := os.ReadFile(seenFile(data))
	if errors.Is(err, fs.ErrNotExist) {
		return seen, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &seen)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which bundles this node has served: %w; if %s is damaged, delete it", err, seenFile(data))
	}
	return seen, nil
}

// remember writes down that a bundle is served. Where that fails, clients are served nevertheless.
func (f *bundleFile) remember(head *wire.SignedHead) {
	key := head.Key.String()
	if f.n.guest || f.seen[key] == head.Position {
		return
	}
	seen := maps.Clone(f.seen)
	seen[key] = head.Position
	text, err := json.Marshal(seen)
	path := seenFile(f.n.o.Data)
	if err == nil {
		err = os.WriteFile(path+".tmp", append(text, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		f.n.note("cannot write down which bundle is served; after a restart an older one would be", err)
		return
	}
	f.seen = seen
}
