package request

import (
	"math"
	"unicode/utf8"
)

const (
	// maxDepth is how deep arrays and objects may lie in each other; the body itself is the first.
	maxDepth = 512
	// maxBody is the largest body in bytes: spans are kept as 32-bit offsets.
	maxBody = math.MaxUint32
)

// What a string's text tells about it.
const (
	escaped = 1 << iota // has an escape: its text is not its value
	unusual             // has an escape that the canonical form writes in another way
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
	end, _ := v.members(i, 1)
	if end < 0 {
		return v.fault.err()
	}
	v.top = v.open
	if !v.sortMembers(v.top) {
		return v.fault.err()
	}
	v.brace = end - 1
	if end = skipSpace(v.body, end); end < len(v.body) {
		return &SyntaxError{Offset: int64(end), Reason: "text after the object"}
	}
	if v.high != 0 && !utf8.Valid(v.body) {
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

// value reads the value at i, which lies in depth containers. It returns the index after it, or -1 with
// v.fault set, and whether its text is canonical.
func (v *View) value(i, depth int) (end int, canonical bool) {
	switch at(v.body, i) {
	case '"':
		end, form := v.str(i)
		return end, form&unusual == 0
	case '{':
		return v.object(i, depth+1)
	case '[':
		return v.array(i, depth+1)
	case 't':
		return v.literal(i, "true"), true
	case 'f':
		return v.literal(i, "false"), true
	case 'n':
		return v.literal(i, "null"), true
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		if end = numberEnd(v.body, i); end < 0 {
			return v.fail(-1-end, "malformed number"), false
		}
		return end, true
	}
	return v.fail(i, "no value"), false
}

// object reads the object at i, which is the depth-th container, and keeps its members if it is not canonical
// as it stands.
func (v *View) object(i, depth int) (end int, canonical bool) {
	if depth > maxDepth {
		return v.fail(i, "nesting deeper than 512"), false
	}
	base, place := len(v.open), len(v.objects)
	v.objects = append(v.objects, object{start: uint32(i)})
	end, canonical = v.members(i, depth)
	if end < 0 {
		return -1, false
	}
	members := v.open[base:]
	if canonical && v.ascending(members) {
		v.objects = v.objects[:place]
	} else {
		if !v.sortMembers(members) {
			return -1, false
		}
		canonical = false
		o := &v.objects[place]
		o.end, o.next = uint32(end), uint32(len(v.objects))
		o.first, o.count = uint32(len(v.kept)), uint32(len(members))
		v.kept = append(v.kept, members...)
	}
	v.open = v.open[:base]
	return end, canonical
}

// members reads the object at i and appends its members to v.open in the order of the text. canonical says
// that there is no white space and that every key and value is canonical; it tells nothing about the order.
func (v *View) members(i, depth int) (end int, canonical bool) {
	canonical = true
	i, c := v.token(i+1, &canonical)
	if c == '}' {
		return i + 1, canonical
	}
	for {
		if c != '"' {
			return v.fail(i, "no string where a key belongs"), false
		}
		if i = v.member(i, depth, &canonical); i < 0 {
			return -1, false
		}
		switch i, c = v.token(i, &canonical); c {
		case ',':
			i, c = v.token(i+1, &canonical)
		case '}':
			return i + 1, canonical
		default:
			return v.fail(i, "neither a comma nor the end after a member"), false
		}
	}
}

// member reads one key and its value, and returns the index after them or -1.
func (v *View) member(i, depth int, canonical *bool) int {
	end, form := v.str(i)
	if end < 0 {
		return -1
	}
	m := member{key: uint32(i + 1), keyEnd: uint32(end - 1)}
	if form&escaped != 0 {
		v.decodeKey(&m)
		*canonical = *canonical && form&unusual == 0
	}
	i, c := v.token(end, canonical)
	if c != ':' {
		return v.fail(i, "no colon after a key")
	}
	i, _ = v.token(i+1, canonical)
	m.start, m.objects = uint32(i), uint32(len(v.objects))
	end, verbatim := v.value(i, depth)
	if end < 0 {
		return -1
	}
	m.end = uint32(end)
	if verbatim {
		m.flags |= verbatimValue
	} else {
		*canonical = false
	}
	v.open = append(v.open, m)
	return end
}

// array reads the array at i, which is the depth-th container.
func (v *View) array(i, depth int) (end int, canonical bool) {
	if depth > maxDepth {
		return v.fail(i, "nesting deeper than 512"), false
	}
	canonical = true
	i, c := v.token(i+1, &canonical)
	if c == ']' {
		return i + 1, canonical
	}
	for {
		end, verbatim := v.value(i, depth)
		if end < 0 {
			return -1, false
		}
		canonical = canonical && verbatim
		switch i, c = v.token(end, &canonical); c {
		case ',':
			i, _ = v.token(i+1, &canonical)
		case ']':
			return i + 1, canonical
		default:
			return v.fail(i, "neither a comma nor the end after an element"), false
		}
	}
}

// token is the first byte at or after i that is not white space, and its index; 0 at the end of the body.
// White space makes what holds it not canonical.
func (v *View) token(i int, canonical *bool) (int, byte) {
	c := at(v.body, i)
	if c > ' ' {
		return i, c
	}
	*canonical = false
	i = skipSpace(v.body, i)
	return i, at(v.body, i)
}

// literal reads one of JSON's three words.
func (v *View) literal(i int, word string) int {
	end := i + len(word)
	if end > len(v.body) || string(v.body[i:end]) != word {
		return v.fail(i, "no value")
	}
	return end
}

// str reads the string at i. It returns the index after it or -1, and what its text tells.
func (v *View) str(i int) (end int, form uint8) {
	i, high := plainEnd(v.body, i+1)
	v.high |= high
	if at(v.body, i) == '"' {
		return i + 1, 0
	}
	return v.strEscaped(i)
}

// strEscaped reads the rest of a string from i, the first byte that is not plain.
func (v *View) strEscaped(i int) (end int, form uint8) {
	for {
		switch c := at(v.body, i); {
		case c == '"':
			return i + 1, form
		case i >= len(v.body):
			return v.fail(i, "unterminated string"), 0
		case c != '\\':
			return v.fail(i, "control character in a string"), 0
		}
		form |= escaped
		switch c := at(v.body, i+1); {
		case c == 'u':
			_, end, reason := unicodeEscape(v.body, i)
			if reason != "" {
				return v.fail(i, reason), 0
			}
			form |= unusual
			i = end
		case shortEscape(c) == 0:
			return v.fail(i, "unknown escape"), 0
		case c == '/':
			form |= unusual
			i += 2
		default:
			i += 2
		}
		var high uint64
		i, high = plainEnd(v.body, i)
		v.high |= high
	}
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
