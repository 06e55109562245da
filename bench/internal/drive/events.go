package drive

import "bytes"

// stamp precedes the time at which an upstream sent an event, in nanoseconds since 1970.
var stamp = []byte(`"sent_ns":`)

// kept is how much of a line that came in pieces is looked at: enough for its field, its kind and its stamp.
const kept = 512

// events follows a server-sent event stream and keeps what tells whether it came to its proper end.
type events struct {
	line   []byte // the beginning of a line whose end has not come yet
	n      int    // events with data
	data   bool   // the event being read has data
	done   bool   // the dialect's good end was seen
	failed bool   // the dialect's terminal error was seen
	delay  func(sent, now int64)
}

func (e *events) feed(p []byte, now int64) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			e.line = append(e.line, p[:min(len(p), max(0, kept-len(e.line)))]...)
			return
		}
		line := p[:end]
		if len(e.line) > 0 {
			e.line = append(e.line, line[:min(len(line), max(0, kept-len(e.line)))]...)
			line = e.line
		}
		e.endLine(bytes.TrimRight(line, "\r"), now)
		e.line, p = e.line[:0], p[end+1:]
	}
}

func (e *events) endLine(line []byte, now int64) {
	switch {
	case len(line) == 0:
		if e.data {
			e.n++
		}
		e.data = false
	case bytes.HasPrefix(line, []byte("data:")):
		e.endData(bytes.TrimSpace(line[len("data:"):]), now)
	case bytes.HasPrefix(line, []byte("event:")):
		e.endKind(string(bytes.TrimSpace(line[len("event:"):])))
	}
}

func (e *events) endData(data []byte, now int64) {
	e.data = true
	switch {
	case bytes.Equal(data, []byte("[DONE]")):
		e.done = true
	case bytes.HasPrefix(data, []byte(`{"error"`)):
		e.failed = true
	case e.delay != nil:
		if _, after, ok := bytes.Cut(data, stamp); ok {
			e.delay(int64(leading(after)), now)
		}
	}
}

// endKind knows the ends of the dialects that name their events.
func (e *events) endKind(kind string) {
	switch kind {
	case "message_stop", "response.completed", "response.incomplete":
		e.done = true
	case "error", "response.failed":
		e.failed = true
	}
}

// leading is the decimal number at the beginning of b.
func leading(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return decimal(b[:n])
}
