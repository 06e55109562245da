package upstream

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const plainAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"

// answering is a provider that answers with a word after a while.
func answering(t *testing.T, after time.Duration, word string) *script {
	return listen(t, func(p *peer) {
		p.request()
		select {
		case <-time.After(after):
			p.say(plainAnswer + word)
		case <-t.Context().Done():
		}
	})
}

func TestHedge(t *testing.T) {
	failing := listen(t, func(p *peer) {
		p.request()
		p.say("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
		p.gone()
	})
	for name, tc := range map[string]struct {
		first, second *script
		after         time.Duration
		hedged, begun bool
		want          string
	}{
		"first is quick":            {answering(t, 0, "one"), answering(t, 0, "two"), time.Minute, false, false, "one"},
		"first is slow":             {answering(t, time.Minute, "one"), answering(t, 0, "two"), 20 * time.Millisecond, true, true, "two"},
		"both are slow":             {answering(t, 200*time.Millisecond, "one"), answering(t, time.Minute, "two"), 20 * time.Millisecond, false, true, "one"},
		"the hedge fails":           {answering(t, 200*time.Millisecond, "one"), failing, 20 * time.Millisecond, false, true, "one"},
		"first fails before":        {failing, answering(t, 0, "two"), time.Minute, false, false, ""},
		"first fails when it began": {listen(t, func(p *peer) { p.request(); time.Sleep(100 * time.Millisecond) }), answering(t, 200*time.Millisecond, "two"), 20 * time.Millisecond, true, true, "two"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e1, e2 := endpoint(t, tc.first.url()), endpoint(t, tc.second.url())
			var c Call
			var begun atomic.Bool
			hedged, err := e1.DoHedged(&c, &Request{}, &Hedge{After: tc.after, Endpoint: e2, Request: &Request{}, Begin: func() bool {
				begun.Store(true)
				return true
			}})
			require.NoError(t, err)
			assert.Equal(t, tc.hedged, hedged)
			assert.Equal(t, tc.begun, begun.Load())
			out, err := c.AppendAll(nil, 100)
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(out))
			assert.False(t, c.Aborted())
			c.Close()
			for _, e := range []*Endpoint{e1, e2} {
				open, idle := e.Conns()
				assert.Equal(t, idle, open, "every connection was given back or closed")
			}
		})
	}
}

func TestAbortEndsHedges(t *testing.T) {
	e1, e2 := endpoint(t, answering(t, time.Minute, "one").url()), endpoint(t, answering(t, time.Minute, "two").url())
	var c Call
	outlived := abortSoon(&c)
	_, err := e1.DoHedged(&c, &Request{}, &Hedge{After: time.Millisecond, Endpoint: e2, Request: &Request{}, Begin: func() bool { return true }})
	require.ErrorIs(t, err, ErrAborted)
	assert.Less(t, outlived(), promptly)
	assert.True(t, c.Aborted())
	c.Reset()
	assert.False(t, c.Aborted())
}

func TestAbortAfterHedge(t *testing.T) {
	e1 := endpoint(t, answering(t, time.Minute, "one").url())
	e2 := endpoint(t, listen(t, func(p *peer) { p.request(); p.say(chunkedHead + "1\r\nx\r\n"); p.gone() }).url())
	var c Call
	hedged, err := e1.DoHedged(&c, &Request{}, &Hedge{After: time.Millisecond, Endpoint: e2, Request: &Request{}, Begin: func() bool { return true }})
	require.NoError(t, err)
	require.True(t, hedged)
	outlived := abortSoon(&c)
	_, err = relay(&c)
	require.ErrorIs(t, err, ErrAborted)
	assert.Less(t, outlived(), promptly)
}
