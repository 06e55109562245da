package wedge1

// Members calls f with each member of a JSON object, or with each element of an array under an empty name, until f
// returns false. A string comes without its quotes, its escapes as they stand. It is enough for a config and keeps the
// module small; encoding/json makes it nearly twice as large.
func Members(text []byte, f func(name, value []byte) bool) {
	rest := trim(text)
	if len(rest) == 0 {
		return
	}
	object := rest[0] == '{'
	rest = rest[1:]
	for {
		var name, value []byte
		if object {
			if name, rest = element(rest); name == nil {
				return
			}
		}
		if value, rest = element(rest); value == nil || !f(name, value) {
			return
		}
	}
}

// Member is the value of a member of a JSON object, nil if it is not there.
func Member(object []byte, name string) (found []byte) {
	Members(object, func(n, value []byte) bool {
		if string(n) == name {
			found = value
		}
		return found == nil
	})
	return found
}

// Int is the whole number that text begins with, or otherwise if it begins with none.
func Int(text []byte, otherwise int64) int64 {
	i, sign := 0, int64(1)
	if len(text) > 0 && text[0] == '-' {
		i, sign = 1, -1
	}
	first, n := i, int64(0)
	for ; i < len(text) && text[i] >= '0' && text[i] <= '9'; i++ {
		n = n*10 + int64(text[i]-'0')
	}
	if i == first {
		return otherwise
	}
	return sign * n
}

// element cuts the next value off; nil at the end.
func element(text []byte) (value, rest []byte) {
	text = trim(text)
	n := span(text)
	if n == 0 {
		return nil, nil
	}
	if text[0] == '"' && n > 1 {
		return text[1 : n-1 : n-1], text[n:]
	}
	return text[:n:n], text[n:]
}

func trim(text []byte) []byte {
	for len(text) > 0 && between(text[0]) {
		text = text[1:]
	}
	return text
}

func between(c byte) bool {
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',' || c == ':'
}

// span is the length of the value that text begins with.
func span(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			i = quoted(text, i+1)
		case c == '{' || c == '[':
			depth++
			continue
		case c == '}' || c == ']':
			if depth == 0 {
				return i
			}
			depth--
		case depth == 0 && between(c):
			return i
		default:
			continue
		}
		if depth == 0 {
			return min(i+1, len(text))
		}
	}
	return len(text)
}

// quoted is where the string that begins at, behind its quote, ends.
func quoted(text []byte, at int) int {
	for ; at < len(text) && text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at
}
