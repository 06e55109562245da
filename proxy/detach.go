package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/downstream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// streamBody is a response's body of unknown length; fasthttp uses WriteTo, and Close ends the exchange.
type streamBody interface {
	io.ReadCloser
	io.WriterTo
}

// aside has the rest of a request for a stream done by a goroutine of the connection's own, and returns true, where that is
// possible: whoever waits for a provider needs neither the server's buffers nor its goroutine.
func (x *exchange) aside(rest func(*exchange) *dialect.Error) bool {
	conn := plain(x.ctx.Conn())
	if conn == nil || x.apart || !x.streaming || !x.ctx.Request.Header.IsHTTP11() {
		return false
	}
	x.remains = rest
	x.detach(conn)
	return true
}

// sendBody answers with a body of unknown length. A plain connection is taken from the server for that long, so that a
// stream holds no buffers of the server's and no deep stack while it waits; in HTTP/1.0, which the server knows no such bodies
// of, there is no other way.
func (x *exchange) sendBody(body streamBody) {
	conn := plain(x.ctx.Conn())
	status := x.ctx.Response.StatusCode()
	bodiless := x.ctx.IsHead() || status < 200 || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
	switch {
	case x.apart:
		x.flow = body
	case conn != nil && !bodiless:
		x.flow = body
		x.detach(conn)
	case !x.ctx.Request.Header.IsHTTP11():
		whole := bounded{most: x.s.o.MaxAnswer}
		if _, err := body.WriteTo(&whole); err != nil { // no answer is better than a part that looks whole
			x.ctx.HijackSetNoResponse(true)
			x.ctx.Hijack(func(net.Conn) {})
			return
		}
		x.ctx.Response.SetBody(whole.Bytes())
	default:
		x.streamed = true
		x.ctx.Response.SetBodyStream(body, -1)
	}
}

// bounded is a buffer that takes no more than so many bytes.
type bounded struct {
	bytes.Buffer
	most int
}

// Write is part of io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > b.most {
		return 0, upstream.ErrBodyTooLarge
	}
	return b.Buffer.Write(p)
}

// contexts are those of exchanges whose connection was taken from the server, which takes its own back.
var contexts = sync.Pool{New: func() any { return new(fasthttp.RequestCtx) }}

// detach has the exchange go on, in a goroutine of the connection's, once the server has let go of the connection.
func (x *exchange) detach(conn *downstream.Conn) {
	theirs, own := x.ctx, contexts.Get().(*fasthttp.RequestCtx)
	own.Init2(conn, quietLogger{}, false)
	swap(&own.Request, &theirs.Request) // whatever the exchange has read lies in there
	swap(&own.Response, &theirs.Response)
	x.ctx, x.streamed, x.apart = own, true, true
	x.s.detached.Add(1)
	if l, ok := theirs.Conn().(*lane); ok {
		l.next = x
		conn.Detach(l.released)
	} else {
		conn.Detach(func() { go x.s.serveDetached(x, conn) })
	}
	theirs.HijackSetNoResponse(true)
	theirs.Hijack(func(rest net.Conn) { conn.Unread(rest) })
}

func swap[T any](a, b *T) { *a, *b = *b, *a }

// plain is a connection to a client that nothing stands before, such as TLS; else it is nil.
func plain(c net.Conn) *downstream.Conn {
	switch c := c.(type) {
	case *downstream.Conn:
		return c
	case *lane:
		return c.Conn
	}
	return nil
}

// lane is what the server knows a connection as after its first stream: the goroutine that wrote that serves it, and takes
// over the next stream itself.
type lane struct {
	*downstream.Conn
	next     *exchange     // that was taken from the server
	free     chan struct{} // the server has let go of the connection
	released func()
}

func newLane(conn *downstream.Conn) *lane {
	l := &lane{Conn: conn, free: make(chan struct{}, 1)}
	l.released = func() { l.free <- struct{}{} }
	return l
}

// NetConn is the connection that stands for this one.
func (l *lane) NetConn() net.Conn { return l.Conn }

// serveDetached ends the exchange, and serves what comes next on the connection.
func (s *Server) serveDetached(x *exchange, conn *downstream.Conn) {
	l := newLane(conn)
	for s.endSafely(x, conn) && s.park(conn) {
		l.next = nil
		_ = s.http.ServeConn(l) // how a connection ends is of no interest
		if x = l.next; x == nil {
			return
		}
		<-l.free
	}
}

