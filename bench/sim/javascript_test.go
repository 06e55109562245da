package sim_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/bench/sim"
)

// TestJavaScriptSDKs runs testdata/js under Node, file by file: scripted failures could hit another file's requests.
func TestJavaScriptSDKs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Node")
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip(t, "node is not installed: make setup installs it where it may")
	}
	folder, err := filepath.Abs(filepath.Join("testdata", "js"))
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "openai")); err != nil {
		skip(t, "bench/sim/testdata/js has not all node_modules: make setup installs them")
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.test.mjs"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	_, url := start(t, sim.Options{LogSize: 1000})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, files...)...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), "SIM_URL="+url, "NO_COLOR=1")
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
