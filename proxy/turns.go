package proxy

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/internal/websockets"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

const (
	// maxWaiting is how many turns of a conversation may wait for those before them.
	maxWaiting = 16
	// mostRemembered bounds what a conversation's WebSocket remembers of it, in bytes.
	mostRemembered = 8 << 20
)

// turns is a client's WebSocket at /v1/responses. Each response.create is a request of its own: it is authenticated, routed,
// paid for and shown to policies as if it had come alone.
type turns struct {
	k    *socket
	peer peerOf
	head []byte // of each request
	leg  turnLeg
	last remembered

	receipts bool // are wanted
}

// remembered is the turn that the next one may go on from.
type remembered struct {
	id    string
	items []byte // elements of a JSON list: all that was said up to its end
	kept  bool   // its provider remembers it, too
}

// serveTurns answers the handshake at /v1/responses.
func (x *exchange) serveTurns() *dialect.Error {
	if e := x.authenticate(); e != nil {
		return e
	}
	receipts, e := x.receipts()
	if e != nil {
		return e
	}
	t := &turns{peer: peerOf(x.clientIP() + ":0"), head: x.appendTurnHead(nil), receipts: receipts}
	return x.upgrade(protocolFor(websockets.Protocols(&x.ctx.Request.Header)), t.talk, func() {})
}

// appendTurnHead appends the head that the requests on a WebSocket have in common: what its handshake said, of a request
// over HTTP.
func (x *exchange) appendTurnHead(dst []byte) []byte {
	return x.appendHandshake(append(dst, "POST /v1/responses HTTP/1.1\r\n"...))
}

