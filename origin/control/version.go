package control

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// day is how far metrics look back where nothing else is said.
const day = 24 * time.Hour

// CreateVersion numbers a configuration and adds it to its model, in development. The model is made if it is not there.
//
// The number counts on from the version named by From, else from the one in production, else from the highest: major
// when answers come from something else (the strategy, or the set of upstream models with their providers' dialects),
// minor when the same upstream models are asked something else (prompt, params, force), patch when only the way there
// differs (providers of the same dialect, weights, names, timeouts, capabilities, balance, retry, fallback). It is the
// lowest number of that line above all there are. Bump in the request overrides the rule, a version in the body the
// number. A configuration that is the same as the one it counts on from is refused, unless Bump or a number is given.
func (c *Control) CreateVersion(ctx context.Context, by By, v NewVersion) (VersionMade, error) {
	if wire.CheckName(v.Model) != nil {
		return VersionMade{}, failf(CodeInvalid, "%q cannot be the name of a model; use letters, digits and . _ - / : +", v.Model)
	}
	switch v.Bump {
	case "", bumpMajor, bumpMinor, bumpPatch:
	default:
		return VersionMade{}, failf(CodeInvalid, "there is no bump %q; use major, minor or patch, or none for what the change says", v.Bump)
	}
	made := VersionMade{Model: v.Model}
	var own id
	k := call{by: by, verb: "version", request: v, dry: v.DryRun,
		at: func(i id, rest string) (string, int, int) { return inBody(own)(i, rest) }}
	return change(ctx, c, k, func(s *state) (*draft, error) {
		d := s.draft()
		own = id{wire.KindVersion, wire.VersionName(v.Model, provisional)}
		err := d.number(&v, &made, k.at)
		own = id{wire.KindVersion, wire.VersionName(v.Model, made.Version)}
		return d, err
	}, func(r Result) VersionMade {
		made.Result = r
		return made
	})
}

// provisional is the number that a version has until its own is known. No model gets as far.
const provisional = "999999999.0.0"

// number adds the new version to the draft under its number.
func (d *draft) number(v *NewVersion, made *VersionMade, at placer) error {
	members, base, err := d.configuration(v)
	if err != nil {
		return err
	}
	given := textOf(parseAny(members["version"]))
	if given != "" && d.status(v.Model, given) != "" {
		return failf(CodeConflict, "the model %q has a version %s already; leave the number out to get the next one", v.Model, given)
	}
	taken := d.versions(v.Model)
	if err := d.putVersion(v.Model, provisional, members); err != nil {
		return err
	}
	x, err := read("catalog", d.resources(), at)
	if err != nil {
		return err
	}
	made.compare(x, base, v.Bump)
	if made.Bump == bumpNone && given == "" {
		return failf(CodeConflict, "the configuration is that of %s@%s; change something, or say which part of the number to bump", v.Model, base)
	}
	if made.Version = given; given == "" {
		if made.Version, err = nextNumber(base, made.Bump, taken); err != nil {
			return err
		}
	}
	d.remove(wire.KindVersion, wire.VersionName(v.Model, provisional))
	return d.putVersion(v.Model, made.Version, members)
}

// compare fills in the hash of the version that has the provisional number, and what it differs by from its base; asked
// overrides that.
func (made *VersionMade) compare(x *catalogs, base, asked string) {
	is := x.version(wire.VersionName(made.Model, provisional))
	hash := x.models[made.Model].VersionHash(is)
	made.Hash = "sha256:" + hex.EncodeToString(hash[:])
	if base == "" {
		made.Bump, made.Why = bumpFirst, "the model has no version yet"
		return
	}
	made.Bump, made.Why = bump(x.version(wire.VersionName(made.Model, base)), is, x.dialect)
	made.Why = "compared with " + base + ": " + made.Why
	if asked != "" {
		made.Bump, made.Why = asked, "it was asked for; "+made.Why
	}
}

