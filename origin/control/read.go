package control

import (
	"context"
	"maps"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// maxPage is how many resources a page has at most.
const maxPage = 1000

// Get returns an entry of the catalog, a model with its versions, or the record of a secret, which is not the secret.
func (c *Control) Get(ctx context.Context, kind, name string) (Resource, error) {
	if err := checkReadable(kind); err != nil {
		return Resource{}, err
	}
	s, err := c.load(ctx)
	if err != nil {
		return Resource{}, err
	}
	if _, there := s.there[id{kind, name}]; !there {
		return Resource{}, failf(CodeNotFound, "there is no %s %q", kind, name)
	}
	return s.shown(kind, name)
}

// List returns up to limit resources of a kind whose names follow after, by their names' bytes, and the name after which
// the next page begins, "" where there is none. 0 is as many as a page has, 1000.
func (c *Control) List(ctx context.Context, kind, after string, limit int) (items []Resource, next string, err error) {
	if err := checkReadable(kind); err != nil {
		return nil, "", err
	}
	s, err := c.load(ctx)
	if err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	items = []Resource{}
	for _, name := range s.names(kind) {
		if name <= after && after != "" {
			continue
		}
		if len(items) == limit {
			return items, items[limit-1].Name, nil
		}
		r, err := s.shown(kind, name)
		if err != nil {
			return nil, "", err
		}
		items = append(items, r)
	}
	return items, "", nil
}

func checkReadable(kind string) error {
	if kind == wire.KindSecret {
		return nil
	}
	return checkKind(kind)
}

// shown is a resource as people see it.
func (s *state) shown(kind, name string) (Resource, error) {
	r := s.there[id{kind, name}]
	shown := Resource{Kind: kind, Name: name, Version: s.version(kind, name), Created: r.Created, Updated: r.Updated, Body: r.Body}
	if kind != wire.KindModel {
		return shown, nil
	}
	var versions []any
	for _, version := range versionsOf(maps.Keys(s.there), name) {
		v := s.there[id{wire.KindVersion, wire.VersionName(name, version)}]
		versions = append(versions, parseAny(v.Body))
		if v.Updated.After(shown.Updated) {
			shown.Updated = v.Updated
		}
	}
	var err error
	shown.Body, err = withMember(r.Body, "versions", versions)
	return shown, err
}

// Catalog returns the whole catalog as JSON, and the head that it is of.
func (c *Control) Catalog(ctx context.Context) ([]byte, store.Head, error) {
	s, err := c.load(ctx)
	if err != nil {
		return nil, store.Head{}, err
	}
	joined, err := wire.JoinCatalog(s.draft().resources())
	return joined, s.head, err
}
