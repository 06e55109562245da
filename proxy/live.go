package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// livePath begins and ends the path of Gemini's Live API; the version of the API stands between.
var livePath = [2]string{"/ws/google.ai.generativelanguage.", ".GenerativeService.BidiGenerateContent"}

// isLive says that a path is that of the Live API, and of which version.
func isLive(p []byte) (version string, is bool) {
	if !bytes.HasPrefix(p, []byte("/ws/")) {
		return "", false
	}
	rest, begins := strings.CutPrefix(string(p), livePath[0])
	version, ends := strings.CutSuffix(rest, livePath[1])
	return version, begins && ends && (version == "v1" || version == "v1beta" || version == "v1alpha")
}

// straighten takes the second slash from the beginning of the path that Google's SDK for JavaScript asks for: fasthttp would
// take what follows for a host.
func straighten(ctx *fasthttp.RequestCtx) {
	if uri := ctx.RequestURI(); bytes.HasPrefix(uri, []byte("//ws/")) {
		ctx.Request.SetRequestURIBytes(bytes.Clone(uri[1:]))
	}
}

// live is a conversation with Gemini's Live API. What is said flows through. Each turn of the model is a request of its own, as in
// realtime. The API has no word for a refusal and none for the end of a turn that is under way: what cannot be paid for closes the
// connection.
type live struct {
	k       *socket
	conn    *websocket.Conn // the provider's side
	peer    peerOf
	auth    []byte // header lines of each request
	version string // of the API
	ref     string // the model
	where   struct{ version, provider, target string }
	work    sync.WaitGroup

	mu      sync.Mutex
	waiting []*liveCall // that were asked for and have not begun
	call    *liveCall   // under way
	setup   []byte      // members of a request that the setup stands for, with a comma behind each
	said    []byte      // elements of the conversation
	heard   int         // bytes of media since the last turn
	tokens  int64       // of the conversation, as the last turn told
	running int
	idle    chan struct{} // closed when no turn is under way; nil if nobody waits for that
	why     string        // the connection is closed by the node, for this reason
}

// liveCall is one turn of the model.
type liveCall struct {
	*legCall
	words []byte // the client's message that asks for it; nil where the provider begins by itself
	body  []byte
	over  bool // the provider said so
	done  chan struct{}
}

// serveLive answers the handshake of the Live API. The model is named in the first message.
func (x *exchange) serveLive(version string) *dialect.Error {
	x.client = dialect.Gemini
	if e := x.authenticate(); e != nil {
		return e
	}
	l := &live{peer: peerOf(x.clientIP() + ":0"), auth: x.appendHandshake(nil), version: version}
	return x.upgrade("", l.talk, func() {})
}

// setupWithin is how long a client has to say what it wants.
const setupWithin = 10 * time.Second

// talk relays until one side ends.
func (l *live) talk(k *socket) {
	l.k = k
	ctx, cancel := context.WithTimeout(k.ctx, setupWithin)
	_, words, err := k.Read(ctx)
	cancel()
	if err != nil {
		return
	}
	if e := l.open(words); e != nil {
		l.refuse(e)
		return
	}
	ctx, cancel = context.WithCancel(k.ctx)
	over := make(chan struct{ client, provider error }, 2)
	l.work.Go(func() {
		over <- struct{ client, provider error }{client: l.k.s.survive("a WebSocket", func() error { return l.hear(ctx) })}
	})
	l.work.Go(func() {
		over <- struct{ client, provider error }{provider: l.k.s.survive("a WebSocket", func() error { return l.listen(ctx) })}
	})
	select {
	case end := <-over:
		if end.client != nil {
			code, reason := closeCode(end.client)
			_ = l.conn.Close(code, reason)
		} else {
			code, reason := closeCode(end.provider)
			_ = k.Close(code, reason)
		}
	case <-l.rest(k.ending):
		_ = k.Close(websocket.StatusGoingAway, closeReason)
		_ = l.conn.Close(websocket.StatusGoingAway, "")
	}
	cancel()
	_ = l.conn.CloseNow()
	_ = k.CloseNow()
	k.cancel()
	l.mu.Lock()
	for _, c := range append(l.waiting, l.call) {
		if c != nil {
			c.end()
		}
	}
	l.mu.Unlock()
	l.work.Wait()
}

