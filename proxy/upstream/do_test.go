package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKeepAlive(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	for range 3 {
		got, err := fetch(t, e, &c)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
		require.Equal(t, 200, c.Status())
		require.EqualValues(t, 5, c.ContentLength())
		require.Equal(t, "application/json", string(c.ContentType()))
	}
	require.EqualValues(t, 1, s.conns.Load())
	open, idle := e.Conns()
	require.Equal(t, []int{1, 1}, []int{open, idle})
}

func TestRequestOnTheWire(t *testing.T) {
	big := strings.Repeat("b", 3*bufferSize)
	for _, tc := range []struct {
		base string
		req  Request
		want string
	}{
		{"/v1", Request{Path: []byte("/chat?x=1"), Head: []byte("A: b\r\n"), Body: []byte("{}")},
			"POST /v1/chat?x=1 HTTP/1.1\r\nHost: HOST\r\nA: b\r\nContent-Length: 2\r\n\r\n{}"},
		{"/v1/", Request{Method: []byte("GET"), Path: []byte("/models")},
			"GET /v1/models HTTP/1.1\r\nHost: HOST\r\n\r\n"},
		{"", Request{}, "POST / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 0\r\n\r\n"},
		{"", Request{Method: []byte("DELETE"), Path: []byte("/f")}, "DELETE /f HTTP/1.1\r\nHost: HOST\r\n\r\n"},
		{"", Request{Method: []byte("PUT"), Path: []byte("/f"), Body: []byte(big)},
			fmt.Sprintf("PUT /f HTTP/1.1\r\nHost: HOST\r\nContent-Length: %d\r\n\r\n", len(big)) + big},
	} {
		got := make(chan string, 1)
		s := listen(t, func(p *peer) {
			b := make([]byte, len(strings.Replace(tc.want, "HOST", p.LocalAddr().String(), 1)))
			_, _ = io.ReadFull(p.br, b)
			got <- string(b)
			p.say(helloAnswer)
			p.gone()
		})
		var c Call
		require.NoError(t, endpoint(t, s.url()+tc.base).Do(&c, &tc.req))
		assert.Equal(t, strings.Replace(tc.want, "HOST", s.Addr().String(), 1), <-got)
		c.Close()
	}
}

func TestBadRequestsAreNotSent(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	for name, req := range map[string]Request{
		"blank in the path":   {Path: []byte("/a b")},
		"CRLF in the path":    {Path: []byte("/a\r\nX: y")},
		"relative path":       {Path: []byte("a")},
		"blank in the method": {Method: []byte("GET /")},
		"unfinished head":     {Head: []byte("A: b")},
	} {
		var c Call
		err := e.Do(&c, &req)
		require.ErrorIs(t, err, ErrRequest, name)
		var f *Error
		require.ErrorAs(t, err, &f)
		assert.False(t, f.Sent)
	}
	assert.Zero(t, s.conns.Load())
}

func TestBadBaseURLs(t *testing.T) {
	for _, u := range []string{"", "localhost:80", "ftp://h", "http://", "http://u:p@h", "http://h/?q=1", "http://h/#f", "http://[::1", "http://a b/"} {
		_, err := NewEndpoint(Options{BaseURL: u})
		assert.ErrorContains(t, err, "cannot use base URL", u)
	}
}

func TestStatusesAndHeaders(t *testing.T) {
	s := answers(t, "HTTP/1.1 429 Too Many Requests\r\nRetry-After:  7 \r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 3\r\n\r\nno!")
	e := endpoint(t, s.url())
	var c Call
	require.NoError(t, e.Do(&c, get()))
	b, err := c.AppendAll([]byte("<"), 10)
	require.NoError(t, err)
	assert.Equal(t, "<no!", string(b))
	c.Close()
	assert.Equal(t, 429, c.Status(), "the head outlives Close")
	assert.Equal(t, "7", string(c.Header("retry-after")))
	assert.Equal(t, "1", string(c.Header("x-a")))
	assert.Nil(t, c.Header("x-b"))
	var all []string
	for k, v := range c.Headers {
		all = append(all, fmt.Sprintf("%s=%s", k, v))
	}
	assert.Equal(t, []string{"Retry-After=7", "X-A=1", "x-a=2", "Content-Length=3"}, all)
	for k := range c.Headers {
		assert.Equal(t, "Retry-After", string(k))
		break
	}
	c.Reset()
	assert.Zero(t, c.Status())
	assert.Nil(t, c.Header("x-a"))
}