// appendHandshake appends the handshake's header lines, as far as they say something about the requests on its WebSocket.
func (x *exchange) appendHandshake(dst []byte) []byte {
	dst = append(dst, "Host: "...)
	dst = append(append(dst, x.ctx.Host()...), "\r\nAuthorization: Bearer "...)
	dst = append(append(dst, clientKey(x.ctx)...), "\r\nContent-Type: application/json\r\n"...)
	for name, value := range x.ctx.Request.Header.All() {
		switch n := string(name); {
		case n == "Host", n == "Authorization", n == "Connection", n == "Upgrade", n == "Content-Type", n == "Content-Length", n == "Origin",
			strings.HasPrefix(n, "Sec-Websocket-"), strings.HasPrefix(n, "Sec-WebSocket-"), n == "X-Api-Key", n == "Api-Key", n == "X-Goog-Api-Key":
			continue
		}
		dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// talk answers the client's messages, one after the other.
func (t *turns) talk(k *socket) {
	t.k, t.leg.k = k, k
	defer t.leg.close()
	said := k.messages(maxWaiting, func() {
		t.refuse(fail(codeOverloaded, "", "too many responses wait on this connection; wait for those before, or open another one"))
	})
	for {
		select {
		case <-k.ending:
			_ = k.Close(websocket.StatusGoingAway, closeReason)
			return
		case words, ok := <-said:
			if !ok {
				return
			}
			t.take(words)
		}
	}
}

// take answers one message.
func (t *turns) take(words []byte) {
	c, err := readCreate(words)
	if err != nil {
		t.refuse(fail(codeInvalidRequest, "", err.Error()))
		return
	}
	prior := t.last
	goesOn := c.previous != "" && c.previous == prior.id
	if !goesOn || c.previous != "" && prior.items == nil && !prior.kept {
		prior = remembered{}
	}
	a := &turnAnswer{t: t, previous: c.previous, receipt: receipt{wanted: t.receipts}}
	v := &visit{ctx: t.k.ctx, peer: t.peer, to: a, learn: a.learn, warm: c.warm, once: true, line: &t.leg}
	t.leg.begin(c.previous, prior.items)
	var ctx fasthttp.RequestCtx
	if err := v.read(&ctx, t.head, c.body(prior)); err != nil {
		t.refuse(readError(err))
		return
	}
	err = t.k.s.answer(&ctx, v)
	if err == nil {
		err = a.end()
	}
	if a.id == "" || err != nil { // what failed is not gone on from: the client begins anew
		t.last = remembered{}
		return
	}
	t.last = remembered{id: a.id, kept: a.kept}
	if items := joinItems(prior.items, c.items(), a.output); len(items) <= mostRemembered {
		t.last.items = items
	}
}

// refuse says that something was not done.
func (t *turns) refuse(e *dialect.Error) {
	body := t.k.s.o.Dialects.Codecs[dialect.OpenAI].AppendError(nil, e, "")
	_ = t.k.tell(errorFrame(e.Status, body, nil)) // a client that is gone shows where it is read
}

// errorFrame is an error's body as a message. The headers that go with it over HTTP are told with it.
func errorFrame(status int, body []byte, head *fasthttp.ResponseHeader) []byte {
	frame := strconv.AppendInt([]byte(`{"type":"error","status":`), int64(status), 10)
	if head != nil {
		frame = append(frame, `,"headers":{`...)
		frame = appendToldHeaders(frame, head)
		frame = append(frame, '}')
	}
	inner, ok := bytes.CutPrefix(bytes.TrimSpace(body), []byte("{"))
	if !ok || len(inner) < 2 {
		inner = []byte(`"error":{"type":"server_error","code":"internal","message":"the answer was not understood"}}`)
	}
	return append(append(frame, ','), inner...)
}

// create is a response.create as its client wrote it.
type create struct {
	rest     []byte // its members but those below, with a comma behind each
	input    []byte // as written; nil where there is none
	previous string
	warm     bool // nothing is to be generated yet
}

var errNoEvent = errors.New("the message is not a JSON object with a type; send events such as {\"type\":\"response.create\",\"model\":…,\"input\":…}")

// readCreate reads a message.
func readCreate(words []byte) (*create, error) {
	c := &create{}
	kind := ""
	f := jsonscan.Fields{Cursor: jsonscan.Cursor{B: words}}
	f.Enter('{')
	for k, ok := f.Key(true); ok; k, ok = f.Key(false) {
		name := string(k)
		f.Peek()
		value := f.Skip()
		switch name {
		case "type":
			kind = textOf(value)
		case "generate":
			c.warm = string(value) == "false"
		case "stream", "background": // which the transport decides
		case "input":
			c.input = value
		case "previous_response_id":
			c.previous = textOf(value)
		default:
			c.rest = append(append(append(jsonscan.AppendString(c.rest, []byte(name)), ':'), value...), ',')
		}
	}
	switch {
	case !f.End() || kind == "":
		return nil, errNoEvent
	case kind != "response.create":
		return nil, fmt.Errorf("the event %s means nothing here; send response.create", quoteShort([]byte(kind)))
	}
	return c, nil
}

// textOf is the text of a JSON string, and "" for every other value.
func textOf(value []byte) (s string) {
	_ = json.Unmarshal(value, &s)
	return s
}

// items are the elements of the input as a list has them.
func (c *create) items() []byte {
	switch {
	case len(c.input) == 0 || string(c.input) == "null":
		return nil
	case c.input[0] == '[':
		return bytes.TrimSpace(c.input[1 : len(c.input)-1])
	case c.input[0] == '"':
		return append(append([]byte(`{"type":"message","role":"user","content":`), c.input...), '}')
	}
	return nil
}

// body is the turn as a request over HTTP. What was said before goes along, unless the provider remembers it.
func (c *create) body(prior remembered) []byte {
	b := append([]byte{'{'}, c.rest...)
	switch {
	case c.previous != "" && (prior.id == "" || prior.kept):
		b = append(jsonscan.AppendString(append(b, `"previous_response_id":`...), []byte(c.previous)), ',')
		if c.input != nil {
			b = append(append(append(b, `"input":`...), c.input...), ',')
		}
	case c.previous != "" && (len(c.input) == 0 || c.input[0] == '[' || c.input[0] == '"'):
		b = append(append(append(b, `"input":[`...), joinItems(prior.items, c.items())...), `],`...)
	case c.input != nil:
		b = append(append(append(b, `"input":`...), c.input...), ',')
	}
	return append(b, `"stream":true}`...)
}

// joinItems joins lists of elements to one.
func joinItems(lists ...[]byte) (all []byte) {
	for _, l := range lists {
		if len(l) == 0 {
			continue
		}
		if len(all) > 0 {
			all = append(all, ',')
		}
		all = append(all, l...)
	}
	return all
}

// turnAnswer sends a turn's answer as messages, each event as one.
type turnAnswer struct {
	t        *turns
	previous string
	head     fasthttp.ResponseHeader // of an answer that is no stream
	splitter
	receipt receipt

	id     string // of the response, once it ended well
	output []byte // the elements of its output
	kept   bool
}

func (a *turnAnswer) begin(head *fasthttp.ResponseHeader, _ int) error {
	a.streamed = isEventStream(head.ContentType())
	if !a.streamed {
		head.CopyTo(&a.head)
	}
	a.receipt.begin(head)
	return nil
}

func (a *turnAnswer) flush() error { return nil }

// Write is part of io.Writer.
func (a *turnAnswer) Write(p []byte) (int, error) { return a.take(p, a.say) }

func (a *turnAnswer) say(name, data, event []byte) error {
	if len(data) == 0 { // a comment
		data = a.receipt.event(event)
	}
	if len(data) == 0 {
		return nil
	}
	a.note(name, data)
	return a.t.k.tell(data)
}

// note remembers what the next turn may go on from.
func (a *turnAnswer) note(name, data []byte) {
	if n := string(name); n != "response.completed" && n != "response.incomplete" {
		return
	}
	var end struct {
		Response struct {
			ID     string
			Output json.RawMessage
		}
	}
	if json.Unmarshal(data, &end) == nil {
		a.id = end.Response.ID
		if out := bytes.TrimSpace(end.Response.Output); len(out) > 2 && out[0] == '[' {
			a.output = usable(out)
		}
	}
}

// usable are the elements of a response's output that can be said again: what a model thought, and its provider does not
// remember, means nothing to it unless it is encrypted.
func usable(output []byte) (items []byte) {
	var all []json.RawMessage
	_ = json.Unmarshal(output, &all) // it is JSON
	for _, one := range all {
		var head struct {
			Type    string
			Content string `json:"encrypted_content"`
		}
		_ = json.Unmarshal(one, &head)
		if head.Type != "reasoning" || head.Content != "" {
			items = joinItems(items, one)
		}
	}
	return items
}

// learn takes over whether the provider remembers the response. It is called before the exchange is over.
func (a *turnAnswer) learn(x *exchange) {
	a.kept = a.id != "" && x.answered != nil && x.s.owner(x.answered.provider.Name, []byte(a.id)) == x.who.Tenant
}

// end sends an answer that was no stream: an error.
func (a *turnAnswer) end() error {
	if a.streamed {
		return nil
	}
	status, body := a.head.StatusCode(), a.rest
	if a.previous != "" && namesPrevious(body) {
		status = fasthttp.StatusBadRequest
		body = []byte(`{"error":{"type":"invalid_request_error","code":"previous_response_not_found","param":"previous_response_id","message":`)
		body = jsonscan.AppendString(body, []byte("previous response "+quoteShort([]byte(a.previous))+" is not known on this connection; send the whole conversation in input, without previous_response_id"))
		body = append(body, "}}"...)
	}
	return a.t.k.tell(errorFrame(status, body, &a.head))
}

// namesPrevious says that an error is about the response to go on from.
func namesPrevious(body []byte) bool {
	var e struct{ Error struct{ Param string } }
	return json.Unmarshal(body, &e) == nil && e.Error.Param == "previous_response_id"
}

// warmUp answers a turn that is only to be remembered.
func (x *exchange) warmUp() *dialect.Error {
	id := "resp_" + strings.ToLower(rand.Text())
	now := time.Now().Unix()
	response := func(status string, more string) string {
		return fmt.Sprintf(`{"id":%q,"object":"response","created_at":%d,"status":%q,"background":false,"error":null,"incomplete_details":null,"instructions":null,"metadata":{},"model":%s,"output":[],"parallel_tool_calls":true,"tools":[],"tool_choice":"auto","temperature":null,"top_p":null,%s}`,
			id, now, status, jsonscan.AppendString(nil, x.ref), more)
	}
	b := fmt.Appendf(nil, "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":%s}\n\n", response("in_progress", `"usage":null`))
	b = fmt.Appendf(b, "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":1,\"response\":%s}\n\n",
		response("completed", fmt.Sprintf(`"completed_at":%d,"usage":{"input_tokens":0,"input_tokens_details":{"cached_tokens":0},"output_tokens":0,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":0}`, now)))
	x.cost = 0
	x.setHeaders()
	x.ctx.Response.SetBody(b)
	x.sent = int64(len(b))
	return nil
}
