package wire

import (
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// resolve finds the version of a model that what follows the @ of a reference means: "" production, a version,
// N.x or N.M.x the highest release in production or deprecated, or a status the highest version in it. An
// archived version is never meant. It returns -1 if there is none.
func (m *Model) resolve(selector string) int {
	best := -1
	var highest *semver.Version
	for i := range m.Versions {
		v := &m.Versions[i]
		number, err := semver.StrictNewVersion(v.Version)
		if err != nil || !v.selectedBy(selector, number) {
			continue
		}
		if best < 0 || number.GreaterThan(highest) {
			best, highest = i, number
		}
	}
	return best
}

func (v *Version) selectedBy(selector string, number *semver.Version) bool {
	if v.Status == "archived" {
		return false
	}
	if selector == "" {
		return v.Status == "production"
	}
	if slices.Contains(statuses, selector) {
		return v.Status == selector
	}
	prefix, wild := strings.CutSuffix(selector, ".x")
	if !wild {
		return v.Version == selector
	}
	major := strconv.FormatUint(number.Major(), 10)
	minor := major + "." + strconv.FormatUint(number.Minor(), 10)
	return (prefix == major || prefix == minor) && number.Prerelease() == "" &&
		(v.Status == "production" || v.Status == "deprecated")
}
