package request

import (
	"bytes"
	"fmt"
	"slices"
)

// Set is one top-level member that a version sets in every request.
type Set struct {
	Key     string
	Aliases []string // other names for the same thing, as max_completion_tokens is for max_tokens
	Value   []byte   // JSON
}

// Edits are the sets of a version, compiled at load. They are immutable and safe for any number of goroutines;
// nil stands for no edits.
type Edits struct {
	sets []set // in canonical order of their keys
}

// set is a Set in the forms that requests need.
type set struct {
	names     [][]byte // the key, then its aliases
	force     bool
	value     []byte // as given, without white space around it
	member    []byte // "key":value
	canonical []byte // the value's canonical form
	added     []byte // the canonical form of the member and a comma, or nothing if it does not count
}

// CompileEdits prepares the edits of a version. A member counts as present if it is there under its key or an
// alias and not null. params fill in what is not present; force replaces what is present, under each of its
// names, and fills in what is not. Filling in replaces the first null there is, else adds the key. force goes
// before params of the same name. It is an error if a value is not JSON, if two sets of one list share a name,
// or if one sets model, stream or stream_options, which follow each request.
func CompileEdits(params, force []Set) (*Edits, error) {
	forced, err := compileSets(nil, force, true)
	if err != nil {
		return nil, fmt.Errorf("cannot compile forced parameters: %w", err)
	}
	filled, err := compileSets(nil, params, false)
	if err != nil {
		return nil, fmt.Errorf("cannot compile parameters: %w", err)
	}
	sets := forced
	for _, s := range filled {
		if sharing(forced, s.names) == nil {
			sets = append(sets, s)
		}
	}
	slices.SortFunc(sets, func(a, b set) int { return compareKeys(a.names[0], b.names[0]) })
	return &Edits{sets: sets}, nil
}

func compileSets(dst []set, sets []Set, force bool) ([]set, error) {
	for _, s := range sets {
		c := set{force: force}
		for _, name := range append([]string{s.Key}, s.Aliases...) {
			if name == "model" || name == "stream" || name == "stream_options" {
				return nil, fmt.Errorf("%q follows each request: take it out", name)
			}
			c.names = append(c.names, []byte(name))
		}
		if other := sharing(dst, c.names); other != nil {
			return nil, fmt.Errorf("%q and %q set the same thing: take one out", other.names[0], s.Key)
		}
		var err error
		if c.canonical, err = canonicalValue(s.Value); err != nil {
			return nil, fmt.Errorf("value of %q is not JSON: %w", s.Key, err)
		}
		c.value = bytes.TrimSpace(s.Value)
		key := append(AppendString(nil, s.Key), ':')
		c.member = append(bytes.Clone(key), c.value...)
		if !omitted(role(c.names[0]), c.canonical) {
			c.added = append(append(key, c.canonical...), ',')
		}
		dst = append(dst, c)
	}
	return dst, nil
}

// sharing is the first of the sets that has one of the names, or nil.
func sharing(sets []set, names [][]byte) *set {
	for k := range sets {
		for _, name := range sets[k].names {
			if slices.ContainsFunc(names, func(n []byte) bool { return bytes.Equal(n, name) }) {
				return &sets[k]
			}
		}
	}
	return nil
}

// canonicalValue is the canonical form of any JSON value.
func canonicalValue(value []byte) ([]byte, error) {
	var v View
	body := append(append([]byte(`{"":`), value...), '}')
	if err := v.Parse(body); err != nil {
		return nil, err
	}
	if len(v.top) != 1 {
		return nil, &SyntaxError{Offset: int64(v.top[0].end), Reason: "more than one value"}
	}
	form := v.AppendCanonical(nil, nil)
	return form[len(`{"":`) : len(form)-1], nil
}

// change gives a top-level member another value.
type change struct {
	member int32 // its place in View.top
	set    int32 // its place in Edits.sets
}

// plan works out what the edits do to this body: v.replaced in the order of v.top, and in v.added the places of
// the sets to add, in canonical order.
func (v *View) plan(e *Edits) {
	v.replaced, v.added = v.replaced[:0], v.added[:0]
	if e == nil {
		return
	}
	for k := range e.sets {
		v.planSet(&e.sets[k], int32(k))
	}
	if len(v.replaced) > 1 {
		slices.SortFunc(v.replaced, func(a, b change) int { return int(a.member - b.member) })
	}
}

func (v *View) planSet(s *set, k int32) {
	null, present := -1, false
	for _, name := range s.names {
		at := v.find(name)
		switch {
		case at < 0:
		case !v.isNull(&v.top[at]):
			present = true
			if s.force {
				v.replaced = append(v.replaced, change{int32(at), k})
			}
		case null < 0:
			null = at
		}
	}
	switch {
	case present:
	case null >= 0:
		v.replaced = append(v.replaced, change{int32(null), k})
	default:
		v.added = append(v.added, k)
	}
}
