package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// TestPollsWhereStreamsAreHeldBack: a stream that says nothing is given up for polls, which bring all the same.
func TestPollsWhereStreamsAreHeldBack(t *testing.T) {
	f := newFake(t)
	f.mute = true
	f.change(simple(t, 1))
	n := newNode(t, f, func(o *Options) { o.patience, o.poll = 200*time.Millisecond, 300*time.Millisecond }).run()
	n.at(f, 1)
	for i := 2; i < 5; i++ {
		f.put(simple(t, i))
		n.at(f, int64(i))
		time.Sleep(50 * time.Millisecond)
	}
	time.Sleep(700 * time.Millisecond) // polls that bring nothing
	f.put(simple(t, 5))
	n.at(f, 5)
	wants := f.wants()
	assert.Equal(t, asked{}, wants[0])
	for _, a := range wants[1:] {
		assert.Equal(t, 300*time.Millisecond, a.wait)
	}
	assert.Less(t, len(wants), 30, "polls wait for something to tell")
	assert.Equal(t, "up", n.Status().Link)
	assert.Len(t, f.sessions(), 1)
}

// TestEmptyPolls: an origin that answers polls at once with nothing is not asked without a pause.
func TestEmptyPolls(t *testing.T) {
	f, n := follows(t, func(o *Options) { o.patience = 50 * time.Millisecond })
	var pauses atomic.Int32
	require.NoError(t, n.stop())
	n.o.backoff = func(int) time.Duration { pauses.Add(1); return 20 * time.Millisecond }
	var polls atomic.Int32
	f.with(func() {
		f.answer[wire.PathStream] = func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("wait") == "" {
				<-r.Context().Done()
			}
			polls.Add(1)
		}
	})
	n.run()
	time.Sleep(300 * time.Millisecond)
	assert.Positive(t, pauses.Load())
	assert.Less(t, polls.Load(), int32(20))
}

// TestSilence: a stream that stops in the middle is dead after three pings; the node comes again where it stood.
func TestSilence(t *testing.T) {
	f, n := follows(t)
	f.with(func() {
		f.answer[wire.PathStream] = func(w http.ResponseWriter, r *http.Request) {
			f.with(func() { delete(f.answer, wire.PathStream) })
			sendPing(w)
			<-r.Context().Done()
		}
	})
	f.cut()
	began := time.Now()
	f.change(simple(t, 2))
	n.at(f, 2)
	assert.Less(t, time.Since(began), patience/2)
	assert.Equal(t, f.past[1], f.wants()[1].at)
	for _, a := range f.wants() {
		assert.Zero(t, a.wait, "nobody holds it back")
	}
}

// TestSlowFrames: a frame that comes slowly is no silence.
func TestSlowFrames(t *testing.T) {
	f, n := follows(t)
	var all []byte
	for _, frame := range f.change(simple(t, 2)) {
		all = append(all, frame...)
	}
	f.with(func() {
		f.answer[wire.PathStream] = func(w http.ResponseWriter, r *http.Request) {
			sendPing(w)
			for rest := all; len(rest) > 0; time.Sleep(100 * time.Millisecond) {
				k := min(len(rest), len(all)/6)
				_, _ = w.Write(rest[:k])
				w.(http.Flusher).Flush()
				rest = rest[k:]
			}
			<-r.Context().Done()
		}
	})
	f.cut()
	n.at(f, 2)
}

// TestSlowActivation: what the node does with a revision is not the origin's silence.
func TestSlowActivation(t *testing.T) {
	f, n := follows(t)
	n.with(func() {
		n.refuses = func(*wire.Catalog) error { time.Sleep(500 * time.Millisecond); return nil }
	})
	f.put(simple(t, 2))
	n.at(f, 2)
	assert.Len(t, f.wants(), 1)
	assert.GreaterOrEqual(t, f.told(2)[0].ActiveMS, int64(400))
}

// TestEndlessActivation is refused with a code of its own.
func TestEndlessActivation(t *testing.T) {
	f, n := follows(t)
	require.NoError(t, n.stop())
	n.o.activates = 50 * time.Millisecond
	n.open()
	require.True(t, n.boot())
	n.Uplink.o.Activate = func(ctx context.Context, _ *wire.Catalog) error {
		<-ctx.Done()
		return ctx.Err()
	}
	n.follow()
	n.up(f)
	f.put(simple(t, 2))
	nack := n.refused(f, 2)
	assert.Equal(t, wire.NackTimeout, nack.Code)
	assert.Contains(t, nack.Message, "after 50ms")
	require.NoError(t, n.stop())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	assert.Equal(t, context.Canceled, n.install(ended, nil), "the link's end is not the revision's fault")
}

// TestFailsOver: another origin of the fleet goes on where the first one stopped, without a whole state.
func TestFailsOver(t *testing.T) {
	f := newFake(t)
	g := f.twin()
	f.change(simple(t, 1))
	n := newNode(t, f, func(o *Options) { o.Origins = append(o.Origins, g.server.URL) }).run()
	n.at(f, 1)
	g.with(func() { g.at, g.state, g.deltas, g.past = f.at, f.state, f.deltas, f.past })
	f.stop()
	g.change(simple(t, 2))
	n.at(g, 2)
	assert.Equal(t, at127(2), n.serves())
	assert.Equal(t, []asked{{at: f.past[1]}}, g.wants())
	assert.Equal(t, g.server.URL, n.Status().Origin)
	assert.Equal(t, []int64{1}, revs(g.sessions()))
}

func revs(hellos []wire.Hello) (all []int64) {
	for _, h := range hellos {
		all = append(all, h.Rev)
	}
	return all
}