// parked are the connections that wait for another request after a stream. To the server each would be a new one, which has
// less time for its first byte, and is told if it lets that pass.
type parked struct {
	mu    sync.Mutex
	conns map[*downstream.Conn]struct{}
	over  bool
}

// park waits for the next request. It returns false once there will be none, with the connection closed.
func (s *Server) park(conn *downstream.Conn) bool {
	p := &s.parked
	p.mu.Lock()
	over := p.over
	if !over {
		if p.conns == nil {
			p.conns = map[*downstream.Conn]struct{}{}
		}
		p.conns[conn] = struct{}{}
	}
	p.mu.Unlock()
	if !over && conn.Await(s.o.IdleTimeout) != nil {
		over = true
	}
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	if over {
		_ = conn.Close() // it may be closed
	}
	return !over
}

// shutdown closes the connections that wait, and every later one.
func (p *parked) shutdown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// endSafely is endDetached, and closes a connection that cannot be used again. A panic costs no more than that.
func (s *Server) endSafely(x *exchange, conn *downstream.Conn) (usable bool) {
	defer s.detached.Done()
	defer func() {
		if cause := recover(); cause != nil {
			s.metrics.panics.Inc()
			s.o.Log.Error("a stream met a fault of the node's own and was cut", "error", asError(cause))
			x.giveUp()
		}
		if !usable {
			_ = conn.Close() // it may be closed
		}
	}()
	return x.endDetached(conn)
}

// endDetached does what is left to do, writes the answer and ends the exchange. It returns false if the connection cannot be
// used again.
func (x *exchange) endDetached(conn *downstream.Conn) (usable bool) {
	if x.remains != nil {
		if e := x.safely(x.remains); e != nil {
			x.refuse(e)
		}
	}
	ctx := x.ctx
	h := &ctx.Response.Header
	h.SetServer(serverName)
	if ctx.Request.Header.ConnectionClose() || x.s.draining.Load() || x.s.drained.Load() {
		h.SetConnectionClose()
	}
	conn.Cork()
	var err error
	if x.flow == nil {
		body := ctx.Response.Body()
		h.SetContentLength(len(body))
		if _, err = conn.Write(h.Header()); err == nil {
			_, err = conn.Write(body)
		}
	} else {
		err = x.writeFlow(conn, h)
	}
	usable = err == nil && !x.gone && !h.ConnectionClose() && !x.s.draining.Load() && !x.s.drained.Load()
	if !usable { // a slow client has its time here, and not in closing
		x.gone = conn.Uncork() != nil || x.gone
	}
	x.finish() // before the client has the end: then it finds the request in the log, in explain and in the metrics
	if usable {
		usable = conn.Uncork() == nil
	}
	large := len(ctx.Request.Body()) > keptMost
	ctx.Request.Reset()
	ctx.Response.Reset()
	if !large {
		contexts.Put(ctx)
	}
	return usable
}

// writeFlow writes a body of unknown length, with its head.
func (x *exchange) writeFlow(conn *downstream.Conn, h *fasthttp.ResponseHeader) error {
	chunked := x.ctx.Request.Header.IsHTTP11()
	h.SetContentLength(-1)
	if !chunked { // the body ends with the connection
		h.SetContentLength(-2)
		h.Del("Transfer-Encoding")
	}
	_, err := conn.Write(h.Header())
	switch {
	case err != nil:
		x.gone = true
	case chunked:
		if _, err = x.flow.WriteTo(conn.Chunks()); err == nil {
			err = conn.EndChunks()
		}
	default:
		if _, err = x.flow.WriteTo(conn); err != nil {
			reset(conn) // a body that only ends would look whole
		}
	}
	return err
}

// awaitDetached waits for the answers that are being written apart from the server.
func (s *Server) awaitDetached(ctx context.Context) error {
	over := make(chan struct{})
	go func() {
		s.detached.Wait()
		close(over)
	}()
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// giveUp ends what others see of an exchange that met a fault: it is in no state to be finished, or used again.
func (x *exchange) giveUp() {
	defer func() { _ = recover() }() // of the same fault
	x.broken = true
	x.s.inFlight.Add(-1)
	x.leaveFlight()
}

// reset makes the close of a connection an abort.
func reset(conn *downstream.Conn) {
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be closed
	}
}
