package gemini

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

// most bounds the members of an object, and the candidates of an answer, so that looking for one costs little whatever
// a provider sends.
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
	for i, more := 0, c.More(']', true); more; i, more = i+1, c.More(']', false) {
		use(i, c.Skip())
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

// set replaces the member with that name, or adds one at the end.
func (o *object) set(key string, val []byte) {
	for i := range *o {
		if (*o)[i].key == key {
			(*o)[i].val = val
			return
		}
	}
	*o = append(*o, member{key, val})
}

// without is o without the members of those names.
func (o object) without(keys ...string) (rest object) {
	for _, m := range o {
		left := false
		for _, key := range keys {
			left = left || m.key == key
		}
		if !left {
			rest = append(rest, m)
		}
	}
	return rest
}

// appendMembers appends the members, with a comma between two of them.
func (o object) appendMembers(dst []byte) []byte {
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), m.key...), `":`...)
		dst = append(dst, m.val...)
	}
	return dst
}

func (o object) appendTo(dst []byte) []byte {
	return append(o.appendMembers(append(dst, '{')), '}')
}

// compact returns doc on one line with every literal as it was.
func compact(doc []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		return nil, fmt.Errorf("%w: %w", dialect.ErrMalformed, err)
	}
	return b.Bytes(), nil
}
