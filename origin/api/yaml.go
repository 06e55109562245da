package api

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// yamlOf writes a catalog in JSON as YAML that people read and edit: what names an entry stands before the rest of it.
func yamlOf(text []byte) ([]byte, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("cannot write the catalog as YAML: %w", err)
	}
	plain(&document)
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := e.Encode(&document); err != nil {
		return nil, fmt.Errorf("cannot write the catalog as YAML: %w", err)
	}
	return out.Bytes(), e.Close()
}

// plain takes the style of JSON away where YAML has one of its own.
func plain(n *yaml.Node) {
	n.Style = 0
	if n.Kind == yaml.MappingNode {
		nameFirst(n)
	}
	for _, child := range n.Content {
		plain(child)
	}
	if len(n.Content) == 0 && n.Kind != yaml.ScalarNode {
		n.Style = yaml.FlowStyle // {} and [], which have no other form
	}
}

var firstMembers = []string{"name", "version", "provider", "model"}

// nameFirst brings members that name an entry to its front. versions stand last: they are long.
func nameFirst(n *yaml.Node) {
	rank := func(name string) int {
		if i := slices.Index(firstMembers, name); i >= 0 {
			return i
		}
		if name == "versions" {
			return len(firstMembers) + 1
		}
		return len(firstMembers)
	}
	pairs := slices.Collect(slices.Chunk(n.Content, 2))
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int { return rank(a[0].Value) - rank(b[0].Value) })
	n.Content = slices.Concat(pairs...)
}