func TestInterimResponsesAreSkipped(t *testing.T) {
	s := answers(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	for range 2 {
		got, err := fetch(t, e, &c)
		require.NoError(t, err)
		assert.Equal(t, "hello", got)
		assert.Nil(t, c.Header("link"))
	}
	assert.EqualValues(t, 1, s.conns.Load())
}

func TestNoBody(t *testing.T) {
	for name, tc := range map[string]struct{ method, raw string }{
		"HEAD": {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Encoding: gzip\r\n\r\n"},
		"204":  {"GET", "HTTP/1.1 204 No Content\r\n\r\n"},
		"304":  {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"},
		"zero": {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		"none": {"GET", "HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	} {
		s := answers(t, tc.raw)
		e := endpoint(t, s.url())
		var c Call
		for range 2 {
			req := get()
			req.Method = []byte(tc.method)
			require.NoError(t, e.Do(&c, req), name)
			require.Equal(t, io.EOF, c.Wait(), name)
			b, err := c.AppendAll(nil, 10)
			require.NoError(t, err, name)
			assert.Empty(t, b, name)
			c.Close()
		}
		assert.EqualValues(t, 1, s.conns.Load(), name)
	}
}

func TestConnectionIsNotKept(t *testing.T) {
	for name, raw := range map[string]string{
		"connection: close":   "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.0":            "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"more than was asked": helloAnswer + "HTTP/1.1 200 OK\r\n",
	} {
		s := answers(t, raw)
		e := endpoint(t, s.url())
		var c Call
		for range 2 {
			got, err := fetch(t, e, &c)
			require.NoError(t, err, name)
			require.Equal(t, "hello", got, name)
		}
		assert.EqualValues(t, 2, s.conns.Load(), name)
		open, _ := e.Conns()
		assert.Zero(t, open, name)
	}
	s := answers(t, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello")
	e := endpoint(t, s.url())
	for range 2 {
		_, err := fetch(t, e, new(Call))
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, s.conns.Load())
}

func TestCloseDelimited(t *testing.T) {
	s := once(t, "HTTP/1.1 200 OK\r\n\r\nuntil the end")
	e := endpoint(t, s.url())
	got, err := fetch(t, e, new(Call))
	require.NoError(t, err)
	assert.Equal(t, "until the end", got)
	open, _ := e.Conns()
	assert.Zero(t, open)
}

// What a hostile or broken endpoint says: never a body that two readers could understand differently.
func TestProtocolErrors(t *testing.T) {
	for name, raw := range map[string]string{
		"garbage":                    "SSH-2.0-OpenSSH\r\n",
		"garbage without a line end": "\x16\x03\x01\x02\x00\x01\x00\x01",
		"HTTP/2":                     "HTTP/2.0 200 OK\r\n\r\n",
		"no status":                  "HTTP/1.1 \r\n\r\n",
		"bad status":                 "HTTP/1.1 2x0 OK\r\n\r\n",
		"long status":                "HTTP/1.1 2000 OK\r\n\r\n",
		"small status":               "HTTP/1.1 099 OK\r\n\r\n",
		"bare LF":                    "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n",
		"bare CR in a value":         "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
		"NUL in a value":             "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n",
		"folded line":                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"blank before the colon":     "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
		"no colon":                   "HTTP/1.1 200 OK\r\nhello\r\n\r\n",
		"no name":                    "HTTP/1.1 200 OK\r\n: x\r\n\r\n",
		"two lengths":                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
		"list of lengths":            "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
		"negative length":            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
		"signed length":              "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
		"huge length":                "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\nhello",
		"empty length":               "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello",
		"length and chunked":         "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"chunked in HTTP/1.0":        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"gzip, chunked":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunked twice":              "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"identity":                   "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello",
		"two encodings":              "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: br\r\n\r\n",
		"switched protocols":         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
		"interim for ever":           strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 4000),
		"head too large":             "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("x", maxHead) + "\r\n\r\n",
		"endless head":               "HTTP/1.1 200 OK\r\n" + strings.Repeat("A: x\r\n", 20000),
	} {
		s := once(t, raw)
		e := endpoint(t, s.url())
		var c Call
		err := e.Do(&c, get())
		require.ErrorIs(t, err, ErrProtocol, name)
		var f *Error
		require.ErrorAs(t, err, &f)
		assert.Equal(t, PhaseHead, f.Phase)
		assert.True(t, f.Sent)
		assert.Contains(t, err.Error(), "cannot get an answer from "+s.url(), name)
		open, _ := e.Conns()
		assert.Zero(t, open, name)
	}
}

func TestSameLengthTwiceIsOne(t *testing.T) {
	s := answers(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\nContent-Encoding: identity\r\n\r\nhello")
	got, err := fetch(t, endpoint(t, s.url()), new(Call))
	require.NoError(t, err)
	assert.Equal(t, "hello", got)
}

func TestCutBeforeTheBody(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing":           "",
		"in the first line": "HTTP/1.1 2",
		"in the head":       "HTTP/1.1 200 OK\r\nA: b\r\n",
		"after an interim":  "HTTP/1.1 100 Continue\r\n\r\n",
	} {
		s := once(t, raw)
		err := endpoint(t, s.url()).Do(new(Call), get())
		require.ErrorIs(t, err, ErrCut, name)
		assert.EqualValues(t, 1, s.conns.Load(), "%s: a fresh connection is not stale", name)
	}
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	e := endpoint(t, "http://"+l.Addr().String())
	err = e.Do(new(Call), get())
	require.ErrorIs(t, err, ErrRefused)
	var f *Error
	require.ErrorAs(t, err, &f)
	assert.Equal(t, Error{ErrRefused, PhaseDial, false, "http://" + l.Addr().String(), f.Cause}, *f)
	open, _ := e.Conns()
	assert.Zero(t, open)
	assert.ErrorIs(t, endpoint(t, "http://no-such-host.invalid").Do(new(Call), get()), ErrRefused)
}

func TestBusy(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpointWith(t, Options{BaseURL: s.url(), MaxConns: 1})
	var a, b Call
	require.NoError(t, e.Do(&a, get()))
	require.ErrorIs(t, e.Do(&b, get()), ErrBusy)
	a.Close() // unread, but all of it has arrived, or the connection is closed: either frees the place
	require.NoError(t, e.Do(&b, get()))
	b.Close()
}

// What the process itself has run out of says nothing about the endpoint.
func TestOwnShortage(t *testing.T) {
	for errno, kind := range map[syscall.Errno]error{
		syscall.EMFILE: ErrBusy, syscall.ENFILE: ErrBusy, syscall.ENOBUFS: ErrBusy, syscall.ENOMEM: ErrBusy,
		syscall.ECONNREFUSED: ErrRefused, syscall.EHOSTUNREACH: ErrRefused,
	} {
		e := endpoint(t, "http://h")
		e.connect = func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("socket", errno)}
		}
		err := e.Do(new(Call), get())
		require.ErrorIs(t, err, kind, "%v", errno)
		require.ErrorIs(t, err, errno)
	}
}

// A name cannot be looked up without a file, and the look-up's error does not say so: it may look like a name that is not
// there, or like a server of names that does not answer.
func TestOwnShortageOfFilesForALookup(t *testing.T) {
	var before syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before))
	none := before
	none.Cur = 0
	for _, late := range []bool{false, true} {
		e := endpoint(t, "http://h")
		e.connect = func(context.Context) (net.Conn, error) { // a real look-up would spoil the resolver for the tests that follow
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "in vain", Name: "h", IsTimeout: late}}
		}
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
		err := e.Do(new(Call), get())
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before))
		require.ErrorIs(t, err, ErrBusy)
		require.NotErrorIs(t, e.Do(new(Call), get()), ErrBusy, "there are files again")
	}
}

