package proxy

import (
	"bytes"
	"slices"
)

// Bounds of x-wedge-tags: each combination of tags is a row of the reports.
const (
	maxTags     = 8
	maxTagBytes = 64 // of a name, and of a value
)

// appendTags appends the tags of a list k=v,k=v in the order of their names. It returns false if that is not what it is.
func appendTags(dst, list []byte) (out []byte, ok bool) {
	var tags [maxTags][2][]byte
	n := 0
	for part := range bytes.SplitSeq(list, []byte(",")) {
		name, value, found := bytes.Cut(bytes.TrimSpace(part), []byte("="))
		if !found || n == maxTags || !isTag(name) || !isTag(value) {
			return dst, false
		}
		tags[n] = [2][]byte{name, value}
		n++
	}
	slices.SortFunc(tags[:n], func(a, b [2][]byte) int { return bytes.Compare(a[0], b[0]) })
	for i, t := range tags[:n] {
		if i > 0 {
			if bytes.Equal(tags[i-1][0], t[0]) {
				return dst, false
			}
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, t[0]...), '='), t[1]...)
	}
	return dst, true
}

func isTag(b []byte) bool {
	if len(b) == 0 || len(b) > maxTagBytes {
		return false
	}
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-', c == '/', c == ':':
		default:
			return false
		}
	}
	_, secret := beforeSecret(b)
	return !secret
}
