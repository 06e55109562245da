package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// Prices of the tests' model, in nano-USD per token.
const (
	nanoIn  = 1_000
	nanoOut = 10_000
)

// moneyCatalog has the model m, whose price is known, and one of each fate.
func moneyCatalog(p *provider) *catalog {
	return (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "x;tokens=20", "")).price("sim", "x;tokens=20", 1, 10, "")
}

// served is what the provider's log says that it served, in nano-USD.
func (p *provider) served(t testing.TB) (nano int64) {
	t.Helper()
	for _, r := range p.requests(t) {
		if r.Status == 200 || r.State == "cut" || r.State == "client_gone" {
			nano += int64(r.TokensIn)*nanoIn + int64(r.TokensOut)*nanoOut
		}
	}
	return nano
}

// costOf is what an answer says that it cost, in nano-USD.
func costOf(t testing.TB, a *answer) int64 {
	t.Helper()
	usd, err := strconv.ParseFloat(a.header.Get("X-Wedge-Cost-Usd"), 64)
	require.NoError(t, err, a.header)
	return int64(usd*1e9 + 0.5)
}

// purse is a budget on the node's /status.
type purse struct {
	Budget     string `json:"budget"`
	Limit      int64  `json:"limit_nano"`
	Spent      int64  `json:"spent_nano"`
	Held       int64  `json:"held_nano"`
	Unverified int64  `json:"unverified_nano"`
}

func (n *node) purse(t testing.TB, name string) (found purse) {
	t.Helper()
	var s struct{ Budgets []purse }
	n.operator(t).getJSON("/status", &s)
	for _, b := range s.Budgets {
		if b.Budget == name {
			return b
		}
	}
	require.Fail(t, "no such budget on /status", "%s of %v", name, s.Budgets)
	return found
}

func TestBudgetEnds(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, moneyCatalog(p).key("ann", "budgets: [pot]").key("free", "").
		budget("pot", "0.02", "period: total").String())
	ann := n.as(t, "ann")
	var spent int64
	var refused *answer
	for i := range 300 {
		a := ann.chat(ask("m", fmt.Sprint("question ", i), []string{`"stream":false`, streamed}[i%2]))
		if a.status != 200 {
			refused = a
			break
		}
		if i%2 == 0 {
			spent += costOf(t, a)
		}
	}
	require.NotNil(t, refused, "the budget ends")
	assert.Equal(t, 429, refused.status)
	assert.Equal(t, "budget_exhausted", refused.header.Get("X-Wedge-Error"))
	assert.Equal(t, "false", refused.header.Get("X-Should-Retry"))
	assert.Contains(t, refused.body, "pot")
	assert.Equal(t, 200, n.as(t, "free").chat(ask("m", "mine")).status, "others have money")
	testkit.Eventually(t, 3*time.Second, func() error {
		pot := n.purse(t, "pot")
		free := costOf(t, n.as(t, "free").chat(ask("m", "mine")))
		switch truth := p.served(t); {
		case pot.Held != 0:
			return fmt.Errorf("something is still held: %+v", pot)
		case pot.Spent > pot.Limit:
			return fmt.Errorf("overspent: %+v", pot)
		case pot.Spent < pot.Limit*9/10:
			return fmt.Errorf("there was money left: %+v", pot)
		case (truth-pot.Spent)%free != 0:
			return fmt.Errorf("the provider served %d, of which the budget paid %d", truth, pot.Spent)
		}
		return nil
	})
	assert.Positive(t, spent)

	before := n.purse(t, "pot")
	n.restart(t)
	assert.Equal(t, before.Spent, n.purse(t, "pot").Spent, "a good end loses nothing")
	assert.Equal(t, 429, n.as(t, "ann").chat(ask("m", "again")).status, "a restart brings no money")
}

