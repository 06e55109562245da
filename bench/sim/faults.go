package sim

import (
	"bytes"
	"fmt"
	"strings"
)

// fault is a way for a provider to fail.
type fault uint8

const (
	faultNone      fault = iota
	faultRefused         // the connection is reset before any answer
	fault429             // rate limit, with the time to retry after
	faultQuota           // 429 that no retry helps
	fault500             //
	fault502             // with a gateway's HTML page
	fault503             //
	fault401             //
	faultSlow            // the first byte comes late
	faultCut             // the connection is closed in the middle of the body
	faultCutClean        // the body ends properly in the middle of the answer
	faultStall           // the body stops in the middle and the connection stays open
	faultMalformed       // broken JSON in the middle
	faultError200        // status 200 and nothing but an error
	faultErrorMid        // an error in the middle of a stream
	faultEmpty           // status 200 and an empty body
	faultGarbage         // status 200 and an HTML page
	faultCount
)

var faultNames = [faultCount]string{
	"", "refused", "429", "quota", "500", "502", "503", "401", "slow", "cut", "cut-clean", "stall", "malformed",
	"error200", "error-mid", "empty", "garbage",
}

func (f fault) String() string { return faultNames[f] }

func parseFault(s string) (fault, error) {
	for i, name := range faultNames {
		if name == s {
			return fault(i), nil
		}
	}
	return faultNone, fmt.Errorf("there is no such fault; use one of %s", strings.Join(faultNames[1:], ", "))
}

// failures are the error answers of the faults that are one.
var failures = map[fault]*failure{
	fault429: {status: 429, kind: "requests", code: "rate_limit_exceeded",
		message: "Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again later."},
	faultQuota: {status: 429, kind: "insufficient_quota", code: "insufficient_quota",
		message: "You exceeded your current quota, please check your plan and billing details."},
	fault500: {status: 500, kind: "server_error",
		message: "The server had an error while processing your request. Sorry about that!"},
	fault503: {status: 503, kind: "server_error", code: "service_unavailable",
		message: "The engine is currently overloaded, please try again later."},
	fault401: {status: 401, kind: "invalid_request_error", code: "invalid_api_key",
		message: "Incorrect API key provided: sim-*****. You can find your API key at http://localhost/sim."},
	faultError200: {status: 200, kind: "server_error", code: "server_error",
		message: "The server had an error while processing your request. Sorry about that!"},
}

const (
	gatewayPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
	garbagePage = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><p>You have reached a captive portal.</p></body></html>\n"
)

// failure is an error in words and codes, before it takes a dialect's form.
type failure struct {
	status  int
	kind    string // OpenAI's "type"
	code    string
	message string
	param   string
}

// invalid is the failure of a request that says something wrong about param.
func invalid(param, code, format string, args ...any) *failure {
	return &failure{
		status: 400, kind: "invalid_request_error", code: code, param: param, message: fmt.Sprintf(format, args...),
	}
}

// spoil changes a as fault f, decided before the first byte, has it. Faults in the middle are the delivery's.
func (f fault) spoil(a *answer, d dialect) *answer {
	switch f {
	case fault502:
		return &answer{status: 502, contentType: typeHTML, body: []byte(gatewayPage)}
	case faultGarbage:
		return &answer{status: 200, contentType: typeHTML, body: []byte(garbagePage)}
	case faultEmpty:
		return &answer{status: 200, contentType: a.contentType, stream: a.stream}
	case faultError200, faultErrorMid:
		if f == faultErrorMid && a.stream {
			return a
		}
		return error200(a, d)
	}
	if failed := failures[f]; failed != nil {
		return failed.answer(d)
	}
	return a
}

// error200 is an error that pretends to be a good answer of a's kind.
func error200(a *answer, d dialect) *answer {
	if !a.stream {
		return failures[faultError200].answer(d)
	}
	out := &answer{status: 200, contentType: a.contentType, stream: true}
	out.body = d.appendStreamError(nil, nil)
	out.events = []event{{end: len(out.body)}}
	return out
}

// answer is f in d's form.
func (f *failure) answer(d dialect) *answer {
	return &answer{status: f.status, contentType: typeJSON, body: d.appendError(nil, f)}
}

// appendBroken appends the last of the events in sent again, with its JSON cut in the middle.
func appendBroken(dst, sent []byte) []byte {
	last := sent[bytes.LastIndex(bytes.TrimSuffix(sent, []byte("\n\n")), []byte("\n\n"))+1:]
	last = bytes.TrimSpace(last)
	if len(last) == 0 {
		last = []byte(`data: {"id":"broken","object":"`)
	}
	data := max(bytes.Index(last, []byte("data: ")), 0)
	dst = append(dst, last[:data+(len(last)-data)*2/3]...)
	return append(dst, '\n', '\n')
}
