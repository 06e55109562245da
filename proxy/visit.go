package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/dialect"
)

// visit is a request that has no HTTP/1.1 connection of its own: one over HTTP/2, a message on a WebSocket, or one whose
// answer is to outlive the connection that asked for it. It goes the way of every other request. To fasthttp it is the
// connection.
type visit struct {
	net.Conn                 // nil: nobody reads or writes it
	ctx      context.Context // ends when the client has left
	peer     net.Addr
	to       sink
	learn    func(*exchange)                // called when the exchange ends; may be nil
	warm     bool                           // nothing is to be generated
	books    bool                           // what it is about has been done: it is not refused
	once     bool                           // nobody can come back to the answer
	do       func(*exchange) *dialect.Error // in place of what the path asks for; may be nil
	line     line                           // the way to its provider; nil: over HTTP
}

// sink is where the answer to a visit goes.
type sink interface {
	// begin is called once, before the first Write, with the head of the answer, which is valid until it returns, and the
	// length of the body in bytes; -1 for one whose length is not known.
	begin(head *fasthttp.ResponseHeader, length int) error
	// Write takes the next bytes of the body.
	io.Writer
	// flush sends what Write has taken.
	flush() error
}

// RemoteAddr is part of net.Conn.
func (v *visit) RemoteAddr() net.Addr { return v.peer }

// LocalAddr is part of net.Conn.
func (v *visit) LocalAddr() net.Addr { return v.peer }

// read makes ctx the visit's request: head as it would come over HTTP/1.1, and a body that must not change while the
// request is under way. The head is read as any other, so that it means the same.
func (v *visit) read(ctx *fasthttp.RequestCtx, head, body []byte) error {
	ctx.Init2(v, quietLogger{}, true)
	if err := ctx.Request.Header.Read(bufio.NewReaderSize(bytes.NewReader(head), len(head)+1)); err != nil {
		return err
	}
	ctx.Request.SetBodyRaw(body)
	return nil
}

// answer answers a visit's request. An error tells that the client has not got the whole answer.
func (s *Server) answer(ctx *fasthttp.RequestCtx, v *visit) error {
	s.handle(ctx)
	return v.deliver(ctx)
}

func (v *visit) deliver(ctx *fasthttp.RequestCtx) error {
	body := ctx.Response.BodyStream()
	length := max(-1, ctx.Response.Header.ContentLength())
	if body == nil {
		length = len(ctx.Response.Body())
	}
	err := v.to.begin(&ctx.Response.Header, length)
	if body == nil {
		if err == nil {
			_, err = v.to.Write(ctx.Response.Body())
		}
		return errors.Join(err, v.to.flush())
	}
	if err == nil {
		_, err = body.(io.WriterTo).WriteTo(v.to)
	}
	return errors.Join(err, ctx.Response.CloseBodyStream(), v.to.flush())
}

// bell rings once, unless it is silenced before. When silence returns, it neither rings nor will.
type bell struct {
	mu   sync.Mutex
	tell func()
	stop func() bool
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tell != nil {
		b.tell()
		b.tell = nil
	}
}

func (b *bell) silence() {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.tell = nil
	b.mu.Unlock()
	b.stop()
}

// whenDone rings once ctx has ended.
func whenDone(ctx context.Context, tell func()) *bell {
	b := &bell{tell: tell}
	b.stop = context.AfterFunc(ctx, b.ring)
	return b
}

// whenOver rings after d.
func whenOver(d time.Duration, tell func()) *bell {
	b := &bell{tell: tell}
	b.stop = time.AfterFunc(d, b.ring).Stop
	return b
}
