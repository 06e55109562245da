package gemini

import (
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// reader reads one document. The first error stays.
type reader struct {
	lost    *[]string // paths that nothing stands for
	scratch *[]byte   // where texts lie that have to be put together
	err     error
}

func (r *reader) bad(path, want string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s must be %s", dialect.ErrMalformed, path, want)
	}
}

// refuse is for what only Gemini's API itself can do.
func (r *reader) refuse(path string, name []byte) {
	if r.err == nil {
		r.err = fmt.Errorf("%s%s is known to Gemini's API alone; leave it out or ask for a model that Gemini's API serves: it %w",
			path, string(name), dialect.ErrInexpressible)
	}
}

// unknown tells of a member unless its value changes nothing.
func (r *reader) unknown(path string, name []byte, v dialect.Raw) {
	if !idle(v) {
		addPath(r.lost, path, name)
	}
}

// unless tells of a member unless its value is one of the dialect's defaults.
func (r *reader) unless(path string, name []byte, v dialect.Raw, defaults ...string) {
	for _, d := range defaults {
		if string(v) == d {
			return
		}
	}
	r.unknown(path, name, v)
}

// text is a member that must be a string; null is none.
func (r *reader) text(path, name string, v dialect.Raw) dialect.Written {
	if v = given(v); v == nil {
		return nil
	}
	if v[0] != '"' {
		r.bad(path+name, "a text")
	}
	return inside(v)
}

// number is a member that must be a number; null is none. As everywhere in protobuf's JSON, it may stand in quotes.
func (r *reader) number(path, name string, v dialect.Raw) dialect.Raw {
	c := jsonscan.Cursor{B: inside(v)}
	if len(c.B) > 0 && c.Skip() != nil && c.End() {
		v = c.B
	}
	if v = given(v); len(v) > 0 && v[0] != '-' && v[0]-'0' > 9 {
		r.bad(path+name, "a number")
		return nil
	}
	return v
}

// put is what write appends to the scratch.
func (r *reader) put(write func(dst []byte) []byte) dialect.Written {
	from := len(*r.scratch)
	*r.scratch = write(*r.scratch)
	return (*r.scratch)[from:len(*r.scratch):len(*r.scratch)]
}

// object enters an object that may be null; ok is false where there is none.
func (r *reader) object(path string, v dialect.Raw) (f jsonscan.Fields, ok bool) {
	if v = given(v); v == nil {
		return f, false
	}
	if f = fields(v); f.Peek() != '{' {
		r.bad(path, "an object")
		return f, false
	}
	f.Enter('{')
	return f, true
}

// items walks over the elements of a list. The API takes a lone object for a list of one.
type items struct {
	jsonscan.Fields
	lone, begun bool
}

// items is a walk over a list, which may be null or absent.
func (r *reader) items(path string, v dialect.Raw) (it items) {
	it.Fields = fields(v)
	switch it.Peek() {
	case '[':
		it.Enter('[')
	case '{':
		it.lone = true
	default:
		if it.lone, it.begun = true, true; given(v) != nil {
			r.bad(path, "a list")
		}
	}
	return it
}

// next steps to the next element.
func (it *items) next() bool {
	first := !it.begun
	it.begun = true
	if it.lone {
		return first
	}
	return it.More(']', first)
}
