package uplink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
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

// journal is reports that a node has to tell.
type journal struct {
	mu      sync.Mutex
	waiting []wire.Report
	sent    []wire.ReportReply
	changed chan struct{}
	gaps    int
	stuck   error // what Gap says
}

func newJournal(n int) *journal {
	j := &journal{changed: make(chan struct{}, 1)}
	for i := range n {
		j.add(int64(i + 1))
	}
	return j
}

func (j *journal) add(seq int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting = append(j.waiting, wire.Report{Incarnation: "i", Seq: seq, Usage: []wire.Usage{{Model: "m", Requests: seq}}})
	select {
	case j.changed <- struct{}{}:
	default:
	}
}

func (j *journal) Next() (*wire.Report, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) == 0 {
		return nil, false
	}
	r := j.waiting[0]
	return &r, true
}

func (j *journal) Sent(reply wire.ReportReply) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent = append(j.sent, reply)
	j.waiting = slices.DeleteFunc(j.waiting, func(r wire.Report) bool { return r.Seq <= reply.Seq })
}

// Gap gives the reports that are left another incarnation.
func (j *journal) Gap() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.gaps++
	for i := range j.waiting {
		j.waiting[i].Incarnation, j.waiting[i].Seq = "j", int64(i+1)
	}
	return j.stuck
}

func (j *journal) Changed() <-chan struct{} { return j.changed }

func (j *journal) empty() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.waiting) > 0 {
		return fmt.Errorf("%d reports are not counted", len(j.waiting))
	}
	return nil
}

// TestReports: each is told until it is counted, in order, also when answers get lost.
func TestReports(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	j := newJournal(3)
	var calls atomic.Int32
	f.with(func() {
		f.answer[wire.PathReport] = func(w http.ResponseWriter, r *http.Request) {
			switch calls.Add(1) {
			case 1: // refused
				refuseWith(500, "internal", "broken")(w, r)
			case 2, 4: // counted, but the answer is lost
				f.report(refusedWriter{}, r)
				panic(http.ErrAbortHandler)
			default:
				f.report(w, r)
			}
		}
	})
	n := newNode(t, f, func(o *Options) { o.Reports = j }).run()
	testkit.Eventually(t, patience, j.empty)
	j.add(4) // on the wing
	testkit.Eventually(t, patience, j.empty)
	f.mu.Lock()
	defer f.mu.Unlock()
	require.Len(t, f.reports, 4)
	for i, r := range f.reports {
		assert.Equal(t, int64(i+1), r.Seq)
		assert.NotEmpty(t, r.Session)
	}
	assert.True(t, j.sent[0].Duplicate)
	assert.Empty(t, n.Status().Unreported)
}

// refusedWriter is an answer that nobody reads.
type refusedWriter struct{}

func (refusedWriter) Header() http.Header         { return http.Header{} }
func (refusedWriter) Write(b []byte) (int, error) { return len(b), nil }
func (refusedWriter) WriteHeader(int)             {}

// TestReportsOfARestoredOrigin: what is left goes on under another incarnation.
func TestReportsOfARestoredOrigin(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	j := newJournal(0)
	j.add(7)
	j.add(8)
	newNode(t, f, func(o *Options) { o.Reports = j }).run()
	testkit.Eventually(t, patience, j.empty)
	assert.Equal(t, 1, j.gaps)
	f.mu.Lock()
	defer f.mu.Unlock()
	assert.Equal(t, []string{"j", "j"}, []string{f.reports[0].Incarnation, f.reports[1].Incarnation})
}

// TestReportsThatAreNotTaken show, and do not keep revisions from coming.
func TestReportsThatAreNotTaken(t *testing.T) {
	f := newFake(t)
	f.change(simple(t, 1))
	j := newJournal(0)
	j.add(7)
	j.stuck = errors.New("the journal cannot be written")
	f.with(func() { f.answer[wire.PathReport] = refuseWith(409, "gap", "a report is missing") })
	n := newNode(t, f, func(o *Options) { o.Reports = j }).run()
	testkit.Eventually(t, patience, func() error {
		if st := n.Status().Unreported; !strings.Contains(st, "a report is missing") || !strings.Contains(st, "cannot be written") {
			return errors.New("it does not show: " + st)
		}
		return nil
	})
	n.at(f, f.put(simple(t, 2)))
	assert.Error(t, j.empty())
	assert.Len(t, f.sessions(), 1)
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

// TestBlobsGoOn: a module whose connection breaks is fetched from where it broke off.
func TestBlobsGoOn(t *testing.T) {
	f, n := follows(t)
	text := strings.Repeat("0123456789", 100_000)
	var ranges []string
	f.with(func() {
		f.answer[wire.PathBlob] = func(w http.ResponseWriter, r *http.Request) {
			ranges = append(ranges, r.Header.Get("Range"))
			if len(ranges) < 3 {
				from := 0
				_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
				w.Header().Set("Content-Length", fmt.Sprint(len(text)-from))
				if from > 0 {
					w.WriteHeader(http.StatusPartialContent)
				}
				_, _ = w.Write([]byte(text[from : from+300_000]))
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(text))
		}
	})
	f.put(content{url: at127(2), module: text}.state(t))
	n.at(f, 2)
	assert.Equal(t, []string{"", "bytes=300000-", "bytes=600000-"}, ranges)
	assert.Equal(t, text, string(n.catalog().Policies[0].Code()))
}

// TestSecrets: they lie sealed in the store, and change with the revision.
func TestSecrets(t *testing.T) {
	f := newFake(t)
	f.change(full(f, 1))
	n := newNode(t, f, short).run()
	n.at(f, 1)
	n.whole()
	n.with(func() {
		n.refuses = func(c *wire.Catalog) error {
			value, err := n.Secret("origin:k")
			assert.NoError(t, err)
			if value != "secret 2" {
				t.Error("a catalog is compiled with its own secrets, not with ", value)
			}
			return errors.New("no")
		}
	})
	f.put(full(f, 2))
	n.refused(f, 2)
	n.whole()
	n.with(func() { n.refuses = nil })
	f.put(full(f, 3))
	n.at(f, 3)
	n.whole()
	for ref, want := range map[string]string{"origin:other": "no origin gave it to this node", "${HOME}": "it is not the origin's"} {
		_, err := n.Secret(ref)
		assert.ErrorContains(t, err, want)
	}
	n.proved()
	require.NoError(t, n.stop())
	sealed := 0
	for _, key := range n.kv.keys() {
		assert.NotContains(t, n.kv.values[key], "secret 3", key)
		if strings.HasPrefix(key, prefix+"secret/") {
			sealed++
		}
	}
	assert.Equal(t, 1, sealed, "those of other revisions are forgotten")
	require.NoError(t, n.kv.Delete([]byte(n.kv.keys()[slices.IndexFunc(n.kv.keys(), func(k string) bool { return strings.HasPrefix(k, prefix+"secret/") })])))
	_, err := n.Secret("origin:k")
	assert.ErrorContains(t, err, "it is not in the node's store")
}

// TestNoCheck: a node that was not told what it may resolve resolves nothing.
func TestNoCheck(t *testing.T) {
	f, n := follows(t, func(o *Options) { o.Check = nil })
	f.put(content{url: at127(2), header: "${ALLOWED}"}.state(t))
	assert.Contains(t, n.refused(f, 2).Message, "may resolve none")
}
