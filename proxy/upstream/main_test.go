package upstream

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// fasthttp's caretakers, which only the benchmarks start, end seconds after what they care for.
func TestMain(m *testing.M) {
	const fh = "github.com/valyala/fasthttp."
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction(fh+"(*TCPDialer).tcpAddrsClean"),
		goleak.IgnoreAnyFunction(fh+"updateServerDate.func1"),
		goleak.IgnoreAnyFunction(fh+"(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction(fh+"(*HostClient).connsCleaner"))
}

// script is a raw server: serve gets each connection in turn and is closed with the test.
type script struct {
	net.Listener
	conns atomic.Int32
	wg    sync.WaitGroup
	mu    sync.Mutex
	open  []net.Conn
}

func listen(t testing.TB, serve func(c *peer)) *script {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &script{Listener: l}
	s.wg.Add(1)
	go s.accept(serve)
	t.Cleanup(s.stop)
	return s
}

func (s *script) accept(serve func(c *peer)) {
	defer s.wg.Done()
	for {
		nc, err := s.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.open = append(s.open, nc)
		s.mu.Unlock()
		c := &peer{Conn: nc, br: bufio.NewReader(nc), n: int(s.conns.Add(1))}
		s.wg.Add(1)
		go func() {
			defer s.wg.Done()
			defer nc.Close()
			serve(c)
		}()
	}
}

func (s *script) stop() {
	s.Close()
	s.mu.Lock()
	for _, c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *script) url() string { return "http://" + s.Addr().String() }

// peer is the server's side of one connection.
type peer struct {
	net.Conn
	br *bufio.Reader
	n  int // 1 for the first connection
}

// request reads one request; its body, if any, is read too. It is nil at the connection's end.
func (p *peer) request() *http.Request {
	r, err := http.ReadRequest(p.br)
	if err != nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil
	}
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	return r
}

func (p *peer) say(s string) { _, _ = io.WriteString(p, s) }

// gone waits for the client's side to end.
func (p *peer) gone() { _, _ = io.Copy(io.Discard, p.br) }

// answers is a server that gives the same raw answer to every request and keeps the connection.
func answers(t testing.TB, raw string) *script {
	return listen(t, func(p *peer) {
		for p.request() != nil {
			p.say(raw)
		}
	})
}

// once is a server that answers the first request of a connection with raw bytes and closes it.
func once(t testing.TB, raw string) *script {
	return listen(t, func(p *peer) {
		if p.request() != nil {
			p.say(raw)
		}
	})
}

func endpoint(t testing.TB, url string) *Endpoint { return endpointWith(t, Options{BaseURL: url}) }

func endpointWith(t testing.TB, o Options) *Endpoint {
	e, err := NewEndpoint(o)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return e
}

func get() *Request {
	return &Request{Method: []byte("GET"), Path: []byte("/x"), FirstByte: 5 * time.Second, ChunkTimeout: 5 * time.Second}
}

// fetch makes one whole attempt.
func fetch(t testing.TB, e *Endpoint, c *Call) (string, error) {
	t.Helper()
	if err := e.Do(c, get()); err != nil {
		return "", err
	}
	defer c.Close()
	b, err := c.AppendAll(nil, 1<<20)
	return string(b), err
}

const helloAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
