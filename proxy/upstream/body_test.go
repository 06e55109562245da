package upstream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http/httputil"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const chunkedHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: Chunked\r\n\r\n"

// unchunk decodes raw in pieces of at most n bytes; rest is what stands behind the body.
func unchunk(raw []byte, n int) (plain []byte, rest []byte, err error) {
	b := body{frame: frameChunked}
	for len(raw) > 0 && !b.done() {
		p := raw[:min(n, len(raw))]
		skip, k, err := b.next(p)
		if err != nil {
			return plain, raw, err
		}
		plain = append(plain, p[skip:skip+k]...)
		b.take(k)
		raw = raw[skip+k:]
	}
	if !b.done() {
		return plain, raw, b.end()
	}
	return plain, raw, nil
}

func TestChunkedBodies(t *testing.T) {
	for raw, want := range map[string]string{
		"0\r\n\r\n":                                 "",
		"5\r\nhello\r\n0\r\n\r\n":                   "hello",
		"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n":    "hello world",
		"a\r\n0123456789\r\n0\r\n\r\n":              "0123456789",
		"A\r\n0123456789\r\n00\r\n\r\n":             "0123456789",
		"005;ext=\"a b\"\r\nhello\r\n0;x\r\n\r\n":   "hello",
		"5 \t\r\nhello\r\n0 ;x\r\n\r\n":             "hello",
		"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n":   "hello",
		"5\r\n\r\n0\r\n\r\n0\r\nTrailer: x\r\n\r\n": "\r\n0\r\n",
	} {
		for n := 1; n <= len(raw); n++ {
			plain, rest, err := unchunk([]byte(raw+"next"), n)
			require.NoError(t, err, "%q by %d", raw, n)
			require.Equal(t, want, string(plain), "%q by %d", raw, n)
			require.Equal(t, "next", string(rest))
		}
	}
}

func TestBadChunks(t *testing.T) {
	for _, raw := range []string{
		"\r\n", "x\r\n", "-1\r\n", "+1\r\n", " 5\r\nhello", "0x5\r\nhello\r\n", "5\nhello\r\n", "5\rhello\r\n", "5;a\nhello\r\n", "5;a\r5",
		"5\r\nhelloX\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\rX", "1000000000000\r\n", strings.Repeat("0", 13) + "\r\n", "5,5\r\n", "0 0\r\n\r\n", "5 ,\r\n",
		"0\r\n\n", "0\r\nA: b\n\r\n", "0\r\n\rX", "0\r\nA\rB\r\n\r\n",
		"5;" + strings.Repeat("x", maxFrameLine+1), "0\r\n" + strings.Repeat("A: b\r\n", maxFrameLine/4),
	} {
		for _, n := range []int{1, 7, len(raw)} {
			_, _, err := unchunk([]byte(raw), n)
			var v violation
			require.True(t, errors.As(err, &v), "%.40q by %d: %v", raw, n, err)
		}
	}
}

func FuzzChunked(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\nA: b\r\n\r\n"), 3)
	f.Add([]byte("a;x=y\r\n0123456789\r\n00\r\n\r\n"), 1)
	f.Add([]byte("5\r\nhelloX\r\n"), 100)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		n = max(1, min(n, 1<<16))
		plain, rest, err := unchunk(raw, n)
		whole, wholeRest, wholeErr := unchunk(raw, len(raw)+1)
		if (err == nil) != (wholeErr == nil) || err == nil && (!bytes.Equal(plain, whole) || !bytes.Equal(rest, wholeRest)) {
			t.Fatalf("by %d: %q %v, at once: %q %v", n, plain, err, whole, wholeErr)
		}
		if err != nil || len(raw) > 2000 {
			return
		}
		// What this decoder takes, the standard library's takes too, and as the same; only long lines it does not.
		std, stdErr := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(raw)))
		if stdErr != nil || !bytes.Equal(std, plain) {
			t.Fatalf("%q, the standard library says %q %v", plain, std, stdErr)
		}
	})
}

func FuzzHead(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), 1)
	f.Add([]byte("HTTP/1.0 404\r\nConnection: keep-alive, x\r\nTransfer-Encoding: chunked\r\n\r\nrest"), 9)
	f.Add([]byte("HTTP/1.1 200 OK\r\nA : b\r\n c\r\n\r\n"), 50)
	f.Fuzz(func(t *testing.T, raw []byte, n int) {
		n = max(1, min(n, 1<<16))
		var h head
		for rest := raw; len(rest) > 0; {
			k, complete, err := h.take(rest[:min(n, len(rest))])
			if rest = rest[k:]; err != nil {
				return
			}
			if complete {
				break
			}
		}
		if !bytes.HasSuffix(h.raw, blankLine) || h.parse() != nil {
			return
		}
		if h.status < 100 || h.status > 999 || h.length < -1 || h.chunks && h.length >= 0 {
			t.Fatalf("%+v", h)
		}
		fields := 0
		for k, v := range h.all {
			fields++
			if !isToken(k) || bytes.ContainsAny(v, "\r\n\x00") || bytes.TrimSpace(k) == nil {
				t.Fatalf("field %q: %q", k, v)
			}
		}
		if lines := bytes.Count(h.raw, []byte("\n")) - 2; fields != lines {
			t.Fatalf("%d fields in %d lines of %q", fields, lines, h.raw)
		}
	})
}

