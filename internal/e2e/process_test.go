package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

const (
	startTime = 20 * time.Second // a process may take until it is ready, on a busy machine
	endTime   = 15 * time.Second // and after SIGTERM
)

// process is a running wedge whose output goes to files.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	dir    string
	ended  chan struct{}
	killed bool
}

// start runs wedge. The process ends with the test at the latest; it must end well, and must not have panicked.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), ended: make(chan struct{})}
	p.cmd = exec.Command(binary, args...)
	dieWithParent(p.cmd)
	p.cmd.Stdout, p.cmd.Stderr = p.create("stdout"), p.create("stderr")
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // the exit code is looked at by those who care
		close(p.ended)
	}()
	t.Cleanup(p.cleanUp)
	return p
}

func (p *process) create(stream string) *os.File {
	f, err := os.Create(filepath.Join(p.dir, stream))
	require.NoError(p.t, err)
	p.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (p *process) cleanUp() {
	if !p.killed {
		p.terminate()
		assert.Equal(p.t, 0, p.cmd.ProcessState.ExitCode(), "exit code of %v", p.cmd.Args)
	}
	errors := p.output("stderr")
	for _, bad := range []string{"panic", "DATA RACE", "BUG:", "fatal error"} {
		assert.NotContains(p.t, errors, bad)
	}
	if p.t.Failed() {
		p.t.Logf("%v\nstdout:\n%s\nstderr:\n%s", p.cmd.Args, tail(p.output("stdout")), tail(errors))
	}
}

// terminate asks the process to end and waits for it.
func (p *process) terminate() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(endTime):
		p.t.Errorf("%v did not end within %v of SIGTERM", p.cmd.Args, endTime)
		p.kill()
	}
}

// kill ends the process as a power cut would.
func (p *process) kill() {
	p.killed = true
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) alive() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%v has ended: %s", p.cmd.Args, p.output("stderr"))
	default:
		return nil
	}
}

func (p *process) output(stream string) string {
	b, err := os.ReadFile(filepath.Join(p.dir, stream))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(s string) string {
	const most = 6000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// provider is a running wedge sim.
type provider struct {
	*process
	addr string
}

var simAddress = regexp.MustCompile(`http://(\S+)/v1`)

func startProvider(t testing.TB, args ...string) *provider {
	t.Helper()
	p := &provider{process: start(t, append([]string{"sim", "--listen", "127.0.0.1:0"}, args...)...)}
	testkit.Eventually(t, startTime, func() error {
		if err := p.alive(); err != nil {
			return err
		}
		m := simAddress.FindStringSubmatch(p.output("stdout"))
		if m == nil {
			return fmt.Errorf("the provider has not said where it is")
		}
		p.addr = m[1]
		return nil
	})
	return p
}

// node is a running wedge edge.
type node struct {
	*process
	data, admin string // addresses
	folder      string
	catalog     string // the file
	accessLog   string
	args        []string
}

// startNode runs a node that serves a catalog.
func startNode(t testing.TB, catalog string, args ...string) *node {
	t.Helper()
	dir := t.TempDir()
	n := &node{folder: filepath.Join(dir, "data"), catalog: filepath.Join(dir, "catalog.yaml"), accessLog: filepath.Join(dir, "access.log")}
	require.NoError(t, os.WriteFile(n.catalog, []byte(catalog), 0o600))
	n.args = append([]string{"edge", "--catalog", n.catalog, "--data", n.folder, "--listen", "127.0.0.1:0",
		"--admin", "127.0.0.1:0", "--access-log", n.accessLog, "--drain", "5s"}, args...)
	n.start(t)
	return n
}

// start runs the node, or runs it again, and waits until it is ready.
func (n *node) start(t testing.TB) {
	t.Helper()
	file := filepath.Join(n.folder, "addresses.json")
	_ = os.Remove(file) // of the run before
	n.process = start(t, n.args...)
	var addresses struct{ Data, Admin string }
	testkit.Eventually(t, startTime, func() error {
		if err := n.alive(); err != nil {
			return err
		}
		return readJSON(file, &addresses)
	})
	n.data, n.admin = addresses.Data, addresses.Admin
}

// restart ends the node well and runs it again.
func (n *node) restart(t testing.TB) {
	t.Helper()
	n.terminate()
	n.start(t)
}

// log returns the node's access log once it has the given number of lines.
func (n *node) log(t testing.TB, lines int) []byte {
	t.Helper()
	var text []byte
	testkit.Eventually(t, 5*time.Second, func() (err error) {
		if text, err = os.ReadFile(n.accessLog); err != nil {
			return err
		}
		if got := bytes.Count(text, []byte("\n")); got < lines {
			return fmt.Errorf("the access log has %d lines of %d", got, lines)
		}
		return nil
	})
	return text
}
