package uplink

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// state is the shared resources at a position.
type state struct {
	at        wire.Position
	resources map[string]wire.Resource // by kind and name
}

func newState() *state { return &state{resources: map[string]wire.Resource{}} }

func keyOf(kind, name string) string { return kind + "\x00" + name }

// clone is a state that can go on by itself. Bodies are shared: nobody changes them.
func (s *state) clone() *state { return &state{s.at, maps.Clone(s.resources)} }

// sorted are all resources in their order.
func (s *state) sorted() []wire.Resource {
	all := slices.Collect(maps.Values(s.resources))
	wire.SortResources(all)
	return all
}

// add takes a resource of a whole state.
func (s *state) add(body []byte) error {
	r, err := wire.ParseResource(body)
	if err != nil {
		return err
	}
	key := keyOf(r.Kind, r.Name)
	if _, twice := s.resources[key]; twice {
		return fmt.Errorf("the %s %s comes twice", r.Kind, r.Name)
	}
	s.resources[key] = r
	return nil
}

// addFrames takes the resources of a value on the disk.
func (s *state) addFrames(frames []byte) error {
	r := bytes.NewReader(frames)
	for r.Len() > 0 {
		t, body, err := wire.ReadFrame(r, nil)
		if err != nil {
			return err
		}
		if t != wire.FrameResource {
			return errors.New("there is something else among the resources in the store")
		}
		if err := s.add(body); err != nil {
			return err
		}
	}
	return nil
}

// conclude verifies that the resources are those that a head with a State covers, and puts the state at its position.
func (s *state) conclude(h *wire.SignedHead) error {
	if h.State == nil {
		return errors.New("the head of the snapshot does not cover its resources")
	}
	if wire.DigestState(s.sorted()) != *h.State {
		return errors.New("the resources are not those that the head covers")
	}
	s.at = h.Position
	return nil
}

// follow applies a delta. What does not follow changes nothing.
func (s *state) follow(d *wire.Delta) error {
	at, edits, err := d.Follow(s.at)
	if err != nil {
		return err
	}
	for _, e := range edits {
		key := keyOf(e.Kind, e.Name)
		if e.Deleted {
			delete(s.resources, key)
		} else {
			s.resources[key] = e.Resource
		}
	}
	s.at = at
	return nil
}

// trust is the keys that the state says to believe; those given where it says nothing.
func (s *state) trust(otherwise wire.Trust) (wire.Trust, error) {
	var keys []string
	for _, r := range s.resources {
		if r.Kind != wire.KindTrust {
			continue
		}
		var t wire.TrustRecord
		if err := wire.DecodeStrict(r.Body, &t); err != nil {
			return nil, fmt.Errorf("the %s %s: %w", r.Kind, r.Name, err)
		}
		keys = append(keys, t.Keys...)
	}
	if len(keys) == 0 {
		return otherwise, nil
	}
	return wire.TrustOf(keys...)
}

// catalog is the node's own.
func (s *state) catalog(node string) (*wire.Catalog, error) {
	sorted := s.sorted()
	if err := wire.CheckState(sorted); err != nil {
		return nil, err
	}
	own, err := wire.ApplyReleases(sorted, node)
	if err != nil {
		return nil, err
	}
	text, err := wire.JoinCatalog(own)
	if err != nil {
		return nil, err
	}
	return wire.ParseCatalog("bundle", text)
}

// commits are what the secrets that a catalog names were committed to.
func (s *state) commits(c *wire.Catalog) (map[string]string, error) {
	all := map[string]string{}
	for _, ref := range secretRefs(c) {
		name, ok := strings.CutPrefix(ref.text, "origin:")
		if !ok {
			continue
		}
		r, there := s.resources[keyOf(wire.KindSecret, name)]
		if !there {
			return nil, fmt.Errorf("the catalog names the secret %s, which the origin does not have", name)
		}
		var record wire.SecretRecord
		if err := wire.DecodeStrict(r.Body, &record); err != nil {
			return nil, fmt.Errorf("the secret %s: %w", name, err)
		}
		all[name] = record.Commit
	}
	return all, nil
}