func TestCutBodies(t *testing.T) {
	for name, tc := range map[string]struct{ raw, got string }{
		"short length":            {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello", "hello"},
		"in the size":             {chunkedHead + "5", ""},
		"in a chunk":              {chunkedHead + "5\r\nhel", "hel"},
		"behind a chunk":          {chunkedHead + "5\r\nhello", "hello"},
		"at a chunk's boundary":   {chunkedHead + "5\r\nhello\r\n", "hello"},
		"in the last chunk":       {chunkedHead + "5\r\nhello\r\n0\r\n", "hello"},
		"before the final CRLF's": {chunkedHead + "5\r\nhello\r\n0\r\n\r", "hello"},
		"in the trailers":         {chunkedHead + "5\r\nhello\r\n0\r\nA: b\r\n", "hello"},
	} {
		s := once(t, tc.raw)
		e := endpoint(t, s.url())
		got, err := fetch(t, e, new(Call))
		require.ErrorIs(t, err, ErrCut, name)
		assert.Equal(t, tc.got, got, name)
		var f *Error
		require.ErrorAs(t, err, &f)
		assert.Equal(t, PhaseBody, f.Phase)

		var c Call
		require.NoError(t, e.Do(&c, get()))
		b, err := io.ReadAll(&c)
		require.ErrorIs(t, err, ErrCut, name)
		assert.Equal(t, tc.got, string(b), name)
		_, again := c.Read(make([]byte, 1))
		assert.Equal(t, err, again, "an error stays")
		c.Close()
		open, _ := e.Conns()
		assert.Zero(t, open, name)
	}
}

func TestBadChunkInAStream(t *testing.T) {
	s := once(t, chunkedHead+"5\r\nhello\r\nzz\r\n")
	got, err := fetch(t, endpoint(t, s.url()), new(Call))
	require.ErrorIs(t, err, ErrProtocol)
	assert.Equal(t, "hello", got, "what came before is good")
}

// The readers agree however the bytes are cut on the way.
func TestReadersAgree(t *testing.T) {
	want := strings.Repeat("data: {\"n\":1}\n\n", 5000) // 75 KB
	var chunked strings.Builder
	for rest, n := want, 1; rest != ""; n = n*3%1009 + 1 {
		n = min(n, len(rest))
		fmt.Fprintf(&chunked, "%x\r\n%s\r\n", n, rest[:n])
		rest = rest[n:]
	}
	chunked.WriteString("0\r\nX: y\r\n\r\n")
	for name, raw := range map[string]string{
		"chunked": chunkedHead + chunked.String(),
		"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(want), want),
	} {
		s := answers(t, raw)
		e := endpoint(t, s.url())
		for reader, read := range map[string]func(c *Call) ([]byte, error){
			"AppendAll":       func(c *Call) ([]byte, error) { return c.AppendAll(nil, len(want)) },
			"Read":            func(c *Call) ([]byte, error) { return io.ReadAll(c) },
			"Read by one":     func(c *Call) ([]byte, error) { return io.ReadAll(iotest.OneByteReader(c)) },
			"AppendAvailable": relay,
		} {
			var c Call
			require.NoError(t, e.Do(&c, get()))
			b, err := read(&c)
			require.NoError(t, err, "%s %s", name, reader)
			require.Equal(t, want, string(b), "%s %s", name, reader)
			c.Close()
		}
		assert.EqualValues(t, 1, s.conns.Load(), name)
	}
}

// relay reads a body as the streaming relay does.
func relay(c *Call) (b []byte, err error) {
	for err == nil {
		if err = c.Wait(); err == nil {
			b, err = c.AppendAvailable(b)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return b, err
}

func TestBurstsComeWhole(t *testing.T) {
	more := make(chan string)
	s := listen(t, func(p *peer) {
		p.request()
		p.say(chunkedHead)
		for m := range more {
			p.say(m)
		}
	})
	e := endpoint(t, s.url())
	var c Call
	require.NoError(t, e.Do(&c, get()))
	b, err := c.AppendAvailable(nil)
	require.NoError(t, err)
	require.Empty(t, b, "nothing is there, and it does not block")

	more <- "2\r\nab\r\n3\r\ncde\r\n1\r"
	require.NoError(t, c.Wait())
	b, err = c.AppendAvailable(nil)
	require.NoError(t, err)
	require.Equal(t, "abcde", string(b))
	require.Nil(t, c.conn.buf, "no buffer is held between bursts")

	more <- "\nf\r\n0\r\n\r\n"
	require.NoError(t, c.Wait())
	b, err = c.AppendAvailable(b)
	require.Equal(t, io.EOF, err, "the end is told with the last burst")
	require.Equal(t, "abcdef", string(b))
	require.Equal(t, io.EOF, c.Wait())
	close(more)
	c.Close()
	_, idle := e.Conns()
	require.Equal(t, 1, idle)
}

func TestNoBufferIsHeldWhileWaiting(t *testing.T) {
	const streams = 100
	s := listen(t, func(p *peer) {
		p.request()
		p.br = nil
		p.say(chunkedHead + "1\r\nx\r\n")
		_, _ = p.Read(make([]byte, 1))
	})
	e := endpoint(t, s.url())
	before := heap()
	calls := make([]Call, streams)
	var wg sync.WaitGroup
	for i := range calls {
		c := &calls[i]
		req := get()
		req.ChunkTimeout = 0
		require.NoError(t, e.Do(c, req))
		require.NoError(t, c.Wait())
		_, err := c.AppendAvailable(nil)
		require.NoError(t, err)
		wg.Go(func() { assert.ErrorIs(t, c.Wait(), ErrAborted) })
	}
	time.Sleep(50 * time.Millisecond)
	per := (heap() - before) / streams
	t.Logf("%d bytes for a waiting stream, the server's end included", per)
	assert.Less(t, per, int64(bufferSize/2))
	for i := range calls {
		calls[i].Abort()
	}
	wg.Wait()
	for i := range calls {
		calls[i].Close()
	}
}

// heap is how many bytes are live; two collections empty the pools.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A relay that stops at the last event has not seen the last chunk; the connection is kept all the same.
func TestCloseTakesTheLastChunk(t *testing.T) {
	s := answers(t, chunkedHead+"6\r\n[DONE]\r\n0\r\n\r\n")
	e := endpoint(t, s.url())
	var c Call
	for range 2 {
		require.NoError(t, e.Do(&c, get()))
		p := make([]byte, 6)
		n, err := c.Read(p)
		require.NoError(t, err)
		require.Equal(t, "[DONE]", string(p[:n]))
		c.Close()
	}
	require.EqualValues(t, 1, s.conns.Load())
}

func TestUnreadBodyClosesTheConnection(t *testing.T) {
	left := make(chan struct{})
	s := listen(t, func(p *peer) {
		p.request()
		p.say(chunkedHead + "5\r\nhello\r\n")
		p.gone()
		close(left)
	})
	e := endpoint(t, s.url())
	var c Call
	require.NoError(t, e.Do(&c, get()))
	require.NoError(t, c.Wait())
	c.Close()
	<-left // the provider sees it and stops
	open, _ := e.Conns()
	require.Zero(t, open)
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func TestBodyTooLarge(t *testing.T) {
	for name, raw := range map[string]string{
		"length":  "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
		"chunked": chunkedHead + "b\r\nhello world\r\n0\r\n\r\n",
		"gzip":    encodedAnswer("gzip", gzipped(t, "hello world")),
	} {
		e := endpoint(t, answers(t, raw).url())
		for limit, want := range map[int]error{10: ErrBodyTooLarge, 11: nil, 0: ErrBodyTooLarge, 1 << 40: nil} {
			var c Call
			require.NoError(t, e.Do(&c, get()))
			b, err := c.AppendAll([]byte("x"), limit)
			require.Equal(t, want, err, "%s %d", name, limit)
			if err == nil {
				assert.Equal(t, "xhello world", string(b))
			}
			assert.LessOrEqual(t, len(b), 1+limit)
			c.Close()
		}
	}
}

func gzipped(t *testing.T, s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := io.WriteString(w, s)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

func encodedAnswer(coding, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", coding, len(body), body)
}

func TestEncodedBodies(t *testing.T) {
	plain := strings.Repeat("hello ", 20000)
	s := answers(t, encodedAnswer("GZIP", gzipped(t, plain)))
	e := endpoint(t, s.url())
	var c Call
	for range 2 {
		require.NoError(t, e.Do(&c, get()))
		require.True(t, c.Encoded())
		b, err := c.AppendAll(nil, 1<<20)
		require.NoError(t, err)
		require.Equal(t, plain, string(b))
		c.Close()
	}
	assert.EqualValues(t, 1, s.conns.Load(), "it was read to its end")

	for name, read := range map[string]func() error{
		"Wait":            c.Wait,
		"AppendAvailable": func() error { _, err := c.AppendAvailable(nil); return err },
		"Read":            func() error { _, err := c.Read(make([]byte, 9)); return err },
	} {
		require.NoError(t, e.Do(&c, get()))
		assert.ErrorIs(t, read(), ErrProtocol, name)
		c.Close()
	}
	for name, tc := range map[string]struct {
		raw  string
		kind error
	}{
		"brotli":   {encodedAnswer("br", "xxxx"), ErrProtocol},
		"not gzip": {encodedAnswer("gzip", "0123456789abcdef"), ErrProtocol},
		"broken":   {encodedAnswer("gzip", gzipped(t, "hello")[:15]+"0123456789"), ErrProtocol},
		"cut":      {strings.Replace(encodedAnswer("x-gzip", gzipped(t, "hello")), "Length: ", "Length: 1", 1), ErrCut},
	} {
		got, err := fetch(t, endpoint(t, once(t, tc.raw).url()), new(Call))
		require.ErrorIs(t, err, tc.kind, name)
		assert.Empty(t, got, name)
	}
}
