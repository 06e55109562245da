package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"time"
)

// Digest names the catalog by what it says: sha256: and 64 hexadecimal digits. Spelling, comments, the order of
// fields and defaults written out do not count; the order of lists and the literals of numbers in params do.
func (c *Catalog) Digest() string {
	sum := sha256.Sum256(appendCanonical([]byte("wedge catalog 1\n"), reflect.ValueOf(c).Elem()))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// VersionHash names what may change the answer that a version of the model gives: the model's name and
// strictness, the strategy, the prompt, every target's provider and upstream model, params and force. What only
// moves requests between targets or in time does not count (status, balance, weights, names of targets,
// timeouts, retries, fallbacks, capabilities), nor does the version's number: versions that would answer alike
// hash alike.
func (m *Model) VersionHash(v *Version) [32]byte {
	type target struct{ Provider, Model string }
	answers := struct {
		Model, Strategy, Prompt string
		Strict                  bool
		Targets                 []target
		Params, Force           []Param
	}{m.Name, v.Strategy, v.Prompt, m.Strict, nil, v.Params, v.Force}
	for i := range v.Targets {
		answers.Targets = append(answers.Targets, target{v.Targets[i].Provider, v.Targets[i].Model})
	}
	return sha256.Sum256(appendCanonical([]byte("wedge version 1\n"), reflect.ValueOf(answers)))
}

// appendCanonical appends a value of the catalog's types so that equal bytes mean equal values. Fields that are
// zero are left out, so that a field added later does not change what older catalogs are called; unexported
// fields do not count; slices of bytes are JSON.
func appendCanonical(dst []byte, v reflect.Value) []byte {
	switch v.Kind() {
	case reflect.String:
		return appendSized(dst, 's', v.String())
	case reflect.Int, reflect.Int64:
		return append(strconv.AppendInt(append(dst, 'i'), v.Int(), 10), ';')
	case reflect.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case reflect.Pointer:
		return appendCanonical(dst, v.Elem())
	case reflect.Struct:
		if t, ok := v.Interface().(time.Time); ok {
			return appendSized(dst, 't', t.UTC().Format(time.RFC3339Nano))
		}
		return appendStruct(dst, v)
	case reflect.Array:
		return appendSized(dst, 'a', fmt.Sprintf("%x", v.Interface()))
	case reflect.Slice:
		if b, ok := v.Interface().([]byte); ok {
			return appendSized(dst, 'j', string(canonicalJSON(b)))
		}
		dst = append(strconv.AppendInt(append(dst, '['), int64(v.Len()), 10), ':')
		for i := range v.Len() {
			dst = appendCanonical(dst, v.Index(i))
		}
		return append(dst, ']')
	}
	panic("BUG: no canonical form for " + v.Type().String())
}

func appendStruct(dst []byte, v reflect.Value) []byte {
	dst = append(dst, '{')
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i)
		empty := field.Kind() == reflect.Slice && field.Len() == 0
		if !name.IsExported() || empty || field.IsZero() {
			continue
		}
		dst = appendCanonical(append(append(dst, name.Name...), '='), field)
	}
	return append(dst, '}')
}

func appendSized(dst []byte, kind byte, s string) []byte {
	dst = strconv.AppendInt(append(dst, kind), int64(len(s)), 10)
	return append(append(dst, ':'), s...)
}

// canonicalJSON sorts the members of objects; numbers keep their literals. What is no JSON stays as it is.
func canonicalJSON(b []byte) []byte {
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.UseNumber()
	var parsed any
	if err := decoder.Decode(&parsed); err != nil {
		return b
	}
	sorted, err := json.Marshal(parsed)
	if err != nil {
		return b
	}
	return sorted
}
