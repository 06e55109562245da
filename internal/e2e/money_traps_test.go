package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What answers cost that nobody sees coming, and what providers and clients say that cannot be true.

// A model that reasons in silence is told as many tokens as can be paid for, so that answers under way at once cannot spend
// more than there is.
func TestHiddenReasoningIsPaidBeforehand(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--log-size", "5000")
	named, quiet := "gpt-5;reasoning=15000;tokens=50;ttft=100ms", "y;reasoning=15000;tokens=50;ttft=100ms"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").
		model("named", "cache: {mode: exact, ttl: 1h}", target("sim", named, "")).price("sim", named, 1, 10, "").
		model("quiet", "", target("sim", quiet, "")).price("sim", quiet, 1, 10, "").
		key("ann", "budgets: [ann]").key("bob", "budgets: [bob]").key("rich", "budgets: [rich]").
		budget("ann", "1", "period: total").budget("bob", "1", "period: total").budget("rich", "1000", "period: total").String())
	a := n.as(t, "rich").chat(ask("quiet", "how do you think?")) // it is not known by its name, but by what it did
	require.Equal(t, 200, a.status, a.brief())
	for _, test := range []struct{ who, model string }{{"ann", "named"}, {"bob", "quiet"}} {
		p.client(t).do("DELETE", "/sim/requests", "")
		c := n.as(t, test.who)
		var all sync.WaitGroup
		var mu sync.Mutex
		statuses, ends := map[int]int{}, map[string]int{}
		for i := range 100 {
			all.Go(func() {
				more := [][]string{{`"max_tokens":16000`}, {`"max_completion_tokens":16000`, streamed}, nil, {streamed}}[i%4]
				a, err := c.try(context.Background(), "POST", chatPath, ask(test.model, fmt.Sprint("question ", i), more...))
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				if statuses[a.status]++; a.status == 200 {
					ends[a.said(t).finish]++
				}
			})
		}
		all.Wait()
		assert.Greater(t, statuses[200], 4, test.model)
		assert.Equal(t, 100, statuses[200]+statuses[429], statuses)
		assert.Positive(t, ends["length"], ends)
		pot := n.purse(t, test.who)
		assert.LessOrEqual(t, p.served(t), pot.Limit, test.model)
		assert.Equal(t, p.served(t), pot.Spent, test.model)
	}
	// An answer that ended where the money did is nobody else's.
	again := n.as(t, "ann").chat(ask("named", "question 0", `"max_tokens":16000`), "X-Wedge-Cache", "only-if-cached")
	if again.status == 200 {
		assert.Equal(t, "stop", again.said(t).finish)
	}
}

// All that the provider counts is in the hold: tools and calls' arguments, too, and no picture's letters.
func TestWholeBodiesAreHeldFor(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	slow := "x;tokens=5;latency=700ms"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", slow, "")).price("sim", slow, 1, 10, "").
		key("ann", "budgets: [pot]").budget("pot", "1000", "period: total").String())
	tool := `{"type":"function","function":{"name":"f%d","description":"` + strings.Repeat("what it does ", 100) + `","parameters":{"type":"object"}}}`
	tools := make([]string, 100)
	for i := range tools {
		tools[i] = fmt.Sprintf(tool, i)
	}
	held := func(body string) int64 {
		done := make(chan *answer, 1)
		go func() { done <- n.as(t, "ann").chat(body) }()
		var most int64
		for {
			select {
			case a := <-done:
				require.Equal(t, 200, a.status, a.brief())
				return most
			case <-time.After(20 * time.Millisecond):
				most = max(most, n.purse(t, "pot").Held)
			}
		}
	}
	before := n.purse(t, "pot").Spent
	most := held(ask("m", "which?", `"max_tokens":5`, `"tools":[`+strings.Join(tools, ",")+`]`))
	assert.GreaterOrEqual(t, most, n.purse(t, "pot").Spent-before)
	picture := `{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"text","text":"what is it?"},` +
		`{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("iVBORw0K", 20_000) + `"}}]}]}`
	assert.Less(t, held(picture), int64(10_000*nanoIn), "160,000 letters are no 160,000 tokens")
}

