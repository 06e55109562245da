package e2e

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

var goroutineTotal = regexp.MustCompile(`goroutine profile: total (\d+)`)

// held counts the node's open descriptors and its goroutines.
func (n *node) held(t testing.TB) (descriptors, goroutines int) {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", n.cmd.Process.Pid))
	require.NoError(t, err)
	m := goroutineTotal.FindStringSubmatch(n.operator(t).get("/debug/pprof/goroutine?debug=1").body)
	require.NotNil(t, m)
	goroutines, err = strconv.Atoi(m[1])
	require.NoError(t, err)
	return len(open), goroutines
}

// awaitHeld waits until a node holds little more than it did before. Idle workers end after some 20 seconds.
func (n *node) awaitHeld(t *testing.T, descriptors, goroutines, kept int) {
	t.Helper()
	n.awaitIdle(t, 10*time.Second)
	testkit.Eventually(t, 90*time.Second, func() error {
		d, g := n.held(t)
		if d > descriptors+kept || g > goroutines+kept {
			return fmt.Errorf("%d descriptors and %d goroutines, after %d and %d at the start", d, g, descriptors, goroutines)
		}
		return nil
	})
}

// TestNothingLeaks asks in every way, and leaves in many, and counts what the node still holds after that.
func TestNothingLeaks(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the node to tidy up")
	}
	t.Parallel()
	p := startProvider(t, "--log-size", "0")
	exact := "cache: {mode: exact, ttl: 1h}"
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").at("dead", testkit.FreeAddr(t), "").key("ann", "").
		model("m", exact, target("sim", "x", "")).model("slow", exact, target("sim", "x;latency=10s", "")).
		model("paced", exact, target("sim", "x;tps=50;tokens=100", "")).model("quiet", "", target("sim", "x;ttft=10s", "")).
		model("cut", "", target("sim", "x;fail=cut", "")).model("stalled", "", target("sim", "x;fail=stall", "timeout: 100ms")).
		model("dead", "", target("dead", "x", "")).String())
	descriptors, goroutines := n.held(t)

	const workers, rounds = 20, 100
	ann := n.as(t, "ann")
	testkit.Hammer(workers, rounds, func(g, i int) {
		prompt := fmt.Sprintf("leak %d %d", g, i)
		ctx, leave := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer leave()
		switch (g + i) % 10 {
		case 0:
			ctx, prompt = context.Background(), "leak of all"
			_, _ = ann.try(ctx, "POST", chatPath, ask("m", prompt))
		case 1:
			_, _ = ann.try(context.Background(), "POST", chatPath, ask("m", prompt, streamed))
		case 2:
			_, _ = ann.try(ctx, "POST", chatPath, ask("slow", prompt))
		case 3:
			_, _ = ann.try(ctx, "POST", chatPath, ask("paced", prompt, streamed))
		case 4:
			_, _ = ann.try(ctx, "POST", chatPath, ask("paced", "leak of all", streamed))
		case 5:
			_, _ = ann.try(ctx, "POST", chatPath, ask("quiet", prompt, streamed))
		case 6:
			_, _ = ann.try(context.Background(), "POST", chatPath, ask("cut", prompt, streamed))
		case 7:
			_, _ = ann.try(context.Background(), "POST", chatPath, ask("dead", prompt))
		case 8:
			_, _ = ann.try(context.Background(), "POST", chatPath, "{")
		case 9:
			_, _ = ann.try(context.Background(), "POST", chatPath, ask("slow", prompt), "x-wedge-timeout", "10ms")
		}
	})
	_, _ = ann.try(context.Background(), "POST", chatPath, ask("stalled", "leak", streamed))
	ann.http.CloseIdleConnections()
	n.awaitHeld(t, descriptors, goroutines, workers+10) // connections to the provider wait for more
	assert.Equal(t, 200, n.as(t, "ann").chat(ask("m", "still there?")).status)
}
