package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/bench/internal/drive"
)

// serve starts a server for the test and returns its address.
func serve(t *testing.T, h fasthttp.RequestHandler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &fasthttp.Server{Handler: h, CloseOnShutdown: true}
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(t, srv.Serve(ln))
	}()
	t.Cleanup(func() {
		assert.NoError(t, srv.Shutdown())
		_ = ln.Close() // Shutdown knows the listener only once Serve has begun
		<-done
	})
	return ln.Addr().String()
}

// report runs the command and reads the file it wrote.
func report(t *testing.T, args ...string) drive.Report {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	require.NoError(t, run(t.Context(), append([]string{"-o", file}, args...)))
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var r drive.Report
	require.NoError(t, json.Unmarshal(b, &r))
	return r
}

func TestClosedLoopCountsWhatTheServerSaw(t *testing.T) {
	var served, hits atomic.Uint64
	addr := serve(t, func(ctx *fasthttp.RequestCtx) {
		if served.Add(1)%4 == 0 {
			hits.Add(1)
			ctx.Response.Header.Set("x-wedge-cache", "hit-memory")
		}
		ctx.SetBodyString("{}")
	})
	r := report(t, "-c", "8", "-d", "200ms", "-pid", strconv.Itoa(os.Getpid()), addr)
	assert.Equal(t, served.Load(), r.Requests)
	assert.Equal(t, map[int]uint64{200: served.Load()}, r.Status)
	assert.Equal(t, map[string]uint64{"hit-memory": hits.Load()}, r.Cache)
	assert.Empty(t, r.Errors)
	assert.InDelta(t, 0.2, r.Seconds, 0.15)
	assert.Positive(t, r.Latency.P50)
	assert.LessOrEqual(t, r.Latency.P50, r.Latency.P99)
	assert.LessOrEqual(t, r.Latency.P99, r.Latency.Max)
	assert.LessOrEqual(t, r.Latency.P50/1e6*float64(r.Requests)/2, r.Seconds*8, "half of all answers took the median or longer")
	assert.Positive(t, r.Used.RSS)
}

func TestRequestCountIsExactAndBodiesCycle(t *testing.T) {
	bodies := make(chan string, 100)
	addr := serve(t, func(ctx *fasthttp.RequestCtx) { bodies <- string(ctx.Request.Body()) })
	r := report(t, "-c", "3", "-n", "100", "-bodies", "10", addr)
	close(bodies)
	times := map[string]int{}
	for b := range bodies {
		require.True(t, json.Valid([]byte(b)))
		times[b]++
	}
	assert.EqualValues(t, 100, r.Requests)
	assert.Len(t, times, 10)
	for _, n := range times {
		assert.Equal(t, 10, n)
	}
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	addr := serve(t, func(*fasthttp.RequestCtx) {})
	r := report(t, "-c", "16", "-rate", "500", "-d", "400ms", addr)
	assert.EqualValues(t, 200, r.Requests)
	assert.Empty(t, r.Errors)
	assert.GreaterOrEqual(t, r.Seconds, 0.39)
	assert.Equal(t, "open at 500/s", r.Loop)
}

func TestStreamsThatEndWellAndThatDoNot(t *testing.T) {
	var n atomic.Uint64
	addr := serve(t, func(ctx *fasthttp.RequestCtx) {
		ctx.SetContentType("text/event-stream")
		switch n.Add(1) % 4 {
		case 0:
			ctx.SetBodyString("data: {}\n\n")
		case 1:
			ctx.SetBodyString("data: {}\n\ndata: {\"error\":{}}\n\n")
		case 2:
			ctx.SetContentType("application/json")
			ctx.SetBodyString("{}")
		default:
			ctx.SetBodyString("data: {}\n\ndata: [DONE]\n\n")
		}
	})
	r := report(t, "-hold", "40", addr)
	assert.EqualValues(t, 10, r.Streams)
	assert.Equal(t, map[string]uint64{"incomplete-stream": 10, "error-event": 10, "not-a-stream": 10}, r.Errors)
	assert.EqualValues(t, 50, r.Events)
	require.NotNil(t, r.TTFB)
	assert.Positive(t, r.TTFB.P50)
}

func TestErrorsAreCountedByKind(t *testing.T) {
	var n atomic.Uint64
	addr := serve(t, func(ctx *fasthttp.RequestCtx) {
		switch n.Add(1) % 2 {
		case 0:
			ctx.SetStatusCode(fasthttp.StatusTooManyRequests)
		default:
			ctx.HijackSetNoResponse(true)
			ctx.Hijack(func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")) })
		}
	})
	r := report(t, "-c", "1", "-n", "20", addr)
	assert.Equal(t, map[string]uint64{"status": 10, "truncated": 10}, r.Errors)
	assert.Equal(t, map[int]uint64{429: 10}, r.Status)
	assert.EqualValues(t, 10, r.Reconnects)
}

func TestConnectionsClosedAfterEveryAnswer(t *testing.T) {
	addr := serve(t, func(ctx *fasthttp.RequestCtx) { ctx.SetConnectionClose() })
	r := report(t, "-c", "2", "-n", "20", addr)
	assert.EqualValues(t, 20, r.Requests)
	assert.Empty(t, r.Errors)
}

func TestWrongUseIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		want string
		args []string
	}{
		"no address":      {"give one URL", nil},
		"no end":          {"without an end", []string{"127.0.0.1:1"}},
		"https":           {"give an http URL", []string{"-n", "1", "https://127.0.0.1:1"}},
		"a process":       {"give its number", []string{"-n", "1", "-pid", "x", "127.0.0.1:1"}},
		"nobody there":    {"cannot connect", []string{"-n", "1", "127.0.0.1:1"}},
		"no such process": {"no such process", []string{"-n", "1", "-pid", "1073741824", serve(t, nil)}},
	} {
		t.Run(name, func(t *testing.T) { assert.ErrorContains(t, run(t.Context(), c.args), c.want) })
	}
}
