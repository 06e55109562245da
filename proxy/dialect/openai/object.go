package openai

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// member is one name and value of an object, both as written; the name is without its quotes.
type member struct {
	key string
	val []byte
}

// object is a JSON object in the order of its document.
type object []member

// compact returns doc on one line, which is what an event's data needs, with every literal as it was.
func compact(doc []byte) ([]byte, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, doc); err != nil {
		return nil, fmt.Errorf("%w: %w", dialect.ErrMalformed, err)
	}
	return b.Bytes(), nil
}

// members splits the object doc. Its values are parts of doc, capped so that appending to them copies.
func members(doc []byte) (o object, ok bool) {
	c := jsonscan.Cursor{B: doc}
	o = make(object, 0, 8)
	c.Enter('{')
	for k, more := c.Key(true); more; k, more = c.Key(false) {
		v := c.Skip()
		o = append(o, member{string(k), v[:len(v):len(v)]})
	}
	return o, c.End()
}

// elements splits the array doc, as members does an object.
func elements(doc []byte) (a [][]byte, ok bool) {
	c := jsonscan.Cursor{B: doc}
	c.Enter('[')
	for more := c.More(']', true); more; more = c.More(']', false) {
		v := c.Skip()
		a = append(a, v[:len(v):len(v)])
	}
	return a, c.End()
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

// with returns a copy of o in which the members named by pairs (name, value, …) have other values, where o has
// them at all.
func (o object) with(pairs ...string) object {
	out := append(object(nil), o...)
	for i := range out {
		for p := 0; p < len(pairs); p += 2 {
			if out[i].key == pairs[p] {
				out[i].val = []byte(pairs[p+1])
			}
		}
	}
	return out
}

// without returns a copy of o that lacks the named members.
func (o object) without(keys ...string) (out object) {
next:
	for _, m := range o {
		for _, k := range keys {
			if m.key == k {
				continue next
			}
		}
		out = append(out, m)
	}
	return out
}

func (o object) appendTo(dst []byte) []byte {
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendMember(dst, m.key, m.val)
	}
	return append(dst, '}')
}

func appendMember(dst []byte, key string, val []byte) []byte {
	dst = append(append(append(dst, '"'), key...), `":`...)
	return append(dst, val...)
}

// isString reports whether val is a JSON string.
func isString(val []byte) bool { return len(val) > 0 && val[0] == '"' }

// isSet reports whether val is there and not null.
func isSet(val []byte) bool { return len(val) > 0 && val[0] != 'n' }

// pieceMost is about how much text AppendStream puts into one event, in bytes as written.
const pieceMost = 16 << 10

// pieces cuts a JSON string into strings of about pieceMost bytes that mean the same when joined: never within an
// escape, a surrogate pair or a character. An empty string has no pieces.
func pieces(val []byte) (out [][]byte) {
	text := val[1 : len(val)-1]
	for len(text) > 0 {
		n := 0
		for n < len(text) && n < pieceMost {
			n += character(text[n:])
		}
		piece := append(make([]byte, 0, n+2), '"')
		out = append(out, append(append(piece, text[:n]...), '"'))
		text = text[n:]
	}
	return out
}

// character is the length of the first character of the string text b, as written.
func character(b []byte) int {
	switch {
	case b[0] == '\\' && len(b) >= 12 && b[1] == 'u' && b[2]|0x20 == 'd' && b[6] == '\\' && b[7] == 'u':
		return 12 // a surrogate pair, or a lone surrogate with whatever escape follows it
	case b[0] == '\\' && b[1] == 'u':
		return 6
	case b[0] == '\\':
		return 2
	}
	n := 1
	for n < len(b) && b[n]&0xc0 == 0x80 {
		n++
	}
	return n
}

// extent is where a value lies in its document: at b[at:end]. The zero extent is nowhere.
type extent struct{ at, end int }
