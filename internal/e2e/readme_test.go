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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// readmeBlock is the README's only block of code in a language that holds a text.
func readmeBlock(t *testing.T, language, holds string) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	var found []string
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllStringSubmatch(string(readme), -1) {
		if m[1] == language && strings.Contains(m[2], holds) {
			found = append(found, m[2])
		}
	}
	require.Len(t, found, 1, "blocks of %q in README.md that hold %q", language, holds)
	return found[0]
}

// TestReadmeExample does what the README asks of its reader, and compares what comes with what it shows: the same
// headers in the same order, and a miss before a hit. Values that depend on the reader's key may differ.
func TestReadmeExample(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	up := start(t, "up", "--ephemeral", "--data", dir)
	var a struct{ Data, Key string }
	testkit.Eventually(t, startTime, func() error {
		if err := up.alive(); err != nil {
			return err
		}
		return readJSON(filepath.Join(dir, "addresses.json"), &a)
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", readmeBlock(t, "sh", "curl"))
	cmd.Env = append(os.Environ(), "OPENAI_BASE_URL=http://"+a.Data+"/v1", "OPENAI_API_KEY="+a.Key)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	names, values := headersOf(string(out))
	wantNames, wantValues := headersOf(readmeBlock(t, "", "X-Wedge-Cache"))
	assert.Equal(t, wantNames, names, string(out))
	assert.Equal(t, []string{"miss", "hit-memory"}, values["x-wedge-cache"])
	assert.Equal(t, wantValues["x-wedge-cache"], values["x-wedge-cache"])
}

// headersOf splits lines of headers into their names in order, in lower case, and the values of each.
func headersOf(text string) (names []string, values map[string][]string) {
	values = map[string][]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name = strings.ToLower(name)
		names = append(names, name)
		values[name] = append(values[name], value)
	}
	return names, values
}

// TestReadmeCatalog checks the README's catalog.
func TestReadmeCatalog(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	require.NoError(t, os.WriteFile(file, []byte(readmeBlock(t, "yaml", "providers:")), 0o600))
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "check", file).CombinedOutput()
	require.NoError(t, err, string(out))
	assert.NotContains(t, string(out), "warning", "a node of this build takes it")
}

// TestCommandsAboutMoney asks for help with each command of the page, with its flags as they stand there.
func TestCommandsAboutMoney(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, b := range docBlocks(t, "../../docs/MONEY.md") {
		if b.language != "sh" {
			continue
		}
		for line := range strings.Lines(b.text) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " >")
			ctx, cancel := context.WithTimeout(context.Background(), startTime)
			out, err := exec.CommandContext(ctx, "bash", "-c", strings.Replace(line, "wedge", binary, 1)+" --help").CombinedOutput()
			cancel()
			require.NoError(t, err, "%s: %s", line, out)
			assert.NotContains(t, string(out), "Usage: wedge <command>", line)
			commands++
		}
	}
	assert.Greater(t, commands, 4)
}

// TestDocumentedCatalogs checks the catalogs of the reference and of what is written about money. Only webhooks are not a
// node's to serve.
func TestDocumentedCatalogs(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"CATALOG.md", "MONEY.md"} {
		for i, b := range docBlocks(t, "../../docs/"+page) {
			if b.language != "yaml" {
				continue
			}
			file := filepath.Join(t.TempDir(), "catalog.yaml")
			require.NoError(t, os.WriteFile(file, []byte(b.text), 0o600))
			ctx, cancel := context.WithTimeout(context.Background(), startTime)
			out, err := exec.CommandContext(ctx, binary, "check", file).CombinedOutput()
			cancel()
			require.NoError(t, err, "block %d of %s: %s", i, page, out)
			if !strings.Contains(b.text, "webhooks:") {
				assert.NotContains(t, string(out), "warning", "block %d of %s", i, page)
			}
		}
	}
}
