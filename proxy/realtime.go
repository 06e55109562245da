package proxy

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/jsonscan"
	"github.com/wedge-proxy/wedge/internal/websockets"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

const (
	// mostSaid bounds what is remembered of a conversation for policies to read, in bytes.
	mostSaid = 256 << 10
	// soundBytes is how many bytes of base64 are taken for a token of sound: some formats have more.
	soundBytes = 512
)

// realtime is a conversation with a provider's Realtime API. What is said flows through. Each response, whoever asks for it, is
// a request of its own: it is authenticated, paid for and shown to policies before it is asked for, or cancelled where it began
// by itself.
type realtime struct {
	k     *socket
	conn  *websocket.Conn // the provider's side
	peer  peerOf
	head  []byte // of each request
	ref   string // the model
	where struct{ version, provider, target string }
	beta  bool // events have the names from before the API was generally available
	work  sync.WaitGroup

	receipts bool // are wanted

	mu           sync.Mutex
	waiting      []*realtimeCall          // that were asked for and have not begun
	calls        map[string]*realtimeCall // by their responses' ids
	latest       *realtimeCall            // which has not ended
	idle         chan struct{}            // closed when no call is under way; nil if nobody waits for that
	running      int
	said         []byte            // items, elements of a JSON list
	instructions []byte            // of the session, JSON
	modalities   []byte            // likewise
	transcriber  string            // the model that writes down what the client says, or did last; "" for none
	scribes      map[string]string // likewise, by items of sound whose transcripts have not come
	heard        int               // bytes of sound since the last response
	tokens       int64             // of the conversation, as the last response told
}

// realtimeCall is one response.
type realtimeCall struct {
	*legCall
	r       *realtime
	eventID string // of the client's message
	id      string // of the response; "" until it begins
	params  []byte // the response object that the client sent; nil where the provider began by itself
	own     []byte // elements of the client's own input; nil where the conversation is answered
	said    []byte // elements of the conversation as policies read it
	by      bool   // the provider began by itself
	ended   bool   // the provider said that it is done, or was asked to cancel it
	done    chan struct{}
}

// serveRealtime answers the handshake at /v1/realtime.
func (x *exchange) serveRealtime() *dialect.Error {
	x.op = dialect.OpResponses
	if e := x.authenticate(); e != nil {
		return e
	}
	if string(x.ctx.QueryArgs().Peek("intent")) == "transcription" {
		return fail(codeInvalidRequest, "intent", "sessions that only transcribe are not served here; send the sound to /v1/audio/transcriptions, or connect to /v1/realtime?model=…")
	}
	ref := bytes.Clone(x.ctx.QueryArgs().Peek("model"))
	if len(ref) == 0 {
		return fail(codeInvalidRequest, "model", "the handshake names no model; connect to /v1/realtime?model=…")
	}
	x.ctx.Request.SetBodyRaw(append(append([]byte(`{"model":`), jsonscan.AppendString(nil, ref)...), `,"input":[],"store":false,"stream":true}`...))
	if e := x.begin(); e != nil {
		return e
	}
	receipts, e := x.receipts()
	if e != nil {
		return e
	}
	protocols := slicesWithout(websockets.Protocols(&x.ctx.Request.Header), isSecretProtocol)
	conn, t, e := x.openLeg(
		func(t *target) bool { return t.provider.dialect == dialect.OpenAI },
		func(t *target) string {
			if t.provider.AzureVersion != "" {
				return "/realtime?deployment=" + url.QueryEscape(t.Model)
			}
			return "/realtime?model=" + url.QueryEscape(t.Model)
		}, protocols)
	if e != nil {
		return e
	}
	r := &realtime{
		receipts: receipts,
		conn:     conn, peer: peerOf(x.clientIP() + ":0"), head: x.appendTurnHead(nil), ref: string(ref), calls: map[string]*realtimeCall{},
		beta: bytes.Contains(x.ctx.Request.Header.Peek("OpenAI-Beta"), []byte("realtime")) || strings.Contains(strings.Join(protocols, ","), "beta.realtime"),
	}
	r.where.version, r.where.provider, r.where.target = x.version.Version.Version.Version, t.provider.Name, t.Name
	protocol := conn.Subprotocol()
	if protocol == "" {
		protocol = protocolFor(protocols) // which browsers insist on
	}
	return x.upgrade(protocol, r.talk, func() { _ = conn.CloseNow() })
}

func slicesWithout(names []string, drop func(string) bool) (rest []string) {
	for _, n := range names {
		if !drop(n) {
			rest = append(rest, n)
		}
	}
	return rest
}

func (r *realtime) pinned() (version, provider, target string) {
	return r.where.version, r.where.provider, r.where.target
}

