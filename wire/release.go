package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ApplyReleases returns the resources as one node has them: for each release whose cohort the node belongs to, the
// candidate is in production, and what was in production is deprecated. What it is given is not changed. A release that
// cannot be read, or that names a version which is not there, is an error even where the node is not meant.
func ApplyReleases(resources []Resource, node string) ([]Resource, error) {
	return applyReleases(resources, func(r *Release) bool { return r.Covers(node) })
}

func applyReleases(resources []Resource, covers func(*Release) bool) ([]Resource, error) {
	own := slices.Clone(resources)
	released := map[string]bool{}
	for i := range resources {
		if resources[i].Kind != KindRelease {
			continue
		}
		r, err := readRelease(resources[i].Body)
		switch {
		case err != nil:
		case released[r.Model]:
			err = fmt.Errorf("the model %s has another release", show(r.Model))
		default:
			released[r.Model] = true
			err = r.apply(own, covers(&r))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot apply the release %s: %w", show(resources[i].Name), err)
		}
	}
	return own, nil
}

// Covers says that a node belongs to the release's cohort. Who belongs to a cohort belongs to every larger one of the
// same seed.
func (r *Release) Covers(node string) bool {
	return float64(Bucket(r.Seed, []byte(node))) < r.Percent/100*Buckets
}

var releaseMembers = words{"model", "candidate", "percent", "seed"}

func readRelease(body []byte) (r Release, err error) {
	var members map[string]json.RawMessage
	if err = checkCanonical(body); err == nil {
		err = errors.Join(json.Unmarshal(body, &members), json.Unmarshal(body, &r))
	}
	for member := range members { // encoding/json does not tell Model from model
		if !slices.Contains(releaseMembers, member) {
			err = fmt.Errorf("%s is not known", show(member))
		}
	}
	switch {
	case err != nil:
	case r.Model == "" || r.Candidate == "":
		err = errors.New("it needs a model and a candidate")
	case r.Percent < 0 || r.Percent > 100:
		err = fmt.Errorf("%g is no percentage of nodes; want 0 to 100", r.Percent)
	}
	return r, err
}

// apply looks the candidate up, and, for nodes that are covered, puts it into production.
func (r *Release) apply(own []Resource, covered bool) error {
	candidate := slices.IndexFunc(own, func(o Resource) bool {
		return o.Kind == KindVersion && o.Name == VersionName(r.Model, r.Candidate)
	})
	if candidate < 0 {
		return fmt.Errorf("the model %s has no version %s", show(r.Model), show(r.Candidate))
	}
	if !covered {
		return nil
	}
	for i := range own {
		model, _, _ := strings.Cut(own[i].Name, "@")
		if own[i].Kind != KindVersion || model != r.Model {
			continue
		}
		if err := move(&own[i], i == candidate); err != nil {
			return fmt.Errorf("the version %s: %w", own[i].Name, err)
		}
	}
	return nil
}

// move puts a version into production, or out of it if it is there.
func move(version *Resource, promote bool) error {
	var body map[string]json.RawMessage
	if err := json.Unmarshal(version.Body, &body); err != nil {
		return err
	}
	switch {
	case promote:
		body["status"] = json.RawMessage(`"production"`)
	case entryText(body["status"]) == "production":
		body["status"] = json.RawMessage(`"deprecated"`)
	default:
		return nil
	}
	moved, err := CanonicalJSON(body)
	version.Body = moved
	return err
}

// checkCanonical refuses JSON that others might read differently: with members that stand there twice, for one.
func checkCanonical(body []byte) error {
	canonical, err := CanonicalJSON(body)
	if err == nil && !bytes.Equal(canonical, body) {
		err = errors.New("its JSON is not canonical: members sorted and each but once, no spaces")
	}
	return err
}
