package openai

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// fields is a cursor on a value that was found valid before, or will be by it.
func fields(v []byte) jsonscan.Fields { return jsonscan.Fields{Cursor: jsonscan.Cursor{B: v}} }

// inside is what stands between the quotes of a JSON string; nil for every other value.
func inside(v []byte) dialect.Written {
	if !isString(v) {
		return nil
	}
	return v[1 : len(v)-1 : len(v)-1]
}

// some is v, or nil for a null.
func some(v []byte) dialect.Raw {
	if !isSet(v) {
		return nil
	}
	return v[:len(v):len(v)]
}

func isNumber(v []byte) bool { return len(v) > 0 && (v[0] == '-' || v[0]-'0' <= 9) }

func isBool(v []byte) bool { return len(v) > 0 && (v[0] == 't' || v[0] == 'f') }

func isTrue(v []byte) bool { return len(v) > 0 && v[0] == 't' }

func isArray(v []byte) bool { return len(v) > 0 && v[0] == '[' }

func isObject(v []byte) bool { return len(v) > 0 && v[0] == '{' }

// isZero says that v is a number that is none: 0, -0.0, 0e5.
func isZero(v []byte) bool {
	for i, ch := range v {
		switch {
		case ch == '0', ch == '.', ch == '-' && i == 0:
		case ch|0x20 == 'e' && i > 0:
			return true
		default:
			return false
		}
	}
	return len(v) > 0
}

// isHollow says that v says nothing: null, an empty text, or an empty list or object.
func isHollow(v []byte) bool {
	switch {
	case !isSet(v):
		return true
	case isString(v):
		return len(v) == 2
	case isArray(v), isObject(v):
		return len(bytes.TrimSpace(v[1:len(v)-1])) == 0
	}
	return false
}

// memberOf is the value of the last member of an object with that name; nil without one, and for every other value.
func memberOf(v []byte, name string) (found []byte) {
	if !isObject(v) {
		return nil
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if m := f.Skip(); string(k) == name {
			found = m
		}
	}
	return found
}

// countOf is the number that v is, as jsonscan.Cursor.Count has it.
func countOf(v []byte) int64 {
	c := jsonscan.Cursor{B: v}
	return c.Count()
}

// wordIs says that v is a JSON string that stands for word.
func wordIs(v []byte, word string) bool {
	f := fields(v)
	return isString(v) && string(f.Word()) == word
}

// listsOnly says that v is a list of one string, which stands for word.
func listsOnly(v []byte, word string) bool {
	if !isArray(v) {
		return false
	}
	c := jsonscan.Cursor{B: v}
	c.Enter('[')
	return c.More(']', true) && wordIs(c.Skip(), word) && !c.More(']', false)
}

// appendCompact appends a valid value without white space between its tokens: on one line, as an event needs it.
func appendCompact(dst, v []byte) []byte {
	for i := 0; i < len(v); {
		from := i
		for i < len(v) && v[i] > ' ' {
			if v[i] != '"' {
				i++
				continue
			}
			i = jsonscan.Span(v, i+1)
			for i < len(v) && v[i] == '\\' {
				i = jsonscan.Span(v, i+2)
			}
			i++
		}
		i = min(i, len(v))
		dst = append(dst, v[from:i]...)
		for i < len(v) && v[i] <= ' ' {
			i++
		}
	}
	return dst
}

// appendValue appends a member, whose name comes with what stands around it (`,"name":`), unless v is nil.
func appendValue(dst []byte, name string, v dialect.Raw) []byte {
	if v == nil {
		return dst
	}
	return appendCompact(append(dst, name...), v)
}

// appendWritten is appendValue for the inside of a string.
func appendWritten(dst []byte, name string, w dialect.Written) []byte {
	if w == nil {
		return dst
	}
	return appendText(dst, name, w)
}

// appendText appends a member that is always there, as appendWritten does.
func appendText(dst []byte, name string, w dialect.Written) []byte {
	return append(append(append(append(dst, name...), '"'), w...), '"')
}

// unknownMost bounds how many paths are told of one document: a hostile one has as many as it likes.
const unknownMost = 64

// addPath adds a path to a list of them, once.
func addPath(paths []string, path string) []string {
	if len(paths) >= unknownMost || slices.Contains(paths, path) {
		return paths
	}
	if len(paths) == unknownMost-1 {
		path = "and more"
	}
	return append(paths, path)
}

// addOthers adds the paths of the members of an object, which is the member of of the one at path, that say something and
// are not among the known ones.
func addOthers(paths []string, v []byte, path, of string, known ...string) []string {
	if !isObject(v) {
		return paths
	}
	f := fields(v)
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		if says := !isHollow(f.Skip()); says && !stands(known, k) {
			paths = addPath(paths, path+"."+of+"."+string(k))
		}
	}
	return paths
}

// stands says that k is one of the names.
func stands(names []string, k []byte) bool {
	for _, name := range names {
		if name == string(k) {
			return true
		}
	}
	return false
}

// malformed is the error for a document that is not one complete JSON object.
func malformed(what string) error {
	return fmt.Errorf("%w: the %s is not one complete JSON object", dialect.ErrMalformed, what)
}

// inexpressible is the error for what has no meaning in the model, or no word in the dialect; advice says what to do.
func inexpressible(what, advice string) error {
	return fmt.Errorf("%s %w; %s", what, dialect.ErrInexpressible, advice)
}
