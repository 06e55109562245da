package e2e

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// dial opens a WebSocket to the node as ann.
func (n *node) dial(ctx context.Context, path string) (*websocket.Conn, error) {
	c, resp, err := websocket.Dial(ctx, "ws://"+n.data+path, &websocket.DialOptions{
		HTTPHeader: http.Header{"Authorization": {"Bearer " + keyOf("ann")}},
	})
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", err, resp)
	}
	c.SetReadLimit(-1)
	return c, nil
}

// turn asks for one answer on a WebSocket and hears it to its end.
func turn(ctx context.Context, c *websocket.Conn, model, input string) error {
	if err := c.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"response.create","model":%q,"input":%q}`, model, input)); err != nil {
		return err
	}
	for {
		_, text, err := c.Read(ctx)
		switch {
		case err != nil:
			return err
		case strings.Contains(string(text), `"type":"response.completed"`):
			return nil
		case strings.Contains(string(text), `"type":"error"`), strings.Contains(string(text), `"type":"response.failed"`):
			return fmt.Errorf("the turn failed: %s", text)
		}
	}
}

// TestStreamsSoak keeps a thousand streams open for five minutes, a hundred for some seconds without WEDGE_SOAK: over
// HTTP, over WebSockets, and some that lose their connection and come back. Each must come to its end, whole.
func TestStreamsSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	t.Parallel()
	const events = 20
	streams, lasting := soaked(1000, 100), time.Duration(soaked(300, 6))*time.Second
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "", target("sim", fmt.Sprintf("x;tokens=%d;chunks=%d;tps=5", events, events), "")).String())
	c := newClient(t, n.data, keyOf("ann"))
	c.http.Transport = &http.Transport{MaxIdleConnsPerHost: streams}
	require.Equal(t, 200, c.chat(ask("m", "warm up", streamed)).status)
	descriptors, goroutines := n.held(t)

	whole := func(prompt string) error {
		a, err := c.try(context.Background(), "POST", chatPath, ask("m", prompt, streamed))
		if err != nil {
			return err
		}
		return wantEvents(a.body, events)
	}
	lost := func(prompt string) error {
		first, err := c.http.Do(c.request(context.Background(), "POST", chatPath, ask("m", prompt, streamed), "x-wedge-resume", "on"))
		if err != nil {
			return err
		}
		got := make([]byte, 1000+rand.IntN(1000))
		read, err := io.ReadFull(first.Body, got)
		_ = first.Body.Close()
		if err != nil {
			return err
		}
		text := string(got[:read])
		text = text[:strings.LastIndex(text, "\n\n")+2]
		at := strings.LastIndex(text, "id: ") + 4
		id := text[at : at+strings.IndexByte(text[at:], '\n')]
		rest, err := c.try(context.Background(), "POST", chatPath, ask("m", prompt, streamed), "x-wedge-resume", "on", "last-event-id", id)
		if err != nil {
			return err
		}
		return wantEvents(text+rest.body, events)
	}
	ended := time.Now().Add(lasting)
	var done atomic.Int64
	var all sync.WaitGroup
	for i := range streams {
		all.Go(func() {
			var ws *websocket.Conn
			var err error
			if i%4 == 0 {
				if ws, err = n.dial(context.Background(), "/v1/responses"); !assert.NoError(t, err) {
					return
				}
				defer func() { _ = ws.Close(websocket.StatusNormalClosure, "") }()
			}
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Millisecond) // or they beat in step
			for round := 0; time.Now().Before(ended); round++ {
				prompt := fmt.Sprintf("stream %d, round %d", i, round)
				switch i % 4 {
				case 0:
					err = turn(context.Background(), ws, "m", prompt)
				case 1:
					err = lost(prompt)
				default:
					err = whole(prompt)
				}
				if !assert.NoError(t, err, prompt) {
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("%d streams, %d at a time", done.Load(), streams)
	assert.Greater(t, done.Load(), int64(streams))
	c.http.CloseIdleConnections()
	n.awaitHeld(t, descriptors, goroutines, streams/10+20) // connections to the provider wait for more
}

// wantEvents checks that a stream has all its words, each once, and a good end.
func wantEvents(body string, words int) error {
	if n := strings.Count(body, `"content":"`); n < words || n > words+1 { // the first event may have an empty one
		return fmt.Errorf("%d events of %d: %s", n, words, body)
	}
	if !strings.HasSuffix(body, "data: [DONE]\n\n") {
		return fmt.Errorf("no good end: %s", body)
	}
	return nil
}

