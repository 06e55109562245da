package uplink

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

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
