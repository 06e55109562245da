package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// line is the way to a provider of requests that do not go there over HTTP, but over a WebSocket that is open for longer.
type line interface {
	// pinned says which provider's target must answer, as the line leads there; "" for any.
	pinned() (version, provider, target string)
	// endpoint is where the request goes at t; nil: over HTTP.
	endpoint(x *exchange, t *target) *upstream.Endpoint
	// context is how many tokens the provider reads besides those that the request says.
	context() int64
}

// line is the one that the request came with, or nil.
func (x *exchange) line() line {
	if x.visit == nil {
		return nil
	}
	return x.visit.line
}

// conversation is a line that leads to one target and nowhere else.
func (x *exchange) conversation() line {
	if l := x.line(); l != nil {
		if version, _, _ := l.pinned(); version != "" {
			return l
		}
	}
	return nil
}

// endpointOf is where the request goes at t.
func (x *exchange) endpointOf(t *target) *upstream.Endpoint {
	if l := x.line(); l != nil {
		if e := l.endpoint(x, t); e != nil {
			return e
		}
	}
	return t.provider.endpoint
}

// pinnedVersion is the version that the conversation began with, as long as the catalog has it.
func (x *exchange) pinnedVersion(version string) *dialect.Error {
	v, err := x.model.Version([]byte(version), true)
	if err != nil {
		return fail(codeUnknownModel, "model", "version "+version+" of model "+x.model.Name+", with which this connection began, is gone; connect again")
	}
	if e, arm := x.model.Assign(&x.units); e != nil && e.Arms[arm] == v {
		x.exp, x.arm = e, arm
	}
	x.version, x.why = x.snap.versions[v.Index], "conversation"
	return nil
}

// pinnedTarget is the conversation's target, once.
func (x *exchange) pinnedTarget(l line) *target {
	_, provider, name := l.pinned()
	t := x.version.targetNamed(provider, name)
	if t == nil || x.plan.tried != 0 || x.plan.version != x.version {
		return nil
	}
	x.plan.tried = 1
	return t
}

// begin decides what a conversation that begins is about, as if it were a request that says nothing yet: the version, and what
// policies choose.
func (x *exchange) begin() *dialect.Error {
	if e := x.parse(); e != nil {
		return e
	}
	if e := x.resolve(); e != nil {
		return e
	}
	if e := x.decide(); e != nil {
		return e
	}
	return x.afford()
}

// holdOn keeps the version and the target of a conversation, whatever policies choose for a part of it.
func (x *exchange) holdOn() *dialect.Error {
	r := x.ruling
	if r == nil || x.conversation() == nil {
		return nil
	}
	x.model, x.version, x.exp, x.arm, x.why = r.model, r.version, r.exp, r.arm, r.why
	r.target, r.fallen = 0, r.fallen[:0]
	return x.mustHear()
}

// mostLegMessage bounds a provider's message, in bytes.
const mostLegMessage = 64 << 20

