package tokens

import (
	"unicode"
	"unicode/utf8"
)

// class is a set of what the encoding's splitting pattern asks of a character. 0 is a symbol: nothing of these.
type class uint8

const (
	upper    class = 1 << iota // \p{Lu} \p{Lt}
	lower                      // \p{Ll}
	caseless                   // \p{Lm} \p{Lo} \p{M}: stands where upper does and where lower does
	mark                       // \p{M}: with caseless, but no \p{L}
	number                     // \p{N}
	space                      // \s
	newline                    // \r \n, with space

	wordChar = upper | lower | caseless
)

// classes holds the class of every character below U+32400; above it there are only variation selectors, see wide.
type classes [0x32400]class

func newClasses() *classes {
	c := new(classes)
	c.fill(upper, unicode.Lu, unicode.Lt)
	c.fill(lower, unicode.Ll)
	c.fill(caseless, unicode.Lm, unicode.Lo, unicode.M)
	c.fill(mark, unicode.M)
	c.fill(number, unicode.N)
	c.fill(space, unicode.White_Space)
	c['\r'] |= newline
	c['\n'] |= newline
	return c
}

func (c *classes) fill(as class, tables ...*unicode.RangeTable) {
	for _, t := range tables {
		for _, r := range t.R16 {
			c.fillRange(as, uint32(r.Lo), uint32(r.Hi), uint32(r.Stride))
		}
		for _, r := range t.R32 {
			c.fillRange(as, r.Lo, r.Hi, r.Stride)
		}
	}
}

func (c *classes) fillRange(as class, first, last, stride uint32) {
	for r := first; r <= last && r < uint32(len(c)); r += stride {
		c[r] |= as
	}
}

// at returns the class of the character at text[i], and its bytes.
func (c *classes) at(text []byte, i int) (class, int) {
	if text[i] < utf8.RuneSelf {
		return c[text[i]], 1
	}
	return c.wide(text, i)
}

func (c *classes) wide(text []byte, i int) (class, int) {
	r, n := utf8.DecodeRune(text[i:])
	if int(r) < len(c) {
		return c[r], n
	}
	if unicode.Is(unicode.M, r) {
		return caseless | mark, n
	}
	return 0, n
}

// next returns where the piece that starts at text[i] ends. It does what the pattern of o200k_base does, one
// alternative after the other:
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	\p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*
//	\s*[\r\n]+
//	\s+(?!\S)
//	\s+
func (c *classes) next(text []byte, i int) int {
	k, n := c.at(text, i)
	switch {
	case k&wordChar != 0:
		// A mark could also be the one character in front of a word; the word that it begins is the same.
		return c.word(text, i)
	case k&number != 0:
		return c.number(text, i)
	case k&newline == 0 && i+n < len(text):
		if after, _ := c.at(text, i+n); after&wordChar != 0 {
			return c.word(text, i+n)
		}
	}
	if end := c.symbols(text, i); end > i {
		return end
	}
	return c.spaces(text, i)
}

// word returns the end of the letters and marks at text[i], of which there is one at least.
func (c *classes) word(text []byte, i int) int {
	capitals, afterCaseless := i, -1
	for capitals < len(text) {
		k, n := c.at(text, capitals)
		if k&(upper|caseless) == 0 {
			break
		}
		capitals += n
		if k&caseless != 0 {
			afterCaseless = capitals
		}
	}
	end := capitals
	for end < len(text) {
		k, n := c.at(text, end)
		if k&(lower|caseless) == 0 {
			break
		}
		end += n
	}
	// The first alternative wants something at the end that can be lower case: without, it gives capitals back up to
	// the last character that can be either. Only where there is none either, the second alternative takes all.
	if end == capitals && afterCaseless > 0 {
		end = afterCaseless
	}
	return contraction(text, end)
}

// contraction returns the end of one of 's 't 're 've 'm 'll 'd at text[i], or i.
func contraction(text []byte, i int) int {
	if i+1 >= len(text) || text[i] != '\'' {
		return i
	}
	rest := text[i+1:]
	switch rest[0] | 0x20 {
	case 's', 't', 'm', 'd':
		return i + 2
	case 'r', 'v':
		if len(rest) > 1 && rest[1]|0x20 == 'e' {
			return i + 3
		}
	case 'l':
		if len(rest) > 1 && rest[1]|0x20 == 'l' {
			return i + 3
		}
	}
	if r, n := utf8.DecodeRune(rest); r == 'ſ' { // folds to s
		return i + 1 + n
	}
	return i
}

func (c *classes) number(text []byte, i int) int {
	for range 3 {
		if i == len(text) {
			break
		}
		k, n := c.at(text, i)
		if k&number == 0 {
			break
		}
		i += n
	}
	return i
}

// symbols returns i if no symbol is at text[i], nor after one blank.
func (c *classes) symbols(text []byte, i int) int {
	start := i
	if text[start] == ' ' {
		start++
	}
	end := start
	for end < len(text) {
		k, n := c.at(text, end)
		if k&mark == 0 && k&(space|number|wordChar) != 0 {
			break
		}
		end += n
	}
	if end == start {
		return i
	}
	for end < len(text) && (text[end] == '\n' || text[end] == '\r' || text[end] == '/') {
		end++
	}
	return end
}

// spaces ends after the last newline of a run; in a run without one, before the last character, which goes with what
// follows, if something does and the run has more than that one.
func (c *classes) spaces(text []byte, i int) int {
	end, last, afterNewline := i, i, -1
	for end < len(text) {
		k, n := c.at(text, end)
		if k&space == 0 {
			break
		}
		last = end
		end += n
		if k&newline != 0 {
			afterNewline = end
		}
	}
	switch {
	case afterNewline > 0:
		return afterNewline
	case end == len(text) || last == i:
		return end
	}
	return last
}
