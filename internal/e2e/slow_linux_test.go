package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// TestSlowReaders: clients that hardly read hold the provider back, and not the node's memory, and others do not notice. With
// WEDGE_SOAK there are 1,000 of them, and what others wait is measured.
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	readers := soaked(1000, 200)
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("long", "", target("sim", "x;tokens=8000", "")).
		model("other", "", target("sim", "x;tokens=20", "")).key("ann", "").String())
	ann := n.as(t, "ann")
	// others asks every 5 ms and returns the 99th percentile of how long that took.
	others := func(phase string) time.Duration {
		took := make([]time.Duration, soaked(2000, 50))
		var asking sync.WaitGroup
		for i := range took {
			intended := time.Now()
			asking.Go(func() {
				assert.Equal(t, 200, ann.chat(ask("other", fmt.Sprint(phase, i))).status)
				took[i] = time.Since(intended)
			})
			time.Sleep(5 * time.Millisecond)
		}
		asking.Wait()
		slices.Sort(took)
		return took[len(took)*99/100]
	}
	others("warming up")
	live := func() float64 {
		n.operator(t).get("/debug/pprof/heap?gc=1")
		return n.metric(t, "go_memstats_heap_alloc_bytes")
	}
	before, quiet := live(), others("before")
	conns := make([]net.Conn, readers)
	testkit.Hammer(8, readers/8, func(g, i int) {
		i += g * (readers / 8)
		c, err := net.Dial("tcp", n.data)
		if !assert.NoError(t, err) {
			return
		}
		conns[i] = c
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		body := ask("long", fmt.Sprint("slowly ", i), streamed)
		_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, keyOf("ann"), len(body), body)
		assert.NoError(t, err)
		line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
		assert.NoError(t, err)
		assert.Contains(t, line, "200")
	})
	if t.Failed() {
		return
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			for _, c := range conns {
				_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
				_, _ = c.Read(make([]byte, 1))
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Second):
			}
		}
	})
	beside := others("meanwhile")
	each, resident := (live()-before)/float64(readers), n.rss(t)
	open := n.metric(t, "wedge_requests_in_flight")
	close(stop)
	reading.Wait()
	t.Logf("%.0f slow readers, %.0f KB for each, %d MB resident; others' p99 %v before, %v beside them", open, each/1024, resident>>20, quiet, beside)
	assert.GreaterOrEqual(t, int(open), readers*9/10)
	assert.Less(t, each, 160.0*1024, "each holds what a read or two of its provider bring")
	if soaked(1, 0) == 1 {
		assert.Less(t, beside, 2*quiet, "what others wait")
	}
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

// rss is the node's resident memory as it is, in bytes.
func (n *node) rss(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	require.True(t, found)
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kb << 10
}

// TestIdleStreams holds streams open that say nothing: each takes little, stack included. With WEDGE_SOAK there are 8,000 that
// came at once, and it is the node's resident memory that counts.
func TestIdleStreams(t *testing.T) {
	t.Parallel()
	streams := soaked(8000, 1000)
	p := startProvider(t, "--log-size", "0")
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x;tokens=2;chunks=2;tps=0.01", "")).key("ann", "").String())
	held := func() float64 {
		n.operator(t).get("/debug/pprof/heap?gc=1")
		return n.metric(t, "go_memstats_heap_alloc_bytes") + n.metric(t, "go_memstats_stack_inuse_bytes")
	}
	begin := func(i int) net.Conn {
		c, err := net.Dial("tcp", n.data)
		require.NoError(t, err)
		body := ask("m", fmt.Sprint("idle ", i), streamed)
		_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, keyOf("ann"), len(body), body)
		require.NoError(t, err)
		return c
	}
	begun := func(c net.Conn) {
		line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, "200")
	}
	first := begin(-1)
	begun(first)
	_ = first.Close()
	n.awaitIdle(t, 5*time.Second)
	before := held()
	resident := n.rss(t)
	conns := make([]net.Conn, streams)
	for i := range conns {
		conns[i] = begin(i)
	}
	for _, c := range conns {
		begun(c)
	}
	if streams > 1000 {
		testkit.Eventually(t, time.Minute, func() error {
			if each := (n.rss(t) - resident) / streams; each > 24<<10 {
				return fmt.Errorf("each of %d idle streams takes %d bytes of resident memory", streams, each)
			}
			return nil
		})
	}
	testkit.Eventually(t, time.Minute, func() error { // what served the burst takes some seconds to go
		each := (held() - before) / float64(streams) / 1024
		t.Logf("%.1f KB for each of %d idle streams", each, streams)
		if each > 24 {
			return fmt.Errorf("%.1f KB for each of %d idle streams", each, streams)
		}
		return nil
	})
	for _, c := range conns {
		_ = c.Close()
	}
	n.awaitIdle(t, 10*time.Second)
}
