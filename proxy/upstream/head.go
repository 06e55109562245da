package upstream

import "bytes"

// maxHead bounds a response head, interim responses included, in bytes.
const maxHead = 64 << 10

// head is a parsed response head. The spans point into raw.
type head struct {
	raw    []byte `wedge:"kept"` // status line and header lines, up to and including the empty line
	fields int    // offset of the first header line in raw
	status int
	length int64 // content-length, or -1
	ctype  span  // content-type's value
	coding span  // content-encoding's value, empty for identity
	chunks bool  // transfer-encoding: chunked
	keep   bool  // the connection may be used again
	old    bool  // HTTP/1.0
}

type span struct{ from, to int }

func (h *head) at(s span) []byte { return h.raw[s.from:s.to] }

// reset keeps raw's memory unless it grew beyond what an ordinary head needs.
func (h *head) reset() {
	raw := h.raw[:0]
	if cap(raw) > 8<<10 {
		raw = nil
	}
	*h = head{raw: raw}
}

// take moves bytes of p into the head until its empty line; it reports how many it took and whether the head is
// complete.
func (h *head) take(p []byte) (n int, complete bool, err error) {
	for n < len(p) {
		end := len(p)
		if i := bytes.IndexByte(p[n:], '\n'); i >= 0 {
			end = n + i + 1
		}
		if len(h.raw)+end-n > maxHead {
			return n, false, violation("the response head is larger than 64 KB")
		}
		h.raw = append(h.raw, p[n:end]...)
		n = end
		if bytes.HasSuffix(h.raw, blankLine) {
			return n, true, nil
		}
		if len(h.raw) >= len(httpVersion) && !bytes.HasPrefix(h.raw, httpVersion) {
			return n, false, violation("the answer does not begin with HTTP/1.")
		}
	}
	return n, false, nil
}

var (
	blankLine   = []byte("\r\n\r\n")
	httpVersion = []byte("HTTP/1.")
)

// parse reads a complete head.
func (h *head) parse() error {
	h.length = -1
	line, pos, err := h.line(0)
	if err != nil {
		return err
	}
	if err := h.statusLine(h.at(line)); err != nil {
		return err
	}
	h.fields = pos
	h.keep = !h.old
	for {
		if line, pos, err = h.line(pos); err != nil {
			return err
		}
		if line.from == line.to {
			return h.check()
		}
		if err := h.field(line); err != nil {
			return err
		}
	}
}

