package e2e

import (
	"context"
	"fmt"
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

// load asks one question after another until it is ended.
type load struct {
	stop   context.CancelFunc
	wg     sync.WaitGroup
	asked  atomic.Int64
	mu     sync.Mutex
	faults []string
}

// startLoad keeps a few connections of c busy with question(i).
func startLoad(c *client, connections int, question func(i int64) string) *load {
	l := &load{}
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for range connections {
		l.wg.Go(func() {
			for ctx.Err() == nil {
				a, err := c.try(context.Background(), "POST", chatPath, question(l.asked.Add(1)))
				if err != nil || a.status != 200 {
					l.mu.Lock()
					l.faults = append(l.faults, fmt.Sprint(err, a))
					l.mu.Unlock()
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return l
}

// end ends the load and returns what failed.
func (l *load) end() []string {
	l.stop()
	l.wg.Wait()
	return l.faults
}

// put replaces the node's catalog as an editor does: in one step.
func (n *node) put(t testing.TB, text string) {
	t.Helper()
	fresh := filepath.Join(filepath.Dir(n.catalog), "catalog.new")
	require.NoError(t, os.WriteFile(fresh, []byte(text), 0o600))
	require.NoError(t, os.Rename(fresh, n.catalog))
}

func TestLiveCatalog(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	text := func(upstream string) string {
		return (&catalog{}).at("sim", p.addr, "").model("m", "", target("sim", upstream, "")).key("ann", "").String()
	}
	n := startNode(t, text("first"))
	ann := n.as(t, "ann")
	l := startLoad(ann, 2, func(i int64) string { return ask("m", fmt.Sprint("load ", i), []string{streamed, `"n":1`}[i%2]) })
	defer l.end()

	inUse := func(upstream string) {
		t.Helper()
		testkit.Eventually(t, time.Second, func() error {
			if a := ann.chat(ask("m", "which?")); !strings.Contains(a.body, `"model":"`+upstream+`"`) {
				return fmt.Errorf("not the catalog with %s: %s", upstream, a.brief())
			}
			return nil
		})
	}
	inUse("first")
	digest := n.status(t).Bundle.Digest
	n.put(t, text("second"))
	inUse("second")
	assert.NotEqual(t, digest, n.status(t).Bundle.Digest)
	assert.Nil(t, n.status(t).Refused)
	digest = n.status(t).Bundle.Digest

	for i, bad := range []struct{ text, says string }{
		{strings.Replace(text("third"), "provider: sim", "provider: nobody", 1), "models[0].versions[0].targets[0].provider"},
		{text("third") + "surprise: 1\n", "surprise"},
		{"providers: [", "as YAML"},
		{strings.Replace(text("third"), "dialect: openai", "dialect: cobol", 1), "dialect"},
	} {
		before := n.metric(t, "wedge_catalog_refused_total")
		n.put(t, bad.text)
		testkit.Eventually(t, time.Second, func() error {
			if r := n.status(t).Refused; r == nil || !strings.Contains(r.Reason, bad.says) {
				return fmt.Errorf("bad catalog %d is not refused for %s: %v", i, bad.says, r)
			}
			return nil
		})
		inUse("second")
		assert.Equal(t, digest, n.status(t).Bundle.Digest)
		assert.Equal(t, before+1, n.metric(t, "wedge_catalog_refused_total"), "it is refused once, not on every look")
		assert.Contains(t, n.output("stderr"), bad.says)
	}
	require.NoError(t, os.Remove(n.catalog))
	testkit.Eventually(t, time.Second, func() error {
		if r := n.status(t).Refused; r == nil || !strings.Contains(r.Reason, "no such file") {
			return fmt.Errorf("nothing is said about the missing file: %v", r)
		}
		return nil
	})
	inUse("second")

	n.put(t, text("second"))
	testkit.Eventually(t, time.Second, func() error {
		if r := n.status(t).Refused; r != nil {
			return fmt.Errorf("still refused: %s", r.Reason)
		}
		return nil
	})
	n.put(t, text("fourth"))
	inUse("fourth")
	assert.Empty(t, l.end(), "no request fails while catalogs are swapped")
	assert.Greater(t, l.asked.Load(), int64(100))
}

// TestRevokedKey takes a key out of the catalog.
func TestRevokedKey(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	c := (&catalog{}).at("sim", p.addr, "").model("m", "cache: {mode: exact, ttl: 1h, scope: shared}", target("sim", "x", "")).key("ann", "")
	n := startNode(t, c.String()+"\n")
	with := (&catalog{providers: c.providers, models: c.models}).key("ann", "").key("bob", "")
	bob := n.as(t, "bob")
	await := func(status int) {
		t.Helper()
		testkit.Eventually(t, time.Second, func() error {
			if a := bob.chat(ask("m", "let me in")); a.status != status {
				return fmt.Errorf("status %d", a.status)
			}
			return nil
		})
	}
	await(401)
	n.put(t, with.String())
	await(200)
	n.put(t, c.String())
	await(401)
}
