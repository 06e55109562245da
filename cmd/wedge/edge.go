package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// edgeCmd runs one node.
type edgeCmd struct {
	Config      string        `placeholder:"FILE" help:"The process's own settings as YAML; flags come before it."`
	Catalog     string        `placeholder:"FILE" help:"The catalog to serve; it is watched and swapped live."`
	Origin      []string      `placeholder:"URL" help:"The origins to follow in place of a catalog file; any of them will do."`
	Join        string        `placeholder:"TOKEN" env:"WEDGE_JOIN" help:"The join token of an origin: needed once, see wedge node invite."`
	Region      string        `placeholder:"NAME" help:"Where the node is, for an origin's roll-outs."`
	CA          string        `name:"ca" placeholder:"FILE" help:"The certificate that the origins' are signed with, if not the one that came with the join token."`
	Bundle      string        `placeholder:"FILE" help:"A signed bundle to serve in place of a catalog file, made with wedge bundle export; it is watched and swapped live."`
	Trust       []string      `placeholder:"KEY" help:"The public keys that bundles must be signed with."`
	Data        string        `placeholder:"DIR" help:"Where the node keeps its store (default ./wedge-data)."`
	Name        string        `placeholder:"NAME" help:"The node's name (default: the host's)."`
	Listen      string        `placeholder:"ADDR" help:"Address for clients (default :8080); port 0 picks a free one."`
	Admin       string        `placeholder:"ADDR" help:"Address of the admin port (default 127.0.0.1:8081)."`
	AdminToken  string        `placeholder:"TOKEN" env:"WEDGE_ADMIN_TOKEN" help:"Bearer token that the admin port wants off loopback (default: DATA/node.token)."`
	AccessLog   string        `placeholder:"FILE" help:"One JSON line a request: a file, - for standard output (default), or off."`
	CacheMemory byteSize      `placeholder:"SIZE" help:"Memory for cached answers (default 64MiB)."`
	CacheDisk   byteSize      `placeholder:"SIZE" help:"Disk for cached answers (default 4GiB)."`
	MaxBody     byteSize      `placeholder:"SIZE" help:"Largest request body (default 32MiB)."`
	MaxHeader   byteSize      `placeholder:"SIZE" help:"Largest head of a request; each connection holds so much memory (default 16KiB)."`
	ReadTimeout time.Duration `placeholder:"TIME" help:"How long a request may take to arrive (default 60s)."`
	Drain       time.Duration `placeholder:"TIME" help:"How long requests may take to end after SIGTERM (default 30s)."`

	AllowOrigin []string `placeholder:"PATTERN" help:"Web pages that may talk to the node besides its own: hosts such as *.example.com, https://app.example.com, or *."`

	TLS tlsOptions `embed:""`

	SecretsAllow []string `placeholder:"REF" help:"The node's own secrets that a catalog from an origin or a bundle may name, such as $${KEY} or file:/path."`
}

// Help is the part of the help text below the flags' summary.
func (edgeCmd) Help() string {
	return `The node serves a catalog file, a signed bundle, or what an origin tells it. Change the file and the node swaps it live;
a bad one changes nothing and is reported on /status, in the log and as a metric. A node that follows an origin starts
from its own store when there is none to reach. The addresses in use are printed (to standard error
if standard output is the access log's), and written to DATA/addresses.json once the node is ready.

Examples:
  wedge check catalog.yaml && wedge edge --catalog catalog.yaml
  wedge edge --origin https://origin.example.com:8090 --join $(wedge node invite) --name shop-1 --region eu
  wedge edge --bundle shop.bundle --trust ed25519:…
  wedge edge --catalog catalog.yaml --data /var/lib/wedge --listen :8080
  wedge edge --catalog catalog.yaml --listen :8443 --tls-cert cert.pem --tls-key key.pem
  wedge edge --config /etc/wedge/edge.yaml
  curl localhost:8081/status`
}

// Run serves until SIGTERM or SIGINT.
func (c *edgeCmd) Run(stdout io.Writer) error {
	if err := c.settle(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	n, err := newNode(c.options(), c.folder(), log)
	if err != nil {
		return err
	}
	defer n.close()
	from, err := c.source(n)
	if err != nil {
		return err
	}
	if err := from.begin(ctx); err != nil {
		return unservable{err}
	}
	if c.AccessLog == "-" {
		stdout = os.Stderr // standard output is the access log's
	}
	return serveNode(ctx, n, from, n.addresses(), stdout)
}

// source is where a node's catalog comes from.
type source interface {
	// begin puts a first catalog into use, if there is one yet. An error is one that the process cannot serve with.
	begin(ctx context.Context) error
	// run follows the source until ctx ends.
	run(ctx context.Context) error
}

// folder is what file: secrets are relative to.
func (c *edgeCmd) folder() string {
	return filepath.Dir(cmp.Or(c.Catalog, c.Config, "."))
}

// source is the one that the flags name.
func (c *edgeCmd) source(n *node) (source, error) {
	switch {
	case c.Catalog != "":
		return &catalogFile{path: c.Catalog, server: n.server, secret: n.secret}, nil
	case c.Bundle != "":
		return newBundleFile(n, c.Bundle, c.Trust, c.SecretsAllow)
	}
	return follow(n, followOptions{Origins: c.Origin, Join: c.Join, Region: c.Region, CA: c.CA, Allow: c.SecretsAllow})
}

// serveNode runs a node, and says where it is once it has a catalog.
func serveNode(ctx context.Context, n *node, from source, a addresses, stdout io.Writer) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return n.run(ctx) })
	work.Go(func() error { return from.run(ctx) })
	work.Go(func() error {
		if err := awaitReady(ctx, n); err != nil {
			return nil // it ended before it was ready, and says why itself
		}
		if !n.guest {
			if err := a.write(n.o.Data); err != nil {
				n.note("cannot tell the addresses in a file", err)
			}
		}
		_, err := fmt.Fprintf(stdout, "node %s is ready: %s://%s/v1 (admin http://%s)\n", n.o.Name, n.o.TLS.scheme(), a.Data, a.Admin)
		return err
	})
	return work.Wait()
}

