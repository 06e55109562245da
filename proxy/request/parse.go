package request

import (
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"
)

const (
	// maxDepth is how deep arrays and objects may lie in each other; the body itself is the first.
	maxDepth = 512
	// maxBody is the largest body in bytes: spans are kept as 32-bit offsets.
	maxBody = math.MaxUint32
)

// object is one that is not canonical as it stands.
type object struct {
	start, end   uint32 // its text in the body
	first, count uint32 // its members in View.kept, in canonical order
	next         uint32 // the place in View.objects of the first one outside it
}

// document reads the whole body. It leaves the members of the top level in v.top.
func (v *View) document() error {
	if int64(len(v.body)) > maxBody {
		return &SyntaxError{Offset: maxBody, Reason: "more than 4 GiB"}
	}
	i := skipSpace(v.body, 0)
	if at(v.body, i) != '{' {
		return &SyntaxError{Offset: int64(i), Reason: "not an object"}
	}
	end := v.members(i, 1)
	if end < 0 {
		return v.fault.err()
	}
	var ok bool
	if v.top, ok = v.keep(v.open); !ok {
		return v.fault.err()
	}
	v.brace = end - 1
	if end = skipSpace(v.body, end); end < len(v.body) {
		return &SyntaxError{Offset: int64(end), Reason: "text after the object"}
	}
	if v.high&eachHigh != 0 && !utf8.Valid(v.body) {
		return &SyntaxError{Offset: int64(invalidUTF8(v.body)), Reason: "invalid UTF-8"}
	}
	return nil
}

// invalidUTF8 is the offset of the first byte that is not UTF-8.
func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(b)
}

// value reads the value at i, which lies in depth containers. Like all that read a part of the body it returns
// the index after it, or -1 with v.fault set; and the part is canonical as it stands if v.odd <= i then.
func (v *View) value(i, depth int) (end int) {
	switch at(v.body, i) {
	case '"':
		return v.str(i)
	case '{':
		return v.object(i, depth+1)
	case '[':
		return v.array(i, depth+1)
	case 't':
		return v.literal(i, "true")
	case 'f':
		return v.literal(i, "false")
	case 'n':
		return v.literal(i, "null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if end = numberEnd(v.body, i); end < 0 {
			return v.fail(-1-end, "malformed number")
		}
		return end
	}
	return v.fail(i, "no value")
}

// object reads the object at i, which is the depth-th container, and keeps its members if it is not canonical
// as it stands.
func (v *View) object(i, depth int) (end int) {
	if depth > maxDepth {
		return v.fail(i, "nesting deeper than 512")
	}
	base, place := len(v.open), len(v.objects)
	v.objects = append(v.objects, object{})
	if end = v.members(i, depth); end < 0 {
		return -1
	}
	members := v.open[base:]
	if depth == 2 {
		v.note(members)
	}
	if v.odd <= i && v.ascending(members) {
		v.objects = v.objects[:place]
	} else {
		v.odd = end
		first := len(v.kept)
		if _, ok := v.keep(members); !ok {
			return -1
		}
		v.objects[place] = object{
			start: uint32(i), end: uint32(end), next: uint32(len(v.objects)),
			first: uint32(first), count: uint32(len(members)),
		}
	}
	v.open = v.open[:base]
	return end
}

// members reads the object at i and appends its members to v.open in the order of the text.
func (v *View) members(i, depth int) (end int) {
	i++
	c := at(v.body, i)
	if c <= ' ' {
		i, c = v.space(i)
	}
	if c == '}' {
		return i + 1
	}
	for {
		if c != '"' {
			return v.fail(i, "no string where a key belongs")
		}
		if i = v.member(i, depth); i < 0 {
			return -1
		}
		if c = at(v.body, i); c <= ' ' {
			i, c = v.space(i)
		}
		if c == '}' {
			return i + 1
		}
		if c != ',' {
			return v.fail(i, "neither a comma nor the end after a member")
		}
		i++
		if c = at(v.body, i); c <= ' ' {
			i, c = v.space(i)
		}
	}
}