// handshakes dials WebSockets. It follows no redirects: the provider's key would go along.
var handshakes = &http.Client{
	Transport:     &http.Transport{Proxy: nil, TLSHandshakeTimeout: 5 * time.Second, DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// dialLeg opens a WebSocket at a target's provider; path is below its base URL, or a whole URL. status is what the provider refused it
// with, 0 if it did not come to that.
func (x *exchange) dialLeg(ctx context.Context, t *target, path string, protocols []string) (c *websocket.Conn, status int, err error) {
	header := http.Header{}
	for lineOf := range strings.SplitSeq(string(x.appendUpstreamHead(nil, t)), "\r\n") {
		name, value, ok := strings.Cut(lineOf, ": ")
		switch name = textproto.CanonicalMIMEHeaderKey(name); {
		case !ok, strings.HasPrefix(name, "Sec-Websocket-"), name == "Upgrade", name == "Connection", name == "Content-Type", name == "Origin":
		default:
			header.Add(name, value)
		}
	}
	if q := t.provider.query; len(q) > 0 {
		path += string(separator([]byte(path))) + string(q)
	}
	if path[0] == '/' {
		path = strings.TrimSuffix(t.provider.BaseURL, "/") + path
	}
	c, answer, err := websocket.Dial(ctx, path, &websocket.DialOptions{
		HTTPClient: handshakes, HTTPHeader: header, Subprotocols: protocols, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		if answer != nil {
			status = answer.StatusCode
		}
		return nil, status, err
	}
	c.SetReadLimit(mostLegMessage)
	return c, 0, nil
}

// legHandshake is how long a provider has for the handshake.
const legHandshake = 10 * time.Second

// openLeg opens a WebSocket at one of the version's targets that may be asked. The target has been told apart from those that
// cannot be reached.
func (x *exchange) openLeg(speaks func(*target) bool, path func(*target) string, protocols []string) (*websocket.Conn, *target, *dialect.Error) {
	x.plan.version = x.version
	var failure *dialect.Error
	for {
		t := x.nextTarget()
		if t == nil {
			break
		}
		record := &x.tries[x.plan.attempts-1]
		record.version, record.target = x.plan.version, t
		if !speaks(t) {
			failure = fail(codeNoTarget, "", "no target of model "+x.model.Name+" is at a provider with this API; name another model")
			record.result = failure.Code
			continue
		}
		ctx, cancel := context.WithTimeout(x.s.life, x.remaining(legHandshake))
		began := time.Now()
		t.live.Acquire()
		c, status, err := x.dialLeg(ctx, t, path(t), protocols)
		cancel()
		record.took, record.status = time.Since(began), status
		if err == nil {
			t.live.Release(route.Good, time.Now(), 0)
			record.result, record.status, x.answered = "ok", http.StatusSwitchingProtocols, t
			return c, t, nil
		}
		outcome := route.Bad
		failure, outcome = x.legRefused(t, status, err)
		record.result = failure.Code
		t.live.Release(outcome, time.Now(), 0)
		if outcome == route.Good {
			break // another provider would say the same
		}
	}
	if failure == nil {
		failure = x.noTarget()
	}
	return nil, nil, failure
}

// legRefused is what a handshake's refusal means to the client.
func (x *exchange) legRefused(t *target, status int, err error) (*dialect.Error, route.Outcome) {
	who := "provider " + t.provider.Name
	switch {
	case upstream.OwnShortage(err):
		return fail(codeOverloaded, "", "this node has no further connection to "+who+"; try again later"), route.Neutral
	case status == 0:
		return fail(codeUpstreamError, "", who+" cannot be reached; try again later"), route.Bad
	case status == http.StatusTooManyRequests:
		return fail(codeRateLimited, "", who+" limits its connections now; try again later"), route.Limited
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return fail(codeUpstreamError, "", fmt.Sprint(who, " refused the operator's credentials with status ", status, "; tell the operator of this node")), route.Bad
	case status >= 400 && status < 500:
		e := fail(codeInvalidRequest, "", fmt.Sprint(who, " refused the WebSocket with status ", status))
		e.Status = status
		return e, route.Good
	}
	return fail(codeUpstreamError, "", fmt.Sprint(who, " failed with status ", status, "; try again")), route.Bad
}

// legCall is one answer that comes over a WebSocket, on its way through an exchange, which reads it as if it came over HTTP.
type legCall struct {
	ask    func(body []byte) error // sends the request; an error is the client's fault
	abort  func()                  // called when nobody reads the answer any more, and it has not ended
	events chan []byte             // of the answer, as server-sent ones
	over   chan struct{}           // closed at its end; events that were pushed before may still wait
	gone   chan struct{}           // closed when nobody reads them any more
	sent   chan struct{}           // closed when the request was sent, or will not be
	once   struct{ end, gone, sent sync.Once }
	begun  bool   // an event was pushed
	failed []byte // the body of a refusal, in place of an answer
	status int
}

func newLegCall(ask func([]byte) error, abort func()) *legCall {
	return &legCall{ask: ask, abort: abort, events: make(chan []byte, 64), over: make(chan struct{}), gone: make(chan struct{}), sent: make(chan struct{})}
}

// push adds an event. It returns false if nobody reads it any more.
func (c *legCall) push(name string, data []byte) bool {
	c.begun = true
	b := make([]byte, 0, len(name)+len(data)+16)
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	from := len(b)
	b = append(b, data...)
	for i, ch := range b[from:] {
		if ch == '\n' || ch == '\r' { // white space between members
			b[from+i] = ' '
		}
	}
	select {
	case <-c.gone:
		return false
	case <-c.over:
		return false
	default:
	}
	select {
	case c.events <- append(b, "\n\n"...):
		return true
	case <-c.gone:
		return false
	case <-c.over: // another goroutine ended it, with its conversation
		return false
	}
}

// end ends the answer. Nothing is pushed after it.
func (c *legCall) end() { c.once.end.Do(func() { close(c.over) }) }

// refuse ends the call with an error in place of an answer.
func (c *legCall) refuse(status int, body []byte) {
	c.once.end.Do(func() {
		c.status, c.failed = status, body
		close(c.over)
	})
}

func (c *legCall) settled() { c.once.sent.Do(func() { close(c.sent) }) }

// leave says that nobody reads the answer any more.
func (c *legCall) leave() { c.once.gone.Do(func() { close(c.gone) }) }

// endpoint is where an exchange sends the call's request.
func (c *legCall) endpoint(s *Server) *upstream.Endpoint {
	return upstream.NewLocal(func(conn net.Conn) {
		_ = s.survive("a WebSocket", func() error { c.serve(conn); return nil }) // to the exchange it broke off
	})
}

// serve answers the exchange.
func (c *legCall) serve(conn net.Conn) {
	defer c.leave()
	defer c.settled()
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := c.ask(body); err != nil {
		_ = writeRefusal(conn, http.StatusBadRequest, errorBody(err.Error()))
		return
	}
	c.settled()
	left := make(chan struct{})
	go func() {
		defer close(left)
		_, _ = io.Copy(io.Discard, in)
	}()
	if c.relay(conn, left) {
		return
	}
	c.leave()
	c.abort()
}

// relay writes the answer. It returns false if the exchange left before its end.
func (c *legCall) relay(conn net.Conn, left <-chan struct{}) (whole bool) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
	begun := false
	for {
		var event []byte
		select {
		case <-left:
			return false
		case event = <-c.events:
		case <-c.over:
			select {
			case event = <-c.events:
			default:
				if c.failed != nil && !begun {
					_ = writeRefusal(conn, c.status, c.failed)
				}
				return true
			}
		}
		if !begun {
			event, begun = append([]byte(head), event...), true
		}
		if _, err := conn.Write(event); err != nil {
			return false
		}
	}
}

func writeRefusal(w io.Writer, status int, body []byte) error {
	_, err := fmt.Fprintf(w, "HTTP/1.1 %d Refused\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, len(body), body)
	return err
}

// errorBody is an error as OpenAI's API words it.
func errorBody(message string) []byte {
	b := append([]byte(`{"error":{"type":"invalid_request_error","code":"invalid_value","param":null,"message":`), jsonscan.AppendString(nil, []byte(message))...)
	return append(b, "}}"...)
}

// legEvent is what the node reads of a message.
type legEvent struct {
	kind     string
	from, to int // where its type stands in the message, with the quotes
	id       string
	response []byte // as written
	answers  string // the response that it belongs to
	item     []byte
	session  []byte
	audio    int    // bytes of sound, as base64
	failure  []byte // of an error
}

var errNoMessage = errors.New("the message is not a JSON object with a type")

// readLegEvent reads a message of either side.
func readLegEvent(words []byte) (e legEvent, err error) {
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: words}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		name := string(k)
		f.Peek()
		from := f.I
		value := f.Skip()
		switch name {
		case "type":
			e.kind, e.from, e.to = textOf(value), from, from+len(value)
		case "event_id":
			e.id = textOf(value)
		case "response":
			e.response = value
		case "response_id":
			e.answers = textOf(value)
		case "item":
			e.item = value
		case "session":
			e.session = value
		case "audio":
			e.audio = len(value)
		case "error":
			e.failure = value
		}
	}
	if !f.End() || e.kind == "" {
		return e, errNoMessage
	}
	if e.answers == "" && len(e.response) > 0 {
		e.answers = textOf(memberValue(e.response, "id"))
	}
	return e, nil
}

// memberValue is a member of a JSON object as written; nil if it has none such.
func memberValue(doc []byte, name string) []byte {
	if len(doc) == 0 || doc[0] != '{' {
		return nil
	}
	if p := memberOf(doc, 0, name); p.found {
		return doc[p.at:p.end]
	}
	return nil
}

// renamed is the message with another type.
func (e *legEvent) renamed(words []byte, kind string) []byte {
	out := make([]byte, 0, len(words)+len(kind))
	out = append(append(out, words[:e.from]...), '"')
	return append(append(append(out, kind...), '"'), words[e.to:]...)
}

// eachMember calls f with the members of a JSON object, names decoded.
func eachMember(doc []byte, f func(name string, value []byte)) {
	c := jsonscan.Fields{Cursor: jsonscan.Cursor{B: doc}}
	c.Enter('{')
	for k, ok := c.Key(true); ok; k, ok = c.Key(false) {
		name := string(k)
		c.Peek()
		f(name, c.Skip())
	}
}

// textsOf are the texts of a list of contents, or a text.
func textsOf(content []byte) string {
	var parts []struct{ Text, Transcript string }
	if json.Unmarshal(content, &parts) != nil {
		return textOf(content)
	}
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString(p.Text + p.Transcript)
	}
	return b.String()
}
