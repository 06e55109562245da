package cli

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/wire"
)

// Catalog is a catalog file, and the files that it names.
type Catalog struct {
	name  string
	text  []byte // the file's, but files are named by their digests; every line stands where it stood
	blobs []blob
}

// blob is a file that a catalog names.
type blob struct {
	what    string // whose, for people
	digest  string
	content []byte
}

// maxCatalogBlob is how many bytes a file that a catalog names may have: as much as an origin takes.
const maxCatalogBlob = 64 << 20

// ReadCatalog takes a catalog, or a part of one, in YAML or JSON, that was read from the file name; paths in it start at
// the file's folder. What is no catalog is a *Refused.
func ReadCatalog(name string, text []byte) (*Catalog, error) {
	_, err := wire.SplitPart(name, text)
	if problems, is := errors.AsType[*wire.Problems](err); is {
		return nil, &Refused{Name: name, List: problems.List}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the catalog %s: %w", name, err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("cannot read the catalog %s: %w", name, err)
	}
	c, refused := &Catalog{name: name, text: text}, &Refused{Name: name}
	var edits []edit
	for i, policy := range entries(&document, "policies") {
		for _, field := range []string{"module", "cases"} {
			e, err := c.take(policy, field)
			if err != nil {
				at := cmp.Or(member(policy, field), policy)
				refused.List = append(refused.List, wire.Problem{
					Line: at.Line, Column: at.Column, Path: fmt.Sprintf("policies[%d].%s", i, field), Message: err.Error(),
				})
			} else if e.text != "" {
				edits = append(edits, e)
			}
		}
	}
	if len(refused.List) > 0 {
		return nil, refused
	}
	c.text = rewrite(text, edits)
	return c, nil
}

// take reads the file, or the folder of cases, that a policy's field names, and says what is to stand in the catalog in
// its place. The edit is empty where the field names none.
func (c *Catalog) take(policy *yaml.Node, field string) (edit, error) {
	named, what := member(policy, field), "policy"
	if name := member(policy, "name"); name != nil {
		what += " " + name.Value
	}
	if named == nil {
		return edit{}, nil
	}
	ref := wire.Policy{Module: named.Value}
	path, is := ref.ModuleFile(filepath.Dir(c.name))
	if !is {
		return edit{}, nil
	}
	content, err := readNamed(field, path)
	if err != nil {
		return edit{}, err
	}
	b := blob{what: "the " + field + " of " + what, digest: digestOf(content), content: content}
	c.blobs = append(c.blobs, b)
	return replace(c.text, named, b.digest)
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// readNamed reads a module, or packs the cases of a file or a folder.
func readNamed(field, path string) ([]byte, error) {
	if field == "module" {
		return readFile("the module", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the cases: %w", err)
	}
	paths := []string{path}
	if info.IsDir() {
		if paths, err = filepath.Glob(filepath.Join(path, "*.json")); err != nil || len(paths) == 0 {
			return nil, fmt.Errorf("cannot read the cases: there is no *.json in %s", path)
		}
	}
	files := map[string][]byte{}
	for _, p := range paths {
		if files[filepath.Base(p)], err = readFile("the case", p); err != nil {
			return nil, err
		}
	}
	return wire.PackCases(files)
}

// readFile reads a file that a catalog names; what names it in errors.
func readFile(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot read %s: %s is not a file", what, path)
	case info.Size() > maxCatalogBlob:
		return nil, fmt.Errorf("cannot use %s: %s has %d MiB, more than an origin takes", what, path, info.Size()>>20)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	return content, nil
}

// entries are a section's.
func entries(document *yaml.Node, section string) []*yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}
	list := target(member(document.Content[0], section))
	if list == nil || list.Kind != yaml.SequenceNode {
		return nil
	}
	return list.Content
}

// target is what a node stands for.
func target(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// member is the value of a field; nil if it is not there.
func member(n *yaml.Node, name string) *yaml.Node {
	n = target(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return target(n.Content[i+1])
		}
	}
	return nil
}

// edit puts another text in place of text[from:to].
type edit struct {
	from, to int
	text     string
}

var errInOnePiece = errors.New("cannot put the file's digest in this place; write file:PATH on one line, without an anchor")

// replace makes the edit that gives a scalar another value, where the scalar stands in one piece.
func replace(text []byte, n *yaml.Node, value string) (edit, error) {
	if n == nil || n.Kind != yaml.ScalarNode || n.Anchor != "" || n.Tag != "!!str" {
		return edit{}, errInOnePiece
	}
	from, ok := offset(text, n.Line, n.Column)
	if !ok {
		return edit{}, errInOnePiece
	}
	written := n.Value
	switch n.Style {
	case 0:
	case yaml.DoubleQuotedStyle:
		written = `"` + n.Value + `"`
	case yaml.SingleQuotedStyle:
		written = "'" + n.Value + "'"
	default:
		return edit{}, errInOnePiece
	}
	if !bytes.HasPrefix(text[from:], []byte(written)) {
		return edit{}, errInOnePiece // it has escapes, or several lines
	}
	return edit{from, from + len(written), `"` + value + `"`}, nil
}

// offset is where a line and a column, both from 1 and the column in characters, begin.
func offset(text []byte, line, column int) (at int, ok bool) {
	for ; line > 1; line-- {
		i := bytes.IndexByte(text[at:], '\n')
		if i < 0 {
			return 0, false
		}
		at += i + 1
	}
	if at == 0 {
		at = len(text) - len(bytes.TrimPrefix(text, []byte("\ufeff")))
	}
	runes := []rune(firstLine(text[at:]))
	if column < 1 || column > len(runes) {
		return 0, false
	}
	return at + len(string(runes[:column-1])), true
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return strings.ToValidUTF8(string(line), "\ufffd")
}

// rewrite carries out edits, which do not overlap, though one may be there several times.
func rewrite(text []byte, edits []edit) []byte {
	slices.SortFunc(edits, func(a, b edit) int { return a.from - b.from })
	var out []byte
	done := 0
	for _, e := range edits {
		if e.from < done { // the place is done: an alias stands for it, too
			continue
		}
		out = append(append(out, text[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, text[done:]...)
}
