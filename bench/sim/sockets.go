package sim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/websockets"
)

const (
	socketMessage = 16 << 20               // bytes of a client's message
	closeGrace    = 500 * time.Millisecond // for the client's half of the closing handshake
	heardBytes    = 256 << 10              // of a client's messages that the log keeps with a turn
)

// protocol is what is spoken on one WebSocket. All of its methods run on the socket's one goroutine.
type protocol interface {
	// open speaks first.
	open()
	// hear takes a message from the client.
	hear(message []byte)
	// ended is told that a turn is over, and whether the client got a good answer, to its end or to where it stopped it.
	ended(t *turn, good bool)
	// expire says why the socket is about to be closed: it has lived its time. What it returns is what is left of that.
	expire() time.Duration
}

// socket is one WebSocket on its way through the server. One goroutine reads messages, another does everything else.
type socket struct {
	s      *Server
	c      *websocket.Conn
	raw    net.Conn
	kind   websocket.MessageType // of what is said
	talk   protocol
	path   string
	list   settingsList // from the handshake's headers
	own    settings     // what list says
	rec    *Record      // of the handshake
	sent   int
	heard  []byte // the messages since the last turn, for the log
	in     chan []byte
	done   chan struct{} // closed when nobody takes from in any more
	ctx    context.Context
	cancel context.CancelFunc // wakes a write that waits for the client

	left     error       // why there are no more messages
	turn     *turn       // under way; nil is none
	due      *time.Timer // its next frame's time
	life     *time.Timer
	span     time.Duration         // of the socket's life
	draining bool                  // closes after the turn under way
	farewell *websocket.CloseError // how it closes once the turn under way is over; nil is not at all
	over     bool
}

// upgrade makes t's connection a WebSocket.
func (t *turn) upgrade() {
	if t.set.fault == faultSlow && t.pause(t.set.failDelay) != nil {
		t.abandon(errGone)
		return
	}
	s, ctx, speak := t.s, t.ctx, t.talk
	k := &socket{s: s, raw: t.conn, kind: websocket.MessageText, rec: t.rec, path: string(ctx.Path()), list: headerList(ctx),
		in: make(chan []byte), done: make(chan struct{}), due: time.NewTimer(t.set.life), life: time.NewTimer(t.set.life),
		span: t.set.life}
	k.due.Stop()
	_ = k.own.setAll(string(k.list)) // checked when they were read
	k.talk = speak(k, ctx)
	header := http.Header{}
	if name := t.d.manners().requestID; name != "" {
		header.Set(name, string(t.id))
	}
	o := websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover}
	for _, name := range websockets.Protocols(&ctx.Request.Header) {
		if name == realtimeProtocol {
			o.Subprotocols = []string{name}
		}
	}
	s.stats.openRequests.Add(-1)
	*t = turn{buf: t.buf[:0], id: t.id}
	turns.Put(t)
	websockets.Accept(ctx, &o, header, k.serve)
}

// realtimeProtocol is the sub-protocol by which browsers ask for OpenAI's Realtime, as they can set no headers.
const realtimeProtocol = "realtime"

// headerList is the settings that a handshake's headers hold for its turns: the faults that strike a handshake are
// not for them.
func headerList(ctx *fasthttp.RequestCtx) settingsList {
	var list strings.Builder
	for name, value := range ctx.Request.Header.All() {
		var probe settings
		if ours, _ := probe.setHeader(name, value); ours && !probe.fault.refuses() {
			list.WriteString(settingName(name) + "=" + string(value) + ";")
		}
	}
	return settingsList(list.String())
}

// serve speaks on the socket until it ends.
func (k *socket) serve(c *websocket.Conn, err error) {
	defer k.s.stats.openConnections.Add(-1)
	if err != nil {
		k.book(StateFinished, http.StatusBadRequest)
		return
	}
	k.c = c
	c.SetReadLimit(socketMessage)
	var leave func()
	k.ctx, k.cancel, leave = k.s.sockets.enter()
	defer leave()
	k.s.stats.sockets.Add(1)
	k.s.stats.openSockets.Add(1)
	defer k.s.stats.openSockets.Add(-1)
	read := make(chan struct{})
	go func() { k.listen(); close(read) }()
	k.run()
	close(k.done)
	k.cancel()
	k.due.Stop()
	k.life.Stop()
	_ = c.CloseNow() // most often it is closed
	<-read
}