// member reads the key at i and its value.
func (v *View) member(i, depth int) (end int) {
	key := i + 1
	if i = v.str(i); i < 0 {
		return -1
	}
	keyEnd, flags := i-1, uint8(0)
	if v.escape > key {
		key, keyEnd = v.decode(v.body[key:keyEnd])
		flags = decodedKey
	}
	c := at(v.body, i)
	if c <= ' ' {
		i, c = v.space(i)
	}
	if c != ':' {
		return v.fail(i, "no colon after a key")
	}
	i++
	if c = at(v.body, i); c <= ' ' {
		i, c = v.space(i)
	}
	objects := len(v.objects)
	if c == '"' {
		end = v.str(i)
	} else {
		end = v.value(i, depth)
	}
	if end < 0 {
		return -1
	}
	if v.odd <= i {
		flags |= verbatimValue
	}
	if v.escape > i {
		flags |= escapes
	}
	m := v.push()
	m.key, m.keyLen, m.start, m.end = uint32(key), uint32(keyEnd-key), uint32(i), uint32(end)
	m.objects, m.flags = uint32(objects), flags
	return end
}

// push adds a member to v.open and leaves it to the caller to set all its fields: a copy of a struct stalls
// the processor when its fields have only just been written.
func (v *View) push() *member {
	n := len(v.open)
	if n == cap(v.open) {
		v.open = slices.Grow(v.open, 1)
	}
	v.open = v.open[:n+1]
	return &v.open[n]
}

// array reads the array at i, which is the depth-th container.
func (v *View) array(i, depth int) (end int) {
	if depth > maxDepth {
		return v.fail(i, "nesting deeper than 512")
	}
	i++
	c := at(v.body, i)
	if c <= ' ' {
		i, c = v.space(i)
	}
	if c == ']' {
		return i + 1
	}
	for {
		if i = v.value(i, depth); i < 0 {
			return -1
		}
		if c = at(v.body, i); c <= ' ' {
			i, c = v.space(i)
		}
		if c == ']' {
			return i + 1
		}
		if c != ',' {
			return v.fail(i, "neither a comma nor the end after an element")
		}
		i++
		if at(v.body, i) <= ' ' {
			i, _ = v.space(i)
		}
	}
}

// space is the index of the first byte at or after i that is not white space, and that byte; 0 at the end of the
// body. It is called where at found no token, and notes that what holds the white space is not canonical.
func (v *View) space(i int) (int, byte) {
	i = skipSpace(v.body, i)
	v.odd = i
	return i, at(v.body, i)
}

// literal reads one of JSON's three words.
func (v *View) literal(i int, word string) (end int) {
	end = i + len(word)
	if end > len(v.body) || string(v.body[i:end]) != word {
		return v.fail(i, "no value")
	}
	return end
}

// str reads the string at i.
func (v *View) str(i int) (end int) {
	b := v.body
	i++
	for range 2 { // most strings are short
		if i < 0 || i >= len(b)-7 {
			break
		}
		w := word(b, i)
		v.high |= w
		if m := special(w); m != 0 {
			if i += bits.TrailingZeros64(m) >> 3; at(b, i) == '"' {
				return i + 1
			}
			return v.strEscaped(i)
		}
		i += 8
	}
	i, high := plainEnd(b, i)
	v.high |= high
	if at(v.body, i) == '"' {
		return i + 1
	}
	return v.strEscaped(i)
}

// strEscaped reads the rest of a string from i, the first byte that is not plain.
func (v *View) strEscaped(i int) (end int) {
	for {
		switch c := at(v.body, i); {
		case c == '"':
			return i + 1
		case i >= len(v.body):
			return v.fail(i, "unterminated string")
		case c != '\\':
			return v.fail(i, "control character in a string")
		}
		if i = v.escapeEnd(i); i < 0 {
			return -1
		}
		v.escape = i
		var high uint64
		i, high = plainEnd(v.body, i)
		v.high |= high
	}
}

// escapeEnd reads the escape at i.
func (v *View) escapeEnd(i int) (end int) {
	switch c := at(v.body, i+1); {
	case c == 'u':
		_, end, reason := unicodeEscape(v.body, i)
		if reason != "" {
			return v.fail(i, reason)
		}
		v.odd = end
		return end
	case shortEscape(c) == 0:
		return v.fail(i, "unknown escape")
	case c == '/':
		v.odd = i + 2
	}
	return i + 2
}

// fault is what stopped the reading.
type fault struct {
	at     int
	reason string
}

func (f fault) err() error { return &SyntaxError{Offset: int64(f.at), Reason: f.reason} }

// fail notes what is wrong at i and returns -1.
func (v *View) fail(i int, reason string) int {
	v.fault = fault{i, reason}
	return -1
}
