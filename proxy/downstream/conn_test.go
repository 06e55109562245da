package downstream

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func readString(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	require.NoError(t, err)
	return string(b)
}

func silent(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
}

func TestCorkJoinsWrites(t *testing.T) {
	l, count := newListener(t)
	client, c := pair(t, l)
	c.Cork()
	for _, s := range []string{"5\r\n", "hello", "\r\n"} {
		n, err := c.Write([]byte(s))
		require.NoError(t, err)
		require.Equal(t, len(s), n)
	}
	silent(t, client)
	require.NoError(t, c.Uncork())
	assert.Equal(t, "5\r\nhello\r\n", readString(t, client, 10))
	assert.EqualValues(t, 1, count.writes.Load())
	require.NoError(t, c.Uncork(), "uncorking twice writes nothing")
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	assert.Equal(t, "x", readString(t, client, 1))
	assert.EqualValues(t, 2, count.writes.Load())
	assert.Nil(t, c.cork, "no buffer is kept")
}

func TestCorkIsBounded(t *testing.T) {
	l, count := newListener(t)
	client, c := pair(t, l)
	const pieces = 100
	piece := bytes.Repeat([]byte("0123456789abcdef"), 64) // 1 KB
	got := make(chan []byte)
	go func() {
		b := make([]byte, pieces*len(piece)+maxCork+1)
		_, err := io.ReadFull(client, b)
		assert.NoError(t, err)
		got <- b
	}()
	c.Cork()
	for range pieces {
		_, err := c.Write(piece)
		require.NoError(t, err)
		if c.cork != nil {
			require.LessOrEqual(t, len(*c.cork), maxCork)
		}
	}
	big := bytes.Repeat([]byte("z"), maxCork+1)
	_, err := c.Write(big)
	require.NoError(t, err)
	require.NoError(t, c.Uncork())
	assert.Equal(t, append(bytes.Repeat(piece, pieces), big...), <-got, "order is kept")
	assert.LessOrEqual(t, count.writes.Load(), int64(4))
}

func TestReadAndCloseUncork(t *testing.T) {
	l, _ := newListener(t)
	client, c := pair(t, l)
	c.Cork()
	_, err := c.Write([]byte("answer"))
	require.NoError(t, err)
	go func() { _, _ = client.Write([]byte("next")) }()
	assert.Equal(t, "next", readString(t, c, 4))
	assert.Equal(t, "answer", readString(t, client, 6))

	c.Cork()
	_, err = c.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	b, err := io.ReadAll(client)
	require.NoError(t, err)
	assert.Equal(t, "bye", string(b))
	assert.ErrorIs(t, c.Close(), net.ErrClosed)
}

// fillUp writes until the client's socket takes nothing more and the write fails.
func fillUp(c *Conn) error {
	b := make([]byte, 256<<10)
	for {
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
}

func TestStuckClientIsClosed(t *testing.T) {
	l, _ := newListener(t)
	l.WriteTimeout = 100 * time.Millisecond
	_, c := pair(t, l)
	start := time.Now()
	require.ErrorIs(t, fillUp(c), os.ErrDeadlineExceeded)
	assert.GreaterOrEqual(t, time.Since(start), l.WriteTimeout)
	assert.Less(t, time.Since(start), 20*l.WriteTimeout)
	_, err := c.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed, "an answer with a hole does not go on")
	assert.Zero(t, l.Conns())
}