// configuration is what the new version says, and the version to compare it with, "" for none.
func (d *draft) configuration(v *NewVersion) (members map[string]json.RawMessage, base string, err error) {
	members = map[string]json.RawMessage{}
	if v.From != "" {
		if _, err := d.need(v.Model, v.From); err != nil {
			return nil, "", err
		}
		if err := json.Unmarshal(d.after[id{wire.KindVersion, wire.VersionName(v.Model, v.From)}], &members); err != nil {
			return nil, "", err
		}
		delete(members, "version")
		delete(members, "status")
	}
	if len(v.Body) > 0 {
		if err := readObject(v.Body, members); err != nil {
			return nil, "", failf(CodeInvalid, "cannot read the configuration: %v", err)
		}
	}
	if base = v.From; base == "" {
		base = d.production(v.Model)
	}
	if all := d.versions(v.Model); base == "" && len(all) > 0 {
		base = all[len(all)-1]
	}
	return members, base, nil
}

// putVersion puts a version, and its model if it is not there.
func (d *draft) putVersion(model, version string, members map[string]json.RawMessage) error {
	if _, there := d.after[id{wire.KindModel, model}]; !there {
		body, err := wire.CanonicalJSON(map[string]string{"name": model})
		if err != nil {
			return err
		}
		d.put(wire.KindModel, model, body)
	}
	body, err := wire.CanonicalJSON(members)
	if err == nil {
		body, err = withMember(body, "version", version)
	}
	d.put(wire.KindVersion, wire.VersionName(model, version), body)
	return err
}

// Diff compares two versions of a model; from "" is the one in production.
func (c *Control) Diff(ctx context.Context, model, from, to string) (VersionDiff, error) {
	s, err := c.load(ctx)
	if err != nil {
		return VersionDiff{}, err
	}
	d := s.draft()
	if from == "" {
		if from = d.production(model); from == "" {
			return VersionDiff{}, failf(CodeNotFound, "the model %q has no version in production; say which versions to compare", model)
		}
	}
	for _, version := range []string{from, to} {
		if _, err := d.need(model, version); err != nil {
			return VersionDiff{}, err
		}
	}
	x := s.before()
	m, a, b := x.models[model], x.version(wire.VersionName(model, from)), x.version(wire.VersionName(model, to))
	if m == nil || a == nil || b == nil {
		return VersionDiff{}, failf(CodeInvalid, "this Wedge cannot read the catalog; apply one that it can")
	}
	diff := VersionDiff{Model: model, From: from, To: to, SameHash: m.VersionHash(a) == m.VersionHash(b), Fields: []FieldChange{}}
	diff.Bump, _ = bump(a, b, x.dialect)
	for _, f := range diffJSON(d.after[id{wire.KindVersion, wire.VersionName(model, from)}], d.after[id{wire.KindVersion, wire.VersionName(model, to)}]) {
		if f.Path != "version" && f.Path != "status" {
			diff.Fields = append(diff.Fields, f)
		}
	}
	totals, err := c.Metrics(ctx, model, day)
	for _, t := range totals {
		if t.Version == from || t.Version == to {
			diff.Metrics = append(diff.Metrics, t)
		}
	}
	return diff, err
}

// Metrics tells what nodes reported of each version of a model, in the last hours from the one that since goes back
// into; 0 is a day. Versions that are gone are told, too, as long as their reports are.
func (c *Control) Metrics(ctx context.Context, model string, since time.Duration) ([]VersionTotals, error) {
	s, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	d := s.draft()
	if _, there := d.after[id{wire.KindModel, model}]; !there {
		return nil, failf(CodeNotFound, "there is no model %q", model)
	}
	if since <= 0 {
		since = day
	}
	reported, err := c.totals(ctx, model, c.now().Add(-since), c.now())
	if err != nil {
		return nil, err
	}
	all := []VersionTotals{}
	for _, version := range d.versions(model) {
		t := reported[version]
		t.Version, t.Status = version, d.status(model, version)
		all = append(all, t)
		delete(reported, version)
	}
	for _, version := range slices.Sorted(maps.Keys(reported)) {
		all = append(all, reported[version])
	}
	return all, nil
}

// totals is what was reported, by version.
func (c *Control) totals(ctx context.Context, model string, since, until time.Time) (map[string]VersionTotals, error) {
	all := map[string]VersionTotals{}
	if c.options.Traffic == nil {
		return all, nil
	}
	list, err := c.options.Traffic(ctx, model, since, until)
	for _, t := range list {
		all[t.Version] = t
	}
	return all, err
}

func (c *Control) totalsOf(ctx context.Context, model, version string, since, until time.Time) (VersionTotals, error) {
	all, err := c.totals(ctx, model, since, until)
	return all[version], err
}