// A thousand requests that come at once, before anybody knows what any of them costs, against money for ten.
func TestThousandAtOnce(t *testing.T) {
	t.Parallel()
	p := startProvider(t, "--latency", "200ms", "--log-size", "5000")
	catalog := moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "1000", "period: daily")
	n := startNode(t, catalog.String())
	one := costOf(t, n.as(t, "ann").chat(ask("m", "how much is one?")))
	catalog.budgets = nil
	limit := 10 * one
	catalog.budget("ten", strconv.FormatFloat(float64(limit)/1e9, 'f', 9, 64), "period: daily").
		key("bob", "budgets: [ten]")
	catalog.keys = catalog.keys[1:]
	p.client(t).do("DELETE", "/sim/requests", "")
	n.publish(t, catalog)
	bob := n.as(t, "bob")
	bob.http.Transport = nil
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[int]int{}
	for i := range 1000 {
		all.Go(func() {
			a, err := bob.try(context.Background(), "POST", chatPath, ask("m", fmt.Sprint("request ", i), []string{`"max_tokens":30`, streamed}[i%2]))
			if err != nil {
				return // too many connections for this machine
			}
			mu.Lock()
			defer mu.Unlock()
			answers[a.status]++
		})
	}
	all.Wait()
	assert.Positive(t, answers[200], answers)
	assert.Greater(t, answers[429], 900, answers)
	assert.LessOrEqual(t, p.served(t), limit)
	assert.LessOrEqual(t, n.purse(t, "ten").Spent, limit)
}

// A stream that the money runs out in ends as one that reached its limit of tokens, and its provider is let go.
func TestStreamIsCutPolitely(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	long := "x;tokens=20000;tps=2000"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", long, "")).price("sim", long, 1, 10, "").
		key("ann", "budgets: [ann]").key("bob", "budgets: [bob]").
		budget("ann", "0.03", "period: total").budget("bob", "0.03", "period: total").String())
	for who, form := range map[string]string{"ann": streamed, "bob": `"stream":false`} {
		name := form + " for " + who
		a := n.as(t, who).chat(ask("m", "tell me everything, "+who, form, `"stream_options":{"include_usage":true}`))
		require.Equal(t, 200, a.status, a.brief())
		s := a.said(t)
		assert.True(t, s.done, name)
		assert.Equal(t, "length", s.finish, name)
		require.NotNil(t, s.usage, name)
		assert.InDelta(t, 3000, s.usage.Completion, 600, name)
		p.awaitState(t, "everything, "+who, "client_gone", 2*time.Second)
		pot := n.purse(t, who)
		assert.Greater(t, pot.Spent, pot.Limit*8/10)
	}
}

func TestExhaustedBudgetsDoAsTheySay(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").
		model("m", "cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).price("sim", "x", 1, 10, "").
		model("cheap", "", target("sim", "y", "")).price("sim", "y", 0, 0, "").
		key("denied", "budgets: [denied]").budget("denied", "0.01", "period: total").
		key("cached", "budgets: [cached]").budget("cached", "0.01", "period: total, on_exhausted: cache_only").
		key("cheaper", "budgets: [cheaper]").budget("cheaper", "0.01", `period: total, on_exhausted: "downgrade: cheap"`).
		key("soft", "budgets: [soft]").budget("soft", "0.01", "period: total, kind: soft").String())
	spend := func(name string) {
		t.Helper()
		for i := range 100 {
			if a := n.as(t, name).chat(ask("m", fmt.Sprint("question ", i))); a.status == 429 || a.header.Get("X-Wedge-Model") == "cheap" {
				return
			}
		}
		require.Fail(t, "the budget did not end", name)
	}
	for _, name := range []string{"denied", "cached", "cheaper"} {
		spend(name)
	}
	first := ask("m", "question 0")
	assert.Equal(t, 429, n.as(t, "denied").chat(first).status, "not even from the cache")
	hit := n.as(t, "cached").chat(first)
	assert.Equal(t, "hit-memory", hit.header.Get("X-Wedge-Cache"), hit.body)
	assert.Equal(t, 429, n.as(t, "cached").chat(ask("m", "what is not there")).status)
	cheap := n.as(t, "cheaper").chat(ask("m", "another"))
	assert.Equal(t, 200, cheap.status, cheap.body)
	assert.Equal(t, "cheap", cheap.header.Get("X-Wedge-Model"))
	for i := range 30 {
		require.Equal(t, 200, n.as(t, "soft").chat(ask("m", fmt.Sprint("soft ", i))).status)
	}
	assert.Greater(t, n.purse(t, "soft").Spent, n.purse(t, "soft").Limit, "a soft budget counts on")
}

