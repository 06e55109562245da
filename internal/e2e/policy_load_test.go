package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// paced is requests on their way, at a fixed rate whatever becomes of them.
type paced struct {
	stop func()
	wg   sync.WaitGroup

	mu      sync.Mutex
	took    []time.Duration // from when a request was due to the end of its answer
	failed  []string        // what was not answered with status 200
	answers []*answer
}

// startPaced asks for body(i) so many times a second until the load is ended.
func startPaced(c *client, rate int, body func(i int) string, headers ...string) *paced {
	ctx, stop := context.WithCancel(context.Background())
	l := &paced{stop: stop}
	l.wg.Go(func() {
		began := time.Now()
		for i := 0; ; i++ {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(due)):
				l.wg.Go(func() { l.one(c, due, body(i), headers) })
			}
		}
	})
	return l
}

func (l *paced) one(c *client, due time.Time, body string, headers []string) {
	a, err := c.try(context.Background(), "POST", chatPath, body, headers...)
	took := time.Since(due)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.took = append(l.took, took)
	switch {
	case err != nil:
		l.failed = append(l.failed, err.Error())
	case a.status != 200:
		l.failed = append(l.failed, fmt.Sprint(a.status, " ", a.header.Get("X-Wedge-Policy"), " ", a.body))
	default:
		l.answers = append(l.answers, a)
	}
}

// end stops asking, and waits for the answers.
func (l *paced) end() {
	l.stop()
	l.wg.Wait()
	slices.Sort(l.took)
}

// quantile is the time within which a share of the requests were answered.
func (l *paced) quantile(share float64) time.Duration {
	return l.took[min(len(l.took)-1, int(share*float64(len(l.took))))]
}

// resident is the node's memory that belongs to nobody else, in bytes, after a collection.
func (n *node) resident(t testing.TB) (bytes int64) {
	t.Helper()
	n.operator(t).get("/debug/pprof/heap?gc=1")
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.cmd.Process.Pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(text), "RssAnon:")
	require.True(t, found)
	_, err = fmt.Sscan(rest, &bytes)
	require.NoError(t, err)
	return bytes << 10
}

// noGrowth compares the node's memory with what it was. The race detector keeps books of all memory that ever was.
func (n *node) noGrowth(t testing.TB, before int64) error {
	t.Helper()
	const slack = 32 << 20
	if after := n.resident(t); after > before+slack && !raceBuilt() {
		return fmt.Errorf("%d MiB are resident, after %d MiB before", after>>20, before>>20)
	}
	return nil
}
