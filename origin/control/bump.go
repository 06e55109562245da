package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/wedge-proxy/wedge/wire"
)

// The parts of a version's number that a change counts up.
const (
	bumpNone  = "none"
	bumpPatch = "patch"
	bumpMinor = "minor"
	bumpMajor = "major"
	bumpFirst = "first" // there is nothing to compare with
)

// bump tells which part of the number a change from one version to another counts up, and why:
//
//   - major, when answers come from something else: another strategy, or another set of upstream models, each with the
//     dialect of its provider;
//   - minor, when the same upstream models are asked something else: another prompt, params or force;
//   - patch, when only the way there differs: providers of the same dialect that have the same model, weights, names,
//     timeouts, capabilities, balance, retry, fallback.
func bump(was, is *wire.Version, dialect func(provider string) string) (part, why string) {
	switch {
	case was.Strategy != is.Strategy:
		return bumpMajor, fmt.Sprintf("the strategy was %s and is %s", was.Strategy, is.Strategy)
	case !slices.Equal(upstreams(was, dialect), upstreams(is, dialect)):
		return bumpMajor, fmt.Sprintf("the upstream models were %s and are %s",
			strings.Join(upstreams(was, dialect), ", "), strings.Join(upstreams(is, dialect), ", "))
	case was.Prompt != is.Prompt:
		return bumpMinor, fmt.Sprintf("the prompt was %q and is %q", was.Prompt, is.Prompt)
	case !equalParams(was.Params, is.Params):
		return bumpMinor, "params differ"
	case !equalParams(was.Force, is.Force):
		return bumpMinor, "force differs"
	case !equalVersions(was, is):
		return bumpPatch, "only the way to the same upstream models differs"
	}
	return bumpNone, "nothing differs"
}

// upstreams is what answers: dialects and models, each once, sorted.
func upstreams(v *wire.Version, dialect func(provider string) string) []string {
	var all []string
	for i := range v.Targets {
		all = append(all, dialect(v.Targets[i].Provider)+"/"+v.Targets[i].Model)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func equalParams(a, b []wire.Param) bool {
	return slices.EqualFunc(a, b, func(x, y wire.Param) bool { return x.Key == y.Key && equalBodies(x.Value, y.Value) })
}

// nextNumber is the number of a version that differs by a part from the one it is made from: the lowest one in that
// line that is above all there are. A first version is 1.0.0.
func nextNumber(base, part string, taken []string) (string, error) {
	if part == bumpFirst {
		return "1.0.0", nil
	}
	from, err := semver.StrictNewVersion(base)
	if err != nil {
		return "", fmt.Errorf("cannot count on from version %q: %w", base, err)
	}
	major, minor, patch := from.Major(), from.Minor(), from.Patch()
	for _, other := range taken {
		v, err := semver.StrictNewVersion(other)
		switch {
		case err != nil:
		case part == bumpMajor:
			major = max(major, v.Major())
		case v.Major() != from.Major():
		case part == bumpMinor:
			minor = max(minor, v.Minor())
		case v.Minor() == from.Minor():
			patch = max(patch, v.Patch())
		}
	}
	switch part {
	case bumpMajor:
		return semver.New(major+1, 0, 0, "", "").String(), nil
	case bumpMinor:
		return semver.New(major, minor+1, 0, "", "").String(), nil
	}
	return semver.New(major, minor, patch+1, "", "").String(), nil
}
