// Package websockets accepts WebSockets on a fasthttp server, which has no way of its own to hand a connection to
// coder/websocket. It knows nothing of what is said on them.
package websockets

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
	"github.com/valyala/fasthttp"
)

// Asked says whether a request asks for a WebSocket.
func Asked(ctx *fasthttp.RequestCtx) bool {
	return ctx.IsGet() && ctx.Request.Header.ConnectionUpgrade() &&
		strings.EqualFold(string(ctx.Request.Header.Peek("Upgrade")), "websocket")
}

// Protocols are the sub-protocols that a client offers, the one that it likes best first.
func Protocols(h *fasthttp.RequestHeader) (names []string) {
	for _, line := range h.PeekAll("Sec-WebSocket-Protocol") {
		for name := range strings.SplitSeq(string(line), ",") {
			if name = strings.TrimSpace(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// Accept upgrades the connection of ctx once its handler has returned, and calls serve, once: with the WebSocket, or with
// the error that the client was told, so that what is held for it can be given back. header goes with the answer to the
// handshake. The connection ends when serve returns. Of ctx, nothing may be used in serve: fasthttp uses it again.
func Accept(ctx *fasthttp.RequestCtx, o *websocket.AcceptOptions, header http.Header, serve func(*websocket.Conn, error)) {
	r := &http.Request{Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: string(ctx.Host()), URL: &url.URL{Path: string(ctx.Path())}, Header: make(http.Header, 16)}
	for name, value := range ctx.Request.Header.All() {
		r.Header.Add(string(name), string(value))
	}
	ctx.HijackSetNoResponse(true) // the answer to the handshake is coder/websocket's
	ctx.Hijack(func(hijacked net.Conn) {
		raw := hijacked
		if c, ok := hijacked.(interface{ UnsafeConn() net.Conn }); ok {
			raw = c.UnsafeConn()
		}
		c, err := websocket.Accept(&writer{conn: connection{raw, hijacked}, header: header}, r, o)
		serve(c, err)
		if err == nil {
			_ = c.CloseNow() // most often it is closed
		}
	})
}

// connection reads what fasthttp has read ahead, which may hold the first frames. Its Close closes: that of the hijacked
// connection does nothing, and would leave a Read waiting.
type connection struct {
	net.Conn
	ahead io.Reader
}

func (c connection) Read(p []byte) (int, error) { return c.ahead.Read(p) }

// writer is what coder/websocket needs of net/http to answer a handshake: nobody writes the head but it itself.
type writer struct {
	conn   connection
	header http.Header
	wrote  bool
}

func (w *writer) Header() http.Header { return w.header }

// WriteHeader is part of http.ResponseWriter. What cannot be written shows in the next read.
func (w *writer) WriteHeader(code int) {
	if w.wrote {
		return
	}
	w.wrote = true
	if code != http.StatusSwitchingProtocols {
		w.header.Set("Connection", "close")
	}
	var head strings.Builder
	fmt.Fprintf(&head, "HTTP/1.1 %d %s\r\n", code, http.StatusText(code))
	_ = w.header.Write(&head) // to a Builder
	head.WriteString("\r\n")
	_, _ = io.WriteString(w.conn, head.String())
}

func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.conn.Write(p)
}

// Hijack is part of http.Hijacker. The sizes are those of net/http's buffers.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReaderSize(w.conn, 4096), bufio.NewWriterSize(w.conn, 4096)), nil
}
