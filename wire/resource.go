package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// Kinds of resources. The first group is what a catalog is made of; their bodies are its entries, in canonical JSON, as
// people wrote them: defaults are not filled in. A model's body has no versions.
const (
	KindProvider   = "provider"
	KindModel      = "model"
	KindVersion    = "version" // named MODEL@VERSION
	KindExperiment = "experiment"
	KindPolicy     = "policy"
	KindPrompt     = "prompt" // named NAME@VERSION
	KindPrice      = "price"  // named PROVIDER/MODEL, or PROVIDER/MODEL@FROM
	KindKey        = "key"
	KindBudget     = "budget"
	KindRate       = "rate"
	KindWebhook    = "webhook" // which nodes do not get

	KindSecret  = "secret"  // a SecretRecord: what the secret is can be checked, not read
	KindRelease = "release" // a Release
	KindTrust   = "trust"   // a TrustRecord: keys that sign heads
)

// Shared says whether nodes get resources of a kind. Of others they learn the names and digests that the chain covers.
func Shared(kind string) bool {
	return sectionOf[kind] != "" && kind != KindWebhook || kind == KindVersion || kind == KindSecret || kind == KindRelease || kind == KindTrust
}

// sectionOf tells the catalog's section of a kind.
var sectionOf = map[string]string{
	KindProvider: "providers", KindModel: "models", KindExperiment: "experiments", KindPolicy: "policies",
	KindPrompt: "prompts", KindPrice: "prices", KindKey: "keys", KindBudget: "budgets",
	KindRate: "rates", KindWebhook: "webhooks",
}

// CatalogKind tells the kind whose entries stand in a section of the catalog.
func CatalogKind(section string) (kind string, ok bool) {
	for kind, s := range sectionOf {
		if s == section {
			return kind, true
		}
	}
	return "", false
}

// Resource is one entry as it is stored and travels.
type Resource struct {
	Kind, Name string
	Body       []byte // canonical JSON
}

// Digest is the SHA-256 of the body.
func (r *Resource) Digest() [sha256.Size]byte { return sha256.Sum256(r.Body) }

// SortResources puts resources into their one order: by kind, then by name, by bytes.
func SortResources(resources []Resource) {
	slices.SortFunc(resources, compareResources)
}

func compareResources(a, b Resource) int {
	if c := strings.Compare(a.Kind, b.Kind); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// VersionName is the name of a version's resource.
func VersionName(model, version string) string { return model + "@" + version }

// SplitCatalog reads a catalog and returns its entries as resources, sorted. Names are unique within a kind; what the
// catalog's reader refuses, SplitCatalog does, with the same *Problems. Beyond that it refuses numbers that JSON does not
// write so, such as 007.
func SplitCatalog(name string, data []byte) ([]Resource, error) {
	if _, err := ParseCatalog(name, data); err != nil {
		return nil, err
	}
	root, problem := parseYAML(data)
	if problem != nil {
		return nil, problemsOf(name, []Problem{*problem})
	}
	d := &decoder{left: 3*len(data) + 1<<20, marks: map[string]mark{}}
	whole := d.at(root, "").appendJSON(nil, 0)
	if err := problemsOf(name, d.problems); err != nil {
		return nil, err
	}
	return splitJSON(whole)
}

func splitJSON(whole []byte) ([]Resource, error) {
	var catalog map[string][]map[string]json.RawMessage
	if err := json.Unmarshal(whole, &catalog); err != nil {
		return nil, fmt.Errorf("cannot take the catalog apart: %w", err)
	}
	var all []Resource
	for kind, section := range sectionOf {
		for _, entry := range catalog[section] {
			some, err := splitEntry(kind, entry)
			if err != nil {
				return nil, err
			}
			all = append(all, some...)
		}
	}
	SortResources(all)
	for i := 1; i < len(all); i++ {
		if all[i].Kind == all[i-1].Kind && all[i].Name == all[i-1].Name {
			return nil, fmt.Errorf("cannot take the catalog apart: the %s %s stands there twice", all[i].Kind, all[i].Name)
		}
	}
	return all, nil
}

func splitEntry(kind string, entry map[string]json.RawMessage) ([]Resource, error) {
	name := entryName(kind, entry)
	var all []Resource
	if kind == KindModel {
		var versions []map[string]json.RawMessage
		if err := json.Unmarshal(entry["versions"], &versions); err != nil {
			return nil, fmt.Errorf("cannot take the model %s apart: %w", name, err)
		}
		for _, v := range versions {
			body, err := CanonicalJSON(v)
			if err != nil {
				return nil, err
			}
			all = append(all, Resource{KindVersion, VersionName(name, entryText(v["version"])), body})
		}
		delete(entry, "versions")
	}
	body, err := CanonicalJSON(entry)
	return append(all, Resource{kind, name, body}), err
}

// entryName is what the resource of an entry is called.
func entryName(kind string, entry map[string]json.RawMessage) string {
	switch kind {
	case KindPrompt:
		return VersionName(entryText(entry["name"]), entryText(entry["version"]))
	case KindPrice:
		name := entryText(entry["provider"]) + "/" + entryText(entry["model"])
		if from := entryText(entry["from"]); from != "" {
			name = VersionName(name, from)
		}
		return name
	}
	return entryText(entry["name"])
}

// entryText is the text of a string in JSON; any other valid value stands for itself: 1 and "1" are the same name.
func entryText(raw json.RawMessage) string {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		return string(jsonscan.AppendDecoded(nil, raw[1:len(raw)-1]))
	}
	return string(raw)
}

