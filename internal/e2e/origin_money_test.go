package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// budgetStatus is where the origin says that a budget stands.
type budgetStatus struct {
	Limit      int64 `json:"limit_nano"`
	Spent      int64 `json:"spent_nano"`
	Unverified int64 `json:"unverified_nano"`
	Leased     int64 `json:"leased_nano"`
	Remaining  int64 `json:"remaining_nano"`
}

func (o *originProcess) budget(t testing.TB, name string) (s budgetStatus) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(o.wedge(t, "budget", "show", name, "-o", "json")), &s))
	return s
}

// spendAll asks every node until each refuses, and returns how many answers were given.
func spendAll(t testing.TB, nodes []*node, key string) (answers int) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i, n := range nodes {
		for w := range 2 {
			all.Go(func() {
				c := n.as(t, key)
				for k, refused := 0, 0; refused < 80 && k < 5000; k++ {
					switch a := c.chat(ask("m", fmt.Sprint("spend ", i, w, k), []string{`"stream":false`, streamed}[k%2])); a.status {
					case 200:
						mu.Lock()
						answers++
						mu.Unlock()
						refused = 0
					case 429:
						refused++
						time.Sleep(100 * time.Millisecond)
					default:
						t.Errorf("unexpected answer: %s", a.brief())
						return
					}
				}
			})
		}
	}
	all.Wait()
	return answers
}

// TestThreeNodesShareABudget: three nodes together spend what the budget has, and not more.
func TestThreeNodesShareABudget(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t, "--log-size", "100000"), startOrigin(t)
	c := moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "0.1", "period: total")
	o.apply(t, c.String())
	nodes := []*node{joined(t, "a", o), joined(t, "b", o), joined(t, "c", o)}
	answers := spendAll(t, nodes, "ann")
	truth := p.served(t)
	assert.LessOrEqual(t, truth, int64(100_000_000))
	assert.GreaterOrEqual(t, truth, int64(99_000_000), "the budget is used, by %d answers", answers)
	testkit.Eventually(t, patience, func() error {
		if s := o.budget(t, "pot"); s.Spent != truth || s.Unverified != 0 {
			return fmt.Errorf("%d was served, and the origin knows of %+v", truth, s)
		}
		return nil
	})

	c.budgets = nil
	o.apply(t, c.budget("pot", "0.2", "period: total").String())
	rev := o.revision(t)
	for _, n := range nodes {
		n.arrive(t, rev)
	}
	testkit.Eventually(t, patience, func() error {
		if a := nodes[0].as(t, "ann").chat(ask("m", "more")); a.status != 200 {
			return fmt.Errorf("a higher limit is not in use: %s", a.brief())
		}
		return nil
	})
	assert.Contains(t, o.wedge(t, "budget", "list"), "pot")
}

// TestTheBoundHolds: nodes and the origin die without warning while several nodes spend. What the provider served is within
// the limit; what is booked was served; and what was served is booked, or counts as in doubt.
func TestTheBoundHolds(t *testing.T) {
	t.Parallel()
	for run := range soaked(20, 3) {
		p, o := startProvider(t, "--log-size", "100000"), startOrigin(t)
		o.apply(t, moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "0.5", "period: total").String())
		nodes := []*node{joined(t, "a", o), joined(t, "b", o), joined(t, "c", o)}
		var loads []*load
		for _, n := range nodes {
			loads = append(loads, startLoad(n.as(t, "ann"), 2, func(i int64) string {
				return ask("m", fmt.Sprint("load ", i), []string{`"stream":false`, streamed}[i%2])
			}))
		}
		for range 4 {
			time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond)
			if i := rand.IntN(4); i < 3 {
				nodes[i].kill()
				nodes[i].start(t)
			} else {
				o.kill()
				time.Sleep(time.Duration(rand.IntN(1000)) * time.Millisecond)
				o.start(t)
			}
		}
		for _, l := range loads {
			l.end()
		}
		for _, n := range nodes {
			n.terminate()
		}
		truth := p.served(t)
		s := o.budget(t, "pot")
		for _, n := range nodes { // what they wrote down last is told when they live again
			n.start(t)
		}
		testkit.Eventually(t, patience, func() error {
			switch s = o.budget(t, "pot"); {
			case s.Spent+s.Unverified < truth:
				return fmt.Errorf("%d was served, and the origin knows of %+v", truth, s)
			}
			return nil
		})
		assert.LessOrEqual(t, s.Spent, truth, "nothing is booked that was not served")
		assert.LessOrEqual(t, truth, s.Limit)
		t.Logf("run %d: served %d of %d, booked %d, in doubt %d", run, truth, s.Limit, s.Spent, s.Unverified)
		for _, n := range nodes {
			n.kill()
		}
		o.kill()
	}
}