// line is the span of the line at pos without its CRLF, and where the next one begins.
func (h *head) line(pos int) (span, int, error) {
	i := bytes.IndexByte(h.raw[pos:], '\n')
	if i < 1 || h.raw[pos+i-1] != '\r' {
		return span{}, 0, violation("a header line does not end with CRLF")
	}
	return span{pos, pos + i - 1}, pos + i + 1, nil
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be empty.
func (h *head) statusLine(l []byte) error {
	const bad = violation("bad status line")
	if len(l) < len("HTTP/1.1 200") || !bytes.HasPrefix(l, httpVersion) || l[8] != ' ' {
		return bad
	}
	if l[7] != '0' && l[7] != '1' {
		return bad
	}
	if len(l) > 12 && l[12] != ' ' {
		return bad
	}
	h.old = l[7] == '0'
	for _, c := range l[9:12] {
		if c < '0' || c > '9' {
			return bad
		}
		h.status = h.status*10 + int(c-'0')
	}
	if h.status < 100 {
		return bad
	}
	return nil
}

// field reads one header line. Header(…) reads the others when they are asked for.
func (h *head) field(l span) error {
	colon := bytes.IndexByte(h.at(l), ':')
	if colon < 1 || !isToken(h.raw[l.from:l.from+colon]) {
		return violation("bad header line") // folded lines and "name :" as well: both are used for smuggling
	}
	name, value := h.raw[l.from:l.from+colon], h.trim(span{l.from + colon + 1, l.to})
	if !isValue(h.at(value)) {
		return violation("a control character in a header value")
	}
	switch len(name) {
	case len("connection"):
		if foldEqual(name, "connection") {
			h.connection(h.at(value))
		}
	case len("content-type"):
		if foldEqual(name, "content-type") && h.ctype.to == 0 {
			h.ctype = value
		}
	case len("content-length"):
		if foldEqual(name, "content-length") {
			return h.contentLength(h.at(value))
		}
	case len("content-encoding"):
		if foldEqual(name, "content-encoding") && !foldEqual(h.at(value), "identity") {
			return h.contentEncoding(value)
		}
	case len("transfer-encoding"):
		if foldEqual(name, "transfer-encoding") {
			return h.transferEncoding(h.at(value))
		}
	}
	return nil
}

func (h *head) connection(v []byte) {
	for len(v) > 0 {
		var word []byte
		word, v, _ = bytes.Cut(v, comma)
		word = bytes.TrimSpace(word)
		switch {
		case foldEqual(word, "close"):
			h.keep = false
		case foldEqual(word, "keep-alive") && h.old:
			h.keep = true
		}
	}
}

var comma = []byte{','}

func (h *head) contentLength(v []byte) error {
	const bad = violation("bad or conflicting content-length")
	if len(v) == 0 || len(v) > 15 {
		return bad
	}
	var n int64
	for _, c := range v {
		if c < '0' || c > '9' {
			return bad
		}
		n = n*10 + int64(c-'0')
	}
	if h.length >= 0 && h.length != n {
		return bad
	}
	h.length = n
	return nil
}

func (h *head) contentEncoding(v span) error {
	if h.coding != (span{}) {
		return violation("more than one content-encoding")
	}
	h.coding = v
	return nil
}

func (h *head) transferEncoding(v []byte) error {
	if h.chunks || !foldEqual(v, "chunked") {
		return violation("a transfer-encoding other than chunked")
	}
	h.chunks = true
	return nil
}

// check refuses heads that two readers could understand differently.
func (h *head) check() error {
	if h.chunks && (h.length >= 0 || h.old) {
		return violation("transfer-encoding together with content-length or HTTP/1.0")
	}
	return nil
}

// framing is how this head's body ends.
func (h *head) framing(headRequest bool) body {
	switch {
	case headRequest || h.status == 204 || h.status == 304:
		return body{frame: frameNone}
	case h.chunks:
		return body{frame: frameChunked}
	case h.length >= 0:
		return body{frame: frameLength, left: h.length}
	default:
		return body{frame: frameClose}
	}
}

// get is the value of the first header line called name, or nil.
func (h *head) get(name string) []byte {
	for k, v := range h.all {
		if foldEqual(k, name) {
			return v
		}
	}
	return nil
}

// all yields every header line of a parsed head.
func (h *head) all(yield func(name, value []byte) bool) {
	for pos := h.fields; pos > 0 && pos < len(h.raw); {
		line, next, err := h.line(pos)
		colon := bytes.IndexByte(h.at(line), ':')
		if err != nil || colon < 0 {
			return // the empty line
		}
		v := h.trim(span{line.from + colon + 1, line.to})
		if !yield(h.raw[line.from:line.from+colon], h.at(v)) {
			return
		}
		pos = next
	}
}

func (h *head) trim(s span) span {
	for s.from < s.to && isBlank(h.raw[s.from]) {
		s.from++
	}
	for s.from < s.to && isBlank(h.raw[s.to-1]) {
		s.to--
	}
	return s
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// foldEqual compares without regard to ASCII case; lower is lower case.
func foldEqual(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// token marks the characters that a header name may consist of (RFC 9110, 5.6.2).
var token = func() (t [256]bool) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

func isToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return true
}

// isValue refuses the control characters that end a line for somebody.
func isValue(b []byte) bool {
	return bytes.IndexByte(b, '\r') < 0 && bytes.IndexByte(b, 0) < 0
}
