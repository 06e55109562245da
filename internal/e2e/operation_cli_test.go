package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// refusedStart runs wedge, which must end with exit code 1, print nothing and complain in good order; it returns the lines
// of its complaint.
func refusedStart(t *testing.T, args ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	var stdout, stderr strings.Builder
	cmd := exec.CommandContext(ctx, binary, args...)
	dieWithParent(cmd)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // its exit code is looked at
	assert.Equal(t, 1, cmd.ProcessState.ExitCode(), "%v: %s", args, stderr.String())
	assert.Empty(t, stdout.String())
	return strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
}

// smallCatalog is a catalog with one model and, with a reference, a provider's secret.
func smallCatalog(p *provider, secret string) string {
	more := ""
	if secret != "" {
		more = fmt.Sprintf(`, api_key: "%s"`, secret)
	}
	return (&catalog{}).at("sim", p.addr, more).model("m", "", target("sim", "x", "")).key("ann", "").String()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	busy, dir := taken.Addr().String(), t.TempDir()
	file := filepath.Join(dir, "catalog.yaml")
	writeFile(t, file, "models: []\n")
	const free = "127.0.0.1:0"
	for name, c := range map[string]struct {
		args []string
		flag string
	}{
		"edge":       {[]string{"edge", "--catalog", file, "--listen", busy, "--admin", free}, "--listen"},
		"edge admin": {[]string{"edge", "--catalog", file, "--listen", free, "--admin", busy}, "--admin"},
		"nonsense":   {[]string{"edge", "--catalog", file, "--listen", "nonsense", "--admin", free}, "--listen"},
		"up":         {[]string{"up", "--listen", busy, "--admin", free, "--sim-listen", free, "--origin-listen", free}, "--listen"},
		"up admin":   {[]string{"up", "--listen", free, "--admin", busy, "--sim-listen", free, "--origin-listen", free}, "--admin"},
		"up origin":  {[]string{"up", "--listen", free, "--admin", free, "--sim-listen", free, "--origin-listen", busy}, "--origin-listen"},
		"origin":     {[]string{"origin", "--listen", busy}, "--listen"},
		"up sim":     {[]string{"up", "--listen", free, "--admin", free, "--sim-listen", busy}, "--sim-listen"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := refusedStart(t, append(c.args, "--data", filepath.Join(dir, "data"))...)
			require.Len(t, lines, 1)
			assert.True(t, strings.HasPrefix(lines[0], "wedge: cannot listen on "), lines[0])
			assert.Contains(t, lines[0], "choose another address with "+c.flag)
		})
	}
}

// TestTokenCannotBeKept has an admin port that wants a token, and nowhere to keep one.
func TestTokenCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	writeFile(t, file, "models: []\n")
	lines := refusedStart(t, "edge", "--catalog", file, "--data", filepath.Join(file, "data"), "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0")
	last := lines[len(lines)-1]
	assert.True(t, strings.HasPrefix(last, "wedge: cannot keep the token of the admin port: "), last)
	assert.Contains(t, last, "WEDGE_ADMIN_TOKEN")
}

// TestBadCatalogAtStart wants one line for each problem, and none about a last good catalog that there never was.
func TestBadCatalogAtStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "catalog.yaml")
	base := []string{"edge", "--catalog", file, "--data", filepath.Join(dir, "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"missing": {"", []string{"cannot read the catalog: "}},
		"faults":  {"nope: 1\nmodels:\n  - {name: m, versions: []}\n", []string{file + ":1:1: nope: ", file + ":3:"}},
		"secrets": {
			"providers:\n  - {name: p, dialect: openai, base_url: \"http://127.0.0.1:1/v1\", api_key: \"file:one\"}\n" +
				"  - {name: q, dialect: openai, base_url: \"http://127.0.0.1:1/v1\", api_key: \"file:two\"}\n" +
				"models:\n  - {name: m, versions: [{version: 1.0.0, status: production, targets: [{provider: p, model: x}]}]}\n",
			[]string{"provider p: ", "provider q: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_ = os.Remove(file)
			if c.text != "" {
				writeFile(t, file, c.text)
			}
			lines := refusedStart(t, base...)
			require.Len(t, lines, len(c.want), "%q", lines)
			for i, want := range c.want {
				assert.True(t, strings.HasPrefix(lines[i], "wedge: cannot serve the catalog: "+want), lines[i])
			}
		})
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "edge.yaml")
	writeFile(t, file, "listen: \":0\"\nnope: 1\ndrain: soon\ncache_disk: 5 apples\nlisten: \":1\"\n")
	lines := refusedStart(t, "edge", "--config", file)
	require.Len(t, lines, 1)
	assert.Equal(t, fmt.Sprintf(`wedge: %[1]s:2: unknown setting "nope"; %[1]s:3: setting "drain": want a time such as 30s; `+
		`%[1]s:4: setting "cache_disk": want a size such as 64MiB; %[1]s:5: setting "listen" stands twice`, file), lines[0])
}

