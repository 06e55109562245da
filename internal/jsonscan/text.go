package jsonscan

import (
	"bytes"
	"unicode/utf8"
)

// Fields is a Cursor that reads names as what they stand for, however they are spelt: a name with escapes must not
// hide from a policy what a provider sees.
type Fields struct {
	Cursor
	name [32]byte
}

// Key is Cursor.Key with the name decoded. A name is good until the next one.
func (f *Fields) Key(first bool) (name []byte, ok bool) {
	before := f.Escapes
	if name, ok = f.Cursor.Key(first); f.Escapes != before {
		name = f.plain(name)
	}
	return name, ok
}

// Word passes a value and returns what a string stands for, nil for every other value; it is good as long as a name
// is.
func (f *Fields) Word() []byte {
	if f.Peek() != '"' {
		f.Skip()
		return nil
	}
	before := f.Escapes
	name := f.Str()
	if f.Escapes != before {
		name = f.plain(name)
	}
	return name
}

// Measure passes a string and returns how many bytes it stands for.
func (f *Fields) Measure() int {
	before := f.Escapes
	s := f.Str()
	if f.Escapes == before {
		return len(s)
	}
	return DecodedLen(s)
}

// plain decodes a name. One that is too long to be any of the dialect's stays as written.
func (f *Fields) plain(name []byte) []byte {
	if DecodedLen(name) > len(f.name) {
		return name
	}
	return AppendDecoded(f.name[:0], name)
}

// AppendDecoded appends what the valid text s of a string (without its quotes) stands for. A lone surrogate becomes
// U+FFFD.
func AppendDecoded(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		end := Span(s, i)
		dst = append(dst, s[i:end]...)
		if i = end; i < len(s) {
			r, n := Unescape(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

// DecodedLen is how many bytes AppendDecoded appends.
func DecodedLen(s []byte) int {
	n := len(s)
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return n
		}
		r, width := Unescape(s[i:])
		n -= width - len(string(r))
		s = s[i+width:]
	}
}

// Unescape reads the valid escape that s begins with, both halves of a surrogate pair.
func Unescape(s []byte) (r rune, width int) {
	switch s[1] {
	case 'u':
		if r = hex4(s[2:6]); r>>10 == 0xd800>>10 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
			if low := hex4(s[8:12]); low>>10 == 0xdc00>>10 {
				return 0x10000 + (r&0x3ff)<<10 + low&0x3ff, 12
			}
		}
		return r, 6
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	}
	return rune(s[1]), 2
}

func hex4(s []byte) (r rune) {
	for _, ch := range s {
		if ch >= 'A' {
			ch = ch | 0x20 - 'a' + '0' + 10
		}
		r = r<<4 | rune(ch-'0')
	}
	return r
}

// AppendText appends s as the inside of a JSON string, on one line; what is not UTF-8 becomes U+FFFD.
func AppendText(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		end := Span(s, i)
		dst = AppendUTF8(dst, s[i:end])
		if i = end; i < len(s) {
			dst = appendEscape(dst, s[i])
			i++
		}
	}
	return dst
}

// AppendUTF8 appends s; what is not UTF-8 becomes U+FFFD.
func AppendUTF8(dst, s []byte) []byte {
	if utf8.Valid(s) {
		return append(dst, s...)
	}
	for len(s) > 0 {
		r, n := utf8.DecodeRune(s)
		dst = utf8.AppendRune(dst, r)
		s = s[n:]
	}
	return dst
}

func appendEscape(dst []byte, ch byte) []byte {
	const hex = "0123456789abcdef"
	switch ch {
	case '"', '\\':
		return append(dst, '\\', ch)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
}

// AppendString appends s as a JSON string, as AppendText does.
func AppendString(dst, s []byte) []byte {
	return append(AppendText(append(dst, '"'), s), '"')
}

// Prefix is the length of a start of the written text s, of n bytes or the few more that its last character takes:
// no escape, surrogate pair or character is cut.
func Prefix(s []byte, n int) (length int) {
	for length < len(s) && length < n {
		length += character(s[length:])
	}
	return length
}

// character is the length of the first character of s, as written.
func character(s []byte) (n int) {
	if s[0] == '\\' {
		_, n = Unescape(s)
		return n
	}
	for n = 1; n < len(s) && s[n]&0xc0 == 0x80; n++ {
	}
	return n
}
