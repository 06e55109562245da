package request

import (
	"bytes"
	"slices"
)

// member is one key of an object and its value, as offsets. Objects are ordered by compareKeys.
type member struct {
	key, keyEnd uint32 // the key without its quotes: in the body, or with decodedKey in View.decoded
	start, end  uint32 // the value's text in the body
	objects     uint32 // how many of View.objects begin before the value
	flags       uint8
}

// What is known about a member.
const (
	decodedKey    = 1 << iota // the key has escapes
	verbatimValue             // the value's text is canonical
	transport                 // of the top level: says how to answer, not what
	storeFlag                 // of the top level: does not count while false
)

// smallObject is the number of members up to which an insertion sort is the fastest.
const smallObject = 16

// compareKeys is the canonical order of keys: the shorter first, then by bytes. Clients write "role" before
// "content" and "type" before "function", so most small objects are canonical as they stand.
func compareKeys(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// keyOf is the member's key without escapes.
func (v *View) keyOf(m *member) []byte {
	if m.flags&decodedKey != 0 {
		return v.decoded[m.key:m.keyEnd]
	}
	return v.body[m.key:m.keyEnd]
}

// raw is the text of the member's value.
func (v *View) raw(m *member) []byte { return v.body[m.start:m.end:m.end] }

// decodeKey puts the member's key without escapes into v.decoded.
func (v *View) decodeKey(m *member) {
	first := len(v.decoded)
	v.decoded = appendDecoded(v.decoded, v.body[m.key:m.keyEnd])
	m.key, m.keyEnd = uint32(first), uint32(len(v.decoded))
	m.flags |= decodedKey
}

// compare is the canonical order of two members.
func (v *View) compare(a, b *member) int {
	if x, y := a.keyEnd-a.key, b.keyEnd-b.key; x != y {
		return int(x) - int(y)
	}
	return bytes.Compare(v.keyOf(a), v.keyOf(b))
}

// ascending says that the members stand in canonical order and that no key comes twice.
func (v *View) ascending(members []member) bool {
	for k := 1; k < len(members); k++ {
		if v.compare(&members[k-1], &members[k]) >= 0 {
			return false
		}
	}
	return true
}

// sortMembers puts the members into canonical order. It returns false, with v.fault set, if a key comes twice.
func (v *View) sortMembers(members []member) bool {
	if len(members) <= smallObject {
		v.insertionSort(members)
	} else {
		slices.SortFunc(members, func(a, b member) int { return v.compare(&a, &b) })
	}
	for k := 1; k < len(members); k++ {
		if a, b := &members[k-1], &members[k]; v.compare(a, b) == 0 {
			v.fail(int(max(a.start, b.start)), "duplicate key "+quote(v.keyOf(b)))
			return false
		}
	}
	return true
}

func (v *View) insertionSort(members []member) {
	for k := 1; k < len(members); k++ {
		m := members[k]
		at := k
		for ; at > 0 && v.compare(&m, &members[at-1]) < 0; at-- {
			members[at] = members[at-1]
		}
		members[at] = m
	}
}

// find is the place of the top-level member by that key in v.top, or -1.
func (v *View) find(key []byte) int {
	low, high := 0, len(v.top)
	for low < high {
		mid := int(uint(low+high) >> 1)
		switch c := compareKeys(v.keyOf(&v.top[mid]), key); {
		case c == 0:
			return mid
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return -1
}

// child is the member by that key of the object which is m's value; false if it has none. It reads the object
// again, for canonical objects keep no members.
func (v *View) child(m *member, key string) (c member, ok bool) {
	open, objects, kept, decoded := len(v.open), len(v.objects), len(v.kept), len(v.decoded)
	v.members(int(m.start), 1)
	for k := range v.open[open:] {
		if at := &v.open[open+k]; string(v.keyOf(at)) == key {
			c, ok = *at, true
			break
		}
	}
	v.open, v.objects, v.kept, v.decoded = v.open[:open], v.objects[:objects], v.kept[:kept], v.decoded[:decoded]
	return c, ok
}
