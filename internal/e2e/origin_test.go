package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// originCatalog has a model of two versions, the first in production.
func originCatalog(p *provider) string {
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	c.models = append(c.models, `{name: m, cache: {mode: exact, ttl: 1h}, versions: [`+
		`{version: 1.0.0, status: production, targets: [{provider: sim, model: old}]}, `+
		`{version: 1.1.0, status: staging, targets: [{provider: sim, model: new}]}]}`)
	c.prices = append(c.prices, `{provider: sim, model: old, input: 1, output: 2}`)
	return c.String()
}

// used sums what nodes reported of a model since the test began.
func (o *originProcess) used(t testing.TB, model string) (requests, output int64) {
	t.Helper()
	var usage struct {
		Items []struct {
			Model    string
			Requests int64
			Output   int64 `json:"output"`
		}
	}
	o.get(t, "/api/v1/usage?by=model&since="+url.QueryEscape(time.Now().Add(-2*time.Hour).UTC().Format(time.RFC3339)), &usage)
	for _, row := range usage.Items {
		if row.Model == model {
			requests, output = requests+row.Requests, output+row.Output
		}
	}
	return requests, output
}

// TestWithoutTheOrigin is the promise: the origin is dead, the node is started cold three times, and it serves; when
// the origin is back, every request has been counted exactly once.
func TestWithoutTheOrigin(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	n := joined(t, "shop", o)
	assert.Equal(t, "1.0.0", n.as(t, "ann").chat(ask("m", "before")).header.Get("X-Wedge-Version"))
	asked := int64(1)
	o.kill()
	for round := range 3 {
		if round == 1 {
			n.terminate()
		} else {
			time.Sleep(200 * time.Millisecond) // the journal is written every 50 ms
			n.kill()
		}
		n.start(t)
		for i := range 20 {
			a := n.as(t, "ann").chat(ask("m", fmt.Sprintf("question %d of round %d", i, round)))
			require.Equal(t, 200, a.status, a.body)
			assert.Equal(t, "1.0.0", a.header.Get("X-Wedge-Version"))
			asked++
		}
		assert.Equal(t, "hit-disk", n.as(t, "ann").chat(ask("m", "before")).header.Get("X-Wedge-Cache"))
		asked++
	}
	o.start(t)
	testkit.Eventually(t, patience, func() error {
		if got, _ := o.used(t, "m"); got != asked {
			return fmt.Errorf("%d requests of %d are counted", got, asked)
		}
		return nil
	})
	time.Sleep(time.Second) // what is sent again must not count again
	got, _ := o.used(t, "m")
	assert.Equal(t, asked, got)
	o.wedge(t, "model", "promote", "m", "1.1.0", "--skip", "targets")
	testkit.Eventually(t, startTime, func() error {
		if v := n.as(t, "ann").chat(ask("m", "after")).header.Get("X-Wedge-Version"); v != "1.1.0" {
			return fmt.Errorf("the node answers with %s", v)
		}
		return nil
	})
}

// TestPromotionUnderLoad: every answer names the old or the new version, and none fails.
func TestPromotionUnderLoad(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	nodes := []*node{joined(t, "a", o), joined(t, "b", o), joined(t, "c", o)}
	var loads []*load
	for _, n := range nodes {
		loads = append(loads, startLoad(n.as(t, "ann"), 2, func(i int64) string { return ask("m", fmt.Sprint("load ", i)) }))
	}
	began := time.Now()
	for range 3 {
		for _, step := range [][]string{{"model", "promote", "m", "1.1.0", "--to", "production"}, {"model", "rollback", "m"}} {
			began := time.Now()
			o.wedge(t, step...)
			rev := o.revision(t)
			for _, n := range nodes {
				n.arrive(t, rev)
			}
			t.Logf("%v is in use on all nodes after %v", step, time.Since(began).Round(time.Millisecond))
			for _, n := range nodes {
				want := map[bool]string{true: "1.1.0", false: "1.0.0"}[step[1] == "promote"]
				assert.Equal(t, want, n.as(t, "ann").chat(ask("m", fmt.Sprint(began))).header.Get("X-Wedge-Version"))
			}
		}
	}
	var asked int64
	for _, l := range loads {
		assert.Empty(t, l.end())
		asked += l.asked.Load()
	}
	t.Logf("%d requests, %.0f a second", asked, float64(asked)/time.Since(began).Seconds())
}

// TestKillTheOrigin ends the origin without warning while it changes: what it said is done is done, and nodes get it.
func TestKillTheOrigin(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	n := joined(t, "shop", o)
	last := o.revision(t)
	for round := range soaked(50, 15) {
		var done atomic.Int64
		var changing sync.WaitGroup
		changing.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf(`{"name":"r%d-%d","models":["m"]}`, round, i)
				if o.post("/api/v1/keys", key) != http.StatusCreated {
					return
				}
				done.Add(1)
			}
		})
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond)
		o.kill()
		changing.Wait()
		o.start(t)
		rev := o.revision(t)
		require.GreaterOrEqual(t, rev, last+done.Load())
		require.LessOrEqual(t, rev, last+done.Load()+1)
		last = rev
		n.arrive(t, rev)
	}
	require.Equal(t, 200, n.as(t, "ann").chat(ask("m", "at last")).status)
}

// TestKillTheNode ends a node without warning while revisions arrive and requests are counted.
func TestKillTheNode(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	n := joined(t, "shop", o)
	var asked, lost int64
	for round := range soaked(50, 15) {
		o.wedge(t, "key", "create", fmt.Sprint("r", round), "--models", "m")
		stop := time.Now().Add(time.Duration(rand.IntN(200)) * time.Millisecond)
		for time.Now().Before(stop) {
			require.Equal(t, 200, n.as(t, "ann").chat(ask("m", fmt.Sprintf("%d of %d", asked, round))).status)
			asked++
		}
		settled := rand.IntN(2) == 0
		if settled {
			time.Sleep(150 * time.Millisecond)
		} else {
			lost += 100 // what the last 50 ms held may be lost
		}
		n.kill()
		n.start(t)
	}
	n.arrive(t, o.revision(t))
	testkit.Eventually(t, patience, func() error {
		if got, _ := o.used(t, "m"); got < asked-lost || got > asked {
			return fmt.Errorf("%d requests are counted; want %d, or up to %d fewer", got, asked, lost)
		}
		return nil
	})
}

// TestOriginIsRestored: a backup that is older than what nodes have seen begins a new epoch, and every node takes it.
func TestOriginIsRestored(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	o.apply(t, originCatalog(p))
	nodes := []*node{joined(t, "a", o), joined(t, "b", o)}
	backup := filepath.Join(t.TempDir(), "origin.backup")
	o.wedge(t, "backup", "-o", backup)
	o.wedge(t, "model", "promote", "m", "1.1.0")
	for _, n := range nodes {
		n.arrive(t, o.revision(t))
	}
	o.terminate()
	require.NoError(t, os.Rename(filepath.Join(o.folder, "origin.db"), filepath.Join(o.folder, "lost.db")))
	for _, rest := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(o.folder, "origin.db"+rest))
	}
	o.wedge(t, "origin", "restore", backup, "--data", o.folder)
	o.start(t)
	for _, n := range nodes {
		testkit.Eventually(t, patience, func() error {
			if v := n.as(t, "ann").chat(ask("m", "after")).header.Get("X-Wedge-Version"); v != "1.0.0" {
				return fmt.Errorf("the node answers with %s", v)
			}
			return nil
		})
	}
	assert.Contains(t, strings.ToLower(o.wedge(t, "node", "list")), "online")
}