// TestALostNodeIsWrittenOff: what a node had that never comes back counts as spent once somebody says so.
func TestALostNodeIsWrittenOff(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "1", "period: total").String())
	n := joined(t, "lost", o)
	require.Equal(t, 200, n.as(t, "ann").chat(ask("m", "hello")).status)
	testkit.Eventually(t, patience, func() error {
		if s := o.budget(t, "pot"); s.Leased == 0 || s.Spent == 0 {
			return fmt.Errorf("the node has leased nothing: %+v", s)
		}
		return nil
	})
	n.kill()
	before := o.budget(t, "pot")
	assert.Contains(t, o.wedge(t, "budget", "write-off", "pot", "--node", "lost", "--reason", "burnt"), "count as spent")
	after := o.budget(t, "pot")
	assert.Equal(t, before.Leased, after.Unverified)
	assert.Zero(t, after.Leased)
	n.start(t)
	require.Equal(t, 200, n.as(t, "ann").chat(ask("m", "I am back")).status)
}

// TestAlertsReachAWebhook: a threshold that is reached is told once, signed, and again until it is heard.
func TestAlertsReachAWebhook(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var heard []http.Header
	var bodies []string
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		heard, bodies = append(heard, r.Header), append(bodies, string(body))
		if len(heard) == 1 {
			w.WriteHeader(500)
		}
	}))
	defer hook.Close()
	p, o := startProvider(t), startOrigin(t)
	o.secret(t, "hook", "shared")
	c := moneyCatalog(p).key("ann", "budgets: [pot]").budget("pot", "0.01", "period: monthly, alerts: [50]").String()
	o.apply(t, c+fmt.Sprintf("webhooks:\n  - {name: ops, url: %q, secret: \"origin:hook\", events: [threshold]}\n", hook.URL))
	n := joined(t, "shop", o)
	spendAll(t, []*node{n}, "ann")
	testkit.Eventually(t, patience, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(heard) < 2 {
			return fmt.Errorf("the webhook heard %d times", len(heard))
		}
		return nil
	})
	time.Sleep(3 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, heard, 2, "once more than it answered well")
	assert.Equal(t, heard[0].Get("Webhook-Id"), heard[1].Get("Webhook-Id"))
	assert.Equal(t, bodies[0], bodies[1])
	assert.Contains(t, bodies[1], `"type":"budget.threshold"`)
	mac := hmac.New(sha256.New, []byte("shared"))
	mac.Write([]byte(heard[1].Get("Webhook-Id") + "." + heard[1].Get("Webhook-Timestamp") + "." + bodies[1]))
	assert.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)), heard[1].Get("Webhook-Signature"))
	assert.Contains(t, o.wedge(t, "alert", "list"), "threshold")
	assert.Contains(t, o.wedge(t, "alert", "deliveries"), "delivered")
	assert.Contains(t, o.wedge(t, "get", "webhooks"), "ops")
}

// secret keeps a secret at the origin.
func (o *originProcess) secret(t testing.TB, name, value string) {
	t.Helper()
	cmd := o.command("secret", "put", name)
	cmd.Stdin = strings.NewReader(value)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