// oddProvider answers as told, whatever it is asked.
func oddProvider(t *testing.T, answer string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A background answer has cost nothing yet when it is queued. All that it may cost counts.
func TestBackgroundAnswersCountInFull(t *testing.T) {
	t.Parallel()
	addr := oddProvider(t, `{"id":"resp_1","object":"response","status":"queued","background":true,"model":"x","output":[],"usage":null}`)
	n := startNode(t, (&catalog{}).at("odd", addr, "").model("m", "", target("odd", "x", "")).price("odd", "x", 1, 10, "").
		key("ann", "budgets: [pot]").budget("pot", "100", "period: total").String())
	a := n.as(t, "ann").do("POST", "/v1/responses", `{"model":"m","input":"think long","background":true,"max_output_tokens":50000}`)
	require.Equal(t, 200, a.status, a.brief())
	assert.GreaterOrEqual(t, n.purse(t, "pot").Spent, int64(50_000*nanoOut))
}

// Numbers that cannot be true, of providers and clients, are neither booked nor held.
func TestAbsurdNumbers(t *testing.T) {
	t.Parallel()
	addr := oddProvider(t, `{"id":"c","object":"chat.completion","created":1,"model":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},`+
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":900000000000000,"total_tokens":900000000000001}}`)
	n := startNode(t, (&catalog{}).at("odd", addr, "").model("m", "", target("odd", "x", "")).price("odd", "x", 1, 10, "").
		key("ann", "budgets: [pot]").key("bob", "budgets: [small]").
		budget("pot", "100", "period: total").budget("small", "0.5", "period: total").String())
	ann, bob := n.as(t, "ann"), n.as(t, "bob")
	for range 4 {
		a := ann.chat(ask("m", "hello", `"max_tokens":20`))
		require.Equal(t, 200, a.status, a.brief())
		a = bob.chat(ask("m", "hello", `"n":128`, `"max_tokens":144115188075855872`))
		require.Equal(t, 200, a.status, a.brief())
	}
	pot := n.purse(t, "pot")
	assert.Positive(t, pot.Spent)
	assert.Less(t, pot.Spent, int64(10_000_000), "an estimate")
	assert.Less(t, n.purse(t, "small").Spent, int64(10_000_000))
}

// A client that leaves has used what came until then.
func TestWhoLeavesPaysTokens(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	slow := "x;tokens=2000;tps=500"
	c := (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", slow, "")).key("ann", "rate: {tokens: 20000/h}")
	n := startNode(t, c.String())
	ann := n.as(t, "ann")
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		r := ann.open(ctx, ask("m", "tell me much", streamed))
		_, err := io.ReadFull(r.Body, make([]byte, 40_000))
		require.NoError(t, err)
		cancel()
		_ = r.Body.Close()
	}
	p.awaitState(t, "tell me much", "client_gone", 3*time.Second)
	require.Eventually(t, func() bool {
		a := ann.chat(ask("m", "how much is left?", streamed, `"max_tokens":1`))
		var left int
		_, _ = fmt.Sscan(a.header.Get("X-Ratelimit-Remaining-Tokens"), &left)
		return left > 0 && left < 19_700
	}, 5*time.Second, 200*time.Millisecond)
}

// Equal requests that other budgets pay for share no call: the poor one's would end the rich one's.
func TestBudgetsDoNotCutEachOther(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	slow := "x;tokens=1000;tps=500"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").
		model("m", "cache: {mode: exact, ttl: 1h, scope: shared}", target("sim", slow, "")).price("sim", slow, 1, 10, "").
		key("poor", "budgets: [poor]").key("rich", "budgets: [rich]").
		budget("poor", "0.004", "period: total").budget("rich", "10", "period: total").String())
	body := ask("m", "the same question", streamed, `"stream_options":{"include_usage":true}`)
	poor := make(chan *answer, 1)
	go func() { poor <- n.as(t, "poor").chat(body) }()
	p.awaitState(t, "the same question", "open", 3*time.Second)
	rich := n.as(t, "rich").chat(body)
	assert.Equal(t, "length", (<-poor).said(t).finish)
	assert.Equal(t, "stop", rich.said(t).finish)
	assert.Equal(t, 1000, rich.said(t).usage.Completion)
}
