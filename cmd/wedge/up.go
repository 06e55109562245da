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
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/bench/sim"
	"github.com/wedge-proxy/wedge/origin"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// upCmd runs a whole Wedge on one machine.
type upCmd struct {
	Catalog      string   `placeholder:"FILE" help:"Serve this catalog instead of the built-in one."`
	Data         string   `default:"wedge-data" placeholder:"DIR" help:"Where everything is kept; data and key survive restarts (default ./${default})."`
	Listen       string   `default:"127.0.0.1:8080" placeholder:"ADDR" help:"Address for clients (default ${default})."`
	Admin        string   `default:"127.0.0.1:8081" placeholder:"ADDR" help:"Address of the node's admin port (default ${default})."`
	OriginListen string   `default:"127.0.0.1:8090" placeholder:"ADDR" help:"Address of the origin (default ${default})."`
	SimListen    string   `default:"127.0.0.1:9090" placeholder:"ADDR" help:"Address of the simulated provider (default ${default})."`
	AllowOrigin  []string `placeholder:"PATTERN" help:"Web pages that may talk to the node besides its own: hosts such as *.example.com, https://app.example.com, or *."`
	Ephemeral    bool     `help:"Pick free ports instead of these."`
}

// Help is the part of the help text below the flags' summary.
func (upCmd) Help() string {
	return `An origin, one node and a simulated provider in one process: no file, no key, no other server is needed. The built-in
catalog serves the models demo (exact cache, two versions, one experiment) and demo-embed. What is changed at the origin
survives restarts. A catalog of your own is applied to the origin when it starts and whenever the file changes.

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
		c.Listen, c.Admin, c.OriginListen, c.SimListen = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
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
	o, err := openOrigin(ctx, origin.Options{Data: filepath.Join(c.Data, "origin"),
		Listen: c.OriginListen, ListenFlag: "--origin-listen", Version: version}, log)
	if err != nil {
		return err
	}
	defer o.close()
	edge := edgeCmd{Data: c.Data, Listen: c.Listen, Admin: c.Admin, Name: "up", Origin: []string{o.URL()}, AllowOrigin: c.AllowOrigin,
		AccessLog: filepath.Join(c.Data, "access.log")}
	if err := edge.settle(); err != nil {
		return err
	}
	n, err := newNode(edge.options(), filepath.Dir(cmp.Or(c.Catalog, ".")), log)
	if err != nil {
		return err
	}
	defer n.close()
	a := n.addresses()
	a.Sim, a.Origin = reachable(ln.Addr()), o.URL()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return serveSim(ctx, provider, ln) })
	work.Go(func() error { return o.Run(ctx) })
	work.Go(func() error { return c.serve(ctx, o, n, a, stdout) })
	return work.Wait()
}

// serve fills the origin and runs the node that follows it.
func (c *upCmd) serve(ctx context.Context, o *runningOrigin, n *node, a addresses, stdout io.Writer) (err error) {
	file := &appliedFile{path: c.Catalog, n: n, o: o, token: c.tokenFile()}
	if c.Catalog == "" {
		if a.Key, err = c.fill(ctx, o, a.Sim); err != nil {
			return err
		}
	} else if err := file.load(ctx); err != nil {
		return unservable{err}
	}
	from, err := c.follow(ctx, o, n)
	if err != nil {
		return err
	}
	if err := from.begin(ctx); err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return serveNode(ctx, n, from, a, io.Discard) })
	work.Go(func() error {
		if awaitReady(ctx, n) == nil {
			a.introduce(stdout, c.token())
		}
		return nil
	})
	if c.Catalog != "" {
		work.Go(func() error { return file.run(ctx) })
	}
	return work.Wait()
}

// follow lets the node follow the origin beside it, which it joins at its first start.
func (c *upCmd) follow(ctx context.Context, o *runningOrigin, n *node) (source, error) {
	token, err := o.Vault().Invite(ctx, vault.Invitation{Name: n.o.Name, Expires: time.Now().Add(time.Hour), Actor: "wedge up"})
	if err != nil {
		return nil, err
	}
	return follow(n, followOptions{Origins: []string{o.URL()}, Join: token.String(), AllowAll: true})
}

func (c *upCmd) tokenFile() string { return filepath.Join(c.Data, "origin", "admin.token") }

// token is an administrator's of the origin.
func (c *upCmd) token() string {
	token, err := os.ReadFile(c.tokenFile())
	if err != nil {
		return "$WEDGE_TOKEN"
	}
	return strings.TrimSpace(string(token))
}

// fill gives the origin the built-in catalog, with a key of this data folder. What is there already stays as people have
// changed it, but for the simulated provider's address.
func (c *upCmd) fill(ctx context.Context, o *runningOrigin, provider string) (key string, err error) {
	key, err = secretFile(filepath.Join(c.Data, "key"), func() (string, error) {
		key, _, _, err := wire.NewKey()
		return key, err
	})
	if err != nil {
		return "", err
	}
	id, ok := wire.KeyID([]byte(key))
	if !ok {
		return "", errors.New("the key in " + filepath.Join(c.Data, "key") + " is not one; delete the file and a new one is made")
	}
	var text bytes.Buffer
	err = template.Must(template.New("up").Parse(upCatalog)).Execute(&text, map[string]string{
		"Sim": provider, "ID": string(id), "Hash": fmt.Sprintf("%x", wire.HashKey([]byte(key))),
	})
	if err != nil {
		return "", err
	}
	resources, err := wire.SplitCatalog("the built-in catalog", text.Bytes())
	if err != nil {
		return "", err
	}
	missing, err := unlikeOrigin(ctx, o, resources)
	if err != nil || len(missing) == 0 {
		return key, err
	}
	catalog, err := wire.JoinCatalog(missing)
	if err == nil {
		_, err = o.Control().Apply(ctx, control.By{Actor: "wedge up"}, control.Apply{Name: "the built-in catalog", Catalog: catalog})
	}
	return key, err
}

// unlikeOrigin leaves out of the built-in resources what the origin has in any form, but for providers and the key, which
// belong to this run. A model comes with all its versions or not at all.
func unlikeOrigin(ctx context.Context, o *runningOrigin, resources []wire.Resource) ([]wire.Resource, error) {
	var missing []wire.Resource
	for _, r := range resources {
		kind, name := r.Kind, r.Name
		if kind == wire.KindVersion {
			kind = wire.KindModel
			name, _, _ = strings.Cut(name, "@")
		}
		_, err := o.Control().Get(ctx, kind, name)
		fault, refused := errors.AsType[*control.Error](err)
		switch {
		case err == nil && kind != wire.KindProvider && kind != wire.KindKey:
			continue
		case err != nil && (!refused || fault.Code != "not_found"):
			return nil, err
		}
		missing = append(missing, r)
	}
	return missing, nil
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
func (a addresses) introduce(w io.Writer, token string) {
	models, model := "the models are demo, demo-anthropic, demo-gemini and demo-embed", "demo"
	if a.Key == "" {
		models, model = "the models and keys are those of your catalog", "MODEL"
	}
	_, _ = fmt.Fprintf(w, `wedge is up: a node on http://%[1]s/v1 in front of a simulated provider, and an origin on %[4]s

Point any SDK of OpenAI, Anthropic or Gemini at it; %[6]s:
  export OPENAI_BASE_URL=http://%[1]s/v1 OPENAI_API_KEY=%[2]s
  export ANTHROPIC_BASE_URL=http://%[1]s ANTHROPIC_API_KEY=%[2]s
  export GOOGLE_GEMINI_BASE_URL=http://%[1]s GEMINI_API_KEY=%[2]s

Or ask twice and see the second answer come from the node's own store (x-wedge-cache: hit-memory):
  curl -i http://%[1]s/v1/chat/completions -H 'authorization: Bearer %[2]s' \
    -d '{"model":"%[7]s","messages":[{"role":"user","content":"Why do edges matter?"}]}'

Change what runs, here and on every node that joins:
  export WEDGE_ORIGIN=%[4]s WEDGE_TOKEN=%[5]s
  wedge model list; wedge model promote %[7]s 1.1.0; wedge model rollback %[7]s

Look inside: http://%[3]s/status and http://%[3]s/metrics. Stop with Ctrl-C.
`, a.Data, cmpKey(a.Key), a.Admin, a.Origin, token, models, model)
}

// cmpKey is the key to show; with a catalog of the caller's own it is the caller's business.
func cmpKey(key string) string { return cmp.Or(key, "$YOUR_KEY") }
