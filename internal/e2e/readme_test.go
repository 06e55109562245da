package e2e

import (
	"bytes"
	"context"
	"encoding/json"
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
	environment := startUp(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", readmeBlock(t, "sh", "x-wedge-(version"))
	cmd.Env = environment
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

// startUp runs wedge up, and returns the environment that it asks for.
func startUp(t *testing.T) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	up := start(t, "up", "--ephemeral", "--data", dir)
	var a struct{ Data, Key string }
	testkit.Eventually(t, startTime, func() error {
		if err := up.alive(); err != nil {
			return err
		}
		return readJSON(filepath.Join(dir, "addresses.json"), &a)
	})
	return append(os.Environ(), "OPENAI_BASE_URL=http://"+a.Data+"/v1", "OPENAI_API_KEY="+a.Key)
}

// TestReadmeStreams loses a connection as the README does, and comes back; and it talks over a WebSocket.
func TestReadmeStreams(t *testing.T) {
	t.Parallel()
	environment, dir := startUp(t), t.TempDir()
	run := func(name string, args ...string) string {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env, cmd.Dir = environment, dir
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.NoError(t, err, "%s %s", out, stderr.String())
		return string(out)
	}
	run("bash", "-c", readmeBlock(t, "sh", "last-event-id")+"\nask > whole")
	files := map[string]string{}
	for _, name := range []string{"part", "rest", "whole"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		files[name] = string(b)
	}
	said := func(sse string) (text string) {
		for line := range strings.Lines(sse) {
			var chunk struct {
				Choices []struct{ Delta struct{ Content string } }
			}
			if data, is := strings.CutPrefix(line, "data: "); is && json.Unmarshal([]byte(data), &chunk) == nil && len(chunk.Choices) > 0 {
				text += chunk.Choices[0].Delta.Content
			}
		}
		return text
	}
	assert.Equal(t, 12, strings.Count(files["part"], "\n"))
	assert.Contains(t, files["rest"], "data: [DONE]")
	assert.NotEmpty(t, said(files["rest"]))
	assert.Equal(t, said(files["whole"]), said(files["part"]+files["rest"]))

	if _, err := exec.LookPath("node"); err != nil {
		skip(t, "node is not installed: make setup installs it where it may")
	}
	if _, err := os.Stat(filepath.Join("js", "node_modules", "ws")); err != nil {
		skip(t, "internal/e2e/js has no node_modules: make setup installs them")
	}
	modules, err := filepath.Abs(filepath.Join("js", "node_modules"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "talk.mjs"), []byte(readmeBlock(t, "js", "ResponsesWS")), 0o600))
	assert.NotEmpty(t, run("node", "talk.mjs"))
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
