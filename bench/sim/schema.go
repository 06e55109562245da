package sim

import (
	"strconv"
	"strings"

	"github.com/valyala/fastjson"
)

const schemaDepth = 12 // below it a recursive schema gets the smallest value that fits

// appendExample appends a JSON value that fits the property names and types of schema; an absent schema
// gives {}. The topic lends words to the strings.
func appendExample(dst []byte, r *rng, schema *fastjson.Value, topic string) []byte {
	e := exampler{r: r, root: schema, topic: topic}
	return e.value(dst, schema, 0)
}

// appendAnyObject appends an object of the simulator's own shape.
func appendAnyObject(dst []byte, r *rng, topic string) []byte {
	echo := strings.TrimSuffix(string(appendEcho(nil, topic)), ":")
	dst = appendJSON(append(dst, `{"answer":`...), pick(r, words[:]))
	dst = appendJSON(append(dst, `,"topic":`...), echo)
	dst = appendInt(append(dst, `,"score":`...), r.below(100))
	return append(dst, `,"final":true}`...)
}

// exampler walks one schema.
type exampler struct {
	r     *rng
	root  *fastjson.Value
	topic string
}

func (e *exampler) value(dst []byte, s *fastjson.Value, depth int) []byte {
	s = e.resolve(s, depth)
	if s == nil || s.Type() != fastjson.TypeObject {
		return append(dst, "{}"...)
	}
	if c := s.Get("const"); c != nil {
		return c.MarshalTo(dst)
	}
	if enum := s.GetArray("enum"); len(enum) > 0 {
		return enum[e.r.below(len(enum))].MarshalTo(dst)
	}
	switch schemaType(s) {
	case "string":
		return e.text(dst, s)
	case "integer":
		return e.integer(dst, s)
	case "number":
		return strconv.AppendFloat(dst, number(s, "minimum", 0)+float64(e.r.below(4))/4, 'f', -1, 64)
	case "boolean":
		return strconv.AppendBool(dst, e.r.below(2) == 1)
	case "null":
		return append(dst, "null"...)
	case "array":
		return e.array(dst, s, depth)
	default:
		return e.object(dst, s, depth)
	}
}

// resolve follows $ref and takes the first alternative of anyOf, oneOf and allOf.
func (e *exampler) resolve(s *fastjson.Value, depth int) *fastjson.Value {
	for range schemaDepth {
		if s == nil {
			return nil
		}
		if ref := s.GetStringBytes("$ref"); ref != nil {
			s = e.lookUp(string(ref))
			continue
		}
		next := alternative(s, depth)
		if next == nil {
			return s
		}
		s = next
	}
	return nil
}

// alternative returns the branch of a combined schema to take, nil for a plain one. Deep down it prefers the
// last branch, which in optional recursive types is null.
func alternative(s *fastjson.Value, depth int) *fastjson.Value {
	for _, key := range [...]string{"anyOf", "oneOf", "allOf"} {
		if list := s.GetArray(key); len(list) > 0 {
			if depth > schemaDepth/2 && key != "allOf" {
				return list[len(list)-1]
			}
			return list[0]
		}
	}
	return nil
}

// lookUp finds a local reference such as #/$defs/step; "#" is the schema itself.
func (e *exampler) lookUp(ref string) *fastjson.Value {
	path, local := strings.CutPrefix(ref, "#")
	if !local {
		return nil
	}
	if path == "" {
		return e.root
	}
	return e.root.Get(strings.Split(strings.TrimPrefix(path, "/"), "/")...)
}

func schemaType(s *fastjson.Value) string {
	t := s.Get("type")
	if t == nil {
		if s.Exists("items") {
			return "array"
		}
		return "object"
	}
	if list, err := t.Array(); err == nil && len(list) > 0 {
		t = list[0]
	}
	b, _ := t.StringBytes()
	return strings.ToLower(string(b)) // Gemini's are in capitals
}

func number(s *fastjson.Value, key string, fallback float64) float64 {
	if v := s.Get(key); v != nil && v.Type() == fastjson.TypeNumber {
		return v.GetFloat64()
	}
	return fallback
}

func (e *exampler) integer(dst []byte, s *fastjson.Value) []byte {
	low := int(number(s, "minimum", number(s, "exclusiveMinimum", 0)+1))
	high := int(number(s, "maximum", number(s, "exclusiveMaximum", float64(low+101))-1))
	return appendInt(dst, low+e.r.below(max(high-low+1, 1)))
}

func (e *exampler) array(dst []byte, s *fastjson.Value, depth int) []byte {
	n := 1 + e.r.below(2)
	if depth > schemaDepth/2 {
		n = 0
	}
	n = max(n, int(number(s, "minItems", 0)))
	n = min(n, int(number(s, "maxItems", 16)), 16)
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = e.value(dst, s.Get("items"), depth+1)
	}
	return append(dst, ']')
}

func (e *exampler) object(dst []byte, s *fastjson.Value, depth int) []byte {
	dst = append(dst, '{')
	first := true
	props := s.GetObject("properties")
	if props == nil || depth > schemaDepth {
		return append(dst, '}')
	}
	props.Visit(func(key []byte, v *fastjson.Value) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendJSON(dst, key), ':')
		dst = e.value(dst, v, depth+1)
	})
	return append(dst, '}')
}

// text appends a string: of the format asked for, or words.
func (e *exampler) text(dst []byte, s *fastjson.Value) []byte {
	switch string(s.GetStringBytes("format")) {
	case "date":
		return append(dst, `"2026-01-15"`...)
	case "date-time":
		return append(dst, `"2026-01-15T12:00:00Z"`...)
	case "time":
		return append(dst, `"12:00:00Z"`...)
	case "email":
		return append(dst, `"ada@example.com"`...)
	case "uri", "url":
		return append(dst, `"https://example.com/"`...)
	case "uuid":
		return append(dst, `"123e4567-e89b-42d3-a456-426614174000"`...)
	}
	word := e.word()
	for len(word) < int(min(number(s, "minLength", 0), 4096)) {
		word += " " + pick(e.r, words[:])
	}
	if most := int(number(s, "maxLength", float64(len(word)))); most >= 0 && most < len(word) {
		word = strings.ToValidUTF8(word[:most], "")
	}
	return appendJSON(dst, word)
}

// word is the topic's last capitalised word after the first, as Paris in "the weather in Paris", or one of the bank's.
func (e *exampler) word() string {
	fields := strings.Fields(e.topic[:min(len(e.topic), 512)])
	for i := len(fields) - 1; i > 0; i-- {
		w := strings.Trim(fields[i], ".,;:!?\"'()")
		if w != "" && w[0] >= 'A' && w[0] <= 'Z' {
			return w
		}
	}
	return pick(e.r, words[:])
}
