package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// yamlOf writes JSON as YAML: members stay in their order, numbers keep their digits.
func yamlOf(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	node, err := yamlNode(d)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err = errors.Join(e.Encode(node), e.Close())
	return out.Bytes(), err
}

func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v == '{' {
			n.Kind = yaml.MappingNode
		}
		for d.More() { // a member's name is a value like any other
			child, err := yamlNode(d)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		if len(n.Content) == 0 {
			n.Style = yaml.FlowStyle // {} and [], which have no other form
		}
		_, err = d.Token()
		return n, err
	case string:
		return yamlText(v), nil
	case json.Number:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: v.String()}
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
		return n, nil
	case bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v)}, nil
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
}

// yamlText stands over several lines where the text has them and stands well so.
func yamlText(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	switch {
	case strings.Contains(text, "\n") && !strings.HasPrefix(text, "\n") && !restless.MatchString(text):
		n.Style = yaml.LiteralStyle
	case strings.ContainsFunc(text, unicode.IsControl):
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// restless texts do not stand well as lines of their own: some begin or end with a space, or hold what is not shown.
var restless = regexp.MustCompile(`(?m)^[ \t]|[ \t]$|[^\n\PC]`)

// maxYAMLDepth bounds how deep a value may be nested; what an alias names counts each time.
const maxYAMLDepth = 64

// maxYAMLSize bounds the JSON that a value becomes, in bytes: aliases can make very much of very little.
const maxYAMLSize = 8 << 20

var plainNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// jsonOf reads one value in YAML or JSON as the catalog's reader does: numbers keep their digits. what names it in
// errors.
func jsonOf(what string, text []byte) (json.RawMessage, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", what, err)
	}
	if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("cannot use %s: want fields, one a line, such as strategy: weighted", what)
	}
	out, err := appendYAML(nil, document.Content[0], 0)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", what, err)
	}
	return out, nil
}

func appendYAML(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	if depth > maxYAMLDepth || len(dst) > maxYAMLSize {
		return nil, fmt.Errorf("line %d: nested too deep, or too large", n.Line)
	}
	var err error
	switch n.Kind {
	case yaml.AliasNode:
		return appendYAML(dst, n.Alias, depth+1)
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, child := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendYAML(dst, child, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case yaml.MappingNode:
		return appendMapping(dst, n, depth)
	}
	return appendScalar(dst, n)
}

func appendMapping(dst []byte, n *yaml.Node, depth int) ([]byte, error) {
	seen := map[string]bool{}
	dst = append(dst, '{')
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" || seen[key.Value] {
			return nil, fmt.Errorf("line %d: want each field once, by its plain name", key.Line)
		}
		seen[key.Value] = true
		if i > 0 {
			dst = append(dst, ',')
		}
		quoted, err := json.Marshal(key.Value)
		if err != nil {
			return nil, err
		}
		dst = append(append(dst, quoted...), ':')
		if dst, err = appendYAML(dst, n.Content[i+1], depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendScalar(dst []byte, n *yaml.Node) ([]byte, error) {
	if n.Style == 0 && plainNumber.MatchString(n.Value) {
		return append(dst, n.Value...), nil
	}
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...), nil
	case "!!bool":
		return strconv.AppendBool(dst, strings.EqualFold(n.Value, "true")), nil
	}
	quoted, err := json.Marshal(n.Value)
	return append(dst, quoted...), err
}