// context is part of line.
func (r *realtime) context() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tokens + int64(r.heard/soundBytes)
}

// talk relays until one side ends.
func (r *realtime) talk(k *socket) {
	r.k = k
	ctx, cancel := context.WithCancel(k.ctx)
	over := make(chan struct{ client, provider error }, 2)
	r.work.Go(func() {
		over <- struct{ client, provider error }{client: r.k.s.survive("a WebSocket", func() error { return r.hear(ctx) })}
	})
	r.work.Go(func() {
		over <- struct{ client, provider error }{provider: r.k.s.survive("a WebSocket", func() error { return r.listen(ctx) })}
	})
	select {
	case end := <-over:
		if end.client != nil {
			code, reason := closeCode(end.client)
			_ = r.conn.Close(code, reason)
		} else {
			code, reason := closeCode(end.provider)
			_ = k.Close(code, reason)
		}
	case <-r.rest(k.ending):
		_ = k.Close(websocket.StatusGoingAway, closeReason)
		_ = r.conn.Close(websocket.StatusGoingAway, "")
	}
	cancel()
	_ = r.conn.CloseNow()
	_ = k.CloseNow()
	k.cancel()
	r.mu.Lock()
	for _, c := range r.calls {
		c.end()
	}
	for _, c := range r.waiting {
		c.end()
	}
	r.mu.Unlock()
	r.work.Wait()
}

// rest is closed once ending is, and no response is under way.
func (r *realtime) rest(ending <-chan struct{}) <-chan struct{} {
	rest := make(chan struct{})
	r.work.Go(func() {
		select {
		case <-ending:
		case <-r.k.ctx.Done():
			return
		}
		r.mu.Lock()
		idle := make(chan struct{})
		if r.running == 0 {
			close(idle)
		} else {
			r.idle = idle
		}
		r.mu.Unlock()
		select {
		case <-idle:
			close(rest)
		case <-r.k.ctx.Done():
		}
	})
	return rest
}

// hear takes what the client says.
func (r *realtime) hear(ctx context.Context) error {
	for {
		kind, words, err := r.k.Read(ctx)
		if err != nil {
			return err
		}
		e, bad := readLegEvent(words)
		switch {
		case kind != websocket.MessageText || bad != nil:
			r.refuse("", fail(codeInvalidRequest, "", errNoMessage.Error()+"; send events as text"))
			continue
		case e.kind == "response.create":
			r.create(&e)
			continue
		}
		r.note(&e)
		if err := r.pass(ctx, words); err != nil {
			return websocket.CloseError{Code: websocket.StatusGoingAway} // the other side tells why
		}
	}
}

// pass sends a message to the provider.
func (r *realtime) pass(ctx context.Context, words []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.k.s.o.WriteTimeout)
	defer cancel()
	return r.conn.Write(ctx, websocket.MessageText, words)
}

// note remembers what policies are to see of what the client said.
func (r *realtime) note(e *legEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.kind {
	case "session.update":
		if said := memberValue(e.session, "instructions"); said != nil {
			r.instructions = said
		}
		if said := modalitiesOf(e.session); said != nil {
			r.modalities = said
		}
	case "input_audio_buffer.append":
		r.heard += e.audio
	case "conversation.item.create":
		r.remember(e.item)
	}
}

// remember adds an item of the conversation, as the Responses API has it. The oldest are forgotten first. r.mu is held.
func (r *realtime) remember(item []byte) {
	content := memberValue(item, "content")
	text := textsOf(content)
	r.heard += len(content) - len(text)
	if textOf(memberValue(item, "type")) != "message" || text == "" {
		return
	}
	role := textOf(memberValue(item, "role"))
	part := "input_text"
	if role == "assistant" {
		part = "output_text"
	}
	words, _ := json.Marshal(map[string]any{"type": "message", "role": role, "content": []map[string]string{{"type": part, "text": text}}})
	r.said = joinItems(r.said, words)
	for len(r.said) > mostSaid {
		c := jsonscan.Cursor{B: r.said}
		c.Skip()
		if c.Peek(); c.I >= len(r.said) {
			r.said = nil
			return
		}
		r.said = r.said[c.I+1:]
	}
}

// create asks for a response. It returns when the provider was asked, or will not be, so that what the client says next comes
// after it.
func (r *realtime) create(e *legEvent) {
	c := r.newCall()
	c.eventID, c.params = e.id, e.response
	if c.params == nil || c.params[0] != '{' {
		c.params = []byte("{}")
	}
	r.start(c)
	select {
	case <-c.sent:
	case <-c.done:
	}
}

func (r *realtime) newCall() *realtimeCall {
	c := &realtimeCall{r: r, done: make(chan struct{})}
	c.legCall = newLegCall(c.send, c.cancel)
	return c
}

