package wire

import (
	"bytes"
	"encoding/json"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
)

// parseJSON reads an object of JSON as the nodes that YAML would make of it, several times as fast, and takes the
// escapes and characters that JSON allows and YAML does not. It returns nil for what is no JSON object or no text.
func parseJSON(data []byte) *yaml.Node {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) || !json.Valid(data) || !utf8.Valid(data) {
		return nil
	}
	j := jsonNodes{Cursor: jsonscan.Cursor{B: data}, line: 1, column: 1}
	root := j.node()
	if j.Bad || j.lone {
		return nil
	}
	return root
}

// jsonNodes makes nodes, and keeps the place of the one that it made last.
type jsonNodes struct {
	jsonscan.Cursor
	seen         int // bytes that line and column are past
	line, column int
	lone         bool // half of a surrogate pair was found: no text holds it
}

func (j *jsonNodes) node() *yaml.Node {
	first := j.Peek()
	n := j.begin()
	switch first {
	case '{':
		n.Kind, n.Tag, n.Style = yaml.MappingNode, "!!map", yaml.FlowStyle
		j.Enter('{')
		for more := j.More('}', true); more; more = j.More('}', false) {
			j.Peek()
			key := j.begin()
			name, _ := j.Cursor.Key(true)
			j.text(key, name)
			n.Content = append(n.Content, key, j.node())
		}
	case '[':
		n.Kind, n.Tag, n.Style = yaml.SequenceNode, "!!seq", yaml.FlowStyle
		j.Enter('[')
		for more := j.More(']', true); more; more = j.More(']', false) {
			n.Content = append(n.Content, j.node())
		}
	case '"':
		j.text(n, j.Str())
	default:
		n.Kind, n.Value = yaml.ScalarNode, string(j.Skip())
		n.Tag = n.ShortTag()
	}
	return n
}

// begin makes a node for what comes next.
func (j *jsonNodes) begin() *yaml.Node {
	for ; j.seen < j.I && !j.Bad; j.seen++ {
		switch b := j.B[j.seen]; {
		case b == '\n' || b == '\r' && j.B[j.seen+1] != '\n':
			j.line, j.column = j.line+1, 1
		case utf8.RuneStart(b):
			j.column++
		}
	}
	return &yaml.Node{Line: j.line, Column: j.column}
}

// text makes a node of a string that is written so.
func (j *jsonNodes) text(n *yaml.Node, written []byte) {
	n.Kind, n.Tag, n.Style = yaml.ScalarNode, "!!str", yaml.DoubleQuotedStyle
	if bytes.IndexByte(written, '\\') < 0 {
		n.Value = string(written)
		return
	}
	n.Value = string(jsonscan.AppendDecoded(nil, written))
	for at := bytes.IndexByte(written, '\\'); at >= 0; at = bytes.IndexByte(written, '\\') {
		r, width := jsonscan.Unescape(written[at:])
		j.lone = j.lone || utf16.IsSurrogate(r)
		written = written[at+width:]
	}
}
