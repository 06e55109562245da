package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quiz is a set of questions whose right answers are known.
type quiz struct {
	model   string
	answers []string
	wrong   atomic.Value // of string: the first wrong answer
	right   [2]atomic.Int64
	disk    atomic.Int64
}

// newQuiz asks the provider for the right answers.
func newQuiz(t *testing.T, p *provider, model, upstream string, size int) *quiz {
	t.Helper()
	q := &quiz{model: model}
	direct := p.client(t)
	for i := range size {
		q.answers = append(q.answers, direct.chat(ask(upstream, q.question(i))).said(t).text)
	}
	return q
}

func (q *quiz) question(i int) string { return fmt.Sprintf("Question %d of the quiz?", i) }

// ask asks one question, whole or streamed, and looks at the answer if one came to its end.
func (q *quiz) ask(t *testing.T, c *client, i int) {
	form := []string{`"stream":false`, streamed}[i%2]
	a, err := c.try(context.Background(), "POST", chatPath, ask(q.model, q.question(i), form))
	if err != nil {
		return // the node died
	}
	if a.status != 200 {
		q.wrong.CompareAndSwap(nil, fmt.Sprintf("question %d: %d %s", i, a.status, a.body))
		return
	}
	got := a.said(t)
	if !got.done || got.text != q.answers[i] {
		q.wrong.CompareAndSwap(nil, fmt.Sprintf("question %d: %q instead of %q (%v)", i, got.text, q.answers[i], a.header))
		return
	}
	q.right[i%2].Add(1)
	if a.header.Get("X-Wedge-Cache") == "hit-disk" {
		q.disk.Add(1)
	}
}

// TestKill ends a node without warning again and again while it serves and writes. It must start again each time,
// and whatever it answers must be right.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	p := startProvider(t)
	q := newQuiz(t, p, "m", "x", 300)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).String(), "--cache-memory", "1MiB")
	for round := range rounds {
		if round > 0 {
			n.start(t)
		}
		q.hammer(t, n, time.Duration(50+rand.IntN(150))*time.Millisecond)
		require.Nil(t, q.wrong.Load(), "in round %d", round)
	}
	assert.Greater(t, q.right[0].Load(), int64(rounds))
	assert.Greater(t, q.right[1].Load(), int64(rounds))
	assert.Greater(t, q.disk.Load(), int64(rounds), "the disk keeps answers over crashes")

	n.start(t)
	n.restart(t) // a good end after all those bad ones
	ann := n.as(t, "ann")
	for i := range q.answers {
		q.ask(t, ann, i)
	}
	require.Nil(t, q.wrong.Load())
	assert.Zero(t, n.metric(t, "wedge_cache_disk_corrupt_total"))
}

// hammer asks questions at random from several connections until the node is killed.
func (q *quiz) hammer(t *testing.T, n *node, d time.Duration) {
	t.Helper()
	ann := n.as(t, "ann")
	end := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					q.ask(t, ann, rand.IntN(len(q.answers)))
				}
			}
		})
	}
	time.Sleep(d)
	n.kill()
	close(end)
	wg.Wait()
	ann.http.CloseIdleConnections()
}
