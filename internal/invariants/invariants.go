// Package invariants holds checks that exist only in builds with the tag invariants or the race detector, and
// cost nothing in any other. It knows no product type.
package invariants

import (
	"fmt"
	"reflect"
)

// Zero panics if the struct that p points to is not zero, naming the first field at fault; in ordinary builds it
// does nothing. A pool calls it on what it hands out: a field that Reset forgot would leak one request into the
// next. Fields tagged `wedge:"kept"` (buffers, back pointers) are left out, in nested structs too.
func Zero(p any) {
	if !Enabled {
		return
	}
	if field := Dirty(p); field != "" {
		panic(fmt.Sprintf("BUG: pooled %T came back with %s set: reset it, or tag it `wedge:\"kept\"`", p, field))
	}
}

// Dirty names the first field of the struct that p points to which is neither zero nor tagged `wedge:"kept"`, as
// a path such as "reply.status", or returns "". It works in every build, so tests can ask it.
func Dirty(p any) string {
	v := reflect.ValueOf(p)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("invariants: %T is not a pointer to a struct", p))
	}
	return dirty(v.Elem(), "")
}

func dirty(v reflect.Value, path string) string {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Tag.Get("wedge") == "kept" || v.Field(i).IsZero() {
			continue
		}
		name := path + field.Name
		if v.Field(i).Kind() != reflect.Struct {
			return name
		}
		if inner := dirty(v.Field(i), name+"."); inner != "" {
			return inner
		}
	}
	return ""
}
