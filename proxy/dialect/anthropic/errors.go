package anthropic

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// errorType is the type that the API sends with a status, and an in-stream error without one. The SDKs choose their
// exceptions by the status, and by this type where an answer had begun.
func errorType(e *dialect.Error) string {
	switch {
	case e.Code == "budget_exhausted":
		return "billing_error"
	case e.Code == "overloaded" || e.Code == "draining":
		return "overloaded_error"
	}
	switch e.Status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 408, 504:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	}
	if e.Status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// AppendError implements dialect.Errors. The field at fault stands before the message, as the API has it.
func (Codec) AppendError(dst []byte, e *dialect.Error, requestID string) []byte {
	if e.Body != nil {
		return append(dst, e.Body...)
	}
	dst = append(append(dst, `{"type":"error","error":{"type":"`...), errorType(e)...)
	dst = append(dst, `","message":"`...)
	if e.Param != "" && !strings.Contains(e.Message, e.Param) {
		dst = append(jsonscan.AppendText(dst, bytesx.Bytes(e.Param)), ": "...)
	}
	dst = jsonscan.AppendText(dst, bytesx.Bytes(e.Message))
	dst = append(dst, `"},"request_id":`...)
	if requestID == "" {
		return append(dst, "null}"...)
	}
	return append(jsonscan.AppendString(dst, bytesx.Bytes(requestID)), '}')
}

// AppendStreamError implements dialect.Errors.
func (d Codec) AppendStreamError(dst []byte, _ dialect.Op, e *dialect.Error, requestID string) []byte {
	dst = append(dst, "event: error\ndata: "...)
	if bytes.IndexByte(e.Body, '\n') >= 0 || bytes.IndexByte(e.Body, '\r') >= 0 {
		var line bytes.Buffer
		if json.Compact(&line, e.Body) == nil {
			return append(append(dst, line.Bytes()...), "\n\n"...)
		}
		plain := *e
		plain.Body = nil
		e = &plain
	}
	return append(d.AppendError(dst, e, requestID), "\n\n"...)
}

// messageMost is how many bytes of a provider's words are passed on.
const messageMost = 1000

// ReadError implements dialect.Errors. It knows the API's error object, and the bare string or message that servers
// which follow it send. No body tells when to ask again.
func (Codec) ReadError(status int, body []byte) dialect.Refusal {
	c := jsonscan.Fields{Cursor: jsonscan.Cursor{B: body}}
	var r refusal
	r.read(&c)
	if !c.End() {
		r = refusal{}
	}
	return dialect.Refusal{Message: cutText(r.message, messageMost), Broke: r.broke || status == 402 || emptyPurse(r.message)}
}

// emptyPurse knows the refusals that an organization's credit, or the limit it set itself, ran out: they are invalid
// requests by their type.
func emptyPurse(message string) bool {
	return strings.Contains(message, "credit balance is too low") || strings.Contains(message, "specified API usage limits") ||
		strings.Contains(message, "specified workspace API usage limits")
}

// refusal is what an error object tells.
type refusal struct {
	message string
	broke   bool
}

// read reads the value at c, which is the error object or holds it.
func (r *refusal) read(c *jsonscan.Fields) {
	switch c.Peek() {
	case '"':
		if text := c.Str(); r.message == "" {
			r.message = string(jsonscan.AppendDecoded(nil, text))
		}
		return
	case '{':
	default:
		c.Skip()
		return
	}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		switch string(k) {
		case "error", "message", "detail":
			r.read(c)
		case "details": // the code of a spend limit stands within
			if c.Peek() == '{' {
				r.read(c)
			} else {
				c.Skip()
			}
		case "type", "error_code", "code":
			switch string(c.Word()) {
			case "billing_error", "enforced_spend_limit_reached":
				r.broke = true
			}
		default:
			c.Skip()
		}
	}
}

// cutText is s cut to at most n bytes, between characters.
func cutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