// listen reads messages until there are no more.
func (k *socket) listen() {
	defer close(k.in)
	for {
		_, message, err := k.c.Read(context.Background()) // ends with the connection
		if err != nil {
			k.left = err
			k.cancel()
			return
		}
		select {
		case k.in <- message:
		case <-k.done:
			return
		}
	}
}

// run does what the client, the clock and a shutdown ask for.
func (k *socket) run() {
	k.talk.open()
	draining := k.s.sockets.draining
	for !k.over {
		select {
		case message, more := <-k.in:
			if !more {
				k.gone()
				continue
			}
			k.remember(message)
			k.talk.hear(message)
			if k.draining && k.idle() { // it has ended its turn itself
				k.goAway()
			}
		case <-k.due.C:
			k.advance()
		case <-k.life.C:
			if left := k.talk.expire(); left > 0 {
				k.life.Reset(left)
				continue
			}
			k.leave(StateStopped, websocket.StatusGoingAway, "the connection has lived its time")
		case <-draining:
			k.draining, draining = true, nil
			if k.idle() {
				k.goAway()
			}
		case <-k.s.sockets.stopped.Done():
			k.goAway()
		}
	}
}

// idle tells whether nothing will be said unless the client says something.
func (k *socket) idle() bool { return k.turn == nil || k.turn.stalled }

func (k *socket) goAway() {
	k.leave(StateStopped, websocket.StatusGoingAway, "the simulated provider is shutting down")
}

// remember keeps a message for the log.
func (k *socket) remember(message []byte) {
	if k.rec != nil && len(k.heard)+len(message) < heardBytes {
		k.heard = append(append(k.heard, message...), '\n')
	}
}

// say sends one frame. What cannot be sent ends the socket.
func (k *socket) say(frame []byte) {
	if k.over {
		return
	}
	if err := k.c.Write(k.ctx, k.kind, frame); err != nil {
		k.gone()
		return
	}
	k.sent += len(frame)
}

// gone ends the socket whose client is gone, or that a shutdown has interrupted.
func (k *socket) gone() {
	if k.s.sockets.stopped.Err() != nil {
		k.goAway()
		return
	}
	state := StateClientGone
	var closed websocket.CloseError
	if k.turn == nil && errors.As(k.left, &closed) {
		state = StateFinished
	}
	k.finish(StateClientGone)
	k.book(state, 0)
	k.over = true
}

// leave closes the socket with a code and a reason.
func (k *socket) leave(state State, code websocket.StatusCode, reason string) {
	if k.over {
		return
	}
	k.over = true
	k.finish(state)
	k.book(state, 0)
	late := time.AfterFunc(closeGrace, func() { _ = k.raw.Close() })
	defer late.Stop()
	reason = strings.ToValidUTF8(reason[:min(len(reason), 123)], "")
	_ = k.c.Close(code, reason) // a client that is gone needs no goodbye
}

// drop closes the connection without a word; reset makes the client's next read fail rather than end.
func (k *socket) drop(reset bool) {
	k.over = true
	k.finish(StateCut)
	k.book(StateCut, 0)
	if tcp, ok := k.raw.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = k.c.CloseNow() // fails where the client was faster
}

// book writes the handshake's end into the log, before the client can notice it.
func (k *socket) book(state State, status int) {
	now := time.Now()
	k.s.log.update(k.rec, func(r *Record) {
		r.State, r.BytesSent, r.Ended = state, k.sent, &now
		if status != 0 {
			r.Status = status
		}
	})
}

// sockets are a server's WebSockets, for its shutdown.
type sockets struct {
	draining chan struct{} // closed when they are to end after the turn under way
	drained  sync.Once
	stopped  context.Context // over when they are to end now
	stop     context.CancelFunc
	open     atomic.Int64
}

func (w *sockets) init() {
	w.draining = make(chan struct{})
	w.stopped, w.stop = context.WithCancel(context.Background())
}

// enter counts a socket, until leave, and returns what its writes wait with.
func (w *sockets) enter() (ctx context.Context, cancel context.CancelFunc, leave func()) {
	w.open.Add(1)
	ctx, cancel = context.WithCancel(w.stopped)
	return ctx, cancel, func() { w.open.Add(-1) }
}

func (w *sockets) drain() { w.drained.Do(func() { close(w.draining) }) }

// wait returns when no socket is open.
func (w *sockets) wait(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for w.open.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
