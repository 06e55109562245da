package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSocketSDKs runs the official SDKs' WebSockets against a node with TLS, which some of them insist on.
func TestSocketSDKs(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("node")
	if err != nil {
		skip(t, "node is not installed: make setup installs it where it may")
	}
	if _, err := os.Stat(filepath.Join("js", "node_modules", "ws")); err != nil {
		skip(t, "internal/e2e/js has no node_modules: make setup installs them")
	}
	p := startProvider(t)
	c := (&catalog{}).at("openai", p.addr, "").key("ann", "").model("to-openai", "", target("openai", "m", ""))
	c.providers = append(c.providers, `{name: anthropic, dialect: anthropic, base_url: "http://`+p.addr+`/v1"}`, `{name: gemini, dialect: gemini, base_url: "http://`+p.addr+`/v1beta"}`)
	c.model("to-anthropic", "", target("anthropic", "m", "")).model("to-gemini", "", target("gemini", "m", ""))
	cert, key := selfSigned(t, t.TempDir())
	n := startNode(t, c.String(), "--tls-cert", cert, "--tls-key", key)
	programs, err := filepath.Glob(filepath.Join("js", "sockets", "*.test.mjs"))
	require.NoError(t, err)
	require.NotEmpty(t, programs)
	for _, file := range programs {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		cmd := exec.CommandContext(ctx, program, "--test", "--test-reporter=spec", file)
		cmd.Env = append(os.Environ(), "WEDGE_URL=https://"+n.data+"/v1", "WEDGE_KEY="+keyOf("ann"), "NODE_EXTRA_CA_CERTS="+cert, "NO_COLOR=1",
			"WEDGE_MODELS="+strings.Join([]string{"to-openai", "to-anthropic", "to-gemini"}, ","))
		out, err := cmd.CombinedOutput()
		cancel()
		require.NoError(t, err, string(out))
	}
}
