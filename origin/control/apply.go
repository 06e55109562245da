package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Apply makes a catalog true. Its entries replace those of the same names; the whole that comes out has to be valid, so
// entries may name what is there already. A version that states no status keeps the one it has. Where nothing differs,
// there is no revision; where more differs than one revision takes, there are several, each of which is valid. The error
// is an *Error unless the database fails, as of every method here.
func (c *Control) Apply(ctx context.Context, by By, a Apply) (Result, error) {
	if a.Name == "" {
		a.Name = "catalog"
	}
	part, err := wire.SplitPart(a.Name, a.Catalog)
	if err != nil {
		if e, is := told(err).(*Error); is {
			return Result{}, e
		}
		return Result{}, failf(CodeInvalid, "%s", err)
	}
	k := call{by: by, verb: "apply", request: a, name: a.Name, at: inDocument(a.Catalog), dry: a.DryRun}
	plan := func(s *state) (*draft, error) {
		d := s.draft()
		if a.Prune {
			d.prune(part)
		}
		for _, r := range part {
			if err := d.place(r.Kind, r.Name, r.Body); err != nil {
				return nil, err
			}
		}
		return d, nil
	}
	result, err := change(ctx, c, k, plan, resultOnly)
	switch {
	case !errors.Is(err, errTooLarge):
		return result, err
	case a.DryRun:
		return c.wholeDry(ctx, k, plan)
	}
	return c.inParts(ctx, k, plan)
}

func resultOnly(r Result) Result { return r }

// prune removes the entries of the catalog that are not among those given.
func (d *draft) prune(keep []wire.Resource) {
	named := map[id]bool{}
	for _, r := range keep {
		named[id{r.Kind, r.Name}] = true
	}
	for i := range maps.Clone(d.after) {
		switch {
		case named[i] || i.kind != wire.KindVersion && !entryKinds[i.kind]:
		case i.kind == wire.KindModel:
			d.removeModel(i.name)
		default:
			d.remove(i.kind, i.name)
		}
	}
}

// removeModel removes a model with its versions, and what is remembered of its last release.
func (d *draft) removeModel(model string) {
	for _, version := range d.versions(model) {
		d.remove(wire.KindVersion, wire.VersionName(model, version))
	}
	d.remove(wire.KindModel, model)
	if r, ok := d.rollout(model); ok && r.State != stateRunning {
		d.remove(kindRollout, model)
	}
}

// place puts an entry. What a version's status, or the id and hash of a key are, stays where the entry is silent.
func (d *draft) place(kind, name string, body []byte) error {
	silent := map[string][]string{wire.KindVersion: {"status"}, wire.KindKey: {"id", "hash"}}[kind]
	was := d.there[id{kind, name}].Body
	for _, member := range silent {
		value, stated := memberOfBody(was, member), memberOfBody(body, member)
		if value == nil || stated != nil {
			continue
		}
		var err error
		if body, err = withMember(body, member, value); err != nil {
			return err
		}
	}
	d.put(kind, name, body)
	return nil
}

// memberOfBody is a member of a body, nil where there is none.
func memberOfBody(body []byte, name string) any {
	object, _ := parseAny(body).(map[string]any)
	return object[name]
}

// entryKinds are those that people put and delete one by one, besides versions.
var entryKinds = map[string]bool{
	wire.KindProvider: true, wire.KindModel: true, wire.KindExperiment: true, wire.KindPolicy: true,
	wire.KindPrompt: true, wire.KindPrice: true, wire.KindKey: true, wire.KindBudget: true,
	wire.KindRate: true, wire.KindWebhook: true,
}

func checkKind(kind string) error {
	if kind == wire.KindVersion || entryKinds[kind] {
		return nil
	}
	all := append(slices.Collect(maps.Keys(entryKinds)), wire.KindVersion)
	slices.Sort(all)
	return failf(CodeInvalid, "%q is no kind of the catalog; use one of %s", kind, strings.Join(all, ", "))
}

// Put makes or replaces one entry of the catalog: kind is provider, model, version, experiment, policy, prompt, price,
// key or budget. expect is the version that it has, store.Absent or store.Any. The body's members that make up the name
// may be left out. A model's body may have versions, which are put, too; those that it does not name stay.
func (c *Control) Put(ctx context.Context, by By, kind, name string, body []byte, expect int64) (Result, error) {
	if err := checkKind(kind); err != nil {
		return Result{}, err
	}
	entries, err := entriesOf(kind, name, body)
	if err != nil {
		return Result{}, err
	}
	k := call{by: by, verb: "put", request: []any{kind, name, string(body), expect}, at: inBody(id{kind, name})}
	return change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		if err := s.expect(kind, name, expect); err != nil {
			return nil, err
		}
		if model, _, _ := strings.Cut(name, "@"); kind == wire.KindVersion {
			if _, there := s.there[id{wire.KindModel, model}]; !there {
				return nil, failf(CodeNotFound, "there is no model %q; put it with its first version", model)
			}
		}
		for _, r := range entries {
			if err := d.place(r.Kind, r.Name, r.Body); err != nil {
				return nil, err
			}
		}
		return d, nil
	}, resultOnly)
}

