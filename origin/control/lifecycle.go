package control

import (
	"maps"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/wire"
)

// The statuses of a version.
const (
	development = "development"
	staging     = "staging"
	production  = "production"
	deprecated  = "deprecated"
	archived    = "archived"
)

// steps is the life cycle: where a version may go from each status. What it is, changes in development alone.
var steps = map[string][]string{
	development: {staging, archived},
	staging:     {production, development, archived},
	production:  {deprecated},
	deprecated:  {production, archived},
	archived:    {},
}

// onward is the step that is meant where none is named. Taking production away from a version is never meant by silence.
var onward = map[string]string{development: staging, staging: production}

// checkStep says why a version cannot go from one status to another, or nil.
func checkStep(version, from, to string) error {
	if from == to || slices.Contains(steps[from], to) {
		return nil
	}
	if _, known := steps[to]; !known {
		return failf(CodeInvalid, "there is no status %q; use one of %s", to, strings.Join(slices.Sorted(maps.Keys(steps)), ", "))
	}
	if len(steps[from]) == 0 {
		return failf(CodeStep, "%s is archived, which it stays; make a new version from it", version)
	}
	return failf(CodeStep, "%s cannot go from %s to %s; from there it goes to %s", version, from, to, strings.Join(steps[from], " or "))
}

// checkLife says why a draft does to a version what its life cycle does not allow, or nil.
func (d *draft) checkLife(changed []id) error {
	for _, i := range changed {
		if i.kind != wire.KindVersion {
			continue
		}
		before, was := d.there[i]
		after, is := d.after[i]
		var err error
		switch {
		case !was:
			err = d.checkBirth(i.name, statusOf(after))
		case !is:
			err = d.checkDeath(i.name, statusOf(before.Body))
		default:
			err = checkStep(i.name, statusOf(before.Body), statusOf(after))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkBirth says why a version cannot begin with a status. The versions of a new model may: it may come from
// elsewhere, where it has lived.
func (d *draft) checkBirth(version, status string) error {
	model, _, _ := strings.Cut(version, "@")
	if _, was := d.there[id{wire.KindModel, model}]; !was || status == development || status == staging {
		return nil
	}
	return failf(CodeStep, "the new version %s cannot begin in %s; begin in development or staging, and promote it", version, status)
}

// checkDeath says why a version cannot be deleted while its model stays.
func (d *draft) checkDeath(version, status string) error {
	model, _, _ := strings.Cut(version, "@")
	if _, is := d.after[id{wire.KindModel, model}]; !is || status == development || status == archived {
		return nil
	}
	return failf(CodeStep, "%s cannot be deleted in %s; archive it first", version, status)
}

// freeze refuses changes to versions outside of development. One that only spells the same in another way is no change.
func (d *draft) freeze(was func() *catalogs, is *catalogs) error {
	for _, i := range d.changed() {
		before, there := d.there[i]
		after, stays := d.after[i]
		if i.kind != wire.KindVersion || !there || !stays || statusOf(before.Body) == development {
			continue
		}
		same, err := withMember(before.Body, "status", statusOf(after))
		if err != nil {
			return err
		}
		if !equalBodies(same, after) && !equalVersions(was().version(i.name), is.version(i.name)) {
			var paths []string
			for _, f := range diffJSON(same, after) {
				paths = append(paths, f.Path)
			}
			return failf(CodeFixed, "%s is in %s and cannot change (%s); make a new version of it", i.name, statusOf(before.Body), strings.Join(paths, ", "))
		}
		if statusOf(before.Body) == statusOf(after) {
			same = before.Body
		}
		d.after[i] = same
	}
	return nil
}
