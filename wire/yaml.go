package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxCatalog is the size of the largest catalog that is read, in bytes.
const maxCatalog = 16 << 20

// parseYAML reads the one document of a file, in YAML or JSON. A file that is neither, has no document or several gives a problem.
func parseYAML(data []byte) (*yaml.Node, *Problem) {
	if len(data) > maxCatalog {
		return nil, problemAt(1, 1, "the catalog has %d bytes; the most that is read is %d", len(data), maxCatalog)
	}
	if root := parseJSON(data); root != nil {
		return root, nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, emptyFile()
		}
		return nil, syntaxProblem(data, err)
	}
	root := document.Content[0]
	if isNull(root) {
		return nil, emptyFile()
	}
	if root.Kind != yaml.MappingNode {
		return nil, problemAt(root.Line, root.Column, "want the sections of a catalog (%s), found %s", strings.Join(sections, ", "), describe(root))
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, problemAt(second.Line, second.Column, "a second YAML document begins here; put everything into one catalog")
	case !errors.Is(err, io.EOF):
		return nil, syntaxProblem(data, err)
	}
	return root, nil
}

func problemAt(line, column int, format string, args ...any) *Problem {
	return &Problem{Line: max(line, 1), Column: max(column, 1), Message: fmt.Sprintf(format, args...)}
}

func emptyFile() *Problem {
	return problemAt(1, 1, "the catalog is empty; write at least one provider and one model")
}

var (
	syntaxError   = regexp.MustCompile(`(?s)^yaml: (?:line (\d+): )?(.*)$`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.+)' referenced$`)
	offByOne      = regexp.MustCompile(`^did not find expected (',' or|key|'-' indicator|node content|<)`) // counts lines from 0
)

// syntaxProblem gives a parser's error its place. The parser tells at most a line: that of the fault or of the
// collection that it breaks.
func syntaxProblem(data []byte, err error) *Problem {
	parts := syntaxError.FindStringSubmatch(err.Error())
	if parts == nil {
		return problemAt(1, 1, "cannot read the catalog as YAML: %v", err)
	}
	if anchor := unknownAnchor.FindStringSubmatch(parts[2]); anchor != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+anchor[1]))
		line, last := 1+bytes.Count(before, []byte("\n")), before[bytes.LastIndexByte(before, '\n')+1:]
		return problemAt(line, 1+len(bytes.Runes(last)), "cannot read the catalog as YAML: the alias has no anchor before it")
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	line, _ := strconv.Atoi(parts[1])
	if line > 0 && offByOne.MatchString(parts[2]) {
		line++
	}
	line = min(max(line, 1), len(lines))
	text := lines[line-1]
	indent := len(text) - len(bytes.TrimLeft(text, " "))
	return problemAt(line, 1+min(indent, len(bytes.TrimRight(text, "\r\n"))), "cannot read the catalog as YAML: %s", parts[2])
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what kind of thing a node is, never what it holds: it may hold a secret.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "a boolean"
	case "!!str", "!!timestamp":
		return "a string"
	}
	return "a value with the tag " + n.ShortTag()
}