// The earlier attempt of a call is closed by the next one.
func TestDoClosesTheEarlierAttempt(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpointWith(t, Options{BaseURL: s.url(), MaxConns: 1})
	var c Call
	for range 3 {
		require.NoError(t, e.Do(&c, get()))
	}
	c.Close()
	c.Close()
}

func TestTimeouts(t *testing.T) {
	const limit = 100 * time.Millisecond
	silent := listen(t, func(p *peer) { p.request(); p.gone() })
	half := listen(t, func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\n"); p.gone() })
	stall := listen(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 5 {
			time.Sleep(limit / 2)
			p.say("1\r\nx\r\n")
		}
		p.gone()
	})
	deaf := listen(t, func(*peer) { <-t.Context().Done() })
	for name, tc := range map[string]struct {
		url   string
		body  int
		phase Phase
		got   string
	}{
		"dial":               {"http://" + blackhole(t), 0, PhaseDial, ""},
		"first byte":         {silent.url(), 0, PhaseHead, ""},
		"the head's end":     {half.url(), 0, PhaseHead, ""},
		"chunk":              {stall.url(), 0, PhaseBody, "xxxxx"},
		"while sending":      {deaf.url(), 32 << 20, PhaseHead, ""},
		"dial, its own time": {"http://" + blackhole(t), -1, PhaseDial, ""},
	} {
		req := &Request{FirstByte: limit, ChunkTimeout: limit, Body: make([]byte, max(tc.body, 0))}
		o := Options{BaseURL: tc.url}
		if tc.body < 0 {
			o.DialTimeout, req.FirstByte = limit, 0
		}
		e := endpointWith(t, o)
		var c Call
		start := time.Now()
		err := e.Do(&c, req)
		var got []byte
		if err == nil {
			start = time.Now()
			got, err = c.AppendAll(nil, 100)
		}
		took := time.Since(start)
		c.Close()
		require.ErrorIs(t, err, ErrTimeout, name)
		var f *Error
		require.ErrorAs(t, err, &f)
		assert.Equal(t, tc.phase, f.Phase, name)
		assert.Equal(t, tc.phase != PhaseDial, f.Sent, name)
		assert.Equal(t, tc.got, string(got), name)
		assert.GreaterOrEqual(t, took, limit-5*time.Millisecond, name)
		assert.Less(t, took, 30*limit, name)
		open, _ := e.Conns()
		assert.Zero(t, open, name)
	}
}

