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

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/origin"
	"github.com/wedge-proxy/wedge/proxy"
)

// originCmd is the control plane.
type originCmd struct {
	Run     originRunCmd     `cmd:"" default:"withargs" help:"Run an origin."`
	Restore originRestoreCmd `cmd:"" help:"Fill an empty store from a backup."`
	Reset   originResetCmd   `cmd:"" name:"reset-admin" help:"Make a new administrator's token when the old one got lost."`
}

// originRunCmd runs one origin.
type originRunCmd struct {
	Config string   `placeholder:"FILE" help:"The process's own settings as YAML; flags come before it."`
	Data   string   `placeholder:"DIR" help:"Where the origin keeps its files, and its store unless --db says otherwise (default ./wedge-origin)."`
	DB     string   `name:"db" placeholder:"URL" env:"WEDGE_DB" help:"The store: postgres://…, or the path of a SQLite file (default DATA/origin.db)."`
	Listen string   `placeholder:"ADDR" help:"Address for nodes and people (default 127.0.0.1:8090)."`
	Host   []string `placeholder:"NAME" help:"A name or address that nodes and people reach the origin by, for its certificate; may be given several times."`
	TLS    string   `name:"tls" placeholder:"WHEN" help:"auto: in the clear on loopback, with TLS elsewhere; or on (default auto)."`
	Kek    string   `placeholder:"FILE" help:"The file of the key that the store's secrets are encrypted with; origins of one store share it (default DATA/kek, or WEDGE_KEK)."`
	Waves  bool     `default:"true" negatable:"" help:"Give changes to one node of each region first, then to a tenth of all, then to the rest."`
}

// Help is the part of the help text below the flags' summary.
func (originRunCmd) Help() string {
	return `The origin keeps the catalog and its history, gives it to the nodes, and counts what they report. The first token, an
administrator's, is written to DATA/admin.token, the certificate that everybody trusts to DATA/ca.pem. Nodes go on
without it for as long as they must.

Examples:
  wedge origin
  wedge origin --data /var/lib/wedge-origin --listen :8090 --host origin.example.com
  wedge origin --db postgres://wedge@db/wedge --kek /etc/wedge/kek --listen :8090 --host origin.example.com
  export WEDGE_ORIGIN=http://127.0.0.1:8090 WEDGE_TOKEN=$(cat wedge-origin/admin.token)
  wedge apply catalog.yaml && wedge edge --origin $WEDGE_ORIGIN --join $(wedge node invite) --name shop-1`
}

// settings are the fields of a settings file by name, and where their values go.
func (c *originRunCmd) settings() map[string]any {
	return map[string]any{
		"data": &c.Data, "db": &c.DB, "listen": &c.Listen, "host": &c.Host, "tls": &c.TLS, "kek": &c.Kek, "waves": &c.Waves,
	}
}

// settle fills what the flags left open from the settings file, and then from the defaults.
func (c *originRunCmd) settle() error {
	if c.Config != "" {
		f := originRunCmd{Waves: true}
		if err := readSettings(c.Config, f.settings()); err != nil {
			return err
		}
		c.Data, c.DB, c.Listen, c.Kek = cmp.Or(c.Data, f.Data), cmp.Or(c.DB, f.DB), cmp.Or(c.Listen, f.Listen), cmp.Or(c.Kek, f.Kek)
		if len(c.Host) == 0 {
			c.Host = f.Host
		}
		c.TLS, c.Waves = cmp.Or(c.TLS, f.TLS), c.Waves && f.Waves
	}
	c.Data = cmp.Or(c.Data, "wedge-origin")
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:8090")
	return nil
}

// Run serves until SIGTERM or SIGINT.
func (c *originRunCmd) Run(stdout io.Writer) error {
	if err := c.settle(); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	o, err := openOrigin(ctx, c.options(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	defer o.close()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return o.Run(ctx) })
	work.Go(func() error {
		a := addresses{Origin: o.URL()}
		if err := a.write(c.Data); err != nil {
			return err
		}
		_, err := fmt.Fprintf(stdout, "the origin is ready: %s (token in %s)\n", o.URL(), filepath.Join(c.Data, "admin.token"))
		return err
	})
	return work.Wait()
}

