package wire

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds how deep free-form values and merges may nest; it also ends aliases that contain themselves.
const maxDepth = 64

// decoder collects what is wrong with a catalog while values turn its nodes into typed fields.
type decoder struct {
	problems []Problem
	left     int             // how many more bytes of nodes may be visited: bounds what aliases multiply
	marks    map[string]mark // places of records and of the fields in pointedAt
}

// mark is a place in the file.
type mark struct{ line, column int }

// value is one node and its path. Nodes are reached through at only, so that every visit is counted.
type value struct {
	*decoder
	node *yaml.Node
	path string
}

// reader takes a value into a field that it closes over, or reports why it cannot.
type reader = func(value)

// field is one member that a record may have.
type field struct {
	name     string
	required bool
	read     reader
}

func need(name string, read reader) field { return field{name, true, read} }
func may(name string, read reader) field  { return field{name, false, read} }

// entry is one member that a mapping does have.
type entry struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// at follows aliases to a node and charges for the visit.
func (d *decoder) at(node *yaml.Node, path string) value {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if d.left -= 1 + len(node.Value); d.left < 0 {
		if d.left+1+len(node.Value) >= 0 {
			d.report(node, path, "the aliases expand to more than the catalog may hold; write the values out or share less")
		}
		node = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: node.Line, Column: node.Column}
	}
	return value{d, node, path}
}

func (d *decoder) report(node *yaml.Node, path, message string) {
	if len(d.problems) < 16*maxProblems { // aliases can repeat a problem without end
		d.problems = append(d.problems, Problem{max(node.Line, 1), max(node.Column, 1), path, message})
	}
}

// failf reports a problem at the value. Once the aliases were cut off, what follows from that is not reported.
func (v value) failf(format string, args ...any) {
	if v.left >= 0 {
		v.report(v.node, v.path, fmt.Sprintf(format, args...))
	}
}

// record reads a mapping: every member must be one of the fields, every required field must be there.
func (v value) record(fields ...field) {
	if v.node.Kind != yaml.MappingNode {
		v.failf("want a mapping of fields (%s), found %s", fieldNames(fields), describe(v.node))
		return
	}
	seen := make(map[string]bool, len(fields))
	for _, e := range v.entries() {
		member := v.at(e.value, join(v.path, e.name))
		f := findField(fields, e.name)
		if f == nil {
			v.report(e.key, member.path, fmt.Sprintf("unknown field %s%s", show(e.name), suggest(e.name, fieldNames(fields))))
			continue
		}
		seen[e.name] = true
		if pointedAt[e.name] {
			v.marks[member.path] = mark{e.key.Line, e.key.Column}
		}
		f.read(member)
	}
	for _, f := range fields {
		if f.required && !seen[f.name] {
			value{v.decoder, v.node, join(v.path, f.name)}.failf("%s is required", f.name)
		}
	}
}

// entries lists the members of a mapping in their order; those merged in by << come last and yield to those
// written out.
func (v value) entries() []entry {
	seen := map[string]*yaml.Node{}
	return v.merged(v.written(seen, true), seen, v.node, 0)
}

// written lists what stands in the mapping itself, without merges.
func (v value) written(seen map[string]*yaml.Node, strict bool) []entry {
	var all []entry
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.at(v.node.Content[i], v.path).node
		switch first := seen[key.Value]; {
		case key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge":
			continue
		case key.Kind != yaml.ScalarNode || isNull(key):
			value{v.decoder, key, v.path}.failf("a field's name must be a string, found %s", describe(key))
			continue
		case first != nil && strict:
			value{v.decoder, key, join(v.path, key.Value)}.failf("the field %s is given twice, first on line %d", show(key.Value), first.Line)
			continue
		case first != nil:
			continue
		}
		seen[key.Value] = key
		all = append(all, entry{key.Value, key, v.node.Content[i+1]})
	}
	return all
}

// merged appends what the << members of a mapping bring in.
func (v value) merged(all []entry, seen map[string]*yaml.Node, mapping *yaml.Node, depth int) []entry {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if key := mapping.Content[i]; key.Kind != yaml.ScalarNode || key.ShortTag() != "!!merge" {
			continue
		}
		sources := []*yaml.Node{mapping.Content[i+1]}
		if list := v.at(sources[0], v.path).node; list.Kind == yaml.SequenceNode {
			sources = list.Content
		}
		for _, node := range sources {
			source := v.at(node, v.path)
			if source.node.Kind != yaml.MappingNode || depth == maxDepth {
				source.failf("<< must name a mapping, or a list of mappings, that does not contain itself")
				continue
			}
			all = append(all, source.written(seen, false)...)
			all = v.merged(all, seen, source.node, depth+1)
		}
	}
	return all
}

// list reads a sequence of records or scalars, at least so many; an empty field is an empty list.
func list[T any](dst *[]T, least int, read func(value) T) reader {
	return func(v value) {
		if v.node.Kind != yaml.SequenceNode && !isNull(v.node) {
			v.failf("want a list, found %s", describe(v.node))
			return
		}
		if len(v.node.Content) < least {
			v.failf("the list needs at least %d and has %d", least, len(v.node.Content))
		}
		for i, node := range v.node.Content {
			item := v.at(node, v.path+"["+strconv.Itoa(i)+"]")
			if item.node.Kind == yaml.MappingNode {
				v.marks[item.path] = mark{item.node.Line, item.node.Column}
			}
			*dst = append(*dst, read(item))
		}
	}
}

// into reads a nested record.
func into[T any](dst *T, read func(value) T) reader {
	return func(v value) { *dst = read(v) }
}

// locate walks from a value by field names and list indices as far as the file goes; the path is complete
// even where a field is not written.
func (v value) locate(steps ...any) value {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			v.path = join(v.path, step)
			v.node = member(v.node, step)
		case int:
			v.path += "[" + strconv.Itoa(step) + "]"
			if v.node.Kind == yaml.SequenceNode && step < len(v.node.Content) {
				v.node = resolved(v.node.Content[step])
			}
		}
	}
	return v
}

// member is the node of a mapping's field, or the mapping itself where the field is not written in it.
func member(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				return resolved(n.Content[i+1])
			}
		}
	}
	return n
}

func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func findField(fields []field, name string) *field {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func fieldNames(fields []field) words {
	names := make(words, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return names
}

// words is a list that a message prints with commas.
type words []string

func (w words) String() string { return strings.Join(w, ", ") }

// show quotes what a user wrote, cut to a readable length.
func show(s string) string {
	if runes := []rune(s); len(runes) > 64 {
		s = string(runes[:61]) + "..."
	}
	return strconv.Quote(s)
}
