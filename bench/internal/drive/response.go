package drive

import (
	"bytes"
	"errors"
	"math"
)

var (
	errStatusLine = errors.New("malformed status line")
	errChunk      = errors.New("malformed chunk")
	errSurplus    = errors.New("bytes after the answer")
	errHeadSize   = errors.New("answer's head is over 64 KiB")
	errTruncated  = errors.New("connection closed inside an answer")
)

const maxHead = 64 << 10

type phase uint8

const (
	inHead phase = iota
	inFixed
	inSize      // the line with a chunk's size
	inChunk     // a chunk's data
	inChunkEnd  // the line end after it
	inTrailer   // lines after the last chunk
	untilClosed // a body without a length
	complete
)

// response reads one HTTP/1.1 answer piece by piece. It keeps only what the report counts.
type response struct {
	phase  phase
	left   int    // bytes left of a fixed body or of a chunk
	line   []byte // the head, or a chunk's line, as far as it came in earlier pieces
	status int
	cache  []byte // value of x-wedge-cache
	sse    bool
	close  bool // the server closes the connection after the answer
	body   int64
	events events
}

func (r *response) reset() {
	*r = response{line: r.line[:0], cache: r.cache[:0], events: events{line: r.events.line[:0], delay: r.events.delay}}
}

// feed takes the next bytes of the connection; now is the time they came, in nanoseconds of any clock, and is
// handed on to the events. It is done when the answer's phase is complete.
func (r *response) feed(p []byte, now int64) error {
	for len(p) > 0 {
		var err error
		switch r.phase {
		case inHead:
			p, err = r.feedHead(p)
		case inFixed, inChunk, untilClosed:
			p = r.feedBody(p, now)
		case inSize, inChunkEnd, inTrailer:
			p, err = r.feedLine(p)
		case complete:
			return errSurplus
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eof tells the answer that the connection has ended.
func (r *response) eof() error {
	if r.phase != untilClosed {
		return errTruncated
	}
	r.phase = complete
	return nil
}

func (r *response) feedHead(p []byte) ([]byte, error) {
	head := p
	if len(r.line) > 0 {
		r.line = append(r.line, p...)
		head = r.line
	}
	end := bytes.Index(head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(head) > maxHead {
			return nil, errHeadSize
		}
		if len(r.line) == 0 {
			r.line = append(r.line, p...)
		}
		return nil, nil
	}
	rest := p[len(p)-(len(head)-end-4):]
	err := r.parseHead(head[:end+2])
	r.line = r.line[:0]
	return rest, err
}

func (r *response) parseHead(head []byte) error {
	if len(head) < 14 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return errStatusLine
	}
	r.status = int(head[9]-'0')*100 + int(head[10]-'0')*10 + int(head[11]-'0')
	if r.status >= 100 && r.status < 200 { // an interim answer: the real one follows
		return nil
	}
	length, chunked := -1, false
	for lines := head[bytes.IndexByte(head, '\n')+1:]; len(lines) > 0; {
		end := bytes.IndexByte(lines, '\n')
		name, value, _ := bytes.Cut(bytes.TrimRight(lines[:end], "\r"), []byte(":"))
		lines, value = lines[end+1:], bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			length = decimal(value)
		case is(name, "transfer-encoding"):
			chunked = is(value, "chunked")
		case is(name, "content-type"):
			r.sse = bytes.HasPrefix(value, []byte("text/event-stream"))
		case is(name, "connection"):
			r.close = is(value, "close")
		case is(name, "x-wedge-cache"):
			r.cache = append(r.cache[:0], value...)
		}
	}
	r.begin(length, chunked)
	return nil
}

func (r *response) begin(length int, chunked bool) {
	switch {
	case r.status == 204 || r.status == 304:
		r.phase = complete
	case chunked:
		r.phase = inSize
	case length == 0:
		r.phase = complete
	case length > 0:
		r.phase, r.left = inFixed, length
	default:
		r.phase, r.close = untilClosed, true
	}
}

func (r *response) feedBody(p []byte, now int64) []byte {
	n := len(p)
	if r.phase != untilClosed {
		n = min(n, r.left)
		r.left -= n
	}
	r.body += int64(n)
	if r.sse {
		r.events.feed(p[:n], now)
	}
	if r.left == 0 {
		switch r.phase {
		case inFixed:
			r.phase = complete
		case inChunk:
			r.phase = inChunkEnd
		}
	}
	return p[n:]
}

// feedLine collects a line of the chunked framing and acts on it.
func (r *response) feedLine(p []byte) ([]byte, error) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		r.line = append(r.line, p...)
		if len(r.line) > maxHead {
			return nil, errChunk
		}
		return nil, nil
	}
	line := p[:end]
	if len(r.line) > 0 {
		r.line = append(r.line, line...)
		line = r.line
	}
	line = bytes.TrimRight(line, "\r")
	err := r.endLine(line)
	r.line = r.line[:0]
	return p[end+1:], err
}

func (r *response) endLine(line []byte) error {
	switch r.phase {
	case inSize:
		n, ok := hexadecimal(line)
		if !ok {
			return errChunk
		}
		r.left, r.phase = n, inChunk
		if n == 0 {
			r.phase = inTrailer
		}
	case inChunkEnd:
		if len(line) != 0 {
			return errChunk
		}
		r.phase = inSize
	case inTrailer:
		if len(line) == 0 {
			r.phase = complete
		}
	}
	return nil
}

// is compares without regard to case; want is lower case.
func is(b []byte, want string) bool {
	return len(b) == len(want) && b[0]|0x20 == want[0] && bytes.EqualFold(b, []byte(want))
}

func decimal(b []byte) int {
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' || n > math.MaxInt64/10-1 {
			return -1
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// hexadecimal reads a chunk's size; what follows a semicolon or a space is an extension.
func hexadecimal(b []byte) (int, bool) {
	n, digits := 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return n, digits > 0 && (c == ';' || c == ' ')
		}
		if n, digits = n<<4|int(c), digits+1; digits > 8 {
			return 0, false
		}
	}
	return n, digits > 0
}
