package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// originProcess is a running wedge origin.
type originProcess struct {
	*process
	url, folder, token string
	args               []string
}

// startOrigin runs an origin on a store of its own, or on the one that args name.
func startOrigin(t testing.TB, args ...string) *originProcess {
	t.Helper()
	o := &originProcess{folder: filepath.Join(t.TempDir(), "origin")}
	o.args = append([]string{"origin", "--data", o.folder, "--listen", net.JoinHostPort(testkit.Loopback(), "0")}, args...)
	o.start(t)
	return o
}

// start runs the origin and waits until it is ready. Run again it keeps its address, as a service does.
func (o *originProcess) start(t testing.TB) {
	t.Helper()
	file := filepath.Join(o.folder, "addresses.json")
	_ = os.Remove(file) // of the run before
	args := o.args
	if o.url != "" {
		args = append(append([]string(nil), args...), "--listen", strings.TrimPrefix(o.url, "http://"))
	}
	o.process = start(t, args...)
	var addresses struct{ Origin string }
	testkit.Eventually(t, startTime, func() error {
		if err := o.alive(); err != nil {
			return err
		}
		return readJSON(file, &addresses)
	})
	o.url = addresses.Origin
	token, err := os.ReadFile(filepath.Join(o.folder, "admin.token"))
	if err == nil { // the first origin of a store has it
		o.token = strings.TrimSpace(string(token))
	}
}

// command is a command line of the operator's.
func (o *originProcess) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = append(os.Environ(), "WEDGE_ORIGIN="+o.url, "WEDGE_TOKEN="+o.token)
	return cmd
}

// wedge runs a command of the operator's, which must succeed, and returns what it prints.
func (o *originProcess) wedge(t testing.TB, args ...string) string {
	t.Helper()
	var out, problems strings.Builder
	cmd := o.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &problems
	require.NoError(t, cmd.Run(), "wedge %s\n%s%s", strings.Join(args, " "), out.String(), problems.String())
	return out.String()
}

// refuse runs a command of the operator's, which must fail, and returns what it says.
func (o *originProcess) refuse(t testing.TB, args ...string) string {
	t.Helper()
	out, err := o.command(args...).CombinedOutput()
	require.Error(t, err, "wedge %s\n%s", strings.Join(args, " "), out)
	return string(out)
}

// apply makes a catalog true.
func (o *originProcess) apply(t testing.TB, catalog string, args ...string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "catalog.yaml")
	require.NoError(t, os.WriteFile(file, []byte(catalog), 0o600))
	o.wedge(t, append([]string{"apply", file, "--yes"}, args...)...)
}

// get reads JSON from the origin.
func (o *originProcess) get(t testing.TB, path string, into any) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, o.url+path, nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode, path)
	require.NoError(t, json.NewDecoder(resp.Body).Decode(into))
}

// post sends JSON to the origin and returns the status; 0 if no answer came.
func (o *originProcess) post(path, body string) int {
	req, err := http.NewRequest(http.MethodPost, o.url+path, strings.NewReader(body))
	if err != nil {
		panic(err) // the test's own words
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// soaked is how often something is done: often in make soak, less often otherwise.
func soaked(often, otherwise int) int {
	switch {
	case os.Getenv("WEDGE_SOAK") == "1":
		return often
	case testing.Short():
		return min(otherwise, 5)
	}
	return otherwise
}

// joined runs a node that follows the origins, the first of which invites it, and waits until it serves.
func joined(t testing.TB, name string, origins ...*originProcess) *node {
	t.Helper()
	n := invited(t, name, origins...)
	n.start(t)
	return n
}

// invited is a node that follows the origins and has not been started.
func invited(t testing.TB, name string, origins ...*originProcess) *node {
	t.Helper()
	token := lastWord(origins[0].wedge(t, "node", "invite"))
	var urls []string
	for _, o := range origins {
		urls = append(urls, o.url)
	}
	dir := t.TempDir()
	n := &node{folder: filepath.Join(dir, "data"), accessLog: filepath.Join(dir, "access.log")}
	n.args = []string{"edge", "--origin", strings.Join(urls, ","), "--join", token, "--name", name, "--data", n.folder,
		"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--access-log", n.accessLog, "--drain", "5s"}
	return n
}

func lastWord(s string) string {
	words := strings.Fields(s)
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// revision is the origin's head.
func (o *originProcess) revision(t testing.TB) (rev int64) {
	t.Helper()
	var fleet struct{ Rev int64 }
	o.get(t, "/api/v1/fleet", &fleet)
	return fleet.Rev
}

// arrive waits until a node has a revision in use.
func (n *node) arrive(t testing.TB, rev int64) {
	t.Helper()
	testkit.Eventually(t, patience, func() error {
		var s struct{ Origin struct{ Rev int64 } }
		n.operator(t).getJSON("/status", &s)
		if s.Origin.Rev < rev {
			return fmt.Errorf("the node has revision %d of %d", s.Origin.Rev, rev)
		}
		return nil
	})
}
