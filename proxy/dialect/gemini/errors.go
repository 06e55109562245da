package gemini

import (
	"bytes"
	"strconv"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// statusName is the name that google.rpc has for a status. The SDKs choose their exceptions by the status alone.
func statusName(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 402, 429:
		return "RESOURCE_EXHAUSTED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	case 409:
		return "ABORTED"
	case 499:
		return "CANCELLED"
	case 501:
		return "UNIMPLEMENTED"
	case 502, 503, 529:
		return "UNAVAILABLE"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// detailHead is how the details of an error begin, up to their type.
const detailHead = `{"@type":"type.googleapis.com/google.rpc.`

// AppendError implements dialect.Errors. The code is the reason of the ErrorInfo.
func (Codec) AppendError(dst []byte, e *dialect.Error, requestID string) []byte {
	if e.Body != nil {
		return append(dst, e.Body...)
	}
	dst = appendNumber(dst, `{"error":{"code":`, int64(e.Status))
	dst = appendQuoted(append(dst, `,"message":`...), e.Message)
	dst = append(append(append(dst, `,"status":"`...), statusName(e.Status)...), `","details":[`...)
	dst = appendQuoted(append(dst, detailHead+`ErrorInfo","reason":`...), e.Code)
	dst = append(dst, `,"domain":"wedge"}`...)
	if e.Param != "" {
		dst = appendQuoted(append(dst, `,`+detailHead+`BadRequest","fieldViolations":[{"field":`...), e.Param)
		dst = append(appendQuoted(append(dst, `,"description":`...), e.Message), "}]}"...)
	}
	if e.RetryAfter > 0 && !e.Final {
		dst = append(dst, `,`+detailHead+`RetryInfo","retryDelay":"`...)
		dst = append(strconv.AppendFloat(dst, e.RetryAfter.Seconds(), 'f', -1, 64), `s"}`...)
	}
	if requestID != "" {
		dst = append(appendQuoted(append(dst, `,`+detailHead+`RequestInfo","requestId":`...), requestID), '}')
	}
	return append(dst, "]}}"...)
}

// AppendStreamError implements dialect.Errors.
func (d Codec) AppendStreamError(dst []byte, _ dialect.Op, e *dialect.Error, requestID string) []byte {
	dst = append(dst, "data: "...)
	if bytes.ContainsAny(e.Body, "\r\n") {
		plain := *e
		plain.Body = nil
		if line, err := compact(e.Body); err == nil {
			plain.Body = line
		}
		e = &plain
	}
	return append(d.AppendError(dst, e, requestID), "\r\n\r\n"...)
}
