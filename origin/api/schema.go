package api

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/origin/vault"
)

var (
	typeTime    = reflect.TypeFor[time.Time]()
	typeRaw     = reflect.TypeFor[json.RawMessage]()
	typeText    = reflect.TypeFor[encoding.TextMarshaler]()
	typeRole    = reflect.TypeFor[vault.Role]()
	typeFailure = reflect.TypeFor[Failure]()
)

// schemas makes schemas of Go types as encoding/json sees them.
type schemas struct {
	named map[string]any // those of structs, by name
	types map[string]reflect.Type
	input map[reflect.Type]bool // structs that clients send: their members may be left out
}

func newSchemas(routes []route) *schemas {
	s := &schemas{named: map[string]any{}, types: map[string]reflect.Type{}, input: map[reflect.Type]bool{}}
	for i := range routes {
		if t := routes[i].takes; t != nil {
			s.sent(t)
		}
	}
	return s
}

// sent marks a type and those in it as sent by clients.
func (s *schemas) sent(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		s.sent(t.Elem())
	case reflect.Struct:
		if s.input[t] {
			return
		}
		s.input[t] = true
		for i := range t.NumField() {
			s.sent(t.Field(i).Type)
		}
	}
}

// of is the schema of a type; a struct's is a reference.
func (s *schemas) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == typeTime:
		return object{"type": "string", "format": "date-time"}
	case t == typeRaw:
		return object{} // any value
	case t == typeRole:
		return object{"type": "string", "enum": []vault.Role{vault.Viewer, vault.Operator, vault.Admin}}
	case t.Implements(typeText):
		return object{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Struct:
		return s.reference(t)
	}
	panic(fmt.Sprintf("BUG: no schema is known for %s", t))
}

// reference makes the schema of a struct, once, and refers to it.
func (s *schemas) reference(t reflect.Type) object {
	name := schemaName(t)
	switch was := s.types[name]; was {
	case nil:
		s.types[name] = t
		o := object{"type": "object", "additionalProperties": false}
		s.named[name] = o
		properties := object{}
		required := s.fields(t, properties, nil)
		o["properties"] = properties
		if !s.input[t] && len(required) > 0 {
			slices.Sort(required)
			o["required"] = required
		}
	case t:
	default:
		panic(fmt.Sprintf("BUG: %s and %s would have one schema", was, t))
	}
	return object{"$ref": "#/components/schemas/" + name}
}

// schemaName is a type's name; Page[control.Release] is ReleasePage.
func schemaName(t reflect.Type) string {
	outer, inner, generic := strings.Cut(strings.TrimSuffix(t.Name(), "]"), "[")
	if !generic {
		return outer
	}
	return inner[strings.LastIndexByte(inner, '.')+1:] + outer
}

// fields adds the members of a struct, with those of structs that it embeds, and returns what is always there.
func (s *schemas) fields(t reflect.Type, properties object, required []string) []string {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case f.Anonymous && name == "":
			required = s.fields(f.Type, properties, required)
		default:
			if name == "" {
				name = f.Name
			}
			properties[name] = s.of(f.Type)
			if !strings.Contains(options, "omit") {
				required = append(required, name)
			}
		}
	}
	return required
}
