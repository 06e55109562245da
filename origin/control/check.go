package control

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// catalogs is a catalog with its versions by name.
type catalogs struct {
	*wire.Catalog
	models   map[string]*wire.Model
	versions map[string]*wire.Version
}

func indexed(c *wire.Catalog) *catalogs {
	x := &catalogs{Catalog: c, models: map[string]*wire.Model{}, versions: map[string]*wire.Version{}}
	for i := range c.Models {
		m := &c.Models[i]
		x.models[m.Name] = m
		for j := range m.Versions {
			x.versions[wire.VersionName(m.Name, m.Versions[j].Version)] = &m.Versions[j]
		}
	}
	return x
}

// version is a version by its resource's name, nil where there is none.
func (x *catalogs) version(name string) *wire.Version { return x.versions[name] }

// provider is a provider by its name, nil where there is none.
func (x *catalogs) provider(name string) *wire.Provider {
	i := slices.IndexFunc(x.Providers, func(p wire.Provider) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &x.Providers[i]
}

// dialect is a provider's dialect, "" where there is no such provider.
func (x *catalogs) dialect(provider string) string {
	if p := x.provider(provider); p != nil {
		return p.Dialect
	}
	return ""
}

// equalVersions says that two versions are configured alike, whatever their numbers and statuses.
func equalVersions(a, b *wire.Version) bool {
	if a == nil || b == nil {
		return false
	}
	x, y := *a, *b
	x.Version, x.Status, y.Version, y.Status = "", "", "", ""
	return reflect.DeepEqual(x, y)
}

// equalBodies says that two values are the same JSON.
func equalBodies(a, b []byte) bool {
	x, xErr := wire.CanonicalJSON(a)
	y, yErr := wire.CanonicalJSON(b)
	return xErr == nil && yErr == nil && string(x) == string(y)
}

// read reads resources as one catalog.
func read(name string, resources []wire.Resource, at placer) (*catalogs, error) {
	joined, err := wire.JoinCatalog(resources)
	if err != nil {
		return nil, failf(CodeInvalid, "%s", err)
	}
	catalog, err := wire.ParseCatalog(name, joined)
	if p, is := errors.AsType[*wire.Problems](err); is {
		return nil, refusal(replaced(joined, p.List, at))
	}
	if err != nil {
		return nil, err
	}
	return indexed(catalog), nil
}

func refusal(problems []wire.Problem) error {
	return &Error{Code: CodeInvalid, Message: "the catalog has problems", Problems: problems}
}

// before is the catalog of the state. One that an older Wedge took and this one does not is as good as empty.
func (s *state) before() *catalogs {
	all := make([]wire.Resource, 0, len(s.there))
	for _, r := range s.there {
		all = append(all, wire.Resource{Kind: r.Kind, Name: r.Name, Body: r.Body})
	}
	x, err := read("catalog", all, byName)
	if err != nil {
		return indexed(&wire.Catalog{})
	}
	return x
}

var errTooLarge = failf(CodeInvalid, "the change is of more than the %d resources, or %d MiB, that one revision takes; apply it in parts",
	store.MaxOps, store.MaxSetBytes>>20)

// check judges the draft as a whole, and brings what only looks like a change back to what it was.
func (c *Control) check(d *draft, k *call) (*catalogs, error) {
	x, err := read(k.name, d.resources(), k.at)
	if err == nil {
		err = d.freeze(sync.OnceValue(d.before), x)
	}
	if err == nil && !d.back {
		err = c.supported(d, x, k)
	}
	if err == nil {
		err = d.checkUnderWay(k)
	}
	if err == nil && !k.whole && d.tooLarge() {
		err = errTooLarge
	}
	return x, err
}

// supported refuses what nodes could not do, or not get.
func (c *Control) supported(d *draft, x *catalogs, k *call) error {
	joined, err := wire.JoinCatalog(d.resources())
	if err != nil {
		return err
	}
	var list []wire.Problem
	if p, is := errors.AsType[*wire.Problems](x.CheckSupported(c.options.Support)); is {
		list = p.List
	}
	for i := range x.Policies {
		for member, ref := range map[string]string{"module": x.Policies[i].Module, "cases": x.Policies[i].Cases} {
			if strings.HasPrefix(ref, "file:") {
				list = append(list, wire.Problem{Path: fmt.Sprintf("policies[%d].%s", i, member),
					Message: "files of yours cannot be read from here; upload the blob and name it by its digest"})
			}
		}
	}
	for i := range x.Providers {
		for _, path := range d.missingSecrets(&x.Providers[i]) {
			list = append(list, wire.Problem{Path: fmt.Sprintf("providers[%d].%s", i, path[0]),
				Message: fmt.Sprintf("there is no secret %q; put it first", path[1])})
		}
	}
	for i := range x.Webhooks {
		if name, there := d.hasSecret(x.Webhooks[i].Secret); !there {
			list = append(list, wire.Problem{Path: fmt.Sprintf("webhooks[%d].secret", i), Message: fmt.Sprintf("there is no secret %q; put it first", name)})
		}
	}
	if len(list) == 0 {
		return nil
	}
	return refusal(replaced(joined, list, k.at))
}

// hasSecret tells whether the origin has the secret that ref names; a ref of another kind is nobody's concern here.
func (d *draft) hasSecret(ref string) (name string, there bool) {
	name, is := strings.CutPrefix(ref, "origin:")
	if !is || !wire.IsSecretRef(ref) {
		return name, true
	}
	_, there = d.after[id{wire.KindSecret, name}]
	return name, there
}

// missingSecrets lists the fields of a provider that name secrets which are not there, each with the name.
func (d *draft) missingSecrets(p *wire.Provider) (missing [][2]string) {
	look := func(path, ref string) {
		if name, there := d.hasSecret(ref); !there {
			missing = append(missing, [2]string{path, name})
		}
	}
	look("api_key", p.APIKey)
	for _, h := range p.Headers {
		look("headers."+h.Name, h.Value)
	}
	return missing
}
