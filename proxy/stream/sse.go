// Package stream knows how a streamed answer is framed, as server-sent events, and how many readers share one.
// It knows no provider.
package stream

import (
	"bytes"
	"errors"
)

// MaxEvent is the default bound of one event, in bytes.
const MaxEvent = 1 << 20

// window bounds how far ahead one search for '\n' looks, so that a stream that ends its lines in a lone '\r' is
// not searched to its end once per event.
const window = 4 << 10

// ErrEventTooLarge is returned for an event that exceeds the scanner's limit.
var ErrEventTooLarge = errors.New("cannot relay the stream: one event exceeds the limit")

var bom = []byte("\xef\xbb\xbf")

// Scanner finds the ends of server-sent events (WHATWG HTML, §9.2) in a buffer that grows at its end. It remembers
// what it has searched, so a long event that comes in many small reads costs one pass. The zero value is ready.
type Scanner struct {
	Limit int // bytes of one event, its blank line included; 0 means MaxEvent

	line, from int // in the pending event: the start of the current line, and the first byte not searched yet
}

// Next returns the length of the first complete event in b, its terminating blank line included, or 0 if there
// is none yet. b starts where the last returned event ended; after a 0 it must start with the same bytes again.
// A blank line alone is an event without fields. A blank line that ends in '\r' at the end of b counts as
// complete; a '\n' that follows it is then such an event without fields.
func (s *Scanner) Next(b []byte) (n int, err error) {
	limit := s.Limit
	if limit == 0 {
		limit = MaxEvent
	}
	n = s.scan(b)
	if n > limit || n == 0 && len(b) > limit {
		return 0, ErrEventTooLarge
	}
	return n, nil
}

// Next is Scanner.Next for a buffer that is searched once, without a limit.
func Next(b []byte) (n int) {
	var s Scanner
	return s.scan(b)
}

func (s *Scanner) scan(b []byte) int {
	line, from := s.line, s.from
	if from == 0 {
		if n := oneLine(b[:min(len(b), window)]); n > 0 {
			return n
		}
	}
	for {
		at, width := lineEnd(b, from)
		blank := at == line || line == 0 && at == len(bom) && bytes.HasPrefix(b, bom)
		switch {
		case width == 0 || width == maybeCRLF && !blank:
			s.line, s.from = line, at
			return 0
		case blank:
			s.line, s.from = 0, 0
			return at + max(width, 1)
		}
		line, from = at+width, at+width
	}
}

// oneLine is the length of the event at the start of b in its most common form, one line ended by "\n\n", and 0
// for every other.
func oneLine(b []byte) int {
	nl := bytes.IndexByte(b, '\n')
	if nl <= 0 || nl+1 >= len(b) || b[nl+1] != '\n' || bytes.IndexByte(b[:nl], '\r') >= 0 {
		return 0
	}
	return nl + 2
}

// maybeCRLF is the width of a '\r' at the end of the buffer: a terminator whose '\n' may still come.
const maybeCRLF = -1

// lineEnd returns where in b, from the given place on, a line ends and how wide its terminator is. Width 0 means
// that b ends before the line does; at is then where to search on.
func lineEnd(b []byte, from int) (at, width int) {
	for from < len(b) {
		seg := b[from:min(len(b), from+window)]
		nl := bytes.IndexByte(seg, '\n')
		if nl >= 0 {
			seg = seg[:nl]
		}
		cr := bytes.IndexByte(seg, '\r')
		if cr >= 0 {
			return from + cr, crWidth(b, from+cr)
		}
		if nl >= 0 {
			return from + nl, 1
		}
		from += len(seg)
	}
	return from, 0
}

// crWidth is the width of the line terminator that begins with the '\r' at b[at].
func crWidth(b []byte, at int) int {
	switch {
	case at+1 == len(b):
		return maybeCRLF
	case b[at+1] == '\n':
		return 2
	}
	return 1
}

// Fields returns the name (the last `event:`) and the data of one complete event, each nil where the event has
// none; comments, `id:` and `retry:` are skipped. name and a single line of data are borrowed from event. Several
// lines of data are joined by '\n' behind scratch[:0]; scratch2 is that buffer, grown as needed, to be passed in
// again.
func Fields(event, scratch []byte) (name, data, scratch2 []byte) {
	scratch = scratch[:0]
	if v, ok := field(event, "data"); ok && oneLine(event) == len(event) {
		return nil, v[:len(v)-2], scratch
	}
	event = bytes.TrimPrefix(event, bom)
	joined := false
	for len(event) > 0 {
		at, width := lineEnd(event, 0)
		line := event[:at]
		event = event[at+max(width, -width):]
		if len(line) == 0 {
			continue
		}
		if v, ok := field(line, "data"); ok {
			switch {
			case data == nil:
				data = v
				continue
			case !joined:
				scratch, joined = append(scratch, data...), true
			}
			scratch = append(append(scratch, '\n'), v...)
			data = scratch
		} else if v, ok := field(line, "event"); ok {
			name = v
		}
	}
	return name, data, scratch
}

// field returns the value of line if it is the named field: `name`, `name:value` or `name: value`. The value is
// never nil.
func field(line []byte, name string) (value []byte, ok bool) {
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	line = line[len(name):]
	switch {
	case len(line) == 0:
		return line, true
	case line[0] != ':':
		return nil, false
	case len(line) > 1 && line[1] == ' ':
		return line[2:], true
	}
	return line[1:], true
}