// blackhole is an address whose queue of new connections is full: a dial to it gets no answer.
func blackhole(t *testing.T) string {
	fd := listenBacklog(t, 0)
	addr := localAddr(t, fd)
	for range 3 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	return addr
}

func TestLargeBodyIsRefusedEarly(t *testing.T) {
	s := listen(t, func(p *peer) {
		_, _ = p.br.Peek(1)
		p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
		time.Sleep(50 * time.Millisecond)
	})
	e := endpoint(t, s.url())
	var c Call
	req := get()
	req.Body = make([]byte, 32<<20)
	if err := e.Do(&c, req); err != nil { // the reset may overtake the answer
		require.ErrorIs(t, err, ErrCut)
	} else {
		assert.Equal(t, 413, c.Status())
	}
	c.Close()
	open, _ := e.Conns()
	assert.Zero(t, open, "half a request is left on it")
}

func TestErrorText(t *testing.T) {
	err := error(&Error{Kind: ErrCut, Phase: PhaseBody, Endpoint: "http://h", Cause: io.ErrUnexpectedEOF})
	assert.Equal(t, "cannot read the answer's body from http://h: the connection ended before the answer's end: unexpected EOF", err.Error())
	assert.True(t, errors.Is(err, ErrCut) && errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrTimeout))
	err = &Error{Kind: ErrBusy, Endpoint: "http://h"}
	assert.Equal(t, "cannot connect to http://h: no further connection can be had", err.Error())
}

func TestLargeBodiesBothWays(t *testing.T) {
	s := listen(t, func(p *peer) {
		for r := p.request(); r != nil; r = p.request() {
			b, _ := io.ReadAll(r.Body)
			p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b))
		}
	})
	e := endpoint(t, s.url())
	var c Call
	for _, n := range []int{0, 1, bufferSize - 200, bufferSize, bufferSize + 1, 1 << 20} {
		req := &Request{Body: bytes.Repeat([]byte{'a', 'b', byte(n)}, n/3+1)[:n]}
		require.NoError(t, e.Do(&c, req))
		b, err := c.AppendAll(nil, n)
		require.NoError(t, err)
		require.True(t, bytes.Equal(req.Body, b))
		c.Close()
	}
	assert.EqualValues(t, 1, s.conns.Load())
}