func awaitReady(ctx context.Context, n *node) error {
	for n.server.Ready() != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// settle fills what the flags left open from the settings file, and then from the defaults.
func (c *edgeCmd) settle() error {
	if c.Config != "" {
		if err := c.merge(); err != nil {
			return err
		}
	}
	if err := errors.Join(c.oneSource(), c.TLS.check(), checkOrigins(c.AllowOrigin)); err != nil {
		return usageError{err}
	}
	host, _ := os.Hostname() // an unnamed host is no reason not to serve
	c.Name = cmp.Or(c.Name, host, "node")
	c.Data = cmp.Or(c.Data, "wedge-data")
	c.Listen = cmp.Or(c.Listen, ":8080")
	c.Admin = cmp.Or(c.Admin, "127.0.0.1:8081")
	c.AccessLog = cmp.Or(c.AccessLog, "-")
	c.CacheMemory = cmp.Or(c.CacheMemory, 64<<20)
	c.CacheDisk = cmp.Or(c.CacheDisk, 4<<30)
	c.MaxBody = cmp.Or(c.MaxBody, 32<<20)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, time.Minute)
	c.Drain = cmp.Or(c.Drain, drainGrace)
	return nil
}

// oneSource wants exactly one place that the catalog comes from.
func (c *edgeCmd) oneSource() error {
	named := 0
	for _, is := range []bool{c.Catalog != "", len(c.Origin) > 0, c.Bundle != ""} {
		if is {
			named++
		}
	}
	switch {
	case named == 0:
		return errors.New("wedge edge needs --catalog FILE, --origin URL or --bundle FILE, or a settings file that names one")
	case named > 1:
		return errors.New("wedge edge takes one of --catalog, --origin and --bundle: a node has one catalog")
	case c.Bundle != "" && len(c.Trust) == 0:
		return errors.New("--bundle needs --trust KEY: the public key that the bundle must be signed with; wedge signer list tells it")
	}
	return nil
}

// merge reads the settings file; what the flags say comes first.
func (c *edgeCmd) merge() error {
	var f edgeCmd
	if err := readSettings(c.Config, f.settings()); err != nil {
		return err
	}
	for _, path := range []*string{&f.Catalog, &f.Bundle, &f.CA} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(c.Config), *path)
		}
	}
	if c.Catalog == "" && len(c.Origin) == 0 && c.Bundle == "" { // a flag's source comes before the file's
		c.Catalog, c.Origin, c.Bundle = f.Catalog, f.Origin, f.Bundle
	}
	if len(c.Trust) == 0 {
		c.Trust = f.Trust
	}
	if len(c.SecretsAllow) == 0 {
		c.SecretsAllow = f.SecretsAllow
	}
	c.Region, c.CA = cmp.Or(c.Region, f.Region), cmp.Or(c.CA, f.CA)
	c.Data, c.Name = cmp.Or(c.Data, f.Data), cmp.Or(c.Name, f.Name)
	c.Listen, c.Admin, c.AccessLog = cmp.Or(c.Listen, f.Listen), cmp.Or(c.Admin, f.Admin), cmp.Or(c.AccessLog, f.AccessLog)
	c.CacheMemory, c.CacheDisk = cmp.Or(c.CacheMemory, f.CacheMemory), cmp.Or(c.CacheDisk, f.CacheDisk)
	c.MaxBody, c.MaxHeader, c.Drain = cmp.Or(c.MaxBody, f.MaxBody), cmp.Or(c.MaxHeader, f.MaxHeader), cmp.Or(c.Drain, f.Drain)
	c.ReadTimeout = cmp.Or(c.ReadTimeout, f.ReadTimeout)
	if len(c.AllowOrigin) == 0 {
		c.AllowOrigin = f.AllowOrigin
	}
	c.TLS.merge(&f.TLS, filepath.Dir(c.Config))
	return nil
}

func (c *edgeCmd) options() nodeOptions {
	o := nodeOptions{
		Name: c.Name, Listen: c.Listen, Admin: c.Admin, AdminToken: c.AdminToken, Data: c.Data, AccessLog: c.AccessLog,
		Follows: len(c.Origin) > 0, CacheMemory: c.CacheMemory, CacheDisk: c.CacheDisk, MaxBody: c.MaxBody, MaxHeader: c.MaxHeader, ReadTimeout: c.ReadTimeout, Drain: c.Drain,
		TLS: c.TLS, AllowOrigin: c.AllowOrigin,
	}
	if o.AccessLog == "off" {
		o.AccessLog = ""
	}
	return o
}

// usageError is a command line that cannot be carried out as it is.
type usageError struct{ error }

// ExitCode is the process's exit code.
func (usageError) ExitCode() int { return exitUsage }

// unservable is a catalog that a node cannot begin with. Its text has one line for each problem.
type unservable struct{ error }
