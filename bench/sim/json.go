package sim

import (
	"strconv"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// appendJSON appends s as a JSON string. Bytes that are not UTF-8 become the replacement character.
func appendJSON[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(appendJSONInner(append(dst, '"'), s), '"')
}

// appendJSONInner is appendJSON without the quotes.
func appendJSONInner[T ~string | ~[]byte](dst []byte, s T) []byte {
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if size := validRune(s[i:]); size > 1 {
			i += size
			continue
		}
		dst = append(dst, s[plain:i]...)
		dst = appendEscaped(dst, c)
		i++
		plain = i
	}
	return append(dst, s[plain:]...)
}

// validRune is the length of the multi-byte character that s begins with, 0 if there is none.
func validRune[T ~string | ~[]byte](s T) int {
	if s[0] < utf8.RuneSelf {
		return 0
	}
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	r, size := utf8.DecodeRune(b[:n])
	if r == utf8.RuneError {
		return 0
	}
	return size
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if c >= utf8.RuneSelf {
		return append(dst, `\ufffd`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

func appendInt(dst []byte, n int) []byte { return strconv.AppendInt(dst, int64(n), 10) }

// appendNullable appends s as a JSON string, or null when it is empty.
func appendNullable(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendJSON(dst, s)
}
