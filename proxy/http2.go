package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"
)

// maxStreams is how many requests a client may have under way on one HTTP/2 connection.
const maxStreams = 1000

// http2Front answers clients that speak HTTP/2. It turns each request into one that came over HTTP/1.1.
type http2Front struct {
	s    *Server
	h2   http2.Server
	base http.Server // whose Shutdown tells the clients to go elsewhere
}

func newHTTP2Front(s *Server) (*http2Front, error) {
	f := &http2Front{s: s, h2: http2.Server{MaxConcurrentStreams: maxStreams, IdleTimeout: s.o.IdleTimeout, WriteByteTimeout: s.o.WriteTimeout}}
	f.base = http.Server{Handler: f, MaxHeaderBytes: s.o.MaxHeader, ReadTimeout: s.o.ReadTimeout}
	if err := http2.ConfigureServer(&f.base, &f.h2); err != nil {
		return nil, err
	}
	return f, nil
}

// serve answers the requests on one connection until it ends.
func (f *http2Front) serve(c net.Conn) error {
	if p, ok := c.(*plainConn); ok {
		c = &p.begunConn // what tells the state of TLS must have TLS
	}
	f.h2.ServeConn(c, &http2.ServeConnOpts{Context: f.s.life, BaseConfig: &f.base})
	return nil
}

// ServeHTTP is part of http.Handler.
func (f *http2Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := &http2Answer{w: w, control: http.NewResponseController(w), patience: f.s.o.WriteTimeout}
	v := &visit{ctx: r.Context(), peer: peerOf(r.RemoteAddr), to: answer}
	var ctx fasthttp.RequestCtx
	err := v.read(&ctx, appendHead(nil, r), nil)
	if err == nil {
		err = f.readBody(&ctx, r)
	}
	if err != nil {
		f.s.handleUnread(&ctx, err)
		err = v.deliver(&ctx)
	} else {
		err = f.s.answer(&ctx, v)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // which resets the stream: the client must not take what it got for the whole
	}
}

// readBody reads a body within the bounds that other requests have, too.
func (f *http2Front) readBody(ctx *fasthttp.RequestCtx, r *http.Request) error {
	most := f.s.o.MaxBody
	if n := f.s.bound(&ctx.Request.Header).MaxRequestBodySize; n > 0 {
		most = n
	}
	if r.ContentLength > int64(most) {
		return fasthttp.ErrBodyTooLarge
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := body.ReadFrom(io.LimitReader(r.Body, int64(most)+1))
	if err != nil {
		return err
	}
	if n > int64(most) {
		return fasthttp.ErrBodyTooLarge
	}
	ctx.Request.SetBodyRaw(body.Bytes())
	return nil
}

// appendHead writes a request's head as HTTP/1.1 says it. net/http2 has refused what could not stand in one.
func appendHead(dst []byte, r *http.Request) []byte {
	dst = append(append(append(dst, r.Method...), ' '), r.URL.RequestURI()...)
	dst = append(append(append(dst, " HTTP/1.1\r\nHost: "...), r.Host...), "\r\n"...)
	for name, values := range r.Header {
		if name == "Content-Length" || name == "Connection" || name == "Transfer-Encoding" || name == "Upgrade" {
			continue
		}
		for _, value := range values {
			dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
		}
	}
	if r.ContentLength > 0 {
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), r.ContentLength, 10), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

type peerOf string

func (p peerOf) Network() string { return "tcp" }
func (p peerOf) String() string  { return string(p) }

// http2Answer is an answer over HTTP/2.
type http2Answer struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration // with a client that takes no bytes
	until    time.Time
}

func (a *http2Answer) begin(head *fasthttp.ResponseHeader, length int) error {
	h := a.w.Header()
	for name, value := range head.All() {
		switch string(name) {
		case fasthttp.HeaderConnection, fasthttp.HeaderTransferEncoding, fasthttp.HeaderContentLength, "Keep-Alive":
		default:
			h.Add(string(name), string(value))
		}
	}
	if length >= 0 {
		h.Set(fasthttp.HeaderContentLength, strconv.Itoa(length))
	}
	if head.ConnectionClose() {
		h.Set(fasthttp.HeaderConnection, "close") // which HTTP/2 says with another frame
	}
	a.w.WriteHeader(head.StatusCode())
	return nil
}

// Write is part of io.Writer. The deadline is for a client that takes nothing, so it moves on with what was taken.
func (a *http2Answer) Write(p []byte) (int, error) {
	if now := time.Now(); a.until.Sub(now) < a.patience {
		a.until = now.Add(a.patience + a.patience/2)
		if err := a.control.SetWriteDeadline(a.until); err != nil {
			return 0, err
		}
	}
	return a.w.Write(p)
}

func (a *http2Answer) flush() error { return a.control.Flush() }

// preface is what a client begins with that speaks HTTP/2 without having asked for it.
const preface = http2.ClientPreface

// plainListener accepts connections on which a client may speak HTTP/2 without TLS.
type plainListener struct{ net.Listener }

func (l plainListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &plainConn{begunConn: begunConn{Conn: c}}, nil
}

// plainConn finds out which HTTP its client speaks where TLS would, in the handshake.
type plainConn struct {
	begunConn
	is2 bool
}

// Handshake reads until the client's first bytes tell.
func (c *plainConn) Handshake() error {
	first := make([]byte, 0, len(preface))
	for len(first) < len(preface) {
		n, err := c.Conn.Read(first[len(first):cap(first)])
		first = first[:len(first)+n]
		if string(first) != preface[:len(first)] {
			break
		}
		if err != nil {
			return err
		}
	}
	c.begun, c.is2 = first, string(first) == preface
	return nil
}

// ConnectionState tells what the client speaks.
func (c *plainConn) ConnectionState() (state tls.ConnectionState) {
	if c.is2 {
		state.NegotiatedProtocol = http2.NextProtoTLS
	}
	return state
}

// begunConn is a connection of which something was read.
type begunConn struct {
	net.Conn
	begun []byte // and not taken yet
}

// NetConn is the connection beneath.
func (c *begunConn) NetConn() net.Conn { return c.Conn }

func (c *begunConn) Read(p []byte) (int, error) {
	if len(c.begun) > 0 {
		n := copy(p, c.begun)
		if c.begun = c.begun[n:]; len(c.begun) == 0 {
			c.begun = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}

// shutdown tells clients that there will be no more answers, until ctx ends: a connection may begin when the others have
// been told.
func (f *http2Front) shutdown(ctx context.Context) {
	for ctx.Err() == nil {
		_ = f.base.Shutdown(ctx) // it has no connections of its own to wait for
		select {
		case <-ctx.Done():
		case <-time.After(shutdownPause):
		}
	}
}

// shutdownPause is how often clients are told.
const shutdownPause = 50 * time.Millisecond
