package request

import (
	"bytes"
	"cmp"
	"slices"
)

// member is one key of an object and its value, as offsets. Objects are ordered by compareKeys.
type member struct {
	key, keyLen uint32 // the key without its quotes: in the body, or with decodedKey in View.decoded
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
	escapes                   // the value has escapes somewhere
)

// smallObject is the number of members up to which an insertion sort is the fastest.
const smallObject = 16

// compareKeys is the canonical order of keys: the shorter first, then by bytes from high to low. Clients write
// "role" before "content", "id" before "function" and "type" before "text", so most small objects are canonical
// as they stand, and are copied instead of being sorted.
func compareKeys(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(b, a)
}

// keyOf is the member's key without escapes.
func (v *View) keyOf(m *member) []byte {
	if m.flags&decodedKey != 0 {
		return v.decoded[m.key : m.key+m.keyLen]
	}
	return v.body[m.key : m.key+m.keyLen]
}

// raw is the text of the member's value.
func (v *View) raw(m *member) []byte { return v.body[m.start:m.end:m.end] }

// decode appends to v.decoded what a string's contents stand for, and returns where.
func (v *View) decode(s []byte) (first, end int) {
	first = len(v.decoded)
	v.decoded = appendDecoded(v.decoded, s)
	return first, len(v.decoded)
}

// compare is the canonical order of two members.
func (v *View) compare(a, b *member) int {
	if a.keyLen != b.keyLen {
		return int(a.keyLen) - int(b.keyLen)
	}
	return v.compareEven(a, b)
}

// compareEven is compare for keys of one length. It stands apart so that compare is inlined.
func (v *View) compareEven(a, b *member) int { return bytes.Compare(v.keyOf(b), v.keyOf(a)) }

// ascending says that the members stand in canonical order and that no key comes twice.
func (v *View) ascending(members []member) bool {
	for k := 1; k < len(members); k++ {
		if v.compare(&members[k-1], &members[k]) >= 0 {
			return false
		}
	}
	return true
}

// keep appends the members to v.kept in canonical order. ok is false, with v.fault set, if a key comes twice.
func (v *View) keep(members []member) (kept []member, ok bool) {
	first := len(v.kept)
	if len(members) <= smallObject {
		v.insertionSort(members)
		v.kept = append(v.kept, members...)
	} else {
		v.keepMany(members)
	}
	kept = v.kept[first:len(v.kept):len(v.kept)]
	for k := 1; k < len(kept); k++ {
		if a, b := &kept[k-1], &kept[k]; v.compare(a, b) == 0 {
			v.fail(int(max(a.start, b.start)), "duplicate key "+quote(v.keyOf(b)))
			return nil, false
		}
	}
	return kept, true
}

func (v *View) insertionSort(members []member) {
	for k := 1; k < len(members); k++ {
		if v.compare(&members[k-1], &members[k]) <= 0 {
			continue
		}
		m, at := members[k], k
		for ; at > 0 && v.compare(&m, &members[at-1]) < 0; at-- {
			members[at] = members[at-1]
		}
		members[at] = m
	}
}

// ranked is a member of a large object as it is sorted: most pairs differ in their rank, and need no look at
// their keys, which lie all over the memory.
type ranked struct {
	rank  uint64 // the key's length, at most 255, and the complement of its first seven bytes
	place uint32
}

func (v *View) keepMany(members []member) {
	v.order = slices.Grow(v.order[:0], len(members))
	for k := range members {
		v.order = append(v.order, ranked{rank(v.keyOf(&members[k])), uint32(k)})
	}
	slices.SortFunc(v.order, func(a, b ranked) int {
		if a.rank != b.rank {
			return cmp.Compare(a.rank, b.rank)
		}
		return v.compare(&members[a.place], &members[b.place])
	})
	v.kept = slices.Grow(v.kept, len(members))
	for _, r := range v.order {
		v.kept = append(v.kept, members[r.place])
	}
}

func rank(key []byte) uint64 {
	r := uint64(min(len(key), 255))
	for k := range 7 {
		r = r<<8 | uint64(^at(key, k))
	}
	return r
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

// note keeps the members of an object right below the top level that readFields asks for.
func (v *View) note(members []member) {
	for k := range members {
		switch string(v.keyOf(&members[k])) {
		case "include_usage", "user_id":
			v.noted = append(v.noted, members[k])
		}
	}
}

// child is the noted member by that key of the object which is m's value, or nil.
func (v *View) child(m *member, key string) *member {
	for k := range v.noted {
		if c := &v.noted[k]; m.start < c.start && c.end < m.end && string(v.keyOf(c)) == key {
			return c
		}
	}
	return nil
}
