package upstream

import (
	"bytes"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// benchServer answers every request with n bytes.
func benchServer(b *testing.B, n int) string {
	body := bytes.Repeat([]byte("x"), n)
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.Response.Header.Set("x-request-id", "req_0123456789abcdef")
		ctx.Response.Header.Set("openai-processing-ms", "123")
		ctx.SetContentType("application/json")
		ctx.SetBody(body)
	}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	b.Cleanup(func() { require.NoError(b, s.Shutdown()); require.NoError(b, <-done) })
	return l.Addr().String()
}

var benchHead = []byte("Content-Type: application/json\r\nAuthorization: Bearer sk-0123456789abcdef\r\nUser-Agent: bench\r\n")

func benchDo(b *testing.B, size int) {
	e, err := NewEndpoint(Options{BaseURL: "http://" + benchServer(b, size) + "/v1"})
	require.NoError(b, err)
	b.Cleanup(e.Close)
	var c Call
	req := &Request{Path: []byte("/chat/completions"), Head: benchHead, Body: bytes.Repeat([]byte("q"), 1400)}
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Do(&c, req); err != nil {
			b.Fatal(err)
		}
		dst, err = c.AppendAll(dst[:0], 1<<20)
		if err != nil || len(dst) != size {
			b.Fatal(len(dst), err)
		}
		c.Close()
	}
}

func benchHostClient(b *testing.B, size int) {
	addr := benchServer(b, size)
	hc := &fasthttp.HostClient{Addr: addr}
	b.Cleanup(hc.CloseIdleConnections)
	var req fasthttp.Request
	var resp fasthttp.Response
	req.Header.SetMethod("POST")
	req.SetRequestURI("http://" + addr + "/v1/chat/completions")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sk-0123456789abcdef")
	req.Header.Set("User-Agent", "bench")
	req.SetBody(bytes.Repeat([]byte("q"), 1400))
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		if err := hc.Do(&req, &resp); err != nil {
			b.Fatal(err)
		}
		if dst = append(dst[:0], resp.Body()...); len(dst) != size {
			b.Fatal(len(dst))
		}
	}
}

// The pairs stand beside each other: compare Do with HostClient of the same run.
func BenchmarkDo1KB(b *testing.B)           { benchDo(b, 1035) }
func BenchmarkHostClient1KB(b *testing.B)   { benchHostClient(b, 1035) }
func BenchmarkDo100KB(b *testing.B)         { benchDo(b, 100<<10) }
func BenchmarkHostClient100KB(b *testing.B) { benchHostClient(b, 100<<10) }
