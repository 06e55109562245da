package e2e

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// lateness is the 99th percentile of what other clients wait for an answer.
func lateness(t *testing.T, c *client, about string) time.Duration {
	t.Helper()
	took := make([]time.Duration, 2000)
	for i := range took {
		from := time.Now()
		require.Equal(t, 200, c.chat(ask("other", fmt.Sprint(about, i))).status)
		took[i] = time.Since(from)
		time.Sleep(time.Millisecond)
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}

// TestSlowReaders: clients that hardly read hold the provider back, and not the node's memory, and others do not notice.
// With WEDGE_SOAK there are 1,000 that read a byte a second, and what others wait is measured.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	readers, soak := soaked(1000, 200), soaked(1, 0) == 1
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("long", "", target("sim", "x;tokens=60000", "")).
		model("other", "", target("sim", "x;tokens=20", "")).key("ann", "").String())
	ann := n.as(t, "ann")
	for i := range 50 {
		require.Equal(t, 200, ann.chat(ask("other", fmt.Sprint("before ", i))).status)
	}
	live := func() float64 {
		n.operator(t).get("/debug/pprof/heap?gc=1")
		return n.metric(t, "go_memstats_heap_alloc_bytes")
	}
	var usual time.Duration
	if soak {
		usual = lateness(t, ann, "before")
	}
	before := live()
	conns := make([]net.Conn, readers)
	var opening sync.WaitGroup
	for i := range conns {
		opening.Go(func() {
			c, err := net.Dial("tcp", n.data)
			if !assert.NoError(t, err) {
				return
			}
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			body := ask("long", fmt.Sprint("slowly ", i), streamed)
			_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, keyOf("ann"), len(body), body)
			assert.NoError(t, err)
			line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
			assert.NoError(t, err)
			assert.Contains(t, line, "200")
			conns[i] = c
		})
	}
	opening.Wait()
	for range 20 {
		for _, c := range conns {
			_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, _ = c.Read(make([]byte, 1))
		}
		require.Equal(t, 200, ann.chat(ask("other", strings.Repeat("meanwhile ", 3))).status)
	}
	if soak {
		over := make(chan struct{})
		var reading sync.WaitGroup
		reading.Go(func() {
			for every := time.NewTicker(time.Second); ; {
				select {
				case <-over:
					every.Stop()
					return
				case <-every.C:
				}
				for _, c := range conns {
					_ = c.SetReadDeadline(time.Now().Add(time.Second))
					_, _ = c.Read(make([]byte, 1))
				}
			}
		})
		during := lateness(t, ann, "during")
		close(over)
		reading.Wait()
		t.Logf("others' 99th percentile: %v, and %v before", during, usual)
		assert.Less(t, during, 2*usual)
	}
	each := (live() - before) / float64(readers)
	t.Logf("%.0f KB for each of %d slow readers", each/1024, readers)
	assert.Less(t, each, 160.0*1024, "each holds what a read or two of its provider bring")
	for _, c := range conns {
		_ = c.Close()
	}
	testkit.Eventually(t, 10*time.Second, func() error {
		if open := n.metric(t, "wedge_requests_in_flight"); open > 0 {
			return fmt.Errorf("%v requests are under way", open)
		}
		return nil
	})
}

// TestIdleStreams holds streams open that say nothing: each takes little, stack included.
func TestIdleStreams(t *testing.T) {
	t.Parallel()
	const streams = 1000
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x;tokens=2;chunks=2;tps=0.01", "")).key("ann", "").String())
	held := func() float64 {
		n.operator(t).get("/debug/pprof/heap?gc=1")
		return n.metric(t, "go_memstats_heap_alloc_bytes") + n.metric(t, "go_memstats_stack_inuse_bytes")
	}
	open := func(i int) net.Conn {
		c, err := net.Dial("tcp", n.data)
		require.NoError(t, err)
		body := ask("m", fmt.Sprint("idle ", i), streamed)
		_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, keyOf("ann"), len(body), body)
		require.NoError(t, err)
		line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "200")
		return c
	}
	_ = open(-1).Close()
	n.awaitIdle(t, 5*time.Second)
	before := held()
	var conns [streams]net.Conn
	for i := range conns {
		conns[i] = open(i)
	}
	each := (held() - before) / streams
	t.Logf("%.1f KB for each of %d idle streams", each/1024, streams)
	assert.Less(t, each, 24.0*1024)
	for _, c := range conns {
		_ = c.Close()
	}
	n.awaitIdle(t, 10*time.Second)
}
