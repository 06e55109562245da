package upstream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The endpoint closes an idle connection: the next attempt does not notice.
func TestClosedIdleConnectionIsReplaced(t *testing.T) {
	s := once(t, helloAnswer)
	e := endpoint(t, s.url())
	var c Call
	for i := range 5 {
		got, err := fetch(t, e, &c)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
		if i%2 == 0 {
			time.Sleep(5 * time.Millisecond) // the FIN is here; else it may come while the next request leaves
		}
	}
	require.EqualValues(t, 5, s.conns.Load())
}

// The endpoint closes the connection just when the second request reaches it.
func TestStaleConnectionIsRetriedOnce(t *testing.T) {
	s := listen(t, func(p *peer) {
		p.request()
		if p.n <= 2 {
			p.say(helloAnswer)
			p.request() // and no answer
			return
		}
		p.say(helloAnswer)
	})
	e := endpoint(t, s.url())
	var a, b Call
	require.NoError(t, e.Do(&a, get())) // two connections, so that two are stale
	require.NoError(t, e.Do(&b, get()))
	for _, c := range []*Call{&a, &b} {
		_, err := c.AppendAll(nil, 10)
		require.NoError(t, err)
		c.Close()
	}
	got, err := fetch(t, e, &a)
	require.NoError(t, err, "sent again on a fresh connection, not on the other stale one")
	require.Equal(t, "hello", got)
	require.EqualValues(t, 3, s.conns.Load())
}

func TestStaleThenRefused(t *testing.T) {
	s := listen(t, func(p *peer) {
		p.request()
		p.say(helloAnswer)
		p.request()
	})
	e := endpoint(t, s.url())
	var c Call
	_, err := fetch(t, e, &c)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	err = e.Do(&c, get())
	require.ErrorIs(t, err, ErrRefused)
	var f *Error
	require.ErrorAs(t, err, &f)
	assert.False(t, f.Sent)
	open, _ := e.Conns()
	assert.Zero(t, open)
}

// An endpoint that worked on the request for long before it died may have done what was asked: no second time.
func TestLateEndIsNotStale(t *testing.T) {
	s := listen(t, func(p *peer) {
		p.request()
		p.say(helloAnswer)
		p.request()
		time.Sleep(staleWindow + 50*time.Millisecond)
	})
	e := endpoint(t, s.url())
	var c Call
	_, err := fetch(t, e, &c)
	require.NoError(t, err)
	require.ErrorIs(t, e.Do(&c, get()), ErrCut)
	require.EqualValues(t, 1, s.conns.Load())
}

// An answer that has begun is not stale either.
func TestBegunAnswerIsNotRetried(t *testing.T) {
	s := listen(t, func(p *peer) {
		p.request()
		p.say(helloAnswer)
		p.request()
		p.say("HTTP/1.1 200")
	})
	e := endpoint(t, s.url())
	var c Call
	_, err := fetch(t, e, &c)
	require.NoError(t, err)
	require.ErrorIs(t, e.Do(&c, get()), ErrCut)
	require.EqualValues(t, 1, s.conns.Load())
}

// Bytes on an idle connection (a late 408, an answer planted for the next request) are nobody's answer.
func TestUnaskedAnswerIsNotUsed(t *testing.T) {
	planted := make(chan struct{}, 10)
	s := listen(t, func(p *peer) {
		for p.request() != nil {
			p.say(helloAnswer)
			time.Sleep(10 * time.Millisecond)
			p.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\npoison")
			planted <- struct{}{}
		}
	})
	e := endpoint(t, s.url())
	var c Call
	for range 3 {
		got, err := fetch(t, e, &c)
		require.NoError(t, err)
		require.Equal(t, "hello", got)
		<-planted
		time.Sleep(5 * time.Millisecond)
	}
	require.EqualValues(t, 3, s.conns.Load())
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpointWith(t, Options{BaseURL: s.url(), IdleTimeout: 100 * time.Millisecond})
	var a, b Call
	require.NoError(t, e.Do(&a, get()))
	require.NoError(t, e.Do(&b, get()))
	finish := func(c *Call) {
		_, err := c.AppendAll(nil, 10)
		require.NoError(t, err)
		c.Close()
	}
	finish(&a)
	time.Sleep(60 * time.Millisecond)
	finish(&b)
	count := func(want int) func() bool {
		return func() bool { open, idle := e.Conns(); return open == want && idle == want }
	}
	require.True(t, count(2)())
	require.Eventually(t, count(1), time.Second, time.Millisecond, "the older one first")
	require.Eventually(t, count(0), time.Second, time.Millisecond)
	_, err := fetch(t, e, &a)
	require.NoError(t, err)
	require.Eventually(t, count(0), time.Second, time.Millisecond, "the reaper is armed again")
}

func TestClosedEndpointStillServes(t *testing.T) {
	s := answers(t, helloAnswer)
	e := endpoint(t, s.url())
	var a, b Call
	_, err := fetch(t, e, &a)
	require.NoError(t, err)
	require.NoError(t, e.Do(&b, get()))
	require.NoError(t, e.Do(&a, get()))
	e.Close()
	got, err := b.AppendAll(nil, 10)
	require.NoError(t, err, "an attempt under way finishes")
	require.Equal(t, "hello", string(got))
	b.Close()
	a.Close()
	_, err = fetch(t, e, &a)
	require.NoError(t, err)
	open, idle := e.Conns()
	require.Equal(t, []int{0, 0}, []int{open, idle})
	e.Close()
}
