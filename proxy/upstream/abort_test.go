package upstream

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// abortSoon aborts c a little later and tells how long the attempt outlived it.
func abortSoon(c *Call) (outlived func() time.Duration) {
	var at time.Time
	done := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() {
		at = time.Now()
		c.Abort()
		c.Abort()
		close(done)
	})
	return func() time.Duration { <-done; return time.Since(at) }
}

// promptly allows for a machine that is busy elsewhere; every wait that an abort must end is far longer.
const promptly = 500 * time.Millisecond

func TestAbortInEveryPhase(t *testing.T) {
	silent := listen(t, func(p *peer) { p.request(); p.gone() })
	deaf := listen(t, func(*peer) { <-t.Context().Done() })
	half := listen(t, func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\n"); p.gone() })
	stream := listen(t, func(p *peer) { p.request(); p.say(chunkedHead + "1\r\nx\r\n"); p.gone() })
	for name, tc := range map[string]struct {
		url   string
		size  int
		phase Phase
	}{
		"dial":   {"http://" + blackhole(t), 0, PhaseDial},
		"write":  {deaf.url(), 32 << 20, PhaseHead},
		"head":   {silent.url(), 0, PhaseHead},
		"head 2": {half.url(), 0, PhaseHead},
		"body":   {stream.url(), 0, PhaseBody},
	} {
		for _, limit := range []time.Duration{0, time.Minute} {
			e := endpoint(t, tc.url)
			var c Call
			body := make([]byte, tc.size)
			outlived := abortSoon(&c)
			err := e.Do(&c, &Request{Body: body, FirstByte: limit, ChunkTimeout: limit})
			if err == nil {
				_, err = relay(&c)
			}
			assert.Less(t, outlived(), promptly, name)
			require.ErrorIs(t, err, ErrAborted, name)
			var f *Error
			require.ErrorAs(t, err, &f)
			assert.Equal(t, tc.phase, f.Phase, name)
			assert.Equal(t, tc.phase != PhaseDial, f.Sent, name)
			c.Close()
			open, _ := e.Conns()
			assert.Zero(t, open, name)
		}
	}
}

// The socket closes although its owner is busy elsewhere: in a policy, or writing to a slow client.
func TestAbortClosesTheSocketOfABusyOwner(t *testing.T) {
	left := make(chan struct{})
	s := listen(t, func(p *peer) { p.request(); p.say(chunkedHead + "1\r\nx\r\n"); p.gone(); close(left) })
	var c Call
	require.NoError(t, endpoint(t, s.url()).Do(&c, get()))
	c.Abort()
	select {
	case <-left:
	case <-time.After(time.Second):
		t.Fatal("the provider was not told")
	}
	c.Close()
}

func TestAbortHoldsUntilReset(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	c.Abort()
	require.True(t, c.Aborted())
	for range 2 {
		require.ErrorIs(t, e.Do(&c, get()), ErrAborted)
		c.Close()
	}
	require.Zero(t, s.conns.Load(), "nothing was dialled")
	c.Reset()
	require.False(t, c.Aborted())
	got, err := fetch(t, e, &c)
	require.NoError(t, err)
	require.Equal(t, "hello", got)

	// The pooled connection is not an aborted call's to use, nor to close.
	c.Abort()
	require.ErrorIs(t, e.Do(&c, get()), ErrAborted)
	c.Close()
	c.Reset()
	_, err = fetch(t, e, &c)
	require.NoError(t, err)
	require.EqualValues(t, 1, s.conns.Load())
}

func TestAbortAfterTheEndDropsTheConnection(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	require.NoError(t, e.Do(&c, get()))
	_, err := c.AppendAll(nil, 10)
	require.NoError(t, err)
	c.Abort()
	c.Close()
	open, _ := e.Conns()
	require.Zero(t, open)
}

// Aborts rain on calls that share connections; no abort may reach another call's.
func TestAbortHammer(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpointWith(t, Options{BaseURL: s.url(), MaxConns: 4})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			var c Call
			for n := range 300 {
				var ab sync.WaitGroup
				if i%2 == 0 {
					ab.Go(func() { time.Sleep(time.Duration(n%20) * 10 * time.Microsecond); c.Abort() })
				}
				err := e.Do(&c, get())
				var b []byte
				if err == nil {
					b, err = c.AppendAll(nil, 100)
				}
				c.Close()
				switch {
				case err == nil:
					assert.Equal(t, "hello", string(b))
				case i%2 == 0:
					assert.ErrorIs(t, err, ErrAborted)
				default:
					assert.NoError(t, err, "nobody aborted this one")
				}
				ab.Wait()
				c.Reset()
			}
		})
	}
	wg.Wait()
	open, idle := e.Conns()
	assert.Equal(t, idle, open)
}