// start runs the call's request.
func (r *realtime) start(c *realtimeCall) {
	r.mu.Lock()
	r.running++
	r.mu.Unlock()
	r.work.Go(func() {
		defer close(c.done)
		defer r.ended(c)
		if r.k.s.survive("a WebSocket", func() error { r.run(c); return nil }) != nil {
			r.k.cancel()
		}
	})
}

func (r *realtime) run(c *realtimeCall) {
	a := &realtimeAnswer{r: r, c: c, receipt: receipt{wanted: r.receipts}}
	v := &visit{ctx: r.k.ctx, peer: r.peer, to: a, line: callLine{r, c}, learn: r.learn, once: true}
	var ctx fasthttp.RequestCtx
	if err := v.read(&ctx, r.head, c.body()); err != nil {
		r.refuse(c.eventID, readError(err))
		return
	}
	if err := r.k.s.answer(&ctx, v); err == nil {
		a.end()
	}
}

// ended cleans up behind a call. A response that goes on though nobody wants it is cancelled.
func (r *realtime) ended(c *realtimeCall) {
	c.leave()
	c.settled()
	r.mu.Lock()
	r.running--
	if r.running == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
	if r.latest == c {
		r.latest = nil
	}
	goes := c.id != "" && !c.ended
	r.mu.Unlock()
	if goes {
		c.cancel()
	}
}

// learn takes over how long the conversation has become. It is called before the exchange is over.
func (r *realtime) learn(x *exchange) {
	if x.usage.Known {
		r.mu.Lock()
		r.tokens, r.heard = x.usage.Input+x.usage.Output, 0
		r.mu.Unlock()
	}
}

// callLine is the line of one response.
type callLine struct {
	*realtime
	call *realtimeCall
}

// endpoint is part of line.
func (l callLine) endpoint(*exchange, *target) *upstream.Endpoint { return l.call.endpoint(l.k.s) }

// body is the response as a request to the Responses API, which is what the node reads.
func (c *realtimeCall) body() []byte {
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	c.said = r.said
	b := append([]byte(`{"model":`), jsonscan.AppendString(nil, []byte(r.ref))...)
	instructions := r.instructions
	eachMember(c.params, func(name string, value []byte) {
		switch name {
		case "model", "stream", "store", "background", "conversation", "previous_response_id": // of another API, or not the client's choice
		case "instructions":
			instructions = value
		case "input":
			if value[0] == '[' {
				c.own = bytes.TrimSpace(value[1 : len(value)-1])
				c.said = nil // it is answered instead
			}
		default:
			b = append(append(append(append(b, ','), jsonscan.AppendString(nil, []byte(name))...), ':'), value...)
		}
	})
	if instructions != nil {
		b = append(append(b, `,"instructions":`...), instructions...)
	}
	b = append(append(b, `,"input":[`...), joinItems(c.said, c.own)...)
	return append(b, `],"store":false,"stream":true}`...)
}

var (
	errSaidBefore = errors.New("a policy changed what was said before, and the provider has it already; let the policy refuse, or change instructions")
	errBegunAlone = errors.New("a policy changed a response that the provider began by itself; set turn_detection.create_response to false and send response.create")
)

// send asks for the response that the edited body says.
func (c *realtimeCall) send(body []byte) error {
	r := c.r
	var instructions, more []byte
	var own []byte
	var bad error
	eachMember(body, func(name string, value []byte) {
		switch name {
		case "model", "stream", "store", "stream_options":
		case "instructions":
			instructions = value
		case "input":
			rest, same := bytes.CutPrefix(value, append([]byte{'['}, c.said...))
			if !same {
				bad = errSaidBefore
				return
			}
			own = bytes.TrimLeft(bytes.TrimSuffix(rest, []byte{']'}), ", ")
		default:
			more = append(append(append(append(more, ','), jsonscan.AppendString(nil, []byte(name))...), ':'), value...)
		}
	})
	if bad != nil {
		return bad
	}
	r.mu.Lock()
	kept := bytes.Equal(instructions, r.instructions) && memberValue(c.params, "instructions") == nil
	r.mu.Unlock()
	if c.by {
		if !kept {
			return errBegunAlone
		}
		return nil // it has begun
	}
	response := more
	if v := memberValue(c.params, "conversation"); v != nil {
		response = append(append(response, `,"conversation":`...), v...)
	}
	if !kept && instructions != nil {
		response = append(append(response, `,"instructions":`...), instructions...)
	}
	if c.own != nil || len(own) > 0 {
		response = append(append(append(response, `,"input":[`...), own...), ']')
	}
	if c.eventID == "" {
		c.eventID = "wedge_" + rand.Text()
	}
	words := append([]byte(`{"type":"response.create","event_id":`), jsonscan.AppendString(nil, []byte(c.eventID))...)
	words = append(append(words, `,"response":{`...), bytes.TrimPrefix(response, []byte{','})...)
	r.mu.Lock()
	r.waiting = append(r.waiting, c)
	r.mu.Unlock()
	if err := r.pass(r.k.ctx, append(words, "}}"...)); err != nil {
		c.end() // without an answer: the provider is gone
	}
	return nil
}

