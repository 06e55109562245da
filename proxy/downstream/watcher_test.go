package downstream

import (
	"context"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gone counts how often it was told.
type gone struct{ n atomic.Int32 }

func (g *gone) Gone() { g.n.Add(1) }

func run(t *testing.T, w *Watcher) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// leave are the ways in which a client goes.
var leave = map[string]func(*net.TCPConn) error{
	"close": func(c *net.TCPConn) error { return c.Close() },
	"reset": func(c *net.TCPConn) error {
		if err := c.SetLinger(0); err != nil {
			return err
		}
		return c.Close()
	},
	"half-close": func(c *net.TCPConn) error { return c.CloseWrite() },
	"close behind a pipelined request": func(c *net.TCPConn) error {
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err != nil {
			return err
		}
		return c.Close()
	},
}

func TestWatcherNoticesLeaving(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	run(t, &w)
	for name, how := range leave {
		client, c := pair(t, l)
		var x Watch
		var g gone
		w.Add(&x, c, &g)
		time.Sleep(2 * Interval)
		require.Zero(t, g.n.Load(), name)
		require.NoError(t, how(client))
		start := time.Now()
		require.Eventually(t, func() bool { return g.n.Load() == 1 }, 500*time.Millisecond, time.Millisecond, name)
		t.Logf("%s: after %v", name, time.Since(start).Round(time.Millisecond))
		time.Sleep(Interval + 50*time.Millisecond)
		assert.EqualValues(t, 1, g.n.Load(), "%s: told once", name)
		w.Remove(&x)
	}
}

func TestWatcherConsumesNothing(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	client, c := pair(t, l)
	var x Watch
	var g gone
	w.Add(&x, c, &g)
	_, err := client.Write([]byte("pipelined"))
	require.NoError(t, err)
	for range 3 {
		w.sweep()
	}
	w.Remove(&x)
	assert.Zero(t, g.n.Load(), "a client that says more is there")
	assert.Equal(t, "pipelined", readString(t, c, 9))
}

func TestWatcherTellsOfClosedConnection(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	_, c := pair(t, l)
	var x Watch
	var g gone
	w.Add(&x, c, &g)
	require.NoError(t, c.Close()) // its write timed out, say
	w.sweep()
	assert.EqualValues(t, 1, g.n.Load())
	w.Remove(&x)
}

// The number of a closed socket may be another's by the time of a sweep: only the connection itself is believed.
func TestWatcherBelievesTheConnection(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	leaver, other := pair(t, l)
	_, c := pair(t, l)
	require.NoError(t, leaver.Close())
	c.fd = other.fd
	var x Watch
	var g gone
	w.Add(&x, c, &g)
	require.Eventually(t, other.clientLeft, time.Second, time.Millisecond)
	w.sweep()
	assert.Zero(t, g.n.Load())
	w.Remove(&x)
}

func TestWatchCornerCases(t *testing.T) {
	var w Watcher
	var x Watch
	w.Remove(&x)
	w.Add(&x, nil, &gone{})
	w.Remove(&x)
	a, b := net.Pipe() // not a socket
	defer a.Close()
	defer b.Close()
	w.Add(&x, &Conn{Conn: a, fd: -1}, &gone{})
	w.sweep()
	w.Remove(&x)
	assert.Equal(t, Watch{}, x)
}

// slow is told slowly: Remove must wait for it.
type slow struct{ entered, ended atomic.Bool }

func (g *slow) Gone() {
	g.entered.Store(true)
	time.Sleep(50 * time.Millisecond)
	g.ended.Store(true)
}

func TestRemoveWaitsForGone(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	client, c := pair(t, l)
	var x Watch
	var g slow
	w.Add(&x, c, &g)
	require.NoError(t, client.Close())
	require.Eventually(t, c.clientLeft, time.Second, time.Millisecond)
	var wg sync.WaitGroup
	wg.Go(w.sweep)
	for !g.entered.Load() {
		runtime.Gosched()
	}
	w.Remove(&x)
	assert.True(t, g.ended.Load())
	wg.Wait()
}

// Watches come and go while clients leave and sweeps run: nobody is told after Remove, and every client that left
// is noticed.
func TestWatcherHammer(t *testing.T) {
	l, _ := newListener(t)
	var w Watcher
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.sweep()
			}
		}
	})
	var workers sync.WaitGroup
	for range 4 {
		client, c := pair(t, l)
		workers.Go(func() {
			var x Watch
			for range 2000 {
				var g gone
				w.Add(&x, c, &g)
				w.Remove(&x)
				assert.Zero(t, g.n.Load())
			}
			var g gone
			w.Add(&x, c, &g)
			assert.NoError(t, client.Close())
			assert.Eventually(t, func() bool { return g.n.Load() == 1 }, 2*time.Second, time.Millisecond)
			w.Remove(&x)
		})
	}
	workers.Wait()
	close(stop)
	wg.Wait()
	for i := range w.stripes {
		assert.Empty(t, w.stripes[i].watches)
		assert.Empty(t, w.stripes[i].polls)
	}
}

func TestSweepOfTenThousand(t *testing.T) {
	const watches, sockets = 10_000, 500 // each socket is watched twenty times: the system's descriptors are few
	l, _ := newListener(t)
	var w Watcher
	var g gone
	xs := make([]Watch, watches)
	conns := make([]*Conn, sockets)
	for i := range conns {
		_, conns[i] = pair(t, l)
	}
	for i := range xs {
		w.Add(&xs[i], conns[i%sockets], &g)
	}
	const sweeps = 20
	start := time.Now()
	for range sweeps {
		w.sweep()
	}
	per := time.Since(start) / sweeps
	t.Logf("%v for a sweep over %d watches", per, watches)
	assert.Less(t, per, Interval/4)
	for i := range xs {
		w.Remove(&xs[i])
	}
	assert.Zero(t, g.n.Load())
}
