package control

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/wire"
)

// entry is as much of a catalog's entry as names it.
type entry struct {
	Name, Version, Provider, Model any
	Versions                       []entry
}

func (e *entry) id(kind string) id {
	switch kind {
	case wire.KindPrompt:
		return id{kind, wire.VersionName(textOf(e.Name), textOf(e.Version))}
	case wire.KindPrice:
		return id{kind, textOf(e.Provider) + "/" + textOf(e.Model)}
	}
	return id{kind, textOf(e.Name)}
}

// textOf is a scalar as the catalog's reader takes it; "" where there is none.
func textOf(v any) string {
	switch v.(type) {
	case nil, absent:
		return ""
	}
	return fmt.Sprint(v)
}

// outline is a catalog's sections as far as they name their entries.
type outline map[string][]entry

var entryPath = regexp.MustCompile(`^([a-z]+)\[(\d+)\](?:\.versions\[(\d+)\])?\.?(.*)$`)

// find tells which resource a path leads into, and the rest of the path in it.
func (o outline) find(path string) (i id, rest string, ok bool) {
	parts := entryPath.FindStringSubmatch(path)
	if parts == nil {
		return id{}, path, false
	}
	kind, known := wire.CatalogKind(parts[1])
	n, _ := strconv.Atoi(parts[2])
	if !known || n >= len(o[parts[1]]) {
		return id{}, path, false
	}
	e := &o[parts[1]][n]
	i = e.id(kind)
	if parts[3] == "" {
		return i, parts[4], true
	}
	n, _ = strconv.Atoi(parts[3])
	if kind != wire.KindModel || n >= len(e.Versions) {
		return id{}, path, false
	}
	return id{wire.KindVersion, wire.VersionName(i.name, textOf(e.Versions[n].Version))}, parts[4], true
}

// paths tells where each resource stands in the outline.
func (o outline) paths() map[id]string {
	all := map[id]string{}
	for section, entries := range o {
		kind, known := wire.CatalogKind(section)
		for n := range entries {
			if !known {
				continue
			}
			i, path := entries[n].id(kind), fmt.Sprintf("%s[%d]", section, n)
			all[i] = path
			for m := range entries[n].Versions {
				version := wire.VersionName(i.name, textOf(entries[n].Versions[m].Version))
				all[id{wire.KindVersion, version}] = fmt.Sprintf("%s.versions[%d]", path, m)
			}
		}
	}
	return all
}

// placer tells where people find a field of a resource; line and column are from 1.
type placer func(i id, rest string) (path string, line, column int)

// byName finds fields by their resources' names.
func byName(i id, rest string) (string, int, int) { return joinPath(i.String(), rest), 1, 1 }

// inBody finds the fields of one resource in its own body, and others by name.
func inBody(own id) placer {
	return func(i id, rest string) (string, int, int) {
		if i == own {
			return rest, 1, 1
		}
		return byName(i, rest)
	}
}

// inDocument finds fields in the text that somebody wrote, and those that it does not have by name.
func inDocument(document []byte) placer {
	var root yaml.Node
	read := sync.OnceValue(func() map[id]string { // most documents have no problem to be found a place
		var o outline
		if yaml.Unmarshal(document, &root) != nil || root.Decode(&o) != nil || len(root.Content) == 0 {
			return nil
		}
		return o.paths()
	})
	return func(i id, rest string) (string, int, int) {
		path, ok := read()[i]
		if !ok {
			return byName(i, rest)
		}
		path = joinPath(path, rest)
		n := nodeAt(root.Content[0], path)
		return path, max(n.Line, 1), max(n.Column, 1)
	}
}

func joinPath(path, rest string) string {
	if rest == "" {
		return path
	}
	return path + "." + rest
}

// nodeAt is the node that a path leads to, or the last one on it that is there.
func nodeAt(n *yaml.Node, path string) *yaml.Node {
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next := n
		switch index, err := strconv.Atoi(step); {
		case n.Kind == yaml.SequenceNode && err == nil && index < len(n.Content):
			next = n.Content[index]
		case n.Kind == yaml.MappingNode:
			next = memberNode(n, step)
		}
		if next == n {
			return n
		}
		n = next
	}
	return n
}

func memberNode(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return n
}

// replaced gives problems of the joined catalog the places where people find them.
func replaced(joined []byte, problems []wire.Problem, at placer) []wire.Problem {
	var o outline
	_ = json.Unmarshal(joined, &o) // what has no outline is found as the catalog's reader says
	all := make([]wire.Problem, len(problems))
	for n, p := range problems {
		p.Line, p.Column = 1, 1
		if i, rest, ok := o.find(p.Path); ok {
			p.Path, p.Line, p.Column = at(i, rest)
		}
		all[n] = p
	}
	return all
}
