package e2e

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// versioned is a guest that says v in a response header. Another build of it is another module with the same code.
func versioned(v, build int) []byte {
	m := guest{list: abi.AppendResponseHeader(nil, "x-v", fmt.Sprint(v)), pages: 16}.module()
	content := append(w.Name("build"), fmt.Sprint(build)...)
	return append(m, w.Section(0, content)...)
}

// swapNode serves as many models as there are files, each with a policy from a file of its own.
func swapNode(t *testing.T, p *provider, files int) (*node, []string) {
	dir := t.TempDir()
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "tenant: acme").key("eve", "tenant: other")
	paths := make([]string, files)
	for i := range paths {
		paths[i] = filepath.Join(dir, fmt.Sprintf("p%d.wasm", i))
		writeModule(t, paths[i], versioned(1, 0))
		name := fmt.Sprint("p", i)
		c.policy(name, paths[i], "route", "on_error: deny").
			model(fmt.Sprint("m", i), "policies: ["+name+"], cache: {mode: exact, ttl: 1h}", target("sim", "x;tokens=5", ""))
	}
	return startNode(t, c.String()), paths
}

// awaitModules waits until the node uses the files as they are.
func (n *node) awaitModules(t *testing.T, paths []string) {
	t.Helper()
	testkit.Eventually(t, startTime, func() error {
		inUse := n.policies(t)
		for i, path := range paths {
			module, err := os.ReadFile(path)
			require.NoError(t, err)
			if want := fmt.Sprintf("sha256:%x", sha256.Sum256(module)); inUse[fmt.Sprint("p", i)].Digest != want {
				return fmt.Errorf("policy %d is %s, not %s", i, inUse[fmt.Sprint("p", i)].Digest, want)
			}
		}
		return nil
	})
}

// TestPolicySwaps replaces modules 300 times under load: every request is answered, by one of the two versions.
func TestPolicySwaps(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the node to look at files")
	}
	t.Parallel()
	const files, rounds = 12, 25
	p := startProvider(t, "--log-size", "0")
	n, paths := swapNode(t, p, files)
	ann := n.as(t, "ann")
	swap := func(round int) {
		for _, path := range paths {
			writeModule(t, path, versioned(1+round%2, round))
		}
		n.awaitModules(t, paths)
	}
	l := startPaced(ann, 200, func(i int) string { return ask(fmt.Sprint("m", i%files), fmt.Sprint("swap ", i%50)) })
	swap(1)
	swap(2)
	descriptors, goroutines := n.held(t)
	before := n.resident(t)
	for round := 3; round < 3+rounds; round++ {
		swap(round)
	}
	busy := n.resident(t)
	l.end()
	assert.Empty(t, l.failed)
	said := map[string]int{}
	for _, a := range l.answers {
		said[a.header.Get("X-V")]++
	}
	assert.Len(t, said, 2, "%v", said)
	assert.Greater(t, said["1"], 100)
	assert.Greater(t, said["2"], 100)
	assert.Less(t, l.quantile(0.5), 100*time.Millisecond)
	t.Logf("%d requests, median %v, 99 %% %v; %d MiB resident before, %d MiB after %d swaps", len(l.took), l.quantile(0.5),
		l.quantile(0.99), before>>20, busy>>20, files*rounds)

	ann.http.CloseIdleConnections()
	testkit.Eventually(t, 30*time.Second, func() error {
		d, g := n.held(t)
		if d > descriptors+5 || g > goroutines+10 {
			return fmt.Errorf("%d descriptors and %d goroutines, after %d and %d", d, g, descriptors, goroutines)
		}
		return n.noGrowth(t, before)
	})
}

// TestPolicySwapsToBrokenModules overwrites a module with what is none. The last good one stays until there is another.
func TestPolicySwapsToBrokenModules(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n, paths := swapNode(t, p, 2)
	ann := n.as(t, "ann")
	version := func(model string) string {
		a := ann.chat(ask(model, "hello"))
		require.Equal(t, 200, a.status, a.body)
		return a.header.Get("X-V")
	}
	for name, module := range map[string][]byte{
		"a component": []byte("\x00asm\x0d\x00\x01\x00"),
		"half a file": versioned(2, 9)[:40],
		"a policy":    nil, // too short for anything
	} {
		writeModule(t, paths[0], module)
		reason := n.awaitRefusal(t, `"p0"`)
		assert.NotContains(t, reason, `"p1"`, name)
		assert.Equal(t, "1", version("m0"))
		assert.Equal(t, "1", version("m1"))
		writeModule(t, paths[0], versioned(1, 0))
		testkit.Eventually(t, startTime, func() error {
			if r := n.status(t).Refused; r != nil {
				return fmt.Errorf("still refused: %s", r.Reason)
			}
			return nil
		})
	}
	require.NoError(t, os.Remove(paths[0]))
	n.awaitRefusal(t, "no such file")
	assert.Equal(t, "1", version("m0"))
	writeModule(t, paths[0], versioned(2, 0))
	n.awaitModules(t, paths)
	assert.Equal(t, "2", version("m0"))

	// A version that traps goes into quarantine, and the last good one takes its calls.
	writeModule(t, paths[0], guest{request: w.Op(w.OpUnreachable)}.module())
	n.awaitModules(t, paths)
	for i := range 10 {
		a := ann.chat(ask("m0", "hello"))
		if i < 3 {
			a.wantError(t, 503, "policy_failed")
			continue
		}
		assert.Equal(t, "200 2", fmt.Sprint(a.status, " ", a.header.Get("X-V")))
	}
	s := n.policies(t)["p0"].State
	assert.NotNil(t, s.Quarantined)
	assert.Equal(t, fmt.Sprintf("sha256:%x", sha256.Sum256(versioned(2, 0))), s.Fallback)
}
