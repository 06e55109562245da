package main

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"text/template"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/wire"
)

// upCmd runs a whole Wedge on one machine.
type upCmd struct {
	Catalog   string `placeholder:"FILE" help:"Serve this catalog instead of the built-in one."`
	Data      string `default:"wedge-data" placeholder:"DIR" help:"Where everything is kept; data and key survive restarts (default ./${default})."`
	Listen    string `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address for clients (default ${default})."`
	Admin     string `default:"127.0.0.1:8081" placeholder:"ADDR" help:"Address of the node's admin port (default ${default})."`
	SimListen string `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address of the simulated provider (default ${default})."`
	Ephemeral bool   `help:"Pick free ports instead of these."`
}

// Help is the part of the help text below the flags' summary.
func (upCmd) Help() string {
	return `One node and a simulated provider in one process: no file, no key, no other server is needed. The built-in
catalog serves the models demo (exact cache, two versions, one experiment) and demo-embed.

Examples:
  wedge up
  wedge up --ephemeral --data /tmp/try
  wedge up --catalog my-catalog.yaml`
}

// upCatalog is the built-in catalog, a template of the simulated provider's address and the key.
//
//go:embed up.yaml
var upCatalog string

// Run serves until SIGTERM or SIGINT.
func (c *upCmd) Run(stdout io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if c.Ephemeral {
		c.Listen, c.Admin, c.SimListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return fmt.Errorf("cannot make the data folder: %w", err)
	}
	provider, err := sim.New(sim.Options{Listen: c.SimListen, LogSize: 1000})
	if err != nil {
		return err
	}
	ln, err := provider.Listen()
	if err != nil {
		return fmt.Errorf("%w; choose another address with --sim-listen", err)
	}
	defer func() { _ = ln.Close() }() // the provider has closed it if it ran
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	edge := edgeCmd{Data: c.Data, Listen: c.Listen, Admin: c.Admin, Name: "up", Catalog: cmp.Or(c.Catalog, "built-in"),
		AccessLog: filepath.Join(c.Data, "access.log")}
	if err := edge.settle(); err != nil {
		return err
	}
	n, err := newNode(edge.options(), filepath.Dir(edge.Catalog), log)
	if err != nil {
		return err
	}
	defer n.close()
	key, file, err := c.loadCatalog(n, ln.Addr())
	if err != nil {
		return unservable{err}
	}
	a := n.addresses()
	a.Sim, a.Key = reachable(ln.Addr()), key
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return serveSim(ctx, provider, ln) })
	work.Go(func() error { return serveNode(ctx, n, file, a, io.Discard) })
	work.Go(func() error {
		if awaitReady(ctx, n) == nil {
			a.introduce(stdout)
		}
		return nil
	})
	return work.Wait()
}

// loadCatalog puts the catalog into use: the caller's file, or the built-in one with a key of this data folder.
func (c *upCmd) loadCatalog(n *node, provider net.Addr) (key string, file *catalogFile, err error) {
	if c.Catalog != "" {
		file = &catalogFile{path: c.Catalog, server: n.server, secret: n.secret}
		return "", file, file.load()
	}
	key, err = secretFile(filepath.Join(c.Data, "key"), func() (string, error) {
		key, _, _, err := wire.NewKey()
		return key, err
	})
	if err != nil {
		return "", nil, err
	}
	id, ok := wire.KeyID([]byte(key))
	if !ok {
		return "", nil, errors.New("the key in " + filepath.Join(c.Data, "key") + " is not one; delete the file and a new one is made")
	}
	var text bytes.Buffer
	err = template.Must(template.New("up").Parse(upCatalog)).Execute(&text, map[string]string{
		"Sim": reachable(provider), "ID": string(id), "Hash": fmt.Sprintf("%x", wire.HashKey([]byte(key))),
	})
	if err != nil {
		return "", nil, err
	}
	catalog, err := wire.ParseCatalog("the built-in catalog", text.Bytes())
	if err != nil {
		return "", nil, err
	}
	return key, nil, n.server.Publish(catalog, "built-in")
}

// serveSim runs the simulated provider until ctx ends.
func serveSim(ctx context.Context, s *sim.Server, ln net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, stop := context.WithTimeout(context.WithoutCancel(ctx), simGrace)
	defer stop()
	return errors.Join(s.Shutdown(grace), <-served)
}

// introduce says what is there to try.
func (a addresses) introduce(w io.Writer) {
	_, _ = fmt.Fprintf(w, `wedge is up: a node on http://%s/v1 in front of a simulated provider

Point any SDK of OpenAI, Anthropic or Gemini at it; the models are demo, demo-anthropic, demo-gemini and demo-embed:
  export OPENAI_BASE_URL=http://%[1]s/v1 OPENAI_API_KEY=%[2]s
  export ANTHROPIC_BASE_URL=http://%[1]s ANTHROPIC_API_KEY=%[2]s
  export GOOGLE_GEMINI_BASE_URL=http://%[1]s GEMINI_API_KEY=%[2]s

Or ask twice and see the second answer come from the node's own store (x-wedge-cache: hit-memory):
  curl -i http://%[1]s/v1/chat/completions -H 'authorization: Bearer %[2]s' \
    -d '{"model":"demo","messages":[{"role":"user","content":"Why do edges matter?"}]}'

Look inside: http://%[3]s/status and http://%[3]s/metrics. Stop with Ctrl-C.
`, a.Data, cmpKey(a.Key), a.Admin)
}

// cmpKey is the key to show; with a catalog of the caller's own it is the caller's business.
func cmpKey(key string) string { return cmp.Or(key, "$YOUR_KEY") }
