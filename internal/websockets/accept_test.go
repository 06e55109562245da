package websockets

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// echo is the address of a server that says what it hears; it tells how each connection ended.
func echo(t *testing.T, o *websocket.AcceptOptions) (string, chan error) {
	t.Helper()
	ended := make(chan error, 16)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &fasthttp.Server{ReadTimeout: 200 * time.Millisecond, WriteTimeout: 200 * time.Millisecond, Handler: func(ctx *fasthttp.RequestCtx) {
		if !Asked(ctx) {
			ctx.Error("want a WebSocket", http.StatusUpgradeRequired)
			return
		}
		Accept(ctx, o, http.Header{"X-Request-Id": {"r1"}}, func(c *websocket.Conn, err error) {
			for err == nil {
				var kind websocket.MessageType
				var words []byte
				if kind, words, err = c.Read(context.Background()); err == nil {
					err = c.Write(context.Background(), kind, words)
				}
				if string(words) == "leave" {
					err = c.Close(4002, "as you wish")
				}
				if c != nil {
					c.SetReadLimit(-1)
				}
			}
			ended <- err
		})
	}}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Shutdown() })
	return l.Addr().String(), ended
}

func dial(t *testing.T, addr string, o *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.Dial(t.Context(), "ws://"+addr+"/v1/x?y", o)
	require.NoError(t, err)
	assert.Equal(t, "r1", resp.Header.Get("X-Request-Id"))
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return c
}

func TestEcho(t *testing.T) {
	for _, mode := range []websocket.CompressionMode{websocket.CompressionDisabled, websocket.CompressionContextTakeover} {
		addr, ended := echo(t, &websocket.AcceptOptions{CompressionMode: mode})
		c := dial(t, addr, &websocket.DialOptions{CompressionMode: mode})
		random := rand.NewChaCha8([32]byte{1})
		for i := range 1000 {
			n := 1 + rand.IntN(2000)
			if i > 0 && i%100 == 0 {
				n = 100_000 + rand.IntN(400_000)
			}
			kind, words := websocket.MessageBinary, make([]byte, n)
			_, _ = random.Read(words)
			if i%2 == 0 {
				kind, words = websocket.MessageText, bytes.Repeat([]byte("é"), (n+1)/2)
			}
			require.NoError(t, c.Write(t.Context(), kind, words))
			heard, got, err := c.Read(t.Context())
			require.NoError(t, err, i)
			require.Equal(t, kind, heard)
			require.True(t, bytes.Equal(words, got), "message %d", i)
		}
		require.NoError(t, c.Close(4001, "done"))
		var closed websocket.CloseError
		require.ErrorAs(t, <-ended, &closed)
		assert.Equal(t, websocket.CloseError{Code: 4001, Reason: "done"}, closed)
	}
}

func TestEnds(t *testing.T) {
	addr, ended := echo(t, nil)
	c := dial(t, addr, nil)
	time.Sleep(300 * time.Millisecond) // the server's timeouts are for requests
	require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte("leave")))
	_, _, err := c.Read(t.Context())
	require.NoError(t, err)
	_, _, err = c.Read(t.Context())
	assert.Equal(t, websocket.StatusCode(4002), websocket.CloseStatus(err))
	<-ended

	c = dial(t, addr, nil)
	require.NoError(t, c.CloseNow())
	assert.Error(t, <-ended, "a client that is gone is noticed")

	before := runtime.NumGoroutine()
	for range 200 {
		c = dial(t, addr, nil)
		_ = c.CloseNow()
		<-ended
	}
	testkit.Eventually(t, 10*time.Second, func() error {
		if n := runtime.NumGoroutine(); n > before+3 {
			return fmt.Errorf("%d goroutines, %d before", n, before)
		}
		return nil
	})
}

// TestFramesInTheHandshakesPacket: what fasthttp has read ahead is not lost.
func TestFramesInTheHandshakesPacket(t *testing.T) {
	addr, _ := echo(t, nil)
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer c.Close()
	frame := "\x81\x82\x00\x00\x00\x00hi"
	_, err = c.Write([]byte("GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" + frame))
	require.NoError(t, err)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	said := make([]byte, 4)
	_, err = r.Read(said)
	require.NoError(t, err)
	assert.Equal(t, "\x81\x02hi", string(said))
}

func TestRefusals(t *testing.T) {
	addr, ended := echo(t, nil)
	resp, err := http.Get("http://" + addr)
	require.NoError(t, err)
	_ = resp.Body.Close()
	assert.Equal(t, http.StatusUpgradeRequired, resp.StatusCode)

	_, resp, err = websocket.Dial(t.Context(), "ws://"+addr, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {"https://elsewhere"}}})
	require.Error(t, err)
	assert.Equal(t, http.StatusForbidden, resp.StatusCode)
	require.Error(t, <-ended)
}

func TestProtocols(t *testing.T) {
	var h fasthttp.RequestHeader
	h.Add("Sec-WebSocket-Protocol", "realtime, a ,,b")
	h.Add("Sec-WebSocket-Protocol", "c")
	assert.Equal(t, "realtime a b c", strings.Join(Protocols(&h), " "))
}
