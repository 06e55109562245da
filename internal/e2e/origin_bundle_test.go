package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// TestBundleWithoutOrigin: a node serves a signed file, policies inside, and swaps it live; what is older or was changed
// on the way it refuses.
func TestBundleWithoutOrigin(t *testing.T) {
	t.Parallel()
	p, o := startProvider(t), startOrigin(t)
	c := (&catalog{}).at("sim", p.addr, "").key("ann", "")
	c.policy("redact", exampleModule(t, "redact", "rust"), "prompt, response, chunk", "on_error: deny")
	c.models = append(c.models, `{name: m, policies: [redact], versions: [`+
		`{version: 1.0.0, status: production, targets: [{provider: sim, model: old}]}, `+
		`{version: 1.1.0, status: staging, targets: [{provider: sim, model: new}]}]}`)
	o.apply(t, c.String())
	dir := t.TempDir()
	export := func(name string) []byte {
		path := filepath.Join(dir, name)
		o.wedge(t, "bundle", "export", "-o", path)
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return b
	}
	older := export("older")
	signers := strings.Fields(o.wedge(t, "signer", "list"))
	trust := signers[len(signers)-1]
	o.wedge(t, "bundle", "verify", filepath.Join(dir, "older"), "--trust", trust)
	o.wedge(t, "model", "promote", "m", "1.1.0")
	newer := export("newer")
	o.wedge(t, "model", "rollback", "m")
	tampered := bytes.Clone(export("newest"))
	tampered[len(tampered)/2] ^= 1
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tampered"), tampered, 0o600))
	o.refuse(t, "bundle", "verify", filepath.Join(dir, "tampered"), "--trust", trust)
	o.terminate()

	n := &node{folder: filepath.Join(dir, "data"), catalog: filepath.Join(dir, "in-use"), accessLog: filepath.Join(dir, "access.log")}
	n.put(t, string(older))
	n.args = []string{"edge", "--bundle", n.catalog, "--trust", trust, "--data", n.folder, "--listen", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--access-log", n.accessLog}
	n.start(t)
	serves := func(version string) {
		t.Helper()
		testkit.Eventually(t, patience, func() error {
			a := n.as(t, "ann").chat(ask("m", "Write to ann@example.com of "+version))
			if got := a.header.Get("X-Wedge-Version"); a.status != 200 || got != version {
				return fmt.Errorf("the node answers with %d and %q", a.status, got)
			}
			return nil
		})
		assert.Empty(t, p.about(t, "ann@example.com of "+version), "the policy takes addresses away")
	}
	serves("1.0.0")
	n.put(t, string(newer))
	serves("1.1.0")
	for name, bundle := range map[string][]byte{"is of revision": older, "": tampered} {
		n.put(t, string(bundle))
		testkit.Eventually(t, patience, func() error {
			if r := n.status(t).Refused; r == nil || name != "" && !strings.Contains(r.Reason, name) {
				return fmt.Errorf("the bundle is not refused: %+v", r)
			}
			return nil
		})
		serves("1.1.0")
		n.put(t, string(newer)) // takes the refusal away
		testkit.Eventually(t, patience, func() error {
			if n.status(t).Refused != nil {
				return fmt.Errorf("the refusal stays")
			}
			return nil
		})
	}
	// A restart does not make the older one good again, unless who runs the node wants it.
	n.terminate()
	n.put(t, string(older))
	assert.Contains(t, wedgeFails(t, n.args...), "which this node has served")
	require.NoError(t, os.Remove(filepath.Join(n.folder, "bundle.seen")))
	n.start(t)
	serves("1.0.0")
}
