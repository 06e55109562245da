package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// coalescingNode serves models whose answers take about a second: whole ones at its end, streams from the start.
func coalescingNode(t *testing.T) (*node, *provider) {
	p := startProvider(t)
	exact := "cache: {mode: exact, ttl: 1h}"
	c := (&catalog{}).at("sim", p.addr, "").
		model("paced", exact, target("sim", "x;ttft=100ms;tps=60;tokens=60", "")).
		model("failing", exact, target("sim", "x;fail=slow;fail_delay=500ms", "timeout: 300ms")).
		key("ann", "")
	return startNode(t, c.String()), p
}

// asked is the outcome of one of many requests.
type asked struct {
	*answer
	err error
}

// askAtOnce sends requests from many connections; bodies are taken by turns.
func askAtOnce(t *testing.T, c *client, n int, pause time.Duration, bodies ...string) []asked {
	t.Helper()
	out := make([]asked, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * pause)
			out[i].answer, out[i].err = c.try(context.Background(), "POST", chatPath, bodies[i%len(bodies)])
		})
	}
	wg.Wait()
	return out
}

func TestEqualMissesShareOneCall(t *testing.T) {
	t.Parallel()
	n, p := coalescingNode(t)
	ann := n.as(t, "ann")
	for name, c := range map[string]struct {
		pause time.Duration // between two requests
		more  []string      // of the request that comes first
	}{
		"whole first":   {time.Millisecond, nil},
		"stream first":  {time.Millisecond, []string{streamed}},
		"late joiners":  {15 * time.Millisecond, []string{streamed, `"stream_options":{"include_usage":true}`}},
		"late to whole": {15 * time.Millisecond, []string{`"stream":false`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bodies := []string{
				ask("paced", name, c.more...), ask("paced", name, streamed), ask("paced", name),
				ask("paced", name, streamed, `"stream_options":{"include_usage":true}`),
			}
			answers := askAtOnce(t, ann, 50, c.pause, bodies...)
			require.NoError(t, answers[0].err)
			first := answers[0].said(t)
			coalesced := 0
			for i, a := range answers {
				require.NoError(t, a.err)
				require.Equal(t, 200, a.status, a.brief())
				got := a.said(t)
				assert.True(t, got.done, a.brief())
				assert.Equal(t, first.text, got.text)
				assert.Equal(t, first.finish, got.finish)
				assert.Equal(t, i%4 != 1 && (i%4 != 0 || name != "stream first"), got.usage != nil, "request %d", i)
				if a.header.Get("X-Wedge-Cache") == "coalesced" {
					coalesced++
				}
			}
			assert.Greater(t, coalesced, 40)
			assert.Len(t, p.about(t, `"`+name+`"`), 1)
		})
	}
}

// TestCoalescedFailure lets the one call fail: everybody is told, and nobody asks again on their own.
func TestCoalescedFailure(t *testing.T) {
	t.Parallel()
	n, p := coalescingNode(t)
	for _, a := range askAtOnce(t, n.as(t, "ann"), 20, time.Millisecond, ask("failing", "all fail"), ask("failing", "all fail", streamed)) {
		require.NoError(t, a.err)
		a.wantError(t, 504, "upstream_timeout")
	}
	assert.Len(t, p.about(t, "all fail"), 1)
}

func readSome(t *testing.T, resp *http.Response) string {
	t.Helper()
	b := make([]byte, 400)
	_, err := io.ReadFull(resp.Body, b)
	require.NoError(t, err)
	return string(b)
}

// TestTheLeaderLeaves ends the request that began the call, before and after the first byte.
func TestTheLeaderLeaves(t *testing.T) {
	t.Parallel()
	n, p := coalescingNode(t)
	ann := n.as(t, "ann")
	t.Run("in the middle of a stream", func(t *testing.T) {
		t.Parallel()
		ctx, leave := context.WithCancel(context.Background())
		body := ask("paced", "leader streams", streamed)
		readSome(t, ann.open(ctx, body))
		time.AfterFunc(200*time.Millisecond, leave)
		wantAllDone(t, askAtOnce(t, ann, 10, time.Millisecond, body, ask("paced", "leader streams")))
		assert.Len(t, p.about(t, "leader streams"), 1)
	})
	t.Run("before the first byte", func(t *testing.T) {
		t.Parallel()
		ctx, leave := context.WithTimeout(context.Background(), 400*time.Millisecond)
		defer leave()
		body := ask("paced", "leader waits")
		left := make(chan error, 1)
		go func() {
			_, err := ann.try(ctx, "POST", chatPath, body)
			left <- err
		}()
		p.awaitState(t, "leader waits", "open", 5*time.Second)
		wantAllDone(t, askAtOnce(t, ann, 10, time.Millisecond, body, ask("paced", "leader waits", streamed)))
		assert.ErrorIs(t, <-left, context.DeadlineExceeded)
		assert.LessOrEqual(t, len(p.about(t, "leader waits")), 2, "at most one more call, by whoever took over")
	})
}

