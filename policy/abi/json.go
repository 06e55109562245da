package abi

import (
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds how deep the JSON of a guest may nest.
const maxDepth = 512

// scanner reads strict JSON and appends what it decodes to dst. After the first fault every method does nothing, so
// that only err has to be looked at in the end.
type scanner struct {
	in      []byte
	at      int
	first   bool // open was just called
	dst     []byte
	actions int
	member  string // of the outermost object, for messages
	err     error
}

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		where := ""
		if s.member != "" {
			where = s.member + ", "
		}
		s.err = fmt.Errorf("the JSON actions: %sbyte %d: %s", where, s.at, fmt.Sprintf(format, args...))
	}
}

// peek gives the first byte of what comes next, 0 at the end or after a fault.
func (s *scanner) peek() byte {
	for s.err == nil && s.at < len(s.in) {
		c := s.in[s.at]
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c
		}
		s.at++
	}
	return 0
}

// open enters an array or object. Its items are then met by: for s.open('['); s.more(']'); {…}.
func (s *scanner) open(c byte) {
	if s.peek() != c {
		s.fail("want %s", map[byte]string{'[': "an array", '{': "an object"}[c])
		return
	}
	s.at++
	s.first = true
}

func (s *scanner) more(end byte) bool {
	c, first := s.peek(), s.first
	s.first = false
	switch {
	case s.err != nil:
		return false
	case c == end:
		s.at++
		return false
	case first:
		return true
	case c != ',':
		s.fail("want ',' or '%c'", end)
		return false
	}
	s.at++
	return true
}

// key appends the name of a member and passes the colon behind it.
func (s *scanner) key() {
	s.text()
	if s.peek() != ':' {
		s.fail("want ':'")
		return
	}
	s.at++
}

// text appends a string, decoded. What is not UTF-8 becomes U+FFFD.
func (s *scanner) text() {
	if s.peek() != '"' {
		s.fail("want a string")
		return
	}
	s.at++
	run := s.at // begins what has been passed and not appended
	for s.at < len(s.in) {
		switch c := s.in[s.at]; {
		case c == '"':
			s.dst = append(s.dst, s.in[run:s.at]...)
			s.at++
			return
		case c < 0x20:
			s.fail("a string holds the control character 0x%02x", c)
			return
		case c == '\\':
			s.dst = append(s.dst, s.in[run:s.at]...)
			if s.escape(); s.err != nil {
				return
			}
			run = s.at
		case c < utf8.RuneSelf:
			s.at++
		default:
			r, n := utf8.DecodeRune(s.in[s.at:])
			if r == utf8.RuneError && n == 1 {
				s.dst = append(s.dst, s.in[run:s.at]...)
				s.dst = utf8.AppendRune(s.dst, r)
				run = s.at + 1
			}
			s.at += n
		}
	}
	s.fail("a string does not end")
}

const (
	escapes   = `"\/bfnrt`
	unescaped = "\"\\/\b\f\n\r\t"
)

// escape appends what an escape stands for; half of a surrogate pair stands for U+FFFD.
func (s *scanner) escape() {
	s.at++
	if s.at == len(s.in) {
		s.fail("a string does not end")
		return
	}
	c := s.in[s.at]
	for i := range len(escapes) {
		if escapes[i] == c {
			s.dst = append(s.dst, unescaped[i])
			s.at++
			return
		}
	}
	r := hex4(s.in[s.at:])
	if r < 0 {
		s.fail("a string holds an unknown escape")
		return
	}
	s.at += 5
	if utf16.IsSurrogate(r) {
		low := rune(-1)
		if s.at < len(s.in) && s.in[s.at] == '\\' {
			low = hex4(s.in[s.at+1:])
		}
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			s.at += 6
		}
	}
	s.dst = utf8.AppendRune(s.dst, r)
}

// hex4 reads u and four hexadecimal digits, or gives -1.
func hex4(p []byte) rune {
	if len(p) < 5 || p[0] != 'u' {
		return -1
	}
	var r rune
	for _, c := range p[1:5] {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// uint reads an integer of 0 to limit, written with digits alone.
func (s *scanner) uint(limit uint64) uint64 {
	if c := s.peek(); c < '0' || c > '9' {
		s.fail("want an integer of 0 to %d", limit)
		return 0
	}
	start, n := s.at, uint64(0)
	for s.at < len(s.in) && '0' <= s.in[s.at] && s.in[s.at] <= '9' {
		d := uint64(s.in[s.at] - '0')
		if n > (limit-d)/10 || s.in[start] == '0' && s.at > start {
			s.fail("want an integer of 0 to %d", limit)
			return 0
		}
		n = n*10 + d
		s.at++
	}
	if s.at < len(s.in) {
		if c := s.in[s.at]; c == '.' || c|0x20 == 'e' {
			s.fail("want an integer of 0 to %d", limit)
		}
	}
	return n
}

// int reads a signed integer, bare or as a string, because JavaScript's numbers hold no 64 bits.
func (s *scanner) int() int64 {
	quoted := s.peek() == '"'
	if quoted {
		s.at++
	}
	limit, negative := uint64(math.MaxInt64), false
	if s.at < len(s.in) && s.in[s.at] == '-' {
		s.at++
		limit, negative = 1<<63, true
	}
	if s.at == len(s.in) || s.in[s.at] < '0' || s.in[s.at] > '9' {
		s.fail("want an integer")
	}
	n := s.uint(limit)
	if quoted && (s.at == len(s.in) || s.in[s.at] != '"') {
		s.fail("want an integer")
	}
	if quoted {
		s.at++
	}
	if negative {
		return -int64(n)
	}
	return int64(n)
}

// value passes over any value.
func (s *scanner) value(depth int) {
	switch c := s.peek(); {
	case depth > maxDepth:
		s.fail("it nests deeper than %d", maxDepth)
	case c == '"':
		n := len(s.dst)
		s.text()
		s.dst = s.dst[:n]
	case c == '{':
		for s.open('{'); s.more('}'); {
			n := len(s.dst)
			s.key()
			s.dst = s.dst[:n]
			s.value(depth + 1)
		}
	case c == '[':
		for s.open('['); s.more(']'); {
			s.value(depth + 1)
		}
	case c == '-' || '0' <= c && c <= '9':
		s.number()
	default:
		s.literal("true", "false", "null")
	}
}

// literal passes over one of the words and tells which; -1 after a fault.
func (s *scanner) literal(words ...string) int {
	s.peek()
	for i, w := range words {
		if n := s.at + len(w); s.err == nil && n <= len(s.in) && string(s.in[s.at:n]) == w {
			s.at = n
			return i
		}
	}
	s.fail("want a value")
	return -1
}

// number passes over a number: -? int frac? exp?.
func (s *scanner) number() {
	if s.in[s.at] == '-' {
		s.at++
	}
	if s.at < len(s.in) && s.in[s.at] == '0' {
		s.at++
	} else {
		s.digits()
	}
	if s.at < len(s.in) && s.in[s.at] == '.' {
		s.at++
		s.digits()
	}
	if s.at < len(s.in) && s.in[s.at]|0x20 == 'e' {
		s.at++
		if s.at < len(s.in) && (s.in[s.at] == '+' || s.in[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
}

func (s *scanner) digits() {
	start := s.at
	for s.at < len(s.in) && '0' <= s.in[s.at] && s.in[s.at] <= '9' {
		s.at++
	}
	if s.at == start {
		s.fail("want a digit")
	}
}