// TestSecretFiles rotates a secret, takes it away, and brings it back, without a change of the catalog.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	secret := filepath.Join(t.TempDir(), "secret")
	writeFile(t, secret, "first\n")
	n := startNode(t, smallCatalog(p, "file:"+secret))
	ann := n.as(t, "ann")
	wantKey := func(key string) {
		t.Helper()
		testkit.Eventually(t, 5*time.Second, func() error {
			if a := ann.chat(ask("m", "who am I?")); a.status != 200 {
				return errors.New(a.brief())
			}
			log := p.requests(t)
			if got := log[len(log)-1].Headers["authorization"]; got != fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("Bearer "+key))) {
				return fmt.Errorf("the provider was shown another key than %q: %s", key, got)
			}
			return nil
		})
	}
	wantKey("first")
	writeFile(t, secret, "second\n")
	wantKey("second")

	wantRefused := func(want bool) {
		t.Helper()
		testkit.Eventually(t, 5*time.Second, func() error {
			if refused := n.status(t).Refused; (refused != nil) != want {
				return fmt.Errorf("refused: %+v", refused)
			}
			return nil
		})
	}
	require.NoError(t, os.Remove(secret))
	wantRefused(true)
	assert.Contains(t, n.status(t).Refused.Reason, secret)
	wantKey("second") // the last good one

	later := filepath.Join(t.TempDir(), "later")
	writeFile(t, n.catalog, smallCatalog(p, "file:"+later))
	testkit.Eventually(t, 5*time.Second, func() error {
		if refused := n.status(t).Refused; refused == nil || !strings.Contains(refused.Reason, later) {
			return fmt.Errorf("refused: %+v", refused)
		}
		return nil
	})
	writeFile(t, later, "third")
	wantRefused(false)
	wantKey("third")
	assert.NotContains(t, n.output("stderr"), "second")
}

// TestSecondNodeOnAFolder starts a node in the data folder of another.
func TestSecondNodeOnAFolder(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	first := startNode(t, smallCatalog(p, ""))
	file := filepath.Join(first.folder, "addresses.json")
	before, err := os.ReadFile(file)
	require.NoError(t, err)

	second := &node{process: start(t, first.args...)}
	testkit.Eventually(t, startTime, func() error {
		if err := second.alive(); err != nil {
			return err
		}
		_, err := fmt.Sscanf(lastLine(second.output("stdout")), readyLine, new(string), &second.data, &second.admin)
		return err
	})
	second.admin = strings.TrimSuffix(second.admin, ")")
	second.data = strings.TrimSuffix(second.data, "/v1")
	assert.NotEqual(t, first.data, second.data)
	assert.Equal(t, 200, second.as(t, "ann").chat(ask("m", "hello")).status)
	notes := notesOf(t, second)
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], "addresses.json is the other process's")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(before), string(after))
	assert.Empty(t, notesOf(t, first))
}

const readyLine = "node %s is ready: http://%s (admin http://%s"

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func notesOf(t *testing.T, n *node) []string {
	t.Helper()
	var status struct{ Notes []string }
	n.operator(t).getJSON("/status", &status)
	return status.Notes
}

// TestCorruptStoreIsTold damages the store between two runs.
func TestCorruptStoreIsTold(t *testing.T) {
	t.Parallel()
	n := startNode(t, smallCatalog(startProvider(t), ""))
	n.terminate()
	manifest := filepath.Join(n.folder, "store", "kv", "MANIFEST")
	require.FileExists(t, manifest)
	writeFile(t, manifest, "nothing of the kind")
	n.start(t)
	notes := notesOf(t, n)
	require.Len(t, notes, 1)
	aside, err := filepath.Glob(filepath.Join(n.folder, "store.corrupt-*"))
	require.NoError(t, err)
	require.Len(t, aside, 1)
	assert.Contains(t, notes[0], aside[0])
}

// TestStandardOutput logs requests to standard output: nothing else stands there, and the ready line names an address
// that one can connect to.
func TestStandardOutput(t *testing.T) {
	t.Parallel()
	n := startNode(t, smallCatalog(startProvider(t), ""), "--access-log", "-", "--listen", ":0")
	host, _, err := net.SplitHostPort(n.data)
	require.NoError(t, err)
	assert.Equal(t, "localhost", host)
	assert.Contains(t, n.output("stderr"), "is ready: http://"+n.data+"/v1")
	require.Equal(t, 200, n.as(t, "ann").chat(ask("m", "hello")).status)
	n.terminate()
	lines := strings.Split(strings.TrimSpace(n.output("stdout")), "\n")
	require.Len(t, lines, 1)
	assert.True(t, json.Valid([]byte(lines[0])), lines[0])
}

// TestTokenFile takes a token that an editor has ended with a line break.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	n := startNode(t, smallCatalog(startProvider(t), ""))
	n.terminate()
	writeFile(t, filepath.Join(n.folder, "node.token"), "my token\n")
	n.args = append(n.args, "--admin", net.JoinHostPort(outsideAddress(t), "0"))
	n.start(t)
	assert.Equal(t, 200, n.operator(t).get("/status", "authorization", "Bearer my token").status)
	assert.Equal(t, 401, n.operator(t).get("/status", "authorization", "Bearer my").status)
}

// TestAdminPortAndPages asks as browsers do for pages.
func TestAdminPortAndPages(t *testing.T) {
	t.Parallel()
	n := startNode(t, smallCatalog(startProvider(t), ""), "--admin-token", canary)
	admin := n.operator(t)
	for site, want := range map[string]int{"none": 200, "same-origin": 200, "same-site": 403, "cross-site": 403, "nonsense": 403} {
		assert.Equal(t, want, admin.get("/status", "Sec-Fetch-Site", site).status, site)
	}
	assert.Equal(t, 200, admin.get("/status", "Host", "LocalHost").status)
	a := admin.get("/debug/pprof/cmdline")
	assert.Equal(t, 404, a.status)
	assert.NotContains(t, a.body, canary)
}