// CanonicalJSON is a value, or JSON, with the members of objects sorted, without spaces; numbers keep their literals.
func CanonicalJSON(v any) ([]byte, error) {
	raw, is := v.([]byte)
	if !is {
		var err error
		if raw, err = json.Marshal(v); err != nil {
			return nil, err
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var parsed any
	if err := decoder.Decode(&parsed); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errMore
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(parsed)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// JoinCatalog is the catalog, as JSON, that resources make up; kinds that no catalog has are left out. Resources must
// be unique by kind and name. Whether the catalog is any good, ParseCatalog tells.
func JoinCatalog(resources []Resource) ([]byte, error) {
	entries, versions := map[string][]Resource{}, map[string][]Resource{}
	for _, r := range resources {
		section := sectionOf[r.Kind]
		if section == "" && r.Kind != KindVersion {
			continue
		}
		if err := checkEntry(&r); err != nil {
			return nil, fmt.Errorf("cannot join the %s %s: %w", r.Kind, show(r.Name), err)
		}
		if r.Kind == KindVersion {
			model, _, _ := strings.Cut(r.Name, "@")
			versions[model] = append(versions[model], r)
		} else {
			entries[section] = append(entries[section], r)
		}
	}
	out := []byte{'{'}
	for _, section := range sections {
		if own := entries[section]; len(own) > 0 {
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = append(append(out, '"'), section...)
			out = appendEntries(append(out, '"', ':'), own, versions)
		}
	}
	for model := range versions {
		return nil, fmt.Errorf("cannot join the versions of %q: there is no such model", model)
	}
	return append(out, '}'), nil
}

// checkEntry makes sure that a body is one object, and that it stands for what the resource is called.
func checkEntry(r *Resource) error {
	entry, names := jsonscan.Fields{Cursor: jsonscan.Cursor{B: r.Body}}, map[string]json.RawMessage{}
	entry.Enter('{')
	for member, ok := entry.Key(true); ok; member, ok = entry.Key(false) {
		switch string(member) {
		case "name", "version", "provider", "model", "from":
			names[string(member)] = entry.Skip()
		default:
			entry.Skip()
		}
	}
	if !entry.End() || r.Body[0] != '{' || r.Body[len(r.Body)-1] != '}' {
		return errors.New("its body is no object of JSON")
	}
	name := entryName(r.Kind, names)
	if r.Kind == KindVersion {
		model, _, _ := strings.Cut(r.Name, "@")
		name = VersionName(model, entryText(names["version"]))
	}
	if name != r.Name {
		return fmt.Errorf("its body is that of %s", show(name))
	}
	return nil
}

// appendEntries appends a section, each model with its versions, which it takes out of the map.
func appendEntries(dst []byte, entries []Resource, versions map[string][]Resource) []byte {
	SortResources(entries)
	dst = append(dst, '[')
	for i, r := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, r.Body...)
		if r.Kind != KindModel {
			continue
		}
		own := versions[r.Name]
		slices.SortFunc(own, func(a, b Resource) int { return compareVersions(a.Name, b.Name) })
		dst = append(dst[:len(dst)-1], `,"versions":[`...)
		for j := range own {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(dst, own[j].Body...)
		}
		dst = append(dst, ']', '}')
		delete(versions, r.Name)
	}
	return append(dst, ']')
}

// compareVersions compares names of versions' resources of one model, by their numbers.
func compareVersions(a, b string) int {
	x, xErr := semver.StrictNewVersion(a[strings.IndexByte(a, '@')+1:])
	y, yErr := semver.StrictNewVersion(b[strings.IndexByte(b, '@')+1:])
	if xErr != nil || yErr != nil {
		return strings.Compare(a, b)
	}
	return x.Compare(y)
}
