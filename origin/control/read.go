package control

import (
	"context"
	"errors"
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
	if kind != wire.KindModel {
		r, err := c.store.Get(ctx, kind, name)
		if errors.Is(err, store.ErrNotFound) {
			err = failf(CodeNotFound, "there is no %s %q", kind, name)
		}
		return plain(&r), err
	}
	s, err := c.load(ctx)
	if err != nil {
		return Resource{}, err
	}
	if _, there := s.there[id{kind, name}]; !there {
		return Resource{}, failf(CodeNotFound, "there is no model %q", name)
	}
	return s.model(name)
}

// List returns up to limit resources of a kind whose names follow after, by their names' bytes, and the name after which
// the next page begins, "" where there is none for sure. 0 is as many as a page has, 1000.
func (c *Control) List(ctx context.Context, kind, after string, limit int) (items []Resource, next string, err error) {
	if err := checkReadable(kind); err != nil {
		return nil, "", err
	}
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	if kind == wire.KindModel {
		items, err = c.models(ctx, after, limit)
	} else {
		var found []store.Resource
		found, err = c.store.List(ctx, kind, after, limit)
		items = make([]Resource, len(found))
		for i := range found {
			items[i] = plain(&found[i])
		}
	}
	if len(items) == limit {
		next = items[limit-1].Name
	}
	return items, next, err
}

// models is a page of models.
func (c *Control) models(ctx context.Context, after string, limit int) ([]Resource, error) {
	s, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	items := []Resource{}
	for _, name := range s.names(wire.KindModel) {
		if name <= after || len(items) == limit {
			continue
		}
		m, err := s.model(name)
		if err != nil {
			return nil, err
		}
		items = append(items, m)
	}
	return items, nil
}

func checkReadable(kind string) error {
	if kind == wire.KindSecret {
		return nil
	}
	return checkKind(kind)
}

// plain is a resource as it is stored.
func plain(r *store.Resource) Resource {
	return Resource{Kind: r.Kind, Name: r.Name, Version: r.Version, Created: r.Created, Updated: r.Updated, Body: r.Body}
}

// model is a model with its versions.
func (s *state) model(name string) (Resource, error) {
	r := s.there[id{wire.KindModel, name}]
	m := plain(&r)
	m.Version = s.version(wire.KindModel, name)
	var versions []any
	for _, version := range versionsOf(maps.Keys(s.there), name) {
		v := s.there[id{wire.KindVersion, wire.VersionName(name, version)}]
		versions = append(versions, parseAny(v.Body))
		if v.Updated.After(m.Updated) {
			m.Updated = v.Updated
		}
	}
	var err error
	m.Body, err = withMember(r.Body, "versions", versions)
	return m, err
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
