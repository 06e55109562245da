package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

// serverProgram finds a program that Debian keeps where only root looks.
func serverProgram(t testing.TB, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// startFront runs somebody else's proxy in the foreground until the test is over, and waits until it listens.
func startFront(t testing.TB, listen, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	testkit.Eventually(t, startTime, func() error {
		conn, err := net.Dial("tcp", listen)
		if err != nil {
			text, _ := os.ReadFile(log.Name())
			return fmt.Errorf("%s does not listen: %w\n%s", program, err, text)
		}
		return conn.Close()
	})
}

// frontOf starts a proxy in front of a node, with a server of nginx or sections of HAProxy as its users write them.
func frontOf(t testing.TB, n *node, kind, config string) (addr string) {
	t.Helper()
	addr = testkit.FreeAddr(t)
	dir := t.TempDir()
	config = strings.NewReplacer("127.0.0.1:8080", n.data, "listen 80;", "listen "+addr+";", "bind :80", "bind "+addr).Replace(config)
	require.Contains(t, config, addr)
	require.Contains(t, config, n.data)
	file := filepath.Join(dir, "config")
	if kind == "nginx" {
		paths := ""
		for _, name := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			paths += fmt.Sprintf("%s_temp_path %s/%s;\n", name, dir, name)
		}
		config = fmt.Sprintf("daemon off;\nworker_processes 1;\npid %s/pid;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n%s%s}\n", dir, paths, config)
		if os.Getuid() == 0 {
			config = "user root;\n" + config
		}
	}
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))
	if kind == "nginx" {
		startFront(t, addr, serverProgram(t, kind), "-p", dir, "-e", "stderr", "-c", file)
	} else {
		startFront(t, addr, serverProgram(t, kind), "-db", "-f", file)
	}
	return addr
}

// documentedFront is the configuration that docs/STREAMS.md shows.
func documentedFront(t *testing.T, kind string) string {
	t.Helper()
	for _, b := range docBlocks(t, "../../docs/STREAMS.md") {
		if b.language == kind {
			return b.text
		}
	}
	t.Fatalf("docs/STREAMS.md shows no configuration of %s", kind)
	return ""
}

// TestFronts puts nginx and HAProxy before a node, as the documentation says and as nginx is if nobody says anything:
// with HTTP/1.0, buffers, and a connection for each request.
func TestFronts(t *testing.T) {
	t.Parallel()
	p := startProvider(t)
	n := startNode(t, (&catalog{}).at("sim", p.addr, "").key("ann", "").
		model("m", "", target("sim", "x;tokens=8;chunks=8;tps=10", "")).
		model("cut", "", target("sim", "x;tokens=20;chunks=20;fail=cut;fail_after=5", "")).
		model("quick", "", target("sim", "x", "")).String())
	for name, front := range map[string]struct {
		kind, config string
		sockets      bool
	}{
		"nginx as it is":        {"nginx", "server { listen 80; location / { proxy_pass http://127.0.0.1:8080; } }", false},
		"nginx as documented":   {"nginx", documentedFront(t, "nginx"), true},
		"haproxy as documented": {"haproxy", documentedFront(t, "haproxy"), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := frontOf(t, n, front.kind, front.config)
			c := newClient(t, addr, keyOf("ann"))
			whole := c.chat(ask("quick", "hello"))
			require.Equal(t, 200, whole.status, whole.body)
			assert.Contains(t, whole.body, `"choices"`)
			c.chat(ask("nothing", "hello")).wantError(t, 404, "unknown_model")

			t.Run("event by event", func(t *testing.T) {
				about := name + " event by event"
				resp := c.open(t.Context(), ask("m", about, streamed))
				defer resp.Body.Close()
				require.Equal(t, 200, resp.StatusCode)
				r := bufio.NewReader(resp.Body)
				line, err := r.ReadString('\n')
				require.NoError(t, err)
				assert.True(t, strings.HasPrefix(line, "data: "), line)
				assert.Equal(t, "open", p.about(t, about)[0].State, "the first event came before the provider was done")
				rest, err := io.ReadAll(r)
				require.NoError(t, err)
				assert.True(t, strings.HasSuffix(string(rest), "data: [DONE]\n\n"), string(rest))
				assert.Equal(t, 1, strings.Count(string(rest), `: wedge {"cost_usd"`))
			})
			t.Run("an honest end", func(t *testing.T) {
				a := c.chat(ask("cut", name+" honest", streamed))
				assert.Contains(t, a.body, `"error":{`)
				assert.NotContains(t, a.body, "[DONE]")
			})
			t.Run("a client that leaves", func(t *testing.T) {
				about := name + " leaves"
				resp := c.open(t.Context(), ask("m", about, streamed))
				_, err := bufio.NewReader(resp.Body).ReadString('\n')
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				p.awaitState(t, about, "client_gone", 2*time.Second)
			})
			if !front.sockets {
				return
			}
			t.Run("a WebSocket", func(t *testing.T) {
				ws, _, err := websocket.Dial(t.Context(), "ws://"+addr+"/v1/responses", &websocket.DialOptions{
					HTTPHeader: http.Header{"Authorization": {"Bearer " + keyOf("ann")}},
				})
				require.NoError(t, err)
				defer func() { _ = ws.CloseNow() }()
				require.NoError(t, ws.Write(t.Context(), websocket.MessageText, []byte(`{"type":"response.create","model":"quick","input":"hi"}`)))
				for {
					_, text, err := ws.Read(t.Context())
					require.NoError(t, err)
					if strings.Contains(string(text), `"type":"response.completed"`) {
						break
					}
				}
				assert.NoError(t, ws.Close(websocket.StatusNormalClosure, ""))
			})
		})
	}
}
