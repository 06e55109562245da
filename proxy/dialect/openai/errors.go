package openai

import (
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/internal/bytesx"
	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// errorType is the `type` that OpenAI sends with a status; the SDKs choose their exceptions by the status alone.
// A wrong key is an invalid request there too.
func errorType(e *dialect.Error) string {
	switch {
	case e.Code == "budget_exhausted":
		return "insufficient_quota"
	case e.Status == 429:
		return "rate_limit_error"
	case e.Status == 403:
		return "request_forbidden"
	case e.Status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

// AppendError implements dialect.Errors.
func (Codec) AppendError(dst []byte, e *dialect.Error, requestID string) []byte {
	if e.Body != nil {
		return append(dst, e.Body...)
	}
	dst = appendErrorObject(append(dst, `{"error":`...), e)
	if requestID != "" {
		dst = appendQuoted(append(dst, `,"request_id":`...), requestID)
	}
	return append(dst, '}')
}

// AppendStreamError implements dialect.Errors. A stream of chat/completions or completions ends with the error
// and without [DONE], a responses stream with response.failed.
func (d Codec) AppendStreamError(dst []byte, op dialect.Op, e *dialect.Error, requestID string) []byte {
	if op != dialect.OpResponses {
		dst = append(dst, "data: "...)
		dst = d.AppendError(dst, e, requestID)
		return append(dst, "\n\n"...)
	}
	dst = append(dst, "event: response.failed\ndata: "+`{"type":"response.failed","sequence_number":`...)
	var sequence int64
	if e.Stream != nil {
		sequence = e.Stream.Sequence
	}
	dst = strconv.AppendInt(dst, sequence, 10)
	dst = append(dst, `,"response":{`...)
	if e.Stream != nil && e.Stream.Memo.Head > 0 {
		dst = append(dst, e.Stream.Memo.Bytes[:e.Stream.Memo.Head]...)
	} else {
		dst = appendQuoted(append(dst, `"id":`...), "resp_"+requestID)
		dst = strconv.AppendInt(append(dst, `,"created_at":`...), time.Now().Unix(), 10)
		dst = append(dst, `,"model":"",`...)
	}
	dst = appendErrorObject(append(dst, `"object":"response","status":"failed","error":`...), e)
	return append(dst, `,"incomplete_details":null,"instructions":null,"metadata":{},"output":[],`+
		`"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null,"usage":null}}`+"\n\n"...)
}

func appendErrorObject(dst []byte, e *dialect.Error) []byte {
	dst = appendQuoted(append(dst, `{"message":`...), e.Message)
	dst = appendQuoted(append(dst, `,"type":`...), errorType(e))
	dst = append(dst, `,"param":`...)
	if e.Param == "" {
		dst = append(dst, "null"...)
	} else {
		dst = appendQuoted(dst, e.Param)
	}
	dst = appendQuoted(append(dst, `,"code":`...), e.Code)
	return append(dst, '}')
}

// appendQuoted is jsonscan.AppendString for strings.
func appendQuoted(dst []byte, s string) []byte { return jsonscan.AppendString(dst, bytesx.Bytes(s)) }
