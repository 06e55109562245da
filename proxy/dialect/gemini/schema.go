package gemini

import (
	"bytes"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// plainSchema is the JSON schema that says what one of the API's own schemas does, which are a subset of OpenAPI's with
// types in upper case.
func (r *requestReader) plainSchema(path string, v dialect.Raw) dialect.Raw {
	f := fields(v)
	out := r.put(func(dst []byte) []byte { return appendSchema(dst, &f) })
	if f.Bad {
		r.bad(path, "a schema")
	}
	if bytes.Contains(v, []byte(`"propertyOrdering"`)) || bytes.Contains(v, []byte(`"property_ordering"`)) {
		r.unknown(path+".", []byte("propertyOrdering"), v)
	}
	return out
}

// appendSchema appends the JSON schema for the schema at f.
func appendSchema(dst []byte, f *jsonscan.Fields) []byte {
	if f.Peek() != '{' {
		f.Fail()
		return dst
	}
	dst = append(dst, '{')
	start := len(dst)
	var kind dialect.Raw
	nullable := false
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		switch string(k) {
		case "type":
			kind = f.Skip()
		case "nullable":
			nullable = string(f.Skip()) == "true"
		case "propertyOrdering", "property_ordering": // how the members are ordered, JSON schema does not say
			f.Skip()
		default:
			name := plainName(k)
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), name...), `":`...)
			dst = appendKeyword(dst, f, string(name))
		}
	}
	return append(appendType(dst, kind, nullable, len(dst) > start), '}')
}

// plainName is a keyword in camel case.
func plainName(k []byte) []byte {
	switch string(k) {
	case "any_of":
		return []byte("anyOf")
	case "min_items", "max_items", "min_length", "max_length", "min_properties", "max_properties":
		i := bytes.IndexByte(k, '_')
		name := append([]byte(nil), k[:i]...)
		name = append(name, k[i+1]-'a'+'A')
		return append(name, k[i+2:]...)
	}
	return jsonscan.AppendText(nil, k)
}

// appendKeyword appends the value of a keyword.
func appendKeyword(dst []byte, f *jsonscan.Fields, name string) []byte {
	switch name {
	case "items", "additionalProperties":
		if f.Peek() == '{' {
			return appendSchema(dst, f)
		}
	case "properties", "$defs", "defs":
		if f.Peek() == '{' {
			return appendProperties(dst, f)
		}
	case "anyOf", "oneOf", "allOf":
		if f.Peek() == '[' {
			f.Enter('[')
			dst = append(dst, '[')
			for first, ok := true, f.More(']', true); ok; first, ok = false, f.More(']', false) {
				if !first {
					dst = append(dst, ',')
				}
				dst = appendSchema(dst, f)
			}
			return append(dst, ']')
		}
	case "minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties": // int64, which may be texts
		v := f.Skip()
		if text := inside(v); len(text) > 0 && jsonscan.Digits(text, 0) == len(text) {
			v = text
		}
		return append(dst, v...)
	}
	return append(dst, f.Skip()...)
}

// appendProperties appends an object of schemas, whose names are anybody's.
func appendProperties(dst []byte, f *jsonscan.Fields) []byte {
	dst = append(dst, '{')
	f.Enter('{')
	first := true
	for k, ok := f.Cursor.Key(true); ok; k, ok = f.Cursor.Key(false) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(append(append(dst, '"'), k...), `":`...)
		dst = appendSchema(dst, f)
	}
	return append(dst, '}')
}

// appendType appends the type keyword, in lower case.
func appendType(dst []byte, kind dialect.Raw, nullable, more bool) []byte {
	word := bytes.ToLower(inside(kind))
	switch {
	case len(word) == 0 && kind != nil && kind[0] == '[': // JSON schema's own list
		return append(append(append(dst, comma(more)...), `"type":`...), bytes.ToLower(kind)...)
	case len(word) == 0 || string(word) == "type_unspecified":
		return dst
	}
	dst = append(append(dst, comma(more)...), `"type":`...)
	if nullable {
		return append(append(append(dst, `["`...), word...), `","null"]`...)
	}
	return append(append(append(dst, '"'), word...), '"')
}

// comma is what stands before a member unless it is the first.
func comma(more bool) string {
	if more {
		return ","
	}
	return ""
}
