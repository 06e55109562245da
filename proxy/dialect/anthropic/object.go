package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// object is a JSON object in the order of its document. Names and values are as written, names without quotes.
type object []member

type member struct {
	key string
	val []byte
}

// most bounds the members of an object and the blocks of a stream, so that looking for one costs little whatever a
// provider sends.
const most = 1024

// members splits the object doc.
func members(doc []byte) (o object, ok bool) {
	c := jsonscan.Cursor{B: doc}
	c.Enter('{')
	for k, more := c.Key(true); more; k, more = c.Key(false) {
		o = append(o, member{string(k), c.Skip()})
		if len(o) > most {
			return nil, false
		}
	}
	return o, c.End()
}

// elements calls use with each element of an array; anything else has none.
func elements(doc []byte, use func(i int, v []byte)) {
	c := jsonscan.Cursor{B: doc}
	if c.Peek() != '[' {
		return
	}
	c.Enter('[')
	i := 0
	for more := c.More(']', true); more; more = c.More(']', false) {
		use(i, c.Skip())
		i++
	}
}

// get returns the value of the last member with that name, nil without one.
func (o object) get(key string) []byte {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i].key == key {
			return o[i].val
		}
	}
	return nil
}

// set replaces the members with that name, or adds one at the end.
func (o *object) set(key string, val []byte) {
	found := false
	for i := range *o {
		if (*o)[i].key == key {
			(*o)[i].val, found = val, true
		}
	}
	if !found {
		*o = append(*o, member{key, val})
	}
}

// overlay sets every member of another object that is not null.
func (o *object) overlay(patch []byte) bool {
	p, ok := members(patch)
	for _, m := range p {
		if !isNull(m.val) {
			o.set(m.key, m.val)
		}
	}
	return ok && len(*o) <= most
}

func (o object) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.key...), `":`...)
		dst = append(dst, m.val...)
	}
	return append(dst, '}')
}

// compact returns doc on one line, which is what an event's data needs, with every literal as it was.
func compact(doc []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		return nil, fmt.Errorf("%w: %w", dialect.ErrMalformed, err)
	}
	return b.Bytes(), nil
}

// isText reports whether v is a string that is not empty.
func isText(v []byte) bool { return len(v) > 2 && v[0] == '"' }

// inside is the inside of a string, nil for anything else.
func inside(v []byte) dialect.Written {
	if len(v) < 2 || v[0] != '"' {
		return nil
	}
	return v[1 : len(v)-1]
}
