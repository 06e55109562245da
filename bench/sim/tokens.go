package sim

// tokenBytes is how much of a word one token holds at most.
const tokenBytes = 4

// nextToken returns the length in bytes of the first token of s, 0 for an empty s. A token is the white space
// before a word together with up to four bytes of that word, never dividing a character; so every word is at
// least one token, and prompts and answers are counted by the same rule.
func nextToken[T ~string | ~[]byte](s T) int {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	word := i
	for i < len(s) && !isSpace(s[i]) {
		size := min(runeSize(s[i]), len(s)-i)
		if i > word && i+size-word > tokenBytes {
			break
		}
		i += size
	}
	return i
}

// countTokens is the number of tokens in s.
func countTokens[T ~string | ~[]byte](s T) int {
	n := 0
	for i := 0; i < len(s); n++ {
		i += nextToken(s[i:])
	}
	return n
}

// appendTokenEnds appends the offset at which each token of s ends.
func appendTokenEnds(dst []int, s string) []int {
	for i := 0; i < len(s); {
		i += nextToken(s[i:])
		dst = append(dst, i)
	}
	return dst
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// runeSize is the length of the UTF-8 sequence that c begins; 1 for a byte that begins none.
func runeSize(c byte) int {
	switch {
	case c < 0xC0:
		return 1
	case c < 0xE0:
		return 2
	case c < 0xF0:
		return 3
	default:
		return 4
	}
}
