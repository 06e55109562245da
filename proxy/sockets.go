package proxy

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/websockets"
	"github.com/wedge-proxy/wedge/proxy/dialect"
)

const (
	// pingEvery is how often a client is asked on its WebSocket whether it is there.
	pingEvery = 20 * time.Second
	// pongWithin is how long it has to say so.
	pongWithin = 10 * time.Second
	// closeReason is what a WebSocket ends with where nobody says more.
	closeReason = "this node is shutting down; connect to another one"
)

// sockets are the clients' WebSockets. fasthttp does not know them any more, so they are counted and ended here.
type sockets struct {
	mu     sync.Mutex
	open   map[*socket]struct{}
	coming int // whose handshake is under way
	ending bool
	empty  chan struct{} // closed when ending and the last one is gone
}

// socket is a client's WebSocket.
type socket struct {
	*websocket.Conn
	s      *Server
	ctx    context.Context // ends when the client is gone
	cancel context.CancelFunc
	ending chan struct{} // closed when the socket is to end after what is under way
	once   sync.Once
	pings  *time.Timer
}

// reserve takes a place for one more socket.
func (s *sockets) reserve(most int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending || len(s.open)+s.coming >= most {
		return false
	}
	s.coming++
	return true
}

// add takes the reserved place; k is nil if the handshake failed.
func (s *sockets) add(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.coming--
	if k != nil {
		if s.open == nil {
			s.open = map[*socket]struct{}{}
		}
		s.open[k] = struct{}{}
		if s.ending {
			k.end()
		}
	}
	s.tellEmpty()
}

func (s *sockets) remove(k *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, k)
	s.tellEmpty()
}

// tellEmpty is called with mu held.
func (s *sockets) tellEmpty() {
	if s.ending && s.empty != nil && len(s.open)+s.coming == 0 {
		close(s.empty)
		s.empty = nil
	}
}

func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// shutdown ends every socket once it has answered what is under way, or when ctx ends.
func (s *sockets) shutdown(ctx context.Context) {
	s.mu.Lock()
	s.ending = true
	empty := make(chan struct{})
	s.empty = empty
	for k := range s.open {
		k.end()
	}
	s.tellEmpty()
	s.mu.Unlock()
	select {
	case <-empty:
		return
	case <-ctx.Done():
	}
	s.mu.Lock()
	for k := range s.open {
		_ = k.CloseNow() // it had its time
	}
	s.mu.Unlock()
	<-empty
}

// end lets the socket end after what is under way.
func (k *socket) end() { k.once.Do(func() { close(k.ending) }) }

// tell sends a message. A client that does not take it in time has lost its connection.
func (k *socket) tell(text []byte) error {
	ctx, cancel := context.WithTimeout(k.ctx, k.s.o.WriteTimeout)
	defer cancel()
	return k.Write(ctx, websocket.MessageText, text)
}

// ping asks whether the client is there, again and again: what a client that lost its net would be told never arrives, and
// nothing else tells.
func (k *socket) ping() {
	ctx, cancel := context.WithTimeout(k.ctx, pongWithin)
	defer cancel()
	switch err := k.Ping(ctx); {
	case k.ctx.Err() != nil:
	case err != nil:
		k.cancel()
		_ = k.CloseNow() // it is gone
	default:
		k.pings.Reset(pingEvery)
	}
}

// upgrade answers the handshake of a WebSocket of a sub-protocol, which may be none, and lets talk have it, or calls failed. The
// request is over when it returns; what talk is to know of it must be copies.
func (x *exchange) upgrade(protocol string, talk func(*socket), failed func()) *dialect.Error {
	s := x.s
	if !s.sockets.reserve(s.o.MaxSockets) {
		failed()
		return fail(codeOverloaded, "", "this node has as many WebSockets open as it takes; connect to another one, or try again later")
	}
	o := &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover, OriginPatterns: s.o.Origins}
	if protocol != "" {
		o.Subprotocols = []string{protocol}
	}
	x.status = fasthttp.StatusSwitchingProtocols
	x.setHeaders()
	header := http.Header{}
	for name, value := range x.ctx.Response.Header.All() {
		if strings.HasPrefix(string(name), "X-") {
			header.Set(string(name), string(value))
		}
	}
	websockets.Accept(x.ctx, o, header, func(c *websocket.Conn, err error) {
		if err != nil {
			s.sockets.add(nil)
			failed()
			return
		}
		s.converse(c, talk)
	})
	return nil
}

// converse lets talk have an accepted WebSocket until it returns.
func (s *Server) converse(c *websocket.Conn, talk func(*socket)) {
	c.SetReadLimit(int64(s.o.MaxBody))
	k := &socket{Conn: c, s: s, ending: make(chan struct{})}
	k.ctx, k.cancel = context.WithCancel(s.life)
	defer k.cancel()
	s.sockets.add(k)
	defer s.sockets.remove(k)
	k.pings = time.AfterFunc(pingEvery, k.ping)
	defer k.pings.Stop()
	if err := s.survive("a WebSocket", func() error { talk(k); return nil }); err != nil {
		_ = c.Close(closeCode(err))
	}
}

// messages reads what the client says into a channel, which is closed when the client is gone; k.ctx ends then, too. What
// the channel has no room for is refused by full.
func (k *socket) messages(room int, full func()) <-chan []byte {
	said := make(chan []byte, room)
	go func() {
		defer close(said)
		defer k.cancel()
		for {
			_, words, err := k.Read(k.ctx)
			if err != nil {
				return
			}
			select {
			case said <- words:
			default:
				full()
			}
		}
	}()
	return said
}

// keyProtocol begins the sub-protocol by which browsers, which can send no headers, tell their key.
const keyProtocol = "openai-insecure-api-key."

// protocolFor is the sub-protocol to agree on: browsers want one of theirs, and the one with the key says nothing.
func protocolFor(offered []string) string {
	if i := slices.IndexFunc(offered, func(name string) bool { return !isSecretProtocol(name) }); i >= 0 {
		return offered[i]
	}
	return ""
}

// isSecretProtocol says that a sub-protocol tells whose the request is, and is nobody else's business.
func isSecretProtocol(name string) bool {
	return strings.HasPrefix(name, keyProtocol) || strings.HasPrefix(name, "openai-organization.") || strings.HasPrefix(name, "openai-project.")
}

// protocolKey is the key that a browser sends as a sub-protocol; nil if there is none.
func protocolKey(h *fasthttp.RequestHeader) []byte {
	if !bytes.Contains(h.Peek("Sec-WebSocket-Protocol"), []byte(keyProtocol)) {
		return nil
	}
	for _, name := range websockets.Protocols(h) {
		if key, ok := strings.CutPrefix(name, keyProtocol); ok {
			return []byte(key)
		}
	}
	return nil
}

// closeCode is what a WebSocket is closed with after err: as the other side was closed, where that can be said.
func closeCode(err error) (websocket.StatusCode, string) {
	var closed websocket.CloseError
	if errors.Is(err, errPanicked) {
		return websocket.StatusInternalError, "this node met a fault of its own; connect again"
	}
	if !errors.As(err, &closed) {
		return websocket.StatusBadGateway, "the connection to the provider was lost; connect again"
	}
	switch closed.Code {
	case websocket.StatusNoStatusRcvd:
		return websocket.StatusNormalClosure, ""
	case websocket.StatusAbnormalClosure, websocket.StatusTLSHandshake:
		return websocket.StatusBadGateway, closed.Reason
	}
	return closed.Code, closed.Reason
}
