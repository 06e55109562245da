package fleet

import (
	"fmt"
	"net"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
)

// counted counts the bytes that an origin sends.
type counted struct {
	net.Listener
	sent *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.sent}, err
}

type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// crowd is many nodes of one origin, each with its own connection: HTTP/2, TLS and a client certificate.
type crowd struct {
	*origin
	nodes []*node
	sent  atomic.Int64 // bytes on the wire
	made  time.Time
	mu    sync.Mutex
	times []time.Duration // from the commit until a node used it
}

func newCrowd(t *testing.T, count int, settings ...setting) *crowd {
	t.Helper()
	c := &crowd{}
	c.origin = startServer(t, openStore(t, sqlite(t)), func(h *httptest.Server, o *origin) {
		h.Listener = counted{h.Listener, &c.sent}
		serveTLS(h, o)
	}, settings...)
	c.nodes = make([]*node, count)
	for i := range c.nodes {
		c.nodes[i] = c.enrol(fmt.Sprintf("node-%04d", i), fmt.Sprint("region-", i%3))
		c.nodes[i].acked = func(int64) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.times = append(c.times, time.Since(c.made))
		}
	}
	return c
}

// connectAll connects all nodes at the same time, each as one that has nothing or goes on from where it stands.
func (c *crowd) connectAll() {
	var all sync.WaitGroup
	for _, n := range c.nodes {
		all.Go(func() { n.connect(c.origin) })
	}
	all.Wait()
}

func (c *crowd) all(reach store.Head) {
	for _, n := range c.nodes {
		n.reaches(reach)
	}
}

func (c *crowd) change(name, text string) store.Head {
	c.mu.Lock()
	c.made, c.times = time.Now(), nil
	c.mu.Unlock()
	return c.put(name, text)
}

// spread is the median and the 99th percentile of the times since the last change.
func (c *crowd) spread() (p50, p99 time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.times)
	return c.times[len(c.times)/2], c.times[len(c.times)*99/100]
}

func TestManyNodes(t *testing.T) {
	count, p99 := 50, 3*time.Second
	c := newCrowd(t, count)
	c.connectAll()
	for i := range 5 {
		c.all(c.change("a", fmt.Sprint(i)))
		_, slow := c.spread()
		assert.Less(t, slow, p99)
	}
	state := c.settled()
	assert.Equal(t, count, state.Online)
	until(t, "all answered", func() bool {
		s, err := c.State(t.Context())
		require.NoError(t, err)
		return len(s.Spread) == 1
	})
	for _, n := range c.nodes {
		assert.Equal(t, 1, n.snapshots)
	}
}
