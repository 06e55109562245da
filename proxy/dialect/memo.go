package dialect

import "github.com/wedge-proxy/wedge/internal/jsonscan"

// Keep remembers what stands around the n bytes of text at data[at], so that Same can tell an event that says another
// text and nothing else. A shape that is too long is not kept.
func (m *Memo) Keep(data []byte, at, n int) {
	if len(data)-n > len(m.Bytes) {
		m.Head = 0
		return
	}
	m.Head = uint16(copy(m.Bytes[:], data[:at]))
	m.Tail = uint16(copy(m.Bytes[at:], data[at+n:]))
}

// Same reports whether data is the remembered event with another text, not empty and free of escapes. Such an event is
// as valid as that one was.
func (m *Memo) Same(data []byte) bool {
	head, tail := int(m.Head), int(m.Tail)
	if head == 0 || len(data) <= head+tail {
		return false
	}
	text := data[head : len(data)-tail]
	return string(data[:head]) == string(m.Bytes[:head]) &&
		string(data[len(data)-tail:]) == string(m.Bytes[head:head+tail]) &&
		jsonscan.Span(text, 0) == len(text)
}
