package sim

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// fault is a way for a provider to fail.
type fault uint8

const (
	faultNone       fault = iota
	faultRefused          // the connection is reset before any answer
	fault429              // rate limit, with the time to retry after
	faultQuota            // 429 that no retry helps
	fault500              //
	fault502              // with a gateway's HTML page
	fault503              //
	faultOverloaded       // 529 where a provider has it
	fault401              //
	faultSlow             // the first byte comes late
	faultCut              // the connection is closed in the middle of the body
	faultCutClean         // the body ends properly in the middle of the answer
	faultStall            // the body stops in the middle and the connection stays open
	faultMalformed        // broken JSON in the middle
	faultError200         // status 200 and nothing but an error
	faultErrorMid         // an error in the middle of a stream
	faultEmpty            // status 200 and an empty body
	faultGarbage          // status 200 and an HTML page
	faultCount
)

var faultNames = [faultCount]string{
	"", "refused", "429", "quota", "500", "502", "503", "overloaded", "401", "slow", "cut", "cut-clean", "stall", "malformed",
	"error200", "error-mid", "empty", "garbage",
}

func (f fault) String() string { return faultNames[f] }

// refuses tells whether f can strike the handshake of a WebSocket: it decides the answer before anything is said.
func (f fault) refuses() bool { return f > faultNone && f <= faultSlow }

// spoils tells whether f leaves nothing of an answer whose status is good.
func (f fault) spoils() bool { return f == faultError200 || f == faultEmpty || f == faultGarbage }

func parseFault(s string) (fault, error) {
	for i, name := range faultNames {
		if name == s {
			return fault(i), nil
		}
	}
	return faultNone, fmt.Errorf("there is no such fault; use one of %s", strings.Join(faultNames[1:], ", "))
}

const (
	gatewayPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
	garbagePage = "<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><p>You have reached a captive portal.</p></body></html>\n"
)

// failure is an error in words and codes, before it takes a dialect's form.
type failure struct {
	status  int
	kind    string // OpenAI's "type"; Anthropic's where the status tells nothing
	code    string
	message string
	param   string
	model   string // that is missing, of codeNoModel
	details string // Gemini's, in JSON without the brackets

	requestID string
	retry     time.Duration // after which to ask again
}

// invalid is the failure of a request that says something wrong about param.
func invalid(param, code, format string, args ...any) *failure {
	return &failure{
		status: 400, kind: "invalid_request_error", code: code, param: param, message: fmt.Sprintf(format, args...),
	}
}

// spoil changes t's answer as its fault, decided before the first byte, has it. Faults in the middle are the
// delivery's.
func (t *turn) spoil() {
	a := t.a
	switch f := t.set.fault; f {
	case fault502:
		t.a = &answer{status: 502, contentType: typeHTML, body: []byte(gatewayPage)}
	case faultGarbage:
		t.a = &answer{status: 200, contentType: typeHTML, body: []byte(garbagePage)}
	case faultEmpty:
		t.a = &answer{status: 200, contentType: a.contentType, stream: a.stream}
	case faultError200:
		t.error200()
	case faultErrorMid:
		if !a.stream {
			t.error200()
		}
	default:
		if failed := t.d.manners().faults[f]; failed != nil {
			t.fail(failed)
		}
	}
}

// error200 makes t's answer an error that pretends to be a good one of its kind.
func (t *turn) error200() {
	f := t.d.manners().faults[faultError200]
	if !t.a.stream {
		t.fail(f)
		return
	}
	out := &answer{status: 200, contentType: t.a.contentType, stream: true}
	out.body = t.d.appendStreamError(nil, nil, t.filled(f))
	if len(out.body) > 0 { // Gemini's Live says nothing, and closes
		out.events = []event{{end: len(out.body)}}
	}
	t.a = out
}

// appendBroken appends the beginning of event again, with its JSON cut in the middle.
func appendBroken(dst, event []byte) []byte {
	event = bytes.TrimSpace(event)
	if len(event) == 0 {
		event = []byte(`data: {"id":"broken","object":"`)
	}
	data := max(bytes.Index(event, []byte("data: ")), 0)
	dst = append(dst, event[:data+(len(event)-data)*2/3]...)
	return append(dst, '\n', '\n')
}
