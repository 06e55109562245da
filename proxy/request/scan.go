package request

import (
	"math/bits"
	"unicode/utf8"
)

// Words of eight equal bytes, for looking at eight bytes of text at a time.
const (
	eachOne       = 0x0101010101010101
	eachHigh      = 0x80 * eachOne
	eachSpace     = ' ' * eachOne
	eachQuote     = '"' * eachOne
	eachBackslash = '\\' * eachOne
)

// special has the high bit set in the first byte of w (the lowest one) that ends a plain run of a string: a
// quote, a backslash or a control character. Bytes after the first one are not to be relied on. A subtraction
// borrows from the next byte only where it found something, and bytes of 0x80 and up are masked out.
func special(w uint64) uint64 { return suspect(w) & (^w & eachHigh) }

// suspect is special without its masks. Bytes of 0x80 and up have their high bit set too: the first subtraction
// leaves it to all but 0xa2, and the last one leaves it to that.
func suspect(w uint64) uint64 {
	quote, backslash := w^eachQuote, w^eachBackslash
	return (quote - eachOne) | (backslash - eachOne) | (w - eachSpace)
}

// word is the eight bytes of b at i. Where the compiler sees that they exist it is one load, which slicing for
// binary.LittleEndian.Uint64 is not: that delays each string by three cycles.
func word(b []byte, i int) uint64 {
	return uint64(b[i]) | uint64(b[i+1])<<8 | uint64(b[i+2])<<16 | uint64(b[i+3])<<24 |
		uint64(b[i+4])<<32 | uint64(b[i+5])<<40 | uint64(b[i+6])<<48 | uint64(b[i+7])<<56
}

// plainEnd is the index of the first special byte of b at or after i, or len(b). high has a high bit if some
// byte about there is not ASCII.
func plainEnd(b []byte, i int) (end int, high uint64) {
	for ; i >= 0 && i < len(b)-31; i += 32 {
		w0, w1, w2, w3 := word(b, i), word(b, i+8), word(b, i+16), word(b, i+24)
		if (suspect(w0)|suspect(w1)|suspect(w2)|suspect(w3))&eachHigh != 0 {
			break
		}
	}
	for ; i >= 0 && i < len(b)-7; i += 8 {
		w := word(b, i)
		high |= w
		if m := special(w); m != 0 {
			return i + bits.TrailingZeros64(m)>>3, high
		}
	}
	for ; i < len(b); i++ {
		c := b[i]
		high |= uint64(c)
		if c == '"' || c == '\\' || c < ' ' {
			break
		}
	}
	return i, high
}

// at is b[i], or 0 past the end: 0 is no part of any JSON token.
func at(b []byte, i int) byte {
	if uint(i) < uint(len(b)) {
		return b[i]
	}
	return 0
}

// skipSpace is the index of the first byte at or after i that is not white space.
func skipSpace(b []byte, i int) int {
	const spaces = 1<<' ' | 1<<'\n' | 1<<'\r' | 1<<'\t'
	for i < len(b) && b[i] <= ' ' && spaces>>b[i]&1 != 0 {
		i++
	}
	return i
}

// skipDigits is the index of the first byte at or after i that is not a digit.
func skipDigits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' < 10 {
		i++
	}
	return i
}

// numberEnd is the index after the number at i, or -1 - (the index of the byte that should have been a digit).
func numberEnd(b []byte, i int) int {
	if at(b, i) == '-' {
		i++
	}
	end := skipDigits(b, i)
	if end == i {
		return -1 - i
	}
	if b[i] == '0' {
		end = i + 1
	}
	if at(b, end) == '.' {
		i = end + 1
		if end = skipDigits(b, i); end == i {
			return -1 - i
		}
	}
	if at(b, end)|0x20 == 'e' {
		i = end + 1
		if c := at(b, i); c == '+' || c == '-' {
			i++
		}
		if end = skipDigits(b, i); end == i {
			return -1 - i
		}
	}
	return end
}

// hex4 is the value of the four hexadecimal digits at i, or -1.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c-'0' < 10:
			c -= '0'
		case c|0x20-'a' < 6:
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

const (
	surrogates    = 0xd800 // the first of the high surrogates
	lowSurrogates = 0xdc00
	surrogatesEnd = 0xe000
)

// unicodeEscape reads the \uXXXX escape at i, and the second one of a surrogate pair with it. reason is not
// empty if the escape is malformed.
func unicodeEscape(b []byte, i int) (r rune, end int, reason string) {
	r = hex4(b, i+2)
	switch {
	case r < 0:
		return 0, i, `\u without four hexadecimal digits`
	case r < surrogates || r >= surrogatesEnd:
		return r, i + 6, ""
	case r < lowSurrogates && at(b, i+6) == '\\' && at(b, i+7) == 'u':
		if low := hex4(b, i+8); low >= lowSurrogates && low < surrogatesEnd {
			return (r-surrogates)<<10 + (low - lowSurrogates) + 0x10000, i + 12, ""
		}
	}
	return 0, i, "lone surrogate"
}

// shortEscape is what a backslash before c stands for, or 0 if c is not one of the short escapes.
func shortEscape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return 0
}

// decodeEscape is the character of the valid escape at i, and the index after it.
func decodeEscape(b []byte, i int) (r rune, end int) {
	if b[i+1] == 'u' {
		r, end, _ = unicodeEscape(b, i)
		return r, end
	}
	return rune(shortEscape(b[i+1])), i + 2
}

// appendDecoded appends what the contents of a valid string (without its quotes) stand for.
func appendDecoded(dst, s []byte) []byte {
	for i := 0; i < len(s); {
		end, _ := plainEnd(s, i)
		dst = append(dst, s[i:end]...)
		if i = end; i < len(s) {
			var r rune
			r, i = decodeEscape(s, i)
			dst = utf8.AppendRune(dst, r)
		}
	}
	return dst
}

// appendChar appends a character of a string in canonical form: escaped only where JSON demands it, in the
// shortest way, with lower-case digits (RFC 8785).
func appendChar(dst []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	}
	if r < ' ' {
		return append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(dst, r)
}

// appendCanonicalString appends the valid string at i of b in canonical form, and returns the index after it.
func appendCanonicalString(dst, b []byte, i int) ([]byte, int) {
	dst = append(dst, '"')
	i++
	for {
		end, _ := plainEnd(b, i)
		dst = append(dst, b[i:end]...)
		if b[end] == '"' {
			return append(dst, '"'), end + 1
		}
		var r rune
		r, i = decodeEscape(b, end)
		dst = appendChar(dst, r)
	}
}

// AppendString appends s, which must be valid UTF-8, as a JSON string in canonical form.
func AppendString(dst []byte, s string) []byte {
	return appendQuoted(dst, []byte(s))
}

// appendQuoted is AppendString for bytes.
func appendQuoted(dst, s []byte) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		end, _ := plainEnd(s, i)
		dst = append(dst, s[i:end]...)
		if i = end; i < len(s) {
			dst = appendChar(dst, rune(s[i]))
			i++
		}
	}
	return append(dst, '"')
}
