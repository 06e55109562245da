// Package jsonscan walks over JSON in place, checks what it passes, and reads and writes the text of strings. It builds no
// values and allocates nothing.
package jsonscan

import (
	"math"
	"math/bits"
	"strconv"
)

// Deepest is how many objects and arrays may lie inside one another in an answer.
const Deepest = 512

// Cursor walks over one JSON document and validates all it passes (RFC 8259; like encoding/json it does not look
// into UTF-8). A fault makes it bad for good: every later step does nothing and reports an end, so callers check
// once. It allocates nothing.
type Cursor struct {
	B     []byte
	I     int // of the next byte
	depth int
	Bad   bool // for good

	Escapes int // how many have been passed
}

// Fail makes the cursor bad.
func (c *Cursor) Fail() { c.Bad, c.I = true, len(c.B) }

// Peek skips white space and returns the next byte, 0 at the end.
func (c *Cursor) Peek() byte {
	if c.I < len(c.B) && c.B[c.I] > ' ' {
		return c.B[c.I]
	}
	return c.space()
}

// space is Peek where there is white space. It is kept out of Peek so that Peek can be inlined.
//
//go:noinline
func (c *Cursor) space() byte {
	for c.I < len(c.B) {
		ch := c.B[c.I]
		if ch > ' ' {
			return ch
		}
		if ch != ' ' && ch != '\n' && ch != '\t' && ch != '\r' {
			c.Fail()
			return 0
		}
		c.I++
	}
	return 0
}

// Enter steps into the object or array that open ('{' or '[') begins.
func (c *Cursor) Enter(open byte) {
	if c.depth++; c.Peek() != open || c.depth > Deepest {
		c.Fail()
		return
	}
	c.I++
}

// More steps to the next member or element, or out of the object or array that shut ends. first is for the step
// right after enter.
func (c *Cursor) More(shut byte, first bool) bool {
	switch ch := c.Peek(); {
	case ch == shut:
		c.I++
		c.depth--
		return false
	case first && ch != 0:
		return true
	case ch == ',':
		c.I++
		return true
	}
	c.Fail()
	return false
}

// Key steps to the next member of an object and returns its name as written, without the quotes; ok is false at
// the object's end. The Cursor is then on the member's value.
func (c *Cursor) Key(first bool) (name []byte, ok bool) {
	if !c.More('}', first) {
		return nil, false
	}
	name = c.Str()
	if c.I < len(c.B) && c.B[c.I] == ':' || c.Peek() == ':' {
		c.I++
		return name, true
	}
	c.Fail()
	return nil, false
}

// Str passes a string and returns what stands between its quotes, escapes and all.
func (c *Cursor) Str() []byte {
	b, start := c.B, c.I+1
	if start > len(b) || b[start-1] != '"' {
		if c.Peek() != '"' {
			c.Fail()
			return nil
		}
		start = c.I + 1
	}
	i := Span(b, start)
	for i >= len(b) || b[i] != '"' {
		n := escape(b[i:])
		if n == 0 {
			c.Fail()
			return nil
		}
		c.Escapes++
		i = Span(b, i+n)
	}
	c.I = i + 1
	return b[start:i]
}

// Skip passes one value of any kind and returns it as written.
func (c *Cursor) Skip() []byte {
	ch := c.Peek()
	start := c.I
	switch ch {
	case '"':
		c.Str()
	case '{':
		c.Enter('{')
		for _, ok := c.Key(true); ok; _, ok = c.Key(false) {
			c.Skip()
		}
	case '[':
		c.Enter('[')
		for ok := c.More(']', true); ok; ok = c.More(']', false) {
			c.Skip()
		}
	case 't':
		c.literal("true")
	case 'f':
		c.literal("false")
	case 'n':
		c.literal("null")
	default:
		c.number()
	}
	if c.Bad {
		return nil
	}
	return c.B[start:c.I]
}

func (c *Cursor) literal(word string) {
	if len(c.B)-c.I < len(word) || string(c.B[c.I:c.I+len(word)]) != word {
		c.Fail()
		return
	}
	c.I += len(word)
}

func (c *Cursor) number() {
	b, i := c.B, c.I
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch n := Digits(b, i); {
	case n == 0, n > 1 && b[i] == '0':
		c.Fail()
		return
	default:
		i += n
	}
	if i < len(b) && b[i] == '.' {
		n := Digits(b, i+1)
		if i += 1 + n; n == 0 {
			c.Fail()
			return
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := Digits(b, i)
		if i += n; n == 0 {
			c.Fail()
			return
		}
	}
	c.I = i
}

// Count passes a value and returns the number that it is: what is no number, negative or beyond math.MaxInt64/4 counts as 0.
func (c *Cursor) Count() (n int64) {
	v := c.Skip()
	if len(v) > 0 && len(v) <= 18 && Digits(v, 0) == len(v) {
		for _, ch := range v {
			n = n*10 + int64(ch-'0')
		}
		return n
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || !(f > 0 && f < math.MaxInt64/4) {
		return 0
	}
	return int64(f)
}

// Digits counts the digits at b[i:].
func Digits(b []byte, i int) (n int) {
	for i+n < len(b) && b[i+n]-'0' <= 9 {
		n++
	}
	return n
}

// End reports whether the document was valid and nothing but white space follows.
func (c *Cursor) End() bool { return c.Peek() == 0 && c.I == len(c.B) && !c.Bad }

// Null passes a null and reports true; any other value stays where it is.
func (c *Cursor) Null() bool {
	if c.Peek() != 'n' {
		return false
	}
	c.literal("null")
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// Span returns the index of the first byte from b[i] on that a JSON string may not hold as it is (a quote, a
// backslash or a control character), len(b) if there is none. Most strings are short: it looks at eight bytes, then
// at 32 at a time, then at eight again. A mask's lowest mark is always true, a higher one may be an echo.
func Span(b []byte, i int) int {
	if i >= 0 && i < len(b)-7 {
		w := word(b, i)
		if m := marks(w) &^ w & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
		i += 8
	}
	for ; i >= 0 && i < len(b)-31; i += 32 {
		w0, w1, w2, w3 := word(b, i), word(b, i+8), word(b, i+16), word(b, i+24)
		if (marks(w0)|marks(w1)|marks(w2)|marks(w3))&highs != 0 {
			break // one may be a byte beyond ASCII
		}
	}
	for ; i >= 0 && i < len(b)-7; i += 8 {
		w := word(b, i)
		if m := marks(w) &^ w & highs; m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// word is the eight bytes of b at i. Where the compiler sees that they exist it is one load.
func word(b []byte, i int) uint64 {
	return uint64(b[i]) | uint64(b[i+1])<<8 | uint64(b[i+2])<<16 | uint64(b[i+3])<<24 |
		uint64(b[i+4])<<32 | uint64(b[i+5])<<40 | uint64(b[i+6])<<48 | uint64(b[i+7])<<56
}

// marks has the high bit set in each byte of w that ends a span, in some behind one that does, and in most beyond
// ASCII.
func marks(w uint64) uint64 {
	quote, slash := w^(ones*'"'), w^(ones*'\\')
	return (quote - ones) | (slash - ones) | (w - ones*' ')
}

// escape returns the length of the escape sequence that b begins with, 0 if there is none that is valid and whole.
func escape(b []byte) int {
	if len(b) < 2 || b[0] != '\\' {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, ch := range b[2:6] {
			if ch-'0' > 9 && ch|0x20-'a' > 5 {
				return 0
			}
		}
		return 6
	}
	return 0
}