func TestUnpricedModels(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", "nobody-knows", "")).
		key("hard", "budgets: [hard]").budget("hard", "1", "period: monthly").
		key("flat", "budgets: [flat]").budget("flat", "1", "period: monthly, unpriced: flat, flat: 100").
		key("none", "").String())
	a := n.as(t, "hard").chat(ask("m", "hello"))
	assert.Equal(t, 403, a.status)
	assert.Equal(t, "unpriced", a.header.Get("X-Wedge-Error"))
	a = n.as(t, "flat").chat(ask("m", "hello"))
	require.Equal(t, 200, a.status, a.body)
	u := a.said(t).usage
	assert.Equal(t, int64(u.Total)*100_000, n.purse(t, "flat").Spent)
	a = n.as(t, "none").chat(ask("m", "hello"))
	assert.Equal(t, 200, a.status)
	assert.Empty(t, a.header.Get("X-Wedge-Cost-Usd"), "an unknown price is not zero")
}

// TestBudgetKill ends a node without warning again and again while it spends. What the provider served is what the node
// has booked, up to what it had no time to book, for which it counts more.
func TestBudgetKill(t *testing.T) {
	t.Parallel()
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	p := startProvider(t, "--log-size", "200000")
	n := startNode(t, moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "1000", "period: total").String())
	for round := range rounds {
		if round > 0 {
			n.start(t)
		}
		n.spend(t, time.Duration(50+rand.IntN(150))*time.Millisecond)
	}
	n.start(t)
	pot, truth := n.purse(t, "pot"), p.served(t)
	assert.LessOrEqual(t, pot.Spent, truth, "nothing is booked that was not served")
	assert.GreaterOrEqual(t, pot.Spent+pot.Unverified, truth, "nothing that was served is forgotten")
	assert.Greater(t, pot.Spent, truth/2)
	t.Logf("served %d, booked %d, in doubt %d", truth, pot.Spent, pot.Unverified)
}

// spend asks from several connections until the node is killed.
func (n *node) spend(t *testing.T, d time.Duration) {
	t.Helper()
	ann := n.as(t, "ann")
	end := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
					_, _ = ann.try(context.Background(), "POST", chatPath, ask("m", fmt.Sprint("spend ", w, i), []string{`"stream":false`, streamed}[i%2]))
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

func TestRateLimits(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").model("m", "cache: {mode: exact, ttl: 1h}", target("sim", "x", "")).
		key("slow", "rate: {requests: 5/m}").key("team", "team: blue")
	c.rates = append(c.rates, `{name: blues, scope: team, match: blue, tokens: 300/m}`)
	n := startNode(t, c.String())
	statuses := map[int]int{}
	var last *answer
	for i := range 10 {
		last = n.as(t, "slow").chat(ask("m", fmt.Sprint("question ", i)))
		statuses[last.status]++
	}
	assert.Equal(t, map[int]int{200: 5, 429: 5}, statuses)
	assert.Equal(t, "rate_limited", last.header.Get("X-Wedge-Error"))
	wait, err := strconv.Atoi(last.header.Get("Retry-After"))
	require.NoError(t, err)
	assert.InDelta(t, 12, wait, 2)
	assert.Equal(t, "5", last.header.Get("X-Ratelimit-Limit-Requests"))
	assert.NotEmpty(t, last.header.Get("RateLimit"))

	refused := false
	for i := range 40 {
		refused = refused || n.as(t, "team").chat(ask("m", fmt.Sprint("team ", i, strings.Repeat(" word", 20)))).status == 429
	}
	assert.True(t, refused, "tokens are limited, too")
}