func (c *originRunCmd) options() origin.Options {
	return origin.Options{
		DB: c.DB, Data: c.Data, Listen: c.Listen, Hosts: c.Host, TLS: c.TLS,
		KEKFile: c.Kek, NoWaves: !c.Waves, Version: version,
	}
}

// runningOrigin is an origin with what it tries policies on.
type runningOrigin struct {
	*origin.Origin
	trial *policyTrial
}

// openOrigin opens an origin that asks of catalogs what this build's nodes can do.
func openOrigin(ctx context.Context, o origin.Options, log *slog.Logger) (*runningOrigin, error) {
	trial, err := newPolicyTrial()
	if err != nil {
		return nil, err
	}
	o.Support, o.CheckPolicy, o.Log = proxy.Support, trial.check, log
	o.Support.OriginSecrets, o.Support.Webhooks = true, true
	opened, err := origin.Open(ctx, o)
	if err != nil {
		trial.close()
		return nil, err
	}
	return &runningOrigin{opened, trial}, nil
}

// close gives up what openOrigin opened.
func (o *runningOrigin) close() {
	_ = o.Origin.Close() // Run has told what went wrong
	o.trial.close()
}

// originRestoreCmd fills an empty store from a backup.
type originRestoreCmd struct {
	File string `arg:"" help:"The backup, made with wedge backup."`
	Data string `placeholder:"DIR" default:"wedge-origin" help:"Where the origin keeps its files (default ./${default})."`
	DB   string `name:"db" placeholder:"URL" env:"WEDGE_DB" help:"The store: postgres://…, or the path of a SQLite file (default DATA/origin.db)."`
	Kek  string `placeholder:"FILE" help:"The file of the key that the backup's secrets are encrypted with (default DATA/kek, or WEDGE_KEK)."`
}

// Help is the part of the help text below the flags' summary.
func (originRestoreCmd) Help() string {
	return `Restores into an empty store and begins a new epoch: nodes that have seen more than the backup holds take it as the
present state. The origin must have the key that the backup's secrets are encrypted with, in DATA/kek or in WEDGE_KEK.

Examples:
  wedge origin restore origin.backup --data /var/lib/wedge-origin
  wedge origin restore origin.backup --db postgres://wedge@db/wedge`
}

// Run restores.
func (c *originRestoreCmd) Run(stdout io.Writer) error {
	head, err := origin.Restore(context.Background(), origin.Options{Data: c.Data, DB: c.DB, KEKFile: c.Kek}, c.File)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "restored revision %d; a new epoch begins: %d\n", head.Rev, head.Epoch)
	return err
}

// originResetCmd makes a new administrator's token.
type originResetCmd struct {
	Data string `placeholder:"DIR" default:"wedge-origin" help:"Where the origin keeps its files (default ./${default})."`
	DB   string `name:"db" placeholder:"URL" env:"WEDGE_DB" help:"The store: postgres://…, or the path of a SQLite file (default DATA/origin.db)."`
	Kek  string `placeholder:"FILE" help:"The file of the key that the store's secrets are encrypted with (default DATA/kek, or WEDGE_KEK)."`
}

// Help is the part of the help text below the flags' summary.
func (originResetCmd) Help() string {
	return `Whoever may read the origin's files may do this; the old administrator's token counts no more. An origin on SQLite must
not be running.

Examples:
  wedge origin reset-admin --data /var/lib/wedge-origin`
}

// Run makes the token.
func (c *originResetCmd) Run(stdout io.Writer) error {
	path, err := origin.ResetAdmin(context.Background(), origin.Options{Data: c.Data, DB: c.DB, KEKFile: c.Kek})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "the new token lies in %s\n", path)
	return err
}

var errNoStore = errors.New("a node of an origin keeps its bundle in its store, and the store cannot be opened; see the log for why")
