package proxy

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// receipts says whether the client of a WebSocket wants to be told, before the last event of each answer, what HTTP tells
// in headers and in the comment at a stream's end: an event that no SDK knows, so it must be asked for.
func (x *exchange) receipts() (on bool, e *dialect.Error) {
	switch v := string(x.ctx.Request.Header.PeekBytes(headerReceipt)); v {
	case "", "off":
		return false, nil
	case "on":
		return true, nil
	default:
		return false, fail(codeInvalidRequest, "", "x-wedge-receipt "+quoteShort([]byte(v))+" is neither on nor off")
	}
}

// receipt is what there is to tell of one answer.
type receipt struct {
	wanted  bool
	headers []byte // members of a JSON object
}

// begin takes over the answer's head.
func (r *receipt) begin(head *fasthttp.ResponseHeader) {
	if r.wanted {
		r.headers = appendToldHeaders(r.headers[:0], head)
	}
}

// event is the receipt as an event's data, if part, which is an event of a stream, is the comment that tells the rest of it.
func (r *receipt) event(part []byte) []byte {
	rest, is := bytes.CutPrefix(part, []byte(": wedge {"))
	if !is || !r.wanted {
		return nil
	}
	told := append(append([]byte(`{"type":"wedge.receipt","headers":{`), r.headers...), "},"...)
	return append(told, bytes.TrimSpace(rest)...)
}

// appendToldHeaders appends the headers of an answer that mean something where there are none, as members of a JSON object.
func appendToldHeaders(dst []byte, head *fasthttp.ResponseHeader) []byte {
	first := true
	for name, value := range head.All() {
		n := strings.ToLower(string(name))
		if n != "retry-after" && n != "retry-after-ms" && (!strings.HasPrefix(n, "x-") || n == "x-accel-buffering") {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(jsonscan.AppendString(dst, []byte(n)), ':')
		dst = jsonscan.AppendString(dst, value)
	}
	return dst
}
