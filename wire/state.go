package wire

import (
	"errors"
	"fmt"
	"slices"
)

// CheckState tells whether a node could use a whole state: sorted resources, each Shared and there once, whose bodies are
// canonical and say nothing that this build does not know, and which make up a catalog, with and without what is being
// released. It does not tell whether blobs are there.
func CheckState(sorted []Resource) error {
	for i := range sorted {
		if i > 0 && compareResources(sorted[i-1], sorted[i]) >= 0 {
			return fmt.Errorf("the %s %s is there twice or out of its order", sorted[i].Kind, show(sorted[i].Name))
		}
		if err := checkResource(&sorted[i]); err != nil {
			return fmt.Errorf("the %s %s: %w", sorted[i].Kind, show(sorted[i].Name), err)
		}
	}
	released, err := applyReleases(sorted, func(*Release) bool { return true })
	if err == nil {
		err = checkCatalog(sorted)
	}
	if err == nil && slices.ContainsFunc(sorted, func(r Resource) bool { return r.Kind == KindRelease }) {
		err = checkCatalog(released)
	}
	return err
}

func checkCatalog(resources []Resource) error {
	whole, err := JoinCatalog(resources)
	if err == nil {
		_, err = ParseCatalog("bundle", whole)
	}
	return err
}

// checkResource checks what the catalog's reader will not: it sees the bodies of catalogs' entries only.
func checkResource(r *Resource) error {
	if !Shared(r.Kind) {
		return errors.New("this build does not know the kind")
	}
	if err := checkCanonical(r.Body); err != nil {
		return err
	}
	switch r.Kind {
	case KindSecret:
		var s SecretRecord
		if err := DecodeStrict(r.Body, &s); err != nil {
			return err
		}
		if !isDigest(s.Commit) {
			return errors.New("its commitment is not sha256: and 64 hexadecimal digits")
		}
	case KindTrust:
		var t TrustRecord
		if err := DecodeStrict(r.Body, &t); err != nil {
			return err
		}
		_, err := TrustOf(t.Keys...)
		return err
	}
	return nil
}
