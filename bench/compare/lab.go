package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/wedge-proxy/wedge/bench/internal/proc"
)

// benchKey is the key whose hash stands in bench/catalog.yaml.
const benchKey = "wk_benchbench01_notasecretonlyforbenchmarks"

// readyWithin bounds how long any process may take to be ready.
const readyWithin = 20 * time.Second

// lab builds what is measured and runs it on loopback ports below one scratch folder.
type lab struct {
	dir      string
	provider string // address of the simulated provider of the set under way
	running  []*proc.Child
	started  int
}

// subject is one process tree under the same load as its rivals.
type subject struct {
	name  string
	addr  string
	admin string // of a node
	model string // asked of a node
	key   string // shown to a node
	own   bool   // a node: it wants the model and the key
	child *proc.Child
}

func (l *lab) bin(name string) string { return filepath.Join(l.dir, name) }

// build compiles the node, stripped as it is shipped, and the floors.
func (l *lab) build(ctx context.Context) error {
	for _, name := range []string{"./cmd/wedge", "./bench/floor"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-ldflags", "-s -w", "-o", l.bin(filepath.Base(name)), name)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s: %w: %s", name, err, out)
		}
	}
	return nil
}

// start runs a command whose arguments may name {listen}, a free address that it shall serve.
func (l *lab) start(ctx context.Context, name string, argv ...string) (*subject, error) {
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	return l.startAt(ctx, name, addr, argv...)
}

func (l *lab) startAt(ctx context.Context, name, addr string, argv ...string) (*subject, error) {
	for i := range argv {
		argv[i] = strings.ReplaceAll(argv[i], "{listen}", addr)
	}
	l.started++
	log := filepath.Join(l.dir, fmt.Sprintf("%03d-%s.log", l.started, name))
	child, err := proc.Start(name, log, argv...)
	if err != nil {
		return nil, err
	}
	l.running = append(l.running, child)
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := child.Await(ctx, func() bool { return proc.Listening(addr) }); err != nil {
		return nil, err
	}
	return &subject{name: name, addr: addr, child: child}, nil
}

// stopAll ends what was started, last first.
func (l *lab) stopAll() {
	for i := len(l.running) - 1; i >= 0; i-- {
		l.running[i].Stop()
	}
	l.running = nil
}

func (l *lab) startProvider(ctx context.Context) error {
	sim, err := l.start(ctx, direct, l.bin("wedge"), "sim", "--listen", "{listen}", "--log-size", "0")
	if err != nil {
		return err
	}
	l.provider = sim.addr
	return nil
}

func (l *lab) startFloor(ctx context.Context, mode string) (*subject, error) {
	return l.start(ctx, "floor-"+mode, l.bin("floor"), "-mode", mode, "-listen", "{listen}", "-upstream", l.provider)
}

// startNode runs a node on an empty data folder with a catalog and waits until it says it is ready.
func (l *lab) startNode(ctx context.Context, catalog source, flags ...string) (*subject, error) {
	admin, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	data, err := os.MkdirTemp(l.dir, "data")
	if err != nil {
		return nil, fmt.Errorf("cannot make a data folder: %w", err)
	}
	path, err := l.catalog(catalog, data)
	if err != nil {
		return nil, err
	}
	argv := append([]string{l.bin("wedge"), "edge", "--catalog", path, "--data", filepath.Join(data, "node"),
		"--listen", "{listen}", "--admin", admin, "--access-log", filepath.Join(data, "access.log")}, flags...)
	s, err := l.start(ctx, node, argv...)
	if err != nil {
		return nil, err
	}
	s.own, s.admin = true, admin
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	return s, s.child.Await(ctx, func() bool { return isReady(admin) })
}

// isReady asks a node's admin port.
func isReady(admin string) bool {
	resp, err := http.Get("http://" + admin + "/readyz")
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// catalog writes a catalog with the provider's address into a folder. Paths of modules, which count from bench, stay
// what they mean.
func (l *lab) catalog(from source, dir string) (path string, err error) {
	text, err := from()
	if err != nil {
		return "", err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return "", fmt.Errorf("cannot tell where the repository lies: %w", err)
	}
	text = bytes.ReplaceAll(text, []byte("127.0.0.1:9090"), []byte(l.provider))
	text = bytes.ReplaceAll(text, []byte("file:../"), []byte("file:"+root+"/"))
	path = filepath.Join(dir, "catalog.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("cannot write the bench catalog: %w", err)
	}
	return path, nil
}

// startPeer runs nginx or HAProxy with its configuration from bench/peers; use is pass, cache or stream. A peer
// that is not installed is nil without an error.
func (l *lab) startPeer(ctx context.Context, peer, use string) (*subject, error) {
	program, err := exec.LookPath(peer)
	if err != nil {
		return nil, nil
	}
	addr, err := proc.FreeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.dir, peer)
	if err != nil {
		return nil, fmt.Errorf("cannot make a folder for %s: %w", peer, err)
	}
	template, argv := "nginx.conf", []string{program, "-p", dir, "-c", filepath.Join(dir, "conf")}
	if peer == "haproxy" {
		template, argv = "haproxy.cfg", []string{program, "-db", "-f", filepath.Join(dir, "conf")}
	}
	fields := map[string]string{"Dir": dir, "Listen": addr, "Upstream": l.provider, "Use": use}
	if err := render(filepath.Join("bench/peers", template), filepath.Join(dir, "conf"), fields); err != nil {
		return nil, err
	}
	return l.startAt(ctx, peer, addr, argv...)
}

func render(from, to string, fields map[string]string) error {
	t, err := template.ParseFiles(from)
	if err != nil {
		return fmt.Errorf("cannot read a peer's configuration: %w: run this from the repository's root", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, fields); err != nil {
		return fmt.Errorf("cannot fill in %s: %w", from, err)
	}
	return os.WriteFile(to, b.Bytes(), 0o600)
}
