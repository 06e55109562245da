package control

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// id names a resource.
type id struct{ kind, name string }

func (i id) String() string { return i.kind + "/" + i.name }

// state is all resources at one head.
type state struct {
	head  store.Head
	there map[id]store.Resource
}

func (c *Control) load(ctx context.Context) (*state, error) {
	s := &state{there: map[id]store.Resource{}}
	head, err := c.store.Snapshot(ctx, func(head store.Head, r store.Resource) error {
		if head != s.head { // it began anew
			s.head = head
			clear(s.there)
		}
		s.there[id{r.Kind, r.Name}] = r
		return nil
	})
	s.head = head
	return s, err
}

// names lists the names of a kind, sorted.
func (s *state) names(kind string) []string {
	var all []string
	for i := range s.there {
		if i.kind == kind {
			all = append(all, i.name)
		}
	}
	slices.Sort(all)
	return all
}

// draft is what a change makes of a state.
type draft struct {
	*state
	after map[id][]byte

	reach    string     // MODEL@VERSION whose targets have to answer, "" for none
	policies string     // the model whose policies have to pass besides those that change
	traffic  *Promotion // whose traffic has to be enough
	skip     []string   // gates that are not looked at
	all      bool       // every gate is told, also those that had nothing to look at
	back     bool       // it goes back to what was: that nodes cannot do what they could before is no reason to stay
	moved    string     // a model that goes back to a version: its former ones are forgotten from there on

	// within runs in the transaction, before the change, and may add operations to it.
	within func(t *store.Tx) ([]store.Op, error)
	// hidden are changes that within adds.
	hidden []Change
}

func (s *state) draft() *draft {
	d := &draft{state: s, after: make(map[id][]byte, len(s.there))}
	for i, r := range s.there {
		d.after[i] = r.Body
	}
	return d
}

func (d *draft) put(kind, name string, body []byte) { d.after[id{kind, name}] = body }
func (d *draft) remove(kind, name string)           { delete(d.after, id{kind, name}) }

// changed lists what the draft changes, by kind and name.
func (d *draft) changed() []id {
	var all []id
	for i, body := range d.after {
		if r, was := d.there[i]; !was || !bytes.Equal(r.Body, body) {
			all = append(all, i)
		}
	}
	for i := range d.there {
		if _, is := d.after[i]; !is {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b id) int {
		if c := strings.Compare(a.kind, b.kind); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return all
}

// ops are the operations that make the draft true.
func (d *draft) ops(changed []id) []store.Op {
	ops := make([]store.Op, len(changed))
	for n, i := range changed {
		body, is := d.after[i]
		if !is {
			ops[n] = store.Delete(i.kind, i.name, d.there[i].Version)
			continue
		}
		ops[n] = store.Put(i.kind, i.name, body, d.there[i].Version)
	}
	return ops
}

// changes tells people what the draft changes.
func (d *draft) changes(changed []id) []Change {
	all := []Change{}
	for _, i := range changed {
		if i.kind == kindRollout {
			continue
		}
		was, before := d.there[i]
		body, after := d.after[i]
		c := Change{Kind: i.kind, Name: i.name, Action: "create", Before: was.Body, After: body}
		switch {
		case !after:
			c.Action = "delete"
		case before:
			c.Action, c.Fields = "update", diffJSON(was.Body, body)
		}
		if i.kind == wire.KindSecret {
			c.Before, c.After, c.Fields = nil, nil, nil
		}
		all = append(all, c)
	}
	return append(all, d.hidden...)
}

// resources are those of the draft.
func (d *draft) resources() []wire.Resource {
	all := make([]wire.Resource, 0, len(d.after))
	for i, body := range d.after {
		all = append(all, wire.Resource{Kind: i.kind, Name: i.name, Body: body})
	}
	return all
}

// versions lists a model's versions, by their numbers.
func (d *draft) versions(model string) []string { return versionsOf(maps.Keys(d.after), model) }

func versionsOf(ids func(func(id) bool), model string) []string {
	var all []string
	for i := range ids {
		if m, version, _ := strings.Cut(i.name, "@"); i.kind == wire.KindVersion && m == model {
			all = append(all, version)
		}
	}
	slices.SortFunc(all, func(a, b string) int {
		x, xErr := semver.StrictNewVersion(a)
		y, yErr := semver.StrictNewVersion(b)
		if xErr != nil || yErr != nil || x.Equal(y) {
			return strings.Compare(a, b)
		}
		return x.Compare(y)
	})
	return all
}

// status is a version's status, "" where there is no such version.
func (d *draft) status(model, version string) string {
	body, ok := d.after[id{wire.KindVersion, wire.VersionName(model, version)}]
	if !ok {
		return ""
	}
	return statusOf(body)
}

// production is a model's version in production, "" for none.
func (d *draft) production(model string) string {
	for _, version := range d.versions(model) {
		if d.status(model, version) == production {
			return version
		}
	}
	return ""
}

// setStatus moves a version to a status.
func (d *draft) setStatus(model, version, status string) error {
	i := id{wire.KindVersion, wire.VersionName(model, version)}
	body, err := withMember(d.after[i], "status", status)
	if err == nil {
		d.after[i] = body
	}
	return err
}

// need finds a version, or says which there are.
func (d *draft) need(model, version string) (status string, err error) {
	if _, ok := d.after[id{wire.KindModel, model}]; !ok {
		return "", failf(CodeNotFound, "there is no model %q", model)
	}
	if status = d.status(model, version); status == "" {
		return "", failf(CodeNotFound, "the model %q has no version %q; it has %s", model, version, strings.Join(d.versions(model), ", "))
	}
	return status, nil
}

// statusOf is the status that a version's body states, or the default.
func statusOf(body []byte) string {
	var v struct {
		Status string `json:"status"`
	}
	if json.Unmarshal(body, &v) != nil || v.Status == "" {
		return development
	}
	return v.Status
}

// withMember is a body with one member set.
func withMember(body []byte, name string, value any) ([]byte, error) {
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, err
	}
	raw, err := wire.CanonicalJSON(value)
	if err != nil {
		return nil, err
	}
	members[name] = raw
	return wire.CanonicalJSON(members)
}
