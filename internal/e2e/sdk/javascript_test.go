package sdk

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// jsTime is for all tests of the JavaScript SDK.
const jsTime = 3 * time.Minute

// TestJavaScriptSDK runs internal/e2e/js under Node against the same wedge: file by file, for scripted failures could
// hit the requests of another file.
func TestJavaScriptSDK(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		skip(t, "node is not installed: make setup installs it where it may")
	}
	folder, err := filepath.Abs(filepath.Join("..", "js"))
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "openai")); err != nil {
		skip(t, "internal/e2e/js has no node_modules: make setup installs them")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.test.mjs"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	ctx, cancel := context.WithTimeout(t.Context(), jsTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, files...)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "WEDGE_URL="+wedge.url(), "WEDGE_KEY="+wedge.Key, "WEDGE_SIM=http://"+wedge.Sim,
		"WEDGE_ADMIN=http://"+wedge.Admin, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Logf("%s", out)
}

// skip skips the test, except where nothing may be skipped unseen.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}