// entriesOf takes the body of an entry apart, a model's with its versions.
func entriesOf(kind, name string, body []byte) ([]wire.Resource, error) {
	members := map[string]json.RawMessage{}
	if err := readObject(body, members); err != nil {
		return nil, failf(CodeInvalid, "cannot read the body of %s %q: %v", kind, name, err)
	}
	if err := nameMembers(kind, name, members); err != nil {
		return nil, err
	}
	var versions []json.RawMessage
	if raw, has := members["versions"]; has && kind == wire.KindModel {
		if err := json.Unmarshal(raw, &versions); err != nil {
			return nil, failf(CodeInvalid, "the versions of the model %q are no list: %v", name, err)
		}
		delete(members, "versions")
	}
	own, err := wire.CanonicalJSON(members)
	if err != nil {
		return nil, err
	}
	all := []wire.Resource{{Kind: kind, Name: name, Body: own}}
	for _, raw := range versions {
		version := textOf(memberOfBody(raw, "version"))
		body, err := wire.CanonicalJSON([]byte(raw))
		if err != nil || version == "" {
			return nil, failf(CodeInvalid, "a version of the model %q has no number; write version: MAJOR.MINOR.PATCH", name)
		}
		all = append(all, wire.Resource{Kind: wire.KindVersion, Name: wire.VersionName(name, version), Body: body})
	}
	return all, nil
}

// readObject reads the members of a JSON object, none of which may stand there twice, at any depth.
func readObject(body []byte, members map[string]json.RawMessage) error {
	if err := json.Unmarshal(body, &members); err != nil {
		return fmt.Errorf("want a JSON object: %w", err)
	}
	if err := yaml.Unmarshal(body, new(any)); err != nil && strings.Contains(err.Error(), "already defined") {
		return fmt.Errorf("a member stands there twice: %w", err)
	}
	return nil
}

// nameMembers fills in the members that make up a name, and refuses those that make up another.
func nameMembers(kind, name string, members map[string]json.RawMessage) error {
	own := map[string]string{"name": name}
	first, second, both := strings.Cut(name, "@")
	switch kind {
	case wire.KindVersion:
		own = map[string]string{"version": second}
	case wire.KindPrompt:
		own = map[string]string{"name": first, "version": second}
	case wire.KindPrice:
		first, second, both = strings.Cut(name, "/")
		own = map[string]string{"provider": first, "model": second}
	default:
		both = true
	}
	if !both {
		return failf(CodeInvalid, "%q cannot be the name of a %s; versions and prompts are NAME@VERSION, prices PROVIDER/MODEL", name, kind)
	}
	for member, value := range own {
		raw, stated := members[member]
		if stated && textOf(parseAny(raw)) != value {
			return failf(CodeInvalid, "the body calls the %s %q by another name: %s is %s", kind, name, member, raw)
		}
		if !stated {
			text, err := wire.CanonicalJSON(value)
			if err != nil {
				return err
			}
			members[member] = text
		}
	}
	return nil
}

// version is the revision that changed a resource last, a model's with its versions; 0 where there is none.
func (s *state) version(kind, name string) int64 {
	rev := s.there[id{kind, name}].Version
	if kind == wire.KindModel && rev > 0 {
		for _, version := range versionsOf(maps.Keys(s.there), name) {
			rev = max(rev, s.there[id{wire.KindVersion, wire.VersionName(name, version)}].Version)
		}
	}
	return rev
}

// expect refuses a resource that is not at the version that the caller knows.
func (s *state) expect(kind, name string, version int64) error {
	is := s.version(kind, name)
	if version == store.Any || version == is {
		return nil
	}
	return failf(CodeConflict, "%s", (&store.ConflictError{Kind: kind, Name: name, Expected: version, Current: is}).Error())
}

// Delete deletes one entry of the catalog, a model with its versions.
func (c *Control) Delete(ctx context.Context, by By, kind, name string, expect int64) (Result, error) {
	if err := checkKind(kind); err != nil {
		return Result{}, err
	}
	k := call{by: by, verb: "delete", request: []any{kind, name, expect}}
	return change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		if _, there := d.after[id{kind, name}]; !there {
			return nil, failf(CodeNotFound, "there is no %s %q", kind, name)
		}
		if err := s.expect(kind, name, expect); err != nil {
			return nil, err
		}
		if kind == wire.KindModel {
			d.removeModel(name)
		} else {
			d.remove(kind, name)
		}
		return d, nil
	}, resultOnly)
}
