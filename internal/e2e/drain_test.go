package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func drainNode(t *testing.T, args ...string) (*node, *provider) {
	p := startProvider(t)
	return startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("paced", "", target("sim", "x;tps=40;tokens=60", "")).
		model("endless", "", target("sim", "x;tps=0.1;tokens=60", "")).String(), args...), p
}

// TestDrain asks the node to end while a stream runs.
func TestDrain(t *testing.T) {
	t.Parallel()
	n, p := drainNode(t)
	waiting, err := net.Dial("tcp", n.data) // a connection on which nothing was asked yet
	require.NoError(t, err)
	defer waiting.Close()

	resp := n.as(t, "ann").open(context.Background(), ask("paced", "drain", streamed))
	begin := readSome(t, resp)
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
	testkit.Eventually(t, time.Second, func() error {
		if a := n.operator(t).get("/readyz"); a.status != 503 {
			return fmt.Errorf("/readyz says %d", a.status)
		}
		return nil
	})
	refuseNew(t, waiting)
	assert.Equal(t, 200, n.operator(t).get("/healthz").status, "it is alive until its end")

	rest, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	got := (&answer{resp.StatusCode, resp.Header, begin + string(rest)}).said(t)
	assert.True(t, got.done)
	assert.Equal(t, p.client(t).chat(ask("x;tokens=60", "drain")).said(t).text, got.text)
	n.wantEnd(t, 3*time.Second)
}

// refuseNew asks on a connection of a draining node.
func refuseNew(t *testing.T, conn net.Conn) {
	t.Helper()
	body := ask("paced", "too late")
	_, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", chatPath, keyOf("ann"), len(body), body)
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	(&answer{resp.StatusCode, resp.Header, string(b)}).wantError(t, 503, "draining")
	assert.True(t, resp.Close, "the connection is not for another request")
}

// wantEnd waits for the node's good end.
func (n *node) wantEnd(t *testing.T, within time.Duration) {
	t.Helper()
	select {
	case <-n.ended:
		assert.Equal(t, 0, n.cmd.ProcessState.ExitCode())
	case <-time.After(within):
		assert.Fail(t, "the node has not ended")
	}
}

// TestDrainEnds asks the node to end while a stream runs that would go on for ever.
func TestDrainEnds(t *testing.T) {
	t.Parallel()
	n, _ := drainNode(t, "--drain", "500ms")
	resp := n.as(t, "ann").open(context.Background(), ask("endless", "drain", streamed))
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
	b, _ := io.ReadAll(resp.Body) // cut, or ended with an error
	assert.NotContains(t, string(b), "[DONE]")
	n.wantEnd(t, 5*time.Second)
}

func TestAddressesFile(t *testing.T) {
	t.Parallel()
	n, _ := drainNode(t)
	file := filepath.Join(n.folder, "addresses.json")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	var addresses map[string]string
	require.NoError(t, readJSON(file, &addresses))
	assert.Equal(t, map[string]string{"data": n.data, "admin": n.admin}, addresses)
	assert.Contains(t, n.output("stdout"), n.data)
}

// TestUp runs a whole Wedge as its users meet it first.
func TestUp(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	var key string
	for range 2 {
		up := start(t, "up", "--ephemeral", "--data", dir)
		var a struct{ Data, Admin, Sim, Key string }
		testkit.Eventually(t, startTime, func() error {
			if err := up.alive(); err != nil {
				return err
			}
			return readJSON(filepath.Join(dir, "addresses.json"), &a)
		})
		if key != "" {
			assert.Equal(t, key, a.Key, "the key survives restarts")
		}
		key = a.Key
		c := newClient(t, a.Data, a.Key)
		assert.Equal(t, 200, c.get("/v1/models").status)
		for _, stream := range []string{`"stream":false`, streamed} {
			answer := c.chat(ask("demo", "Why do edges matter?", stream))
			require.Equal(t, 200, answer.status, answer.brief())
			assert.True(t, answer.said(t).done)
		}
		assert.Contains(t, c.do("POST", "/v1/embeddings", `{"model":"demo-embed","input":"edge"}`).body, `"embedding":[`)
		assert.NotEmpty(t, newClient(t, a.Sim, "").get("/sim/stats").body)
		up.terminate()
		require.NoError(t, os.Remove(filepath.Join(dir, "addresses.json")))
	}
}
