package cli

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// ReadCatalog takes a catalog, in YAML or JSON, that was read from the file name; paths in it start at the file's
// folder. What is no valid catalog is a *Refused.
func ReadCatalog(name string, text []byte) (*Catalog, error) {
	c, err := wire.ParseCatalog(name, text)
	if problems, is := errors.AsType[*wire.Problems](err); is {
		return nil, &Refused{Name: name, List: problems.List}
	}
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("cannot read the catalog %s: %w", name, err)
	}
	own := &Catalog{name: name, text: text}
	refused := &Refused{Name: name}
	var edits []edit
	for i := range c.Policies {
		at := fmt.Sprintf("policies[%d].module", i)
		path, is := c.Policies[i].ModuleFile(filepath.Dir(name))
		if !is {
			continue
		}
		e, err := own.take(c.Policies[i].Name, path, find(&document, "policies", i, "module"))
		if err != nil {
			refused.List = append(refused.List, c.ProblemAt(at, err.Error()))
		}
		edits = append(edits, e)
	}
	if len(refused.List) > 0 {
		return nil, refused
	}
	own.text = rewrite(text, edits)
	return own, nil
}

// take reads a file that a policy names, and says what is to stand in the catalog in its place.
func (c *Catalog) take(policy, path string, named *yaml.Node) (edit, error) {
	content, err := readBounded(path, maxCatalogBlob)
	if err != nil {
		return edit{}, err
	}
	sum := sha256.Sum256(content)
	b := blob{what: "the module of policy " + policy, digest: "sha256:" + hex.EncodeToString(sum[:]), content: content}
	c.blobs = append(c.blobs, b)
	return replace(c.text, named, b.digest)
}

func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the module: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("cannot read the module: %s is not a file", path)
	case info.Size() > most:
		return nil, fmt.Errorf("cannot use the module: %s has %d MiB, more than an origin takes", path, info.Size()>>20)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the module: %w", err)
	}
	return content, nil
}

// find is the value of a field of a section's entry; nil if it does not stand there.
func find(document *yaml.Node, section string, index int, field string) *yaml.Node {
	if len(document.Content) == 0 {
		return nil
	}
	list := member(document.Content[0], section)
	if list == nil || list.Kind != yaml.SequenceNode || index >= len(list.Content) {
		return nil
	}
	return member(list.Content[index], field)
}

func member(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// edit puts another text in place of text[from:to].
type edit struct {
	from, to int
	text     string
}

var errInOnePiece = errors.New("cannot put the module's digest in its place here; write file:PATH on one line, without an anchor")

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

// rewrite carries out edits, which are in the order of the text and do not overlap.
func rewrite(text []byte, edits []edit) []byte {
	var out []byte
	done := 0
	for _, e := range edits {
		if e.from < done { // a policy that is an alias of one before it, whose place is done
			continue
		}
		out = append(append(out, text[done:e.from]...), e.text...)
		done = e.to
	}
	return append(out, text[done:]...)
}
