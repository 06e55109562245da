package control

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/wire"
)

// diffJSON lists the differences between two values, by the paths of the innermost ones; lists are compared index by
// index.
func diffJSON(before, after []byte) []FieldChange {
	return appendDiff(nil, "", parseAny(before), parseAny(after))
}

// absent stands for a member that is not there, which null is not.
type absent struct{}

func parseAny(body []byte) any {
	if body == nil {
		return absent{}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return absent{}
	}
	return v
}

func appendDiff(dst []FieldChange, path string, before, after any) []FieldChange {
	switch a := before.(type) {
	case map[string]any:
		if b, is := after.(map[string]any); is {
			return diffObjects(dst, path, a, b)
		}
	case []any:
		if b, is := after.([]any); is {
			return diffLists(dst, path, a, b)
		}
	}
	if reflect.DeepEqual(before, after) {
		return dst
	}
	return append(dst, FieldChange{Path: path, Before: rawOf(before), After: rawOf(after)})
}

func diffObjects(dst []FieldChange, path string, a, b map[string]any) []FieldChange {
	names := slices.Collect(maps.Keys(a))
	names = slices.AppendSeq(names, maps.Keys(b))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		inner := name
		if path != "" {
			inner = path + "." + name
		}
		dst = appendDiff(dst, inner, memberOf(a, name), memberOf(b, name))
	}
	return dst
}

func memberOf(object map[string]any, name string) any {
	if v, ok := object[name]; ok {
		return v
	}
	return absent{}
}

func diffLists(dst []FieldChange, path string, a, b []any) []FieldChange {
	for i := range max(len(a), len(b)) {
		dst = appendDiff(dst, path+"["+strconv.Itoa(i)+"]", itemOf(a, i), itemOf(b, i))
	}
	return dst
}

func itemOf(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return absent{}
}

// rawOf is a value's JSON, nil where there is none.
func rawOf(v any) json.RawMessage {
	if _, is := v.(absent); is {
		return nil
	}
	raw, err := wire.CanonicalJSON(v)
	if err != nil {
		return nil
	}
	return raw
}