func wantAllDone(t *testing.T, answers []asked) {
	t.Helper()
	first := ""
	for _, a := range answers {
		require.NoError(t, a.err)
		require.Equal(t, 200, a.status, a.brief())
		got := a.said(t)
		assert.True(t, got.done, a.brief())
		if first == "" {
			first = got.text
		}
		assert.Equal(t, first, got.text)
	}
	assert.NotEmpty(t, first)
}

// TestEverybodyLeaves ends a shared call when its last reader is gone, and not before.
func TestEverybodyLeaves(t *testing.T) {
	t.Parallel()
	n, p := coalescingNode(t)
	ann := n.as(t, "ann")
	body := ask("paced", "everybody leaves", streamed)
	var leave []context.CancelFunc
	for range 5 {
		ctx, cancel := context.WithCancel(context.Background())
		leave = append(leave, cancel)
		readSome(t, ann.open(ctx, body))
	}
	for i, cancel := range leave {
		assert.Equal(t, "open", p.about(t, "everybody leaves")[0].State, "with %d readers", len(leave)-i)
		cancel()
	}
	left := time.Now()
	gone := p.awaitState(t, "everybody leaves", "client_gone", 2*time.Second)
	assert.Less(t, gone.Ended.Sub(left), time.Second)
	assert.Len(t, p.about(t, "everybody leaves"), 1)
	n.awaitIdle(t, 2*time.Second)
}

// TestClientGone leaves in every kind of silence. The provider must notice within a second.
func TestClientGone(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	for _, cache := range []string{"off", "exact"} {
		for name, upstream := range map[string]string{
			"whole": "x;latency=20s", "first": "x;ttft=20s", "paced": "x;tps=0.5", "stalled": "x;fail=stall;fail_after=2",
		} {
			c.model(name+"-"+cache, "cache: {mode: "+cache+"}", target("sim", upstream, ""))
		}
	}
	n := startNode(t, c.String())
	for _, cache := range []string{"off", "exact"} {
		for name, more := range map[string]string{"whole": `"n":1`, "first": streamed, "paced": streamed, "stalled": streamed} {
			t.Run(name+" "+cache, func(t *testing.T) {
				t.Parallel()
				prompt := "gone from " + name + " " + cache
				ctx, leave := context.WithCancel(context.Background())
				ended := make(chan error, 1)
				go func() {
					_, err := n.as(t, "ann").try(ctx, "POST", chatPath, ask(name+"-"+cache, prompt, more))
					ended <- err
				}()
				p.awaitState(t, prompt, "open", 5*time.Second)
				time.Sleep(100 * time.Millisecond) // what there is to come has come
				left := time.Now()
				leave()
				assert.ErrorIs(t, <-ended, context.Canceled)
				gone := p.awaitState(t, prompt, "client_gone", 3*time.Second)
				assert.Less(t, gone.Ended.Sub(left), time.Second)
			})
		}
	}
	t.Cleanup(func() {
		n.awaitIdle(t, 2*time.Second)
		assert.EqualValues(t, 8, n.metric(t, "wedge_requests_total", `code="499"`))
		for _, target := range n.status(t).Targets {
			assert.True(t, target.Healthy, "a client's leaving says nothing about %s of %s", target.Target, target.Model)
		}
	})
}

// TestCancelsAreNoFailures leaves a target over and over.
func TestCancelsAreNoFailures(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("slow", "", target("sim", "x;latency=20s", "")).key("ann", "").String())
	ann := n.as(t, "ann")
	for i := range 6 {
		ctx, leave := context.WithTimeout(context.Background(), 50*time.Millisecond)
		_, err := ann.try(ctx, "POST", chatPath, ask("slow", fmt.Sprint("cancel ", i)))
		leave()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		ann.chat(ask("slow", fmt.Sprint("hurry ", i)), "x-wedge-timeout", "50ms").wantError(t, 504, "upstream_timeout")
	}
	testkit.Eventually(t, 2*time.Second, func() error {
		if got := n.metric(t, "wedge_requests_total", `code="499"`); got != 6 {
			return fmt.Errorf("%v cancels were counted", got)
		}
		return nil
	})
	assert.True(t, n.target(t, "slow", "sim").Healthy)
}