// TestTenThousandConnections opens so many connections one after the other, 500 without WEDGE_SOAK, in every way that
// there is, and ends them in every way.
func TestTenThousandConnections(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	t.Parallel()
	const workers = 20
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "", target("sim", "x", "")).model("paced", "", target("sim", "x;tokens=200;chunks=200;tps=50", "")).String(), "--h2c")
	fresh := func() *client { // a connection for each request
		c := newClient(t, n.data, keyOf("ann"))
		c.http.Transport = &http.Transport{DisableKeepAlives: true}
		return c
	}
	require.Equal(t, 200, fresh().chat(ask("m", "warm up")).status)
	descriptors, goroutines := n.held(t)
	ways := []func(ctx context.Context, prompt string) error{
		func(ctx context.Context, prompt string) error { // whole
			_, err := fresh().try(ctx, "POST", chatPath, ask("m", prompt, streamed))
			return err
		},
		func(ctx context.Context, prompt string) error { // left in the middle
			c := fresh()
			resp, err := c.http.Do(c.request(ctx, "POST", chatPath, ask("paced", prompt, streamed)))
			if err != nil {
				return err
			}
			_, err = io.ReadFull(resp.Body, make([]byte, 10))
			_ = resp.Body.Close()
			return err
		},
		func(ctx context.Context, prompt string) error { // a conversation, with a goodbye
			ws, err := n.dial(ctx, "/v1/responses")
			if err != nil {
				return err
			}
			if err = turn(ctx, ws, "m", prompt); err != nil {
				return err
			}
			return ws.Close(websocket.StatusNormalClosure, "")
		},
		func(ctx context.Context, prompt string) error { // one that breaks off in its answer
			ws, err := n.dial(ctx, "/v1/responses")
			if err != nil {
				return err
			}
			short, leave := context.WithTimeout(ctx, 30*time.Millisecond)
			defer leave()
			_ = turn(short, ws, "paced", prompt) // it has no time to end
			return ws.CloseNow()
		},
		func(ctx context.Context, _ string) error { // a Realtime session
			ws, err := n.dial(ctx, "/v1/realtime?model=m")
			if err != nil {
				return err
			}
			_, _, err = ws.Read(ctx)
			_ = ws.CloseNow()
			return err
		},
		func(context.Context, string) error { // nothing said
			conn, err := net.Dial("tcp", n.data)
			if err != nil {
				return err
			}
			return conn.Close()
		},
		func(context.Context, string) error { // half a request
			conn, err := net.Dial("tcp", n.data)
			if err != nil {
				return err
			}
			_, err = io.WriteString(conn, "POST "+chatPath+" HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{")
			_ = conn.Close()
			return err
		},
		func(context.Context, string) error { // the preface of HTTP/2, and no more
			conn, err := net.Dial("tcp", n.data)
			if err != nil {
				return err
			}
			_, err = io.WriteString(conn, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
			_ = conn.Close()
			return err
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	testkit.Hammer(workers, soaked(10_000, 500)/workers, func(g, i int) {
		way := (g + i) % len(ways)
		assert.NoError(t, ways[way](ctx, fmt.Sprintf("connection %d %d", g, i)), "way %d", way)
	})
	n.awaitHeld(t, descriptors, goroutines, workers+10)
	assert.Zero(t, n.metric(t, "wedge_websockets_open"))
}
