package gemini

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// fields is a cursor on a value that was found valid before, or will be by it.
func fields(v []byte) jsonscan.Fields { return jsonscan.Fields{Cursor: jsonscan.Cursor{B: v}} }

func isNull(v []byte) bool { return len(v) > 0 && v[0] == 'n' }

// given is a value that is not null.
func given(v dialect.Raw) dialect.Raw {
	if isNull(v) {
		return nil
	}
	return v
}

// inside is what stands between the quotes of a string; nil for every other value.
func inside(v []byte) dialect.Written {
	if len(v) < 2 || v[0] != '"' {
		return nil
	}
	return v[1 : len(v)-1 : len(v)-1]
}

// isText says that v is a string that is not empty.
func isText(v []byte) bool { return len(v) > 2 && v[0] == '"' }

// idle says that a value says nothing: null, or an empty text, list or object.
func idle(v dialect.Raw) bool {
	switch {
	case len(v) == 0 || v[0] == 'n':
		return true
	case v[0] == '"':
		return len(v) == 2
	case v[0] == '[', v[0] == '{':
		return len(bytes.TrimSpace(v[1:len(v)-1])) == 0
	}
	return false
}

// wordOf is what a string stands for that is one of the dialect's words; "" for every other value.
func wordOf(v []byte) string {
	text := inside(v)
	if bytes.IndexByte(text, '\\') >= 0 {
		text = jsonscan.AppendDecoded(nil, text)
	}
	return bytesx.String(text)
}

// number is the value of a number, 0 for what is none.
func number(v []byte) float64 {
	if len(v) == 0 {
		return 0
	}
	f, _ := strconv.ParseFloat(bytesx.String(v), 64)
	return f
}

// countOf is the number that v is, as jsonscan.Cursor.Count has it.
func countOf(v []byte) int64 {
	c := jsonscan.Cursor{B: v}
	return c.Count()
}

// pathsMost bounds how many paths are told of one document: a hostile one has as many as it likes.
const pathsMost = 64

// addPath adds a path to a list of them, once.
func addPath(paths *[]string, path string, name []byte) {
	if len(*paths) >= pathsMost || slices.ContainsFunc(*paths, func(have string) bool {
		return len(have) == len(path)+len(name) && have[:len(path)] == path && have[len(path):] == string(name)
	}) {
		return
	}
	*paths = append(*paths, path+string(name))
}

// noForm is the error for what an operation has no form of.
func noForm(what string, op dialect.Op) error {
	return fmt.Errorf("the operation %s has no %s of Gemini's dialect: it %w", op, what, dialect.ErrInexpressible)
}

func appendNumber(dst []byte, before string, n int64) []byte {
	return strconv.AppendInt(append(dst, before...), n, 10)
}

// appendText appends a member whose value is a text: before is all up to the quote.
func appendText(dst []byte, before string, text dialect.Written) []byte {
	return append(append(append(append(dst, before...), '"'), text...), '"')
}

// appendQuoted is jsonscan.AppendString for strings.
func appendQuoted(dst []byte, s string) []byte { return jsonscan.AppendString(dst, bytesx.Bytes(s)) }

// oneLine makes a valid JSON value fit into one line, which is what an event's data needs: a line break within stands
// between tokens.
func oneLine(v []byte) {
	for i, ch := range v {
		if ch == '\n' || ch == '\r' {
			v[i] = ' '
		}
	}
}

// listed is what stands before the element i of a list.
func listed(i int) string {
	if i == 0 {
		return "["
	}
	return ","
}
