package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

const policiesDoc = "../../docs/POLICIES.md"

// docBlock is a fenced block of a page.
type docBlock struct{ language, text string }

func docBlocks(t *testing.T, page string) (blocks []docBlock) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, docBlock{m[1], m[2]})
	}
	return blocks
}

// docShell runs blocks of commands one after the other, as in one shell.
type docShell struct {
	dir, path string
	ports     *strings.Replacer // addresses on the page: free ones
	state     string            // a file with variables and functions
}

// awaitModules is what the test does where the page's reader waits a moment.
const awaitModules = `
for module in */policy.wasm; do
  digest=$(sha256sum "$module" | cut -d' ' -f1)
  for ((i = 0; i < 300; i++)); do
    if curl -s http://127.0.0.1:8081/status | grep -q "$digest"; then break; fi
    sleep 0.1
  done
done
`

func (s *docShell) run(t *testing.T, commands string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	commands = regexp.MustCompile(`(?m)^sleep \d+$`).ReplaceAllLiteralString(commands, awaitModules)
	script := "set -aeuo pipefail\nif [[ -e $STATE ]]; then source $STATE; fi\n" + s.ports.Replace(commands) +
		"\nexport -p > $STATE\ndeclare -f >> $STATE\n"
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "STATE="+s.state, "PATH="+s.path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s\n%s%s", commands, out, stderr.String())
	return string(out)
}

var (
	measured = regexp.MustCompile(`\b[0-9a-f]{64}\b|[0-9][0-9.e+]*( (ns|µs|ms|s)\b)?`)
	spaces   = regexp.MustCompile(`[ -]+`)
)

// repeatable is an output without what differs from machine to machine, if it is one of measurements.
func repeatable(text string) string {
	if !strings.Contains(text, "sha256:") {
		return text
	}
	return spaces.ReplaceAllString(measured.ReplaceAllString(text, "N"), " ")
}

// TestPoliciesPage does what the page asks of its reader, in its order, and compares what comes with what it shows.
func TestPoliciesPage(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"clang", "wasm-ld", "go", "curl"} {
		needTool(t, tool)
	}
	s := newDocShell(t)
	data, admin, sim := testkit.FreeAddr(t), testkit.FreeAddr(t), testkit.FreeAddr(t)
	s.ports = strings.NewReplacer("127.0.0.1:8080", data, "127.0.0.1:8081", admin, "127.0.0.1:9090", sim)
	out, compared := "", 0
	for _, b := range docBlocks(t, policiesDoc) {
		switch {
		case b.language == "sh" && strings.HasPrefix(b.text, "wedge up "):
			require.Equal(t, "wedge up --catalog catalog.yaml\n", b.text)
			s.startUp(t, "--listen", data, "--admin", admin, "--sim-listen", sim)
		case b.language == "sh":
			out = s.run(t, b.text)
		case b.language == "text":
			assert.Equal(t, repeatable(b.text), repeatable(out))
			compared++
		case b.language == "c":
			source, err := os.ReadFile(filepath.Join(s.dir, "long-prompts", "policy.c"))
			require.NoError(t, err)
			assert.Contains(t, string(source), b.text)
		case b.language == "yaml":
			writeFile(t, filepath.Join(s.dir, "excerpt.yaml"), b.text)
			assert.Contains(t, s.run(t, "wedge check excerpt.yaml"), ": ok: ")
		}
	}
	assert.Greater(t, compared, 8)
}

func newDocShell(t *testing.T) *docShell {
	t.Helper()
	dir, bin := t.TempDir(), t.TempDir()
	absolute, err := filepath.Abs(binary)
	require.NoError(t, err)
	require.NoError(t, os.Symlink(absolute, filepath.Join(bin, "wedge")))
	return &docShell{dir: dir, path: bin + string(filepath.ListSeparator) + os.Getenv("PATH"), state: filepath.Join(bin, "state")}
}

// startUp serves the page's catalog.
func (s *docShell) startUp(t *testing.T, args ...string) {
	t.Helper()
	folder := filepath.Join(s.dir, "wedge-data")
	up := start(t, append([]string{"up", "--catalog", filepath.Join(s.dir, "catalog.yaml"), "--data", folder}, args...)...)
	var addresses struct{ Data string }
	testkit.Eventually(t, startTime, func() error {
		if err := up.alive(); err != nil {
			return err
		}
		return readJSON(filepath.Join(folder, "addresses.json"), &addresses)
	})
}

// needTool skips the test without a tool, except where nothing may be skipped unseen.
func needTool(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err == nil {
		return
	}
	const why = " is not installed: scripts/setup.sh installs what policies are built with"
	if os.Getenv("CI") == "true" {
		t.Fatal(tool + why)
	}
	t.Skip(tool + why)
}
