package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// detachNode is a node before a simulated provider; models are called as the provider's settings say.
func detachNode(t *testing.T) (*Server, string) {
	_, provider := newSim(t, sim.Options{})
	return turnServer(t, provider)
}

var contents = regexp.MustCompile(`"content":"((?:[^"\\]|\\.)*)"`)

// A connection serves what comes after a stream, be it sent later or with it.
func TestAConnectionOutlivesItsStreams(t *testing.T) {
	_, node := detachNode(t)
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	r := bufio.NewReader(nc)
	read := func(prompt string, streamed bool) {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, 200, resp.StatusCode, string(body))
		assert.Equal(t, "wedge", resp.Header.Get("Server"))
		assert.NotEmpty(t, resp.Header.Get("Date"))
		assert.Equal(t, streamed, strings.HasSuffix(string(body), "data: [DONE]\n\n"))
		assert.Equal(t, streamed, len(resp.TransferEncoding) == 1 && resp.TransferEncoding[0] == "chunked")
		text := ""
		for _, m := range contents.FindAllSubmatch(body, -1) {
			text += string(m[1])
		}
		assert.Contains(t, text, prompt, string(body[:min(len(body), 300)]))
	}
	send := func(prompts ...string) {
		all := ""
		for i, p := range prompts {
			all += string(rawRequest(chatPath, testKey, []byte(chatAsk("openai", p, i%2 == 0))))
		}
		_, err := io.WriteString(nc, all)
		require.NoError(t, err)
	}
	for i := range 3 { // one after the other
		send(fmt.Sprint("alone", i))
		read(fmt.Sprint("alone", i), true)
	}
	send("first", "second", "third", "fourth") // at once
	for i, p := range []string{"first", "second", "third", "fourth"} {
		read(p, i%2 == 0)
	}
	_, err = io.WriteString(nc, strings.Replace(string(rawRequest(chatPath, testKey, []byte(chatAsk("openai", "last", true)))), "\r\n", "\r\nConnection: close\r\n", 1))
	require.NoError(t, err)
	read("last", true)
	_, err = r.ReadByte()
	assert.Equal(t, io.EOF, err)
}

// Shutdown waits for streams.
func TestShutdownWaitsForStreams(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	s, node := cornerServer(t, at)
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	_, err = nc.Write([]byte(strings.Replace(string(rawRequest(chatPath, testKey, []byte(chatAsk("pair", "slowly", true)))), "\r\n", "\r\nX-Sim-Tps: 20\r\n", 1)))
	require.NoError(t, err)
	r := bufio.NewReader(nc)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	_, err = io.ReadFull(resp.Body, make([]byte, 10))
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ended <- s.Shutdown(ctx)
	}()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(string(body), "data: [DONE]\n\n"))
	assert.NoError(t, <-ended)
}

// An answer without a body has neither chunks nor their end.
func TestNoBodyHasNoChunks(t *testing.T) {
	_, node := cornerServer(t, scripted(t, func(i int, w net.Conn, _ string) {
		if i == 1 {
			_, _ = io.WriteString(w, "HTTP/1.1 204 No Content\r\n\r\n")
			return
		}
		writeWhole(w, "200 OK", wholeBody)
	}))
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	_, err = fmt.Fprintf(nc, "DELETE /v1/files/f HTTP/1.1\r\nHost: x\r\nX-Wedge-Provider: one\r\nAuthorization: Bearer %s\r\n\r\n%s", testKey, rawRequest(chatPath, testKey, []byte(chatAsk("pair", "x", false))))
	require.NoError(t, err)
	r := bufio.NewReader(nc)
	first, err := http.ReadResponse(r, &http.Request{Method: "DELETE"})
	require.NoError(t, err)
	assert.Equal(t, 204, first.StatusCode)
	assert.Empty(t, first.TransferEncoding)
	second, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	assert.Equal(t, 200, second.StatusCode)
}

// A connection that waits after a stream is closed in silence, by its own time or by Shutdown.
func TestWaitingAfterAStream(t *testing.T) {
	_, at := newSim(t, sim.Options{})
	for _, idle := range []time.Duration{300 * time.Millisecond, time.Hour} {
		s := newCorner(t, at)
		s.o.IdleTimeout = idle
		nc, err := net.Dial("tcp", serveTest(t, s))
		require.NoError(t, err)
		defer nc.Close()
		_, err = nc.Write(rawRequest(chatPath, testKey, []byte(chatAsk("pair", "x", true))))
		require.NoError(t, err)
		r := bufio.NewReader(nc)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		if idle == time.Hour {
			s.parked.shutdown()
		}
		rest, err := io.ReadAll(r)
		assert.NoError(t, err)
		assert.Empty(t, string(rest))
	}
}

// Who ends a call does not harm who pushes events to it.
func TestALegCallMayEndWhileEventsCome(t *testing.T) {
	for range 200 {
		c := newLegCall(nil, nil)
		pushed := make(chan bool)
		go func() {
			for c.push("x", []byte("{}")) {
			}
			close(pushed)
		}()
		c.end()
		<-pushed
	}
}

// Who is out of service says so with every answer, also one that left the server before.
func TestAsideSaysThatItCloses(t *testing.T) {
	for name, answer := range map[string]string{
		"refused": "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
		"stream":  streamHead + "0\r\n\r\n",
	} {
		asked, out := make(chan struct{}), make(chan struct{})
		provider := scripted(t, func(_ int, w net.Conn, _ string) {
			close(asked)
			<-out
			_, _ = io.WriteString(w, answer)
		})
		s, node := cornerServer(t, provider)
		go func() {
			<-asked
			s.Drain(true)
			close(out)
		}()
		assert.True(t, fetch(t, node, chatPath, chatAsk("brief", "x", true)).Close, name)
	}
}

// Whoever has the end of a stream finds it counted: in the log, in explain and in the metrics.
func TestAStreamIsCountedBeforeItsEndIsThere(t *testing.T) {
	s, node := detachNode(t)
	nc, err := net.Dial("tcp", node)
	require.NoError(t, err)
	defer nc.Close()
	r := bufio.NewReader(nc)
	for i := range 300 {
		_, err := nc.Write(rawRequest(chatPath, testKey, []byte(chatAsk("openai", fmt.Sprint("count ", i), true))))
		require.NoError(t, err)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Zero(t, s.inFlight.Load(), i)
	}
}
