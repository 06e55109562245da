package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/wedge-proxy/wedge/wire"
)

// Error is an answer of the origin's that is no success. Its text is one line; Details has what does not fit there.
type Error struct {
	Status   int            `json:"-"`
	Code     string         `json:"code"`
	Message  string         `json:"message"`
	Problems []wire.Problem `json:"problems"`
	Gates    []Gate         `json:"gates"`

	file    string // that the problems' lines are in
	request string // the request's name in the origin's log; "" for failures that are not the origin's
}

// Error is the message, and what to do where that depends on how the origin was asked.
func (e *Error) Error() string {
	switch e.Status {
	case http.StatusUnauthorized:
		return e.Message + "; set WEDGE_TOKEN, or --token-file, to a token of this origin"
	case http.StatusForbidden:
		return e.Message + "; use a token with a role that may"
	case http.StatusConflict, http.StatusPreconditionFailed:
		if e.Code == "conflict" {
			return e.Message + "; look at what there is now, and try again"
		}
	}
	if e.request != "" {
		return e.Message + " (request " + e.request + ")"
	}
	return e.Message
}

// Details are the catalog's problems and the gates that are shut, a line each.
func (e *Error) Details() []string {
	var lines []string
	for i := range e.Problems {
		p := &e.Problems[i]
		switch {
		case p.Line > 0 && e.file != "":
			lines = append(lines, oneLine(e.file+":"+p.String()))
		case p.Path == "":
			lines = append(lines, oneLine(p.Message))
		default:
			lines = append(lines, oneLine(p.Path+": "+p.Message))
		}
	}
	for i := range e.Gates {
		if g := &e.Gates[i]; !g.Passed && !g.Skipped {
			lines = append(lines, oneLine(g.String()))
		}
	}
	return lines
}

// Refused is a catalog that was not sent, because of its problems.
type Refused struct {
	Name string // the file's
	List []wire.Problem
}

// Error tells how many problems there are.
func (r *Refused) Error() string {
	return fmt.Sprintf("%s is not a valid catalog: correct its %s", r.Name, plural(len(r.List), "problem"))
}

// Details are the problems, a line each.
func (r *Refused) Details() []string {
	lines := make([]string, len(r.List))
	for i := range r.List {
		lines[i] = oneLine(r.Name + ":" + r.List[i].String())
	}
	return lines
}

// maxErrorBody is how many bytes of a failure's answer are read.
const maxErrorBody = 4 << 20

// readError reads an answer that is no success. What comes from anything but an origin is not repeated.
func (c *Client) readError(response *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxErrorBody)) // what is there has to do
	var answer struct {
		Error *Error `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Error == nil || answer.Error.Message == "" {
		answer.Error = &Error{Message: c.strange(response)}
	}
	e := answer.Error
	e.Status = response.StatusCode
	e.Message = c.withoutToken(oneLine(e.Message))
	if e.Status >= http.StatusInternalServerError {
		e.request = oneLine(response.Header.Get("X-Request-Id"))
	}
	for i := range e.Problems {
		e.Problems[i].Message = c.withoutToken(e.Problems[i].Message)
	}
	for i := range e.Gates {
		e.Gates[i].Message = c.withoutToken(e.Gates[i].Message)
	}
	return e
}

// strange describes an answer without a message in it.
func (c *Client) strange(response *http.Response) string {
	status := strings.TrimSpace(fmt.Sprint(response.StatusCode, " ", http.StatusText(response.StatusCode)))
	switch {
	case response.Request.Method == http.MethodHead:
		return "the origin at " + c.base.String() + " answers " + status // without a body, as it must
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return "what answers at " + c.base.String() + " sends us elsewhere (" + status + "), and the token is for no other host; name the origin itself with --origin"
	}
	advice := "correct --origin or WEDGE_ORIGIN"
	if response.StatusCode == http.StatusBadRequest && c.base.Scheme == "http" {
		advice = "if it speaks TLS, ask for https://"
	}
	return "what answers at " + c.base.String() + " is not an origin of Wedge (" + status + "); " + advice
}

// withoutToken takes the token out of what is shown.
func (c *Client) withoutToken(text string) string {
	return strings.ReplaceAll(text, c.token, "[token]")
}

// unreachable says why no answer came.
func (c *Client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	if around, is := errors.AsType[*url.Error](err); is {
		err = around.Err // the URL, which may be long, is said here
	}
	advice := ""
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "; is it running? --origin or WEDGE_ORIGIN names another"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		advice = "; --ca names the CA that signed its certificate, such as the origin's ca.pem"
	case errors.As(err, new(tls.RecordHeaderError)):
		advice = "; it may speak plain HTTP"
	case errors.As(err, new(*net.DNSError)):
		advice = "; correct --origin or WEDGE_ORIGIN"
	}
	return fmt.Errorf("cannot reach the origin at %s: %w%s", c.base, err, advice)
}

// hopeless tells errors that no further attempt mends.
func hopeless(err error) bool {
	return errors.Is(err, errNotLoopback) ||
		errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, new(tls.AlertError)) || isNotFound(err)
}

func isNotFound(err error) bool {
	e, is := errors.AsType[*net.DNSError](err)
	return is && e.IsNotFound
}
