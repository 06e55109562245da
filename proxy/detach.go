package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/downstream"
	"github.com/wedge-proxy/wedge/proxy/upstream"
)

// streamBody is a response's body of unknown length; fasthttp uses WriteTo, and Close ends the exchange.
type streamBody interface {
	io.ReadCloser
	io.WriterTo
}

// sendBody answers with a body of unknown length. A plain connection is taken from the server for that long, so that a
// stream holds no buffers of the server's and no deep stack while it waits; in HTTP/1.0, which the server knows no such bodies
// of, there is no other way.
func (x *exchange) sendBody(body streamBody) {
	conn, plain := x.ctx.Conn().(*downstream.Conn)
	status := x.ctx.Response.StatusCode()
	bodiless := x.ctx.IsHead() || status < 200 || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
	switch {
	case plain && !bodiless:
		x.detach(conn, body)
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

// detach has the body written by a goroutine of its own, once the server has let go of the connection.
func (x *exchange) detach(conn *downstream.Conn, body io.WriterTo) {
	theirs, own := x.ctx, contexts.Get().(*fasthttp.RequestCtx)
	own.Init2(conn, quietLogger{}, false)
	swap(&own.Request, &theirs.Request) // whatever the exchange has read lies in there
	swap(&own.Response, &theirs.Response)
	x.ctx, x.streamed = own, true
	x.s.detached.Add(1)
	conn.Detach(func() { go x.s.sendDetached(x, conn, body) })
	theirs.HijackSetNoResponse(true)
	theirs.Hijack(func(rest net.Conn) { conn.Unread(rest) })
}

func swap[T any](a, b *T) { *a, *b = *b, *a }

// sendDetached writes the answer and serves what comes next on the connection.
func (s *Server) sendDetached(x *exchange, conn *downstream.Conn, body io.WriterTo) {
	if s.writeSafely(x, conn, body) && s.park(conn) {
		_ = s.http.ServeConn(conn) // how a connection ends is of no interest
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

// writeSafely is writeDetached, and closes a connection that cannot be used again. A panic costs no more than that.
func (s *Server) writeSafely(x *exchange, conn *downstream.Conn, body io.WriterTo) (usable bool) {
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
	return x.writeDetached(conn, body)
}

// writeDetached writes the answer and ends the exchange. It returns false if the connection cannot be used again.
func (x *exchange) writeDetached(conn *downstream.Conn, body io.WriterTo) (usable bool) {
	ctx := x.ctx
	h := &ctx.Response.Header
	h.SetServer(serverName)
	chunked := ctx.Request.Header.IsHTTP11()
	if ctx.Request.Header.ConnectionClose() {
		h.SetConnectionClose()
	}
	h.SetContentLength(-1)
	if !chunked { // the body ends with the connection
		h.SetContentLength(-2)
		h.Del("Transfer-Encoding")
	}
	conn.Cork()
	_, err := conn.Write(h.Header())
	switch {
	case err != nil:
		x.gone = true
	case chunked:
		if _, err = body.WriteTo(chunks{conn}); err == nil {
			_, err = conn.Write([]byte("0\r\n\r\n"))
		}
	default:
		if _, err = body.WriteTo(conn); err != nil {
			reset(conn) // a body that only ends would look whole
		}
	}
	usable = err == nil && !h.ConnectionClose() && !x.s.draining.Load() && !x.s.drained.Load()
	if !usable {
		// There is no next read, which would write what is held back. A slow client has its time here, and not in closing.
		x.gone = x.uncork() != nil || x.gone
	}
	x.finish()
	large := len(ctx.Request.Body()) > keptMost
	ctx.Request.Reset()
	ctx.Response.Reset()
	if !large {
		contexts.Put(ctx)
	}
	return usable
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

// chunks writes each part as a chunk.
type chunks struct{ *downstream.Conn }

// Write is part of io.Writer.
func (c chunks) Write(p []byte) (int, error) {
	if len(p) == 0 { // which would be the end
		return 0, nil
	}
	var head [18]byte
	if _, err := c.Conn.Write(append(strconv.AppendUint(head[:0], uint64(len(p)), 16), '\r', '\n')); err != nil {
		return 0, err
	}
	if n, err := c.Conn.Write(p); err != nil {
		return n, err
	}
	_, err := c.Conn.Write([]byte("\r\n"))
	return len(p), err
}

// reset makes the close of a connection an abort.
func reset(conn *downstream.Conn) {
	if tcp, ok := conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it may be closed
	}
}