// refuse closes the connection with the reason.
func (l *live) refuse(e *dialect.Error) {
	_ = l.k.Close(websocket.StatusPolicyViolation, clip(e.Code+": "+e.Message))
}

// clip shortens a reason to what a close frame has room for.
func clip(reason string) string {
	if len(reason) > 120 {
		return strings.ToValidUTF8(reason[:117], "") + "…"
	}
	return reason
}

// open reads the client's setup and opens the provider's side with it.
func (l *live) open(words []byte) (failure *dialect.Error) {
	var setup []byte
	eachMember(words, func(name string, value []byte) {
		if name == "setup" {
			setup = value
		}
	})
	l.ref = strings.TrimPrefix(textOf(memberValue(setup, "model")), "models/")
	if l.ref == "" {
		return fail(codeInvalidRequest, "model", `the first message names no model; send {"setup":{"model":"models/…"}}`)
	}
	eachMember(setup, func(name string, value []byte) {
		switch name {
		case "systemInstruction", "system_instruction", "tools", "generationConfig", "generation_config":
			l.setup = append(append(append(append(l.setup, jsonscan.AppendString(nil, []byte(name))...), ':'), value...), ',')
		}
	})
	a := &liveAnswer{l: l}
	v := &visit{ctx: l.k.ctx, peer: l.peer, to: a, once: true, do: func(x *exchange) *dialect.Error {
		e := x.openLive(l, setup)
		failure = e
		return e
	}}
	var ctx fasthttp.RequestCtx
	if err := v.read(&ctx, l.head(), l.newCall().body); err != nil {
		return readError(err)
	}
	_ = l.k.s.answer(&ctx, v) // nobody reads it
	return failure
}

// head is that of each request.
func (l *live) head() []byte {
	at := (&url.URL{Path: "/v1beta/models/" + l.ref + ":streamGenerateContent"}).EscapedPath()
	return append([]byte("POST "+at+"?alt=sse HTTP/1.1\r\n"), l.auth...)
}

// openLive opens the provider's side.
func (x *exchange) openLive(l *live, setup []byte) *dialect.Error {
	x.op = dialect.OpGenerate
	x.pathModel, x.pathStream = []byte(l.ref), true
	if e := x.authenticate(); e != nil {
		return e
	}
	if e := x.begin(); e != nil {
		return e
	}
	if c := x.snap.chainOf(x.version.Version); c != nil {
		if i := slices.IndexFunc(c.policies, func(p *boundPolicy) bool { return p.sees(policy.Response | policy.Chunk) }); i >= 0 {
			return fail(codePolicyFailed, "", "policy "+c.policies[i].Name+" reads answers, and cannot in this API; use streamGenerateContent")
		}
	}
	conn, t, e := x.openLeg(
		func(t *target) bool { return t.provider.dialect == dialect.Gemini },
		func(t *target) string {
			u, _ := url.Parse(t.provider.BaseURL) // it was checked
			version := path.Base(u.Path)
			if !strings.HasPrefix(version, "v1") {
				version = l.version
			}
			return u.Scheme + "://" + u.Host + livePath[0] + version + livePath[1]
		}, nil)
	if e != nil {
		return e
	}
	l.conn, l.where.version, l.where.provider, l.where.target = conn, x.version.Version.Version.Version, t.provider.Name, t.Name
	words := append([]byte(`{"setup":{"model":`), jsonscan.AppendString(nil, []byte("models/"+t.Model))...)
	eachMember(setup, func(name string, value []byte) {
		if name != "model" {
			words = append(append(append(append(words, ','), jsonscan.AppendString(nil, []byte(name))...), ':'), value...)
		}
	})
	if err := l.pass(l.k.ctx, websocket.MessageText, append(words, "}}"...)); err != nil {
		_ = conn.CloseNow()
		return fail(codeUpstreamError, "", "provider "+t.provider.Name+" broke the connection; try again")
	}
	x.status = fasthttp.StatusSwitchingProtocols
	return nil
}

