package openai

import "math/bits"

// deepest is how many objects and arrays may lie inside one another in an answer.
const deepest = 512

// cursor walks over one JSON document and validates all it passes (RFC 8259; like encoding/json it does not look
// into UTF-8). A fault makes it bad for good: every later step does nothing and reports an end, so callers check
// once. It allocates nothing.
type cursor struct {
	b     []byte
	i     int
	depth int
	bad   bool

	escapes int // how many have been passed
}

func (c *cursor) fail() { c.bad, c.i = true, len(c.b) }

// peek skips white space and returns the next byte, 0 at the end.
func (c *cursor) peek() byte {
	if c.i < len(c.b) && c.b[c.i] > ' ' {
		return c.b[c.i]
	}
	return c.space()
}

// space is peek where there is white space. It is kept out of peek so that peek can be inlined.
//
//go:noinline
func (c *cursor) space() byte {
	for c.i < len(c.b) {
		ch := c.b[c.i]
		if ch > ' ' {
			return ch
		}
		if ch != ' ' && ch != '\n' && ch != '\t' && ch != '\r' {
			c.fail()
			return 0
		}
		c.i++
	}
	return 0
}

// enter steps into the object or array that open ('{' or '[') begins.
func (c *cursor) enter(open byte) {
	if c.depth++; c.peek() != open || c.depth > deepest {
		c.fail()
		return
	}
	c.i++
}

// more steps to the next member or element, or out of the object or array that shut ends. first is for the step
// right after enter.
func (c *cursor) more(shut byte, first bool) bool {
	switch ch := c.peek(); {
	case ch == shut:
		c.i++
		c.depth--
		return false
	case first && ch != 0:
		return true
	case ch == ',':
		c.i++
		return true
	}
	c.fail()
	return false
}

// key steps to the next member of an object and returns its name as written, without the quotes; ok is false at
// the object's end. The cursor is then on the member's value.
func (c *cursor) key(first bool) (name []byte, ok bool) {
	if !c.more('}', first) {
		return nil, false
	}
	name = c.str()
	if c.i < len(c.b) && c.b[c.i] == ':' || c.peek() == ':' {
		c.i++
		return name, true
	}
	c.fail()
	return nil, false
}

// str passes a string and returns what stands between its quotes, escapes and all.
func (c *cursor) str() []byte {
	b, start := c.b, c.i+1
	if start > len(b) || b[start-1] != '"' {
		if c.peek() != '"' {
			c.fail()
			return nil
		}
		start = c.i + 1
	}
	i := span(b, start)
	for i >= len(b) || b[i] != '"' {
		n := escape(b[i:])
		if n == 0 {
			c.fail()
			return nil
		}
		c.escapes++
		i = span(b, i+n)
	}
	c.i = i + 1
	return b[start:i]
}

// skip passes one value of any kind and returns it as written.
func (c *cursor) skip() []byte {
	ch := c.peek()
	start := c.i
	switch ch {
	case '"':
		c.str()
	case '{':
		c.enter('{')
		for _, ok := c.key(true); ok; _, ok = c.key(false) {
			c.skip()
		}
	case '[':
		c.enter('[')
		for ok := c.more(']', true); ok; ok = c.more(']', false) {
			c.skip()
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
	if c.bad {
		return nil
	}
	return c.b[start:c.i]
}

func (c *cursor) literal(word string) {
	if len(c.b)-c.i < len(word) || string(c.b[c.i:c.i+len(word)]) != word {
		c.fail()
		return
	}
	c.i += len(word)
}

func (c *cursor) number() {
	b, i := c.b, c.i
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch n := digits(b, i); {
	case n == 0, n > 1 && b[i] == '0':
		c.fail()
		return
	default:
		i += n
	}
	if i < len(b) && b[i] == '.' {
		n := digits(b, i+1)
		if i += 1 + n; n == 0 {
			c.fail()
			return
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := digits(b, i)
		if i += n; n == 0 {
			c.fail()
			return
		}
	}
	c.i = i
}

// digits counts the digits at b[i:].
func digits(b []byte, i int) (n int) {
	for i+n < len(b) && b[i+n]-'0' <= 9 {
		n++
	}
	return n
}

// end reports whether the document was valid and nothing but white space follows.
func (c *cursor) end() bool { return c.peek() == 0 && c.i == len(c.b) && !c.bad }

// null passes a null and reports true; any other value stays where it is.
func (c *cursor) null() bool {
	if c.peek() != 'n' {
		return false
	}
	c.literal("null")
	return true
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// span returns the index of the first byte from b[i] on that a JSON string may not hold as it is (a quote, a
// backslash or a control character), len(b) if there is none. Most strings are short: it looks at eight bytes, then
// at 32 at a time, then at eight again. A mask's lowest mark is always true, a higher one may be an echo.
func span(b []byte, i int) int {
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
