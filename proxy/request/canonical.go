package request

// AppendCanonical appends the canonical form of the body after the edits: no white space, keys in canonical
// order, strings with the fewest and shortest escapes, numbers as they are written. Of the top level it leaves
// out what does not change the answer: model, stream, stream_options, user, metadata, and store where it is
// false. Two bodies have the same canonical form exactly when they are the same document in that sense.
func (v *View) AppendCanonical(dst []byte, e *Edits) []byte {
	v.plan(e)
	replaced, added := v.replaced, v.added
	dst = append(dst, '{')
	for k := range v.top {
		m := &v.top[k]
		for len(added) > 0 && compareKeys(e.sets[added[0]].names[0], v.keyOf(m)) < 0 {
			dst = append(dst, e.sets[added[0]].added...)
			added = added[1:]
		}
		if len(replaced) > 0 && int(replaced[0].member) == k {
			dst = v.appendReplaced(dst, m, e.sets[replaced[0].set].canonical)
			replaced = replaced[1:]
			continue
		}
		if m.flags&(transport|storeFlag) == 0 || !omitted(m.flags, v.raw(m)) {
			dst = v.appendMember(dst, m)
		}
	}
	for _, k := range added {
		dst = append(dst, e.sets[k].added...)
	}
	return closeObject(dst)
}

// omitted says that a top-level member of that role and value does not count.
func omitted(flags uint8, value []byte) bool {
	return flags&transport != 0 || flags&storeFlag != 0 && string(value) == "false"
}

// closeObject ends an object each of whose members has a comma after it.
func closeObject(dst []byte) []byte {
	if last := len(dst) - 1; dst[last] == ',' {
		dst[last] = '}'
		return dst
	}
	return append(dst, '}')
}

// appendReplaced appends the member with another value, and a comma.
func (v *View) appendReplaced(dst []byte, m *member, value []byte) []byte {
	if omitted(m.flags, value) {
		return dst
	}
	dst = v.appendKey(dst, m)
	dst = append(dst, value...)
	return append(dst, ',')
}

// appendMember appends the member in canonical form, and a comma.
func (v *View) appendMember(dst []byte, m *member) []byte {
	if m.flags&(decodedKey|verbatimValue) == verbatimValue && m.start == m.key+m.keyLen+2 {
		dst = append(dst, v.body[m.key-1:m.end]...)
		return append(dst, ',')
	}
	dst = v.appendKey(dst, m)
	if m.flags&verbatimValue != 0 {
		dst = append(dst, v.body[m.start:m.end]...)
	} else {
		dst, _ = v.appendText(dst, int(m.start), int(m.end), int(m.objects))
	}
	return append(dst, ',')
}

// appendKey appends the member's key in canonical form, and a colon.
func (v *View) appendKey(dst []byte, m *member) []byte {
	if m.flags&decodedKey != 0 {
		return append(appendQuoted(dst, v.keyOf(m)), ':')
	}
	dst = append(dst, v.body[m.key-1:m.key+m.keyLen+1]...)
	return append(dst, ':')
}

// appendText appends the canonical form of body[i:end], where the objects from the next-th on lie. It walks the
// text: what is not white space, a string or an object out of order is already as it has to be.
func (v *View) appendText(dst []byte, i, end, next int) ([]byte, int) {
	for i < end {
		switch c := v.body[i]; c {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			dst, i = appendCanonicalString(dst, v.body, i)
		case '{':
			if next < len(v.objects) && int(v.objects[next].start) == i {
				i = int(v.objects[next].end)
				dst, next = v.appendObject(dst, next)
				continue
			}
			fallthrough
		default:
			dst = append(dst, c)
			i++
		}
	}
	return dst, next
}

// appendObject appends the k-th object's canonical form, and returns the place of the next object outside it.
func (v *View) appendObject(dst []byte, k int) ([]byte, int) {
	o := v.objects[k]
	members := v.kept[o.first : o.first+o.count]
	dst = append(dst, '{')
	for m := range members {
		dst = v.appendMember(dst, &members[m])
	}
	return closeObject(dst), int(o.next)
}