func (l *live) pinned() (version, provider, target string) {
	return l.where.version, l.where.provider, l.where.target
}

// context is part of line.
func (l *live) context() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.tokens + int64(l.heard/soundBytes)
}

// rest is closed once ending is, and no turn is under way.
func (l *live) rest(ending <-chan struct{}) <-chan struct{} {
	rest := make(chan struct{})
	l.work.Go(func() {
		select {
		case <-ending:
		case <-l.k.ctx.Done():
			return
		}
		l.mu.Lock()
		idle := make(chan struct{})
		if l.running == 0 {
			close(idle)
		} else {
			l.idle = idle
		}
		l.mu.Unlock()
		select {
		case <-idle:
			close(rest)
		case <-l.k.ctx.Done():
		}
	})
	return rest
}

func (l *live) pass(ctx context.Context, kind websocket.MessageType, words []byte) error {
	ctx, cancel := context.WithTimeout(ctx, l.k.s.o.WriteTimeout)
	defer cancel()
	return l.conn.Write(ctx, kind, words)
}

// hear takes what the client says.
func (l *live) hear(ctx context.Context) error {
	for {
		kind, words, err := l.k.Read(ctx)
		if err != nil {
			return err
		}
		if l.note(words) {
			c := l.newCall()
			c.words = words
			l.start(c)
			select {
			case <-c.sent:
			case <-c.done:
			}
			continue
		}
		if err := l.pass(ctx, kind, words); err != nil {
			return websocket.CloseError{Code: websocket.StatusGoingAway} // the other side tells why
		}
	}
}

// note remembers what the client said. asks says that the model is to answer.
func (l *live) note(words []byte) (asks bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	eachMember(words, func(name string, value []byte) {
		switch name {
		case "clientContent", "client_content":
			for _, complete := range [...]string{"turnComplete", "turn_complete"} {
				asks = asks || string(memberValue(value, complete)) == "true"
			}
			turns := memberValue(value, "turns")
			if len(turns) > 1 && turns[0] == '[' {
				turns = bytes.TrimSpace(turns[1 : len(turns)-1])
			}
			if len(l.said)+len(turns) > mostSaid {
				l.said = nil
			}
			l.said = joinItems(l.said, turns)
		default:
			l.heard += len(value)
		}
	})
	return asks
}

// newCall is a turn. l.mu must not be held.
func (l *live) newCall() *liveCall {
	c := &liveCall{done: make(chan struct{})}
	c.legCall = newLegCall(func(body []byte) error { return l.send(c, body) }, func() {})
	l.mu.Lock()
	c.body = append(append([]byte{'{'}, l.setup...), `"contents":[`...)
	if c.body = append(c.body, l.said...); len(l.said) == 0 {
		c.body = append(c.body, `{"role":"user","parts":[]}`...)
	}
	c.body = append(c.body, "]}"...)
	l.mu.Unlock()
	return c
}

// send lets the client's message go, if policies left what it says as it is.
func (l *live) send(c *liveCall, body []byte) error {
	if !sameTurn(c.body, body) {
		return errLiveEdited
	}
	if c.words == nil {
		return nil // it has begun
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, c)
	l.mu.Unlock()
	if l.pass(l.k.ctx, websocket.MessageText, c.words) != nil {
		c.legCall.end()
	}
	return nil
}

var errLiveEdited = errors.New("a policy changed what is asked, which this API has no place for; let the policy refuse, or use streamGenerateContent")

