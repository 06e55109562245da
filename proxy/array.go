package proxy

import (
	"io"

	"github.com/wedge-proxy/wedge/proxy/stream"
)

// appendArray appends what events tell as elements of the one JSON array that Gemini's clients get who do not ask for
// SSE; begun says that the array has an element. Comments have no place in it.
func appendArray(dst, events, scratch []byte, begun bool) (out, scratchOut []byte, has bool) {
	for len(events) > 0 {
		n := stream.Next(events)
		if n == 0 {
			break
		}
		var data []byte
		_, data, scratch = stream.Fields(events[:n], scratch[:0])
		events = events[n:]
		if len(data) == 0 {
			continue
		}
		if begun {
			dst = append(dst, ",\r\n"...)
		} else {
			dst = append(dst, '[')
		}
		dst, begun = append(dst, data...), true
	}
	return dst, scratch, begun
}

// frame is a part of a stream as the client wants it framed: as it is, or as elements of a JSON array.
func (x *exchange) frame(events []byte) []byte {
	if !x.array {
		return events
	}
	x.lines, x.keyBuf, x.elements = appendArray(x.lines[:0], events, x.keyBuf, x.elements)
	return x.lines
}

// writeEnd ends what frame began.
func (x *exchange) writeEnd(w io.Writer) error {
	if !x.array {
		return nil
	}
	end := "]"
	if !x.elements {
		end = "[]"
	}
	n, err := io.WriteString(w, end)
	x.sent += int64(n)
	return err
}
