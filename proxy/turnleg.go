package proxy

import (
	"bytes"
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// noSocketsFor is how long a provider is not asked again for a WebSocket after it said that it has none.
const noSocketsFor = 10 * time.Minute

// turnLeg is the provider's side of a conversation at /v1/responses, where the provider has WebSockets, too: a turn needs to say
// then only what is new. It is opened when a turn goes to such a provider, and again when it was lost. One turn is under way at a
// time.
type turnLeg struct {
	k    *socket
	work sync.WaitGroup

	mu    sync.Mutex
	conn  *websocket.Conn // nil: there is none
	to    string          // the provider that it leads to
	last  string          // the response that the provider could go on from
	call  *legCall        // under way; nil otherwise
	whole []byte          // the message of that call that says all, where a shorter one was sent
	turn  struct {        // under way
		previous string
		said     []byte // elements of the input that the provider has, if it has the previous response
	}
}

func (l *turnLeg) pinned() (version, provider, target string) { return "", "", "" }
func (l *turnLeg) context() int64                             { return 0 }

// begin tells which turn comes next.
func (l *turnLeg) begin(previous string, said []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn.previous, l.turn.said = previous, said
}

// endpoint is part of line.
func (l *turnLeg) endpoint(x *exchange, t *target) *upstream.Endpoint {
	p := t.provider
	if p.dialect != dialect.OpenAI || p.chatsOnly || p.AzureVersion != "" || x.asks(t) != dialect.OpResponses || !x.asksStream() || x.ruling != nil && x.ruling.hedge > 0 {
		return nil
	}
	to := p.Name + " " + p.BaseURL
	if until, none := x.s.noSockets.Load(to); none && time.Now().Before(until.(time.Time)) {
		return nil
	}
	if !l.open(x, t, to) {
		return nil
	}
	var c *legCall
	c = newLegCall(func(body []byte) error { return l.send(c, body) }, func() { l.abandon(c) })
	l.mu.Lock()
	l.call = c
	l.mu.Unlock()
	return c.endpoint(x.s)
}

// open makes sure of a WebSocket to the provider. It returns false if that has none, or none now.
func (l *turnLeg) open(x *exchange, t *target, to string) bool {
	l.mu.Lock()
	there := l.conn != nil && l.to == to
	l.mu.Unlock()
	if there {
		return true
	}
	l.drop()
	ctx, cancel := context.WithTimeout(l.k.ctx, x.remaining(legHandshake))
	defer cancel()
	conn, status, err := x.dialLeg(ctx, t, "/responses", nil)
	switch {
	case err == nil:
	case status >= 400 && status < 500 && status != http.StatusUnauthorized && status != http.StatusForbidden && status != http.StatusTooManyRequests:
		x.s.noSockets.Store(to, time.Now().Add(noSocketsFor))
		return false
	default:
		return false // over HTTP it shows what is the matter
	}
	l.mu.Lock()
	l.conn, l.to, l.last = conn, to, ""
	l.mu.Unlock()
	l.work.Go(func() {
		if l.k.s.survive("a WebSocket", func() error { l.listen(conn); return nil }) != nil {
			_ = conn.CloseNow()
			l.lost(conn)
		}
	})
	return true
}

// drop lets the provider's side go, and what it is answering.
func (l *turnLeg) drop() {
	l.mu.Lock()
	conn, call := l.conn, l.call
	l.conn, l.call, l.last = nil, nil, ""
	l.mu.Unlock()
	if conn != nil {
		_ = conn.CloseNow()
	}
	if call != nil {
		call.end()
	}
}

// abandon drops the leg if it still answers a call that nobody reads any more.
func (l *turnLeg) abandon(c *legCall) {
	l.mu.Lock()
	answers := l.call == c
	l.mu.Unlock()
	if answers {
		l.drop()
	}
}

// close ends the leg with its conversation.
func (l *turnLeg) close() {
	l.drop()
	l.work.Wait()
}

// send sends a turn, as the body of the request over HTTP says it.
func (l *turnLeg) send(c *legCall, body []byte) error {
	var input, rest []byte
	eachMember(body, func(name string, value []byte) {
		switch name {
		case "stream", "stream_options", "background", "type":
		case "input":
			input = value
		default:
			rest = append(append(append(append(rest, ','), jsonscan.AppendString(nil, []byte(name))...), ':'), value...)
		}
	})
	message := func(input []byte, more string, previous []byte) []byte {
		words := append([]byte(`{"type":"response.create"`), rest...)
		if input != nil {
			words = append(append(words, `,"input":`...), input...)
		}
		return append(append(append(words, more...), previous...), '}')
	}
	words := message(input, "", nil)
	l.mu.Lock()
	if l.conn == nil || l.call != c { // it was lost meanwhile
		l.mu.Unlock()
		c.end()
		return nil
	}
	conn := l.conn
	if l.whole = nil; l.last != "" && l.last == l.turn.previous {
		// What was said before, if policies left it as it was, the provider knows.
		if fresh, same := bytes.CutPrefix(input, append([]byte{'['}, l.turn.said...)); same && len(l.turn.said) > 0 {
			l.whole = words
			fresh = append([]byte{'['}, bytes.TrimLeft(fresh, ", ")...)
			words = message(fresh, `,"previous_response_id":`, jsonscan.AppendString(nil, []byte(l.last)))
		}
	}
	l.last = ""
	l.mu.Unlock()
	return l.write(conn, words)
}

func (l *turnLeg) write(conn *websocket.Conn, words []byte) error {
	ctx, cancel := context.WithTimeout(l.k.ctx, l.k.s.o.WriteTimeout)
	defer cancel()
	if conn.Write(ctx, websocket.MessageText, words) != nil {
		_ = conn.CloseNow() // which listen sees
	}
	return nil
}

// listen takes what the provider says, until it is gone.
func (l *turnLeg) listen(conn *websocket.Conn) {
	for {
		_, words, err := conn.Read(l.k.ctx)
		var e legEvent
		if err == nil {
			e, err = readLegEvent(words)
		}
		if err != nil {
			_ = conn.CloseNow()
			l.lost(conn)
			return
		}
		l.take(conn, &e, words)
	}
}

func (l *turnLeg) lost(conn *websocket.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != conn {
		return
	}
	if l.conn, l.last = nil, ""; l.call != nil {
		l.call.end()
		l.call = nil
	}
}

// take takes one message.
func (l *turnLeg) take(conn *websocket.Conn, e *legEvent, words []byte) {
	l.mu.Lock()
	c, whole := l.call, l.whole
	if l.whole = nil; e.kind == "error" && whole != nil { // it does not know any more what was said before
		l.mu.Unlock()
		_ = l.write(conn, whole)
		return
	}
	over := false
	switch e.kind {
	case "response.completed", "response.incomplete":
		over, l.last = true, e.answers
	case "response.failed", "error":
		over = true
	}
	if over {
		l.call = nil
	}
	l.mu.Unlock()
	switch {
	case c == nil:
	case e.kind == "error":
		status := fasthttp.StatusBadRequest
		if n := numberAt(words, 0, "status"); n >= 400 && n < 600 {
			status = int(n)
		}
		if c.begun {
			c.push(e.kind, words)
		}
		c.refuse(status, append(append([]byte(`{"error":`), e.failure...), '}'))
	default:
		c.push(e.kind, words)
		if over {
			c.end()
		}
	}
}