// ownEvent is the id of what the node says to the provider for itself. What it hears of that is not the client's to know: that a
// response had ended already, before it was cancelled.
const ownEvent = "wedge_own"

// cancel ends the response at the provider.
func (c *realtimeCall) cancel() {
	c.r.mu.Lock()
	id, ended := c.id, c.ended
	c.ended = ended || id != ""
	c.r.mu.Unlock()
	if ended || id == "" {
		return
	}
	words := append([]byte(`{"type":"response.cancel","event_id":"`+ownEvent+`","response_id":`), jsonscan.AppendString(nil, []byte(id))...)
	_ = c.r.pass(c.r.k.ctx, append(words, '}')) // a provider that is gone has ended it
}

// listen takes what the provider says.
func (r *realtime) listen(ctx context.Context) error {
	for {
		kind, words, err := r.conn.Read(ctx)
		if err != nil {
			return err
		}
		e, bad := readLegEvent(words)
		if kind != websocket.MessageText || bad != nil {
			if err := r.k.Write(ctx, kind, words); err != nil {
				return err
			}
			continue
		}
		if e.kind == "error" && textOf(memberValue(e.failure, "event_id")) == ownEvent {
			continue
		}
		switch e.kind {
		case "session.created", "session.updated":
			r.mu.Lock()
			if model := transcribes(e.session); model != "" { // what was said before may still be written down
				r.transcriber = model
			}
			r.mu.Unlock()
		case "input_audio_buffer.committed":
			r.committed(words)
		case "conversation.item.input_audio_transcription.completed":
			r.transcribed(words)
		}
		c, fresh := r.callOf(&e)
		switch {
		case c == nil:
			if err := r.k.tell(words); err != nil {
				return err
			}
			continue
		case fresh:
			r.start(c)
		}
		if !r.hand(c, &e, words) && e.answers == "" {
			err = r.k.tell(words) // it is about nobody's response
		}
		if err != nil {
			return err
		}
	}
}

// hand gives an event to the call that it belongs to. It returns false if nobody reads that any more.
func (r *realtime) hand(c *realtimeCall, e *legEvent, words []byte) bool {
	switch e.kind {
	case "error":
		if c.id == "" { // it was refused
			c.refuse(fasthttp.StatusBadRequest, append(append([]byte(`{"error":`), e.failure...), '}'))
			return true
		}
		return c.push("wedge.error", e.renamed(words, "wedge.error")) // it need not end the response
	case "response.done":
		kind := "response.completed"
		if status := textOf(memberValue(e.response, "status")); status == "failed" || status == "incomplete" {
			kind = "response." + status
		}
		c.push(kind, e.renamed(words, kind))
		c.end()
		return true
	default:
		kind := e.kind
		if rest, is := strings.CutPrefix(kind, "response.text."); is && r.beta {
			kind = "response.output_text." + rest
			words = e.renamed(words, kind)
		}
		return c.push(kind, words)
	}
}

// callOf is the call that an event belongs to: that of its response, or else the one under way, so that events keep their
// order. fresh is one that the provider began by itself.
func (r *realtime) callOf(e *legEvent) (c *realtimeCall, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.kind {
	case "response.created":
		if len(r.waiting) > 0 {
			c, r.waiting = r.waiting[0], r.waiting[1:]
		} else {
			c, fresh = r.newCall(), true
			c.by, c.params = true, []byte("{}")
			if m := modalitiesOf(e.response); m != nil {
				c.params = append(append([]byte(`{"output_modalities":`), m...), '}')
			}
			c.settled()
		}
		c.id = e.answers
		r.calls[c.id], r.latest = c, c
		return c, fresh
	case "response.done":
		if c = r.calls[e.answers]; c != nil {
			c.ended = true
			delete(r.calls, e.answers)
		}
		if r.latest == c {
			r.latest = nil
		}
		return c, false
	case "error":
		about := textOf(memberValue(e.failure, "event_id"))
		for i, w := range r.waiting {
			if w.eventID == about {
				r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
				return w, false
			}
		}
	case "conversation.item.done", "conversation.item.created":
		if textOf(memberValue(e.item, "role")) == "assistant" {
			r.remember(e.item)
		}
	}
	if e.answers != "" {
		return r.calls[e.answers], false
	}
	return r.latest, false
}