// TestRetryAfter: an origin that is busy says when to come again.
func TestRetryAfter(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	var at []time.Time
	f.with(func() {
		f.answer[wire.PathHello] = func(w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Now())
			f.with(func() { delete(f.answer, wire.PathHello) })
			w.Header().Set("Retry-After", "1")
			refuseWith(503, "busy", "too many nodes")(w, r)
		}
	})
	n := newNode(t, f).run()
	testkit.Eventually(t, patience, func() error {
		if !strings.Contains(n.Status().Error, "too many nodes") {
			return errors.New("no error")
		}
		return nil
	})
	assert.Equal(t, "down", n.Status().Link)
	n.at(f, 1)
	assert.GreaterOrEqual(t, time.Since(at[0]), time.Second)
	assert.Empty(t, n.Status().Error)
	assert.Zero(t, retryAfter(errors.New("x")))
}

// TestFenced: a node whose session was taken over by a twin does not chase it.
func TestFenced(t *testing.T) {
	f, n := follows(t)
	require.NoError(t, n.stop())
	var attempts []int
	var mu sync.Mutex
	n.o.backoff = func(attempt int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, attempt)
		return time.Millisecond
	}
	f.with(func() {
		f.answer[wire.PathAck] = refuseWith(409, "fenced", "another session of the node has begun")
		f.opening = func(wire.Position) [][]byte { return [][]byte{f.head()} }
	})
	n.run()
	testkit.Eventually(t, patience, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(attempts) < 4 {
			return errors.New("too few")
		}
		return nil
	})
	mu.Lock()
	assert.Equal(t, []int{0, 1, 2, 3}, attempts[:4])
	mu.Unlock()
	testkit.Eventually(t, patience, func() error {
		if !strings.Contains(n.Status().Error, "another session of the node has begun") {
			return errors.New("it does not show")
		}
		return nil
	})
}

// TestShortPausesAgain: an origin that was heard makes the pauses short again.
func TestShortPausesAgain(t *testing.T) {
	f, n := follows(t)
	require.NoError(t, n.stop())
	var attempts []int
	var mu sync.Mutex
	n.o.backoff = func(attempt int) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		attempts = append(attempts, attempt)
		return time.Millisecond
	}
	broken := 3
	f.with(func() {
		f.answer[wire.PathHello] = func(w http.ResponseWriter, r *http.Request) {
			if broken--; broken == 0 {
				f.with(func() { delete(f.answer, wire.PathHello) })
			}
			refuseWith(500, "internal", "broken")(w, r)
		}
	})
	n.run()
	n.at(f, f.put(simple(t, 2)))
	f.cut()
	n.at(f, f.put(simple(t, 3)))
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, []int{0, 1, 2, 0}, attempts[:4])
}

func TestFullJitter(t *testing.T) {
	for attempt := range 40 {
		for range 20 {
			got := fullJitter(attempt)
			assert.Positive(t, got)
			assert.LessOrEqual(t, got, min(backoffMost, backoffFirst<<min(attempt, 10))+backoffFirst/4)
		}
	}
}

// TestControl: what the origin asks of a node is done, and shows.
func TestControl(t *testing.T) {
	f, n := follows(t)
	f.send(frame(wire.FrameControl, []byte(`{"drain":true,"pinned":true,"reason":"maintenance"}`)), frame(wire.FrameControl, []byte(`{"drain":false,"pinned":false}`)),
		frame(wire.FrameControl, []byte(`{"drain":true,"pinned":false,"reason":"again"}`)))
	testkit.Eventually(t, patience, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.wishes) < 3 {
			return errors.New("nothing came")
		}
		return nil
	})
	assert.Equal(t, []wire.Control{{Drain: true, Pinned: true, Reason: "maintenance"}, {}, {Drain: true, Reason: "again"}}, n.wishes)
	st := n.Status()
	assert.Equal(t, []any{true, false, "again"}, []any{st.Drained, st.Pinned, st.Reason})
	assert.Equal(t, "up", st.Link)
}

func TestNewerOrigin(t *testing.T) {
	f := newFake(t)
	f.with(func() {
		f.answer[wire.PathHello] = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"session":"s","schema":%d,"time":1,"ping_every_ms":100,"report_every_ms":100,"trust":[]}`, wire.SyncSchema+1)
		}
	})
	n := newNode(t, f).run()
	testkit.Eventually(t, patience, func() error {
		if !strings.Contains(n.Status().Error, "upgrade the node") {
			return errors.New(n.Status().Error)
		}
		return nil
	})
}

// TestStatusWaitsForNobody: while a module is being fetched the status and the secrets in use are there.
func TestStatusWaitsForNobody(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	asked, release := make(chan struct{}), make(chan struct{})
	f.with(func() {
		f.answer[wire.PathBlob] = func(w http.ResponseWriter, _ *http.Request) {
			close(asked)
			<-release
			_, _ = w.Write([]byte("module 2"))
		}
	})
	f.put(full(f, 2))
	<-asked
	began := time.Now()
	n.whole()
	assert.Equal(t, int64(1), n.Status().Rev)
	assert.Less(t, time.Since(began), time.Second)
	close(release)
	n.at(f, 2)
	n.whole()
}

// TestStopsWhileItFetches: the end of Run is the end of everything.
func TestStopsWhileItFetches(t *testing.T) {
	f, n := follows(t)
	asked := make(chan struct{})
	f.with(func() {
		f.answer[wire.PathBlob] = func(_ http.ResponseWriter, r *http.Request) {
			close(asked)
			<-r.Context().Done()
		}
	})
	f.put(content{url: at127(2), module: "x"}.state(t))
	<-asked
	began := time.Now()
	require.NoError(t, n.stop())
	assert.Less(t, time.Since(began), time.Second)
	assert.Empty(t, f.told(2), "it is not the revision's fault")
}