// sameTurn says that contents and instructions are what they were.
func sameTurn(before, after []byte) bool {
	for _, names := range [...][2]string{{"contents", "contents"}, {"systemInstruction", "system_instruction"}} {
		was, is := memberValue(before, names[0]), memberValue(after, names[0])
		if was == nil {
			was = memberValue(before, names[1])
		}
		if is == nil {
			is = memberValue(after, names[1])
		}
		if !bytes.Equal(was, is) {
			return false
		}
	}
	return true
}

// closing says why the connection will be closed after the turn: it cannot be ended otherwise.
func (l *live) closing(why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == "" {
		l.why = why
	}
}

// start runs the request of a turn.
func (l *live) start(c *liveCall) {
	l.mu.Lock()
	l.running++
	l.mu.Unlock()
	l.work.Go(func() {
		defer close(c.done)
		defer l.ended(c)
		if l.k.s.survive("a WebSocket", func() error { l.run(c); return nil }) != nil {
			l.k.cancel()
		}
	})
}

func (l *live) run(c *liveCall) {
	a := &liveAnswer{l: l, c: c}
	v := &visit{ctx: l.k.ctx, peer: l.peer, to: a, line: liveLine{l, c}, learn: l.learn, once: true}
	var ctx fasthttp.RequestCtx
	if err := v.read(&ctx, l.head(), c.body); err != nil {
		l.refuse(readError(err))
		return
	}
	if err := l.k.s.answer(&ctx, v); err == nil {
		a.end()
	}
}

func (l *live) ended(c *liveCall) {
	c.leave()
	c.settled()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.running == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
	if l.call == c {
		l.call = nil
	}
	if !c.over && l.why == "" { // it goes on at the provider, and nobody pays for it
		l.why = "the turn was ended"
	}
	if !c.over {
		_ = l.conn.CloseNow()
	}
}

func (l *live) learn(x *exchange) {
	if x.usage.Known {
		l.mu.Lock()
		l.tokens, l.heard = x.usage.Input+x.usage.Output, 0
		l.mu.Unlock()
	}
}

// liveLine is the line of one turn.
type liveLine struct {
	*live
	turn *liveCall
}

// endpoint is part of line.
func (l liveLine) endpoint(*exchange, *target) *upstream.Endpoint {
	return l.turn.legCall.endpoint(l.k.s)
}

// listen takes what the provider says.
func (l *live) listen(ctx context.Context) error {
	for {
		kind, words, err := l.conn.Read(ctx)
		if err != nil {
			l.mu.Lock()
			why := l.why
			l.mu.Unlock()
			if why != "" {
				return websocket.CloseError{Code: websocket.StatusPolicyViolation, Reason: why}
			}
			return err
		}
		m := readLive(words)
		c, fresh := l.callOf(&m)
		if fresh {
			l.start(c)
		}
		if c == nil {
			if err := l.say(kind, words); err != nil {
				return err
			}
			continue
		}
		if c.push(m.name(), m.event(words)); m.over {
			c.legCall.end()
		}
	}
}

func (l *live) say(kind websocket.MessageType, words []byte) error {
	ctx, cancel := context.WithTimeout(l.k.ctx, l.k.s.o.WriteTimeout)
	defer cancel()
	return l.k.Write(ctx, kind, words)
}

// callOf is the turn that a message belongs to, or nil. fresh is one that the provider began by itself.
func (l *live) callOf(m *liveMessage) (c *liveCall, fresh bool) {
	l.mu.Lock()
	if l.call == nil && m.answers {
		if len(l.waiting) > 0 {
			l.call, l.waiting = l.waiting[0], l.waiting[1:]
		} else {
			l.mu.Unlock()
			c, fresh = l.newCall(), true
			c.settled()
			l.mu.Lock()
			l.call = c
		}
	}
	defer l.mu.Unlock()
	if c = l.call; c == nil {
		return nil, false
	}
	if m.text != "" && len(l.said) < mostSaid {
		said, _ := json.Marshal(map[string]any{"role": "model", "parts": []map[string]string{{"text": m.text}}})
		l.said = joinItems(l.said, said)
	}
	if m.over {
		c.over, l.call = true, nil
	}
	return c, fresh
}