func TestStuckClientFailsUncork(t *testing.T) {
	l, _ := newListener(t)
	l.WriteTimeout = 50 * time.Millisecond
	_, c := pair(t, l)
	b := make([]byte, 32<<10)
	var err error
	for range 1000 {
		c.Cork()
		_, err = c.Write(b)
		require.NoError(t, err, "what is held back cannot fail yet")
		if err = c.Uncork(); err != nil {
			break
		}
	}
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// A client that takes a little now and then is slow, not stuck, however long one write lasts.
func TestSlowClientIsServed(t *testing.T) {
	l, _ := newListener(t)
	l.WriteTimeout = 150 * time.Millisecond
	client, c := pair(t, l)
	require.NoError(t, client.SetReadBuffer(32<<10))
	require.NoError(t, c.NetConn().(*countingConn).SetWriteBuffer(32<<10))
	body := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MB
	var wg sync.WaitGroup
	wg.Go(func() {
		start := time.Now()
		n, err := c.Write(body)
		assert.NoError(t, err)
		assert.Equal(t, len(body), n)
		assert.Greater(t, time.Since(start), 2*l.WriteTimeout)
		c.Close()
	})
	var got bytes.Buffer
	for range 14 {
		time.Sleep(40 * time.Millisecond)
		_, err := io.CopyN(&got, client, 64<<10)
		require.NoError(t, err)
	}
	_, err := io.Copy(&got, client)
	require.NoError(t, err)
	wg.Wait()
	assert.True(t, bytes.Equal(body, got.Bytes()))
}

func TestNoWriteTimeout(t *testing.T) {
	l, _ := newListener(t)
	l.WriteTimeout = 0
	_, c := pair(t, l)
	require.NoError(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	assert.ErrorIs(t, fillUp(c), os.ErrDeadlineExceeded, "the server's own deadline holds")
}

func TestServerDeadlineIsReplaced(t *testing.T) {
	l, _ := newListener(t)
	client, c := pair(t, l)
	_, err := c.Write([]byte("a"))
	require.NoError(t, err)
	for _, set := range []func(time.Time) error{c.SetDeadline, c.SetWriteDeadline} {
		require.NoError(t, set(time.Now().Add(-time.Second)))
		_, err = c.Write([]byte("b"))
		require.NoError(t, err)
	}
	assert.Equal(t, "abb", readString(t, client, 3))
}

func TestConnsAreCounted(t *testing.T) {
	l, _ := newListener(t)
	_, a := pair(t, l)
	_, b := pair(t, l)
	assert.Equal(t, 2, l.Conns())
	require.NoError(t, a.Close())
	_ = a.Close()
	assert.Equal(t, 1, l.Conns())
	require.NoError(t, b.Close())
	assert.Zero(t, l.Conns())
	require.NoError(t, l.Close())
	_, err := l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
}

func TestFrom(t *testing.T) {
	l, _ := newListener(t)
	_, c := pair(t, l)
	assert.Same(t, c, From(c))
	assert.Same(t, c, From(tls.Server(c, &tls.Config{})))
	assert.Nil(t, From(&net.TCPConn{}))
	assert.Nil(t, From(nil))
}

// corked is an answer's body as a relay streams it: corked while it has bytes, uncorked before it waits.
type corked struct {
	c      *Conn
	bursts chan string
	left   string
}

func (b *corked) Read(p []byte) (int, error) {
	if b.left == "" {
		if err := b.c.Uncork(); err != nil {
			return 0, err
		}
		b.left = <-b.bursts
		b.c.Cork()
	}
	if b.left == "" {
		return 0, io.EOF
	}
	n := copy(p, b.left)
	b.left = b.left[n:]
	return n, nil
}

// One burst of a stream leaves fasthttp in many small writes and the machine in one.
func TestServerBurstIsOneWrite(t *testing.T) {
	l, count := newListener(t)
	bursts := make(chan string)
	s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
		ctx.SetBodyStream(&corked{c: From(ctx.Conn()), bursts: bursts}, -1)
	}}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	client, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	br := bufio.NewReader(client)
	for range 2 { // twice: the last chunk of the first answer must not wait for anything but the server's next Read
		before := count.writes.Load()
		_, err = client.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
		require.NoError(t, err)
		burst := strings.Repeat("data: {\"choices\":[]}\n\n", 600) // 13 KB: four reads of the server
		go func() { bursts <- burst; bursts <- "" }()
		resp, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, burst, string(body))
		assert.LessOrEqual(t, count.writes.Load()-before, int64(2), "the burst, and the last chunk")
	}
	require.NoError(t, client.Close())
	require.NoError(t, s.Shutdown())
	require.NoError(t, <-done)
	assert.Eventually(t, func() bool { return l.Conns() == 0 }, time.Second, time.Millisecond)
}

// Close from another goroutine, as a server's shutdown does it, ends a write that is stuck.
func TestCloseEndsStuckWrite(t *testing.T) {
	l, _ := newListener(t)
	_, c := pair(t, l)
	failed := make(chan error)
	go func() { failed <- fillUp(c) }()
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	require.NoError(t, c.Close())
	assert.True(t, errors.Is(<-failed, net.ErrClosed))
	assert.Less(t, time.Since(start), time.Second)
}

// deadlines notes the read deadlines that reach the socket.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return d.Conn.SetReadDeadline(t)
}

func TestReadDeadlineIsSetOnlyForReads(t *testing.T) {
	l, _ := newListener(t)
	client, c := pair(t, l)
	d := &deadlines{Conn: c.Conn}
	c.Conn = d
	idle := time.Now().Add(time.Minute)
	for range 3 {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Second)))
		require.NoError(t, c.SetReadDeadline(idle))
		_, err := client.Write([]byte("x"))
		require.NoError(t, err)
		readString(t, c, 1)
		idle = idle.Add(200 * time.Millisecond)
	}
	require.Len(t, d.set, 1, "one for the first read; the rest moved on by less than its slack")
	require.NoError(t, c.SetReadDeadline(idle.Add(time.Minute)))
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "a nearer deadline counts")
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	go func() { _, _ = client.Write([]byte("y")) }()
	assert.Equal(t, "y", readString(t, c, 1), "none means none")
}

func TestReadDeadlineWakesARead(t *testing.T) {
	l, _ := newListener(t)
	_, c := pair(t, l)
	ended := make(chan error)
	go func() { _, err := c.Read(make([]byte, 1)); ended <- err }()
	require.Eventually(t, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.reading }, time.Second, time.Millisecond)
	require.NoError(t, c.SetReadDeadline(time.Now()))
	require.ErrorIs(t, <-ended, os.ErrDeadlineExceeded)
}

func TestDetach(t *testing.T) {
	l, _ := newListener(t)
	client, c := pair(t, l)
	_, err := io.WriteString(client, "one two")
	require.NoError(t, err)
	r := bufio.NewReader(c) // the server's
	assert.Equal(t, "one ", readString(t, r, 4))
	closed := 0
	c.Detach(func() { closed++ })
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, errDetached, "it is nobody's to read")
	c.Unread(r)
	require.NoError(t, c.Close(), "the server's")
	assert.Zero(t, closed, "the server still knows it")
	c.Released()
	assert.Equal(t, 1, closed)
	assert.Equal(t, 1, l.Conns())
	c.Released()
	require.NoError(t, c.Await(time.Minute), "there is something")

	assert.Equal(t, "two", readString(t, c, 3), "what the server had read")
	_, err = io.WriteString(client, " three")
	require.NoError(t, err)
	assert.Equal(t, " three", readString(t, c, 6))
	_, err = c.Write([]byte("four"))
	require.NoError(t, err)
	assert.Equal(t, "four", readString(t, client, 4))
	require.NoError(t, c.Close())
	assert.Equal(t, 1, closed)
	assert.Zero(t, l.Conns())
	_, err = client.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err)
}
