// Package origin is one process of the control plane: it opens the store and all that works on it, listens, and runs the
// jobs that nobody asks for; what any of it does, the packages below know.
package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/api"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/fleet"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// Options say where an origin keeps its things, and where it listens.
type Options struct {
	// Data is a folder, made if it is not there, for admin.token, ca.pem and, unless they lie elsewhere, the database and
	// the key-encryption key.
	Data string
	// DB is a path of a SQLite file or a URL of PostgreSQL; "" is origin.db in Data.
	DB string
	// KEKFile has the key that secrets are encrypted with; "" is kek in Data. WEDGE_KEK in the environment goes before.
	KEKFile string
	// Listen is host:port; "" is 127.0.0.1:8090. ListenFlag is what chooses it, for errors; "" is --listen.
	Listen, ListenFlag string
	// TLS is auto, which is in the clear on loopback addresses and encrypted elsewhere, or on, or off, which only loopback
	// addresses may have; "" is auto.
	TLS string
	// Hosts are the names and addresses that clients know the origin by, for its certificate, besides this machine's.
	Hosts []string
	// Support is what nodes do with a catalog: what they do not, is refused.
	Support wire.Support
	// CheckPolicy loads a policy's module and tries it on its cases. Nil: policies are not tried.
	CheckPolicy func(ctx context.Context, p *wire.Policy, module, cases []byte) error
	// NoWaves lets every node have a revision at once.
	NoWaves bool
	Version string       // of the program
	Log     *slog.Logger // nil: nothing is logged

	drain time.Duration // for tests; 0 means drainTime
}

const (
	usualListen = "127.0.0.1:8090"
	drainTime   = 15 * time.Second // for requests that are under way at the end
)

// settle fills in what is not said.
func (o *Options) settle() error {
	if o.Data == "" {
		return errors.New("cannot open the origin: it needs a folder for its data")
	}
	if o.DB == "" {
		o.DB = filepath.Join(o.Data, "origin.db")
	}
	if o.KEKFile == "" {
		o.KEKFile = filepath.Join(o.Data, "kek")
	}
	if o.Listen == "" {
		o.Listen = usualListen
	}
	if o.ListenFlag == "" {
		o.ListenFlag = "--listen"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.drain == 0 {
		o.drain = drainTime
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder for the origin's data: %w", err)
	}
	return nil
}

// Origin is an open origin.
type Origin struct {
	options  Options
	store    *store.Store
	vault    *vault.Vault
	ledger   *ledger.Ledger
	spend    *spend.Spend
	fleet    *fleet.Fleet
	control  *control.Control
	api      *api.API
	listener net.Listener
	tls      *tls.Config // nil: in the clear
	host     string      // that URL has
}

// Open opens an origin, which listens from then on; Run answers. ctx bounds the opening only. At the first start it makes
// the database, its keys and an admin's token.
func Open(ctx context.Context, options Options) (*Origin, error) {
	o := &Origin{options: options}
	err := o.options.settle()
	if err == nil {
		err = o.open(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

func (o *Origin) open(ctx context.Context) (err error) {
	encrypted, err := encrypts(o.options.TLS, o.options.Listen) // before anything is made
	if err != nil {
		return err
	}
	if err := o.openVault(ctx); err != nil {
		return err
	}
	if err := o.listen(encrypted); err != nil {
		return err
	}
	metrics := obs.NewRegistry()
	o.ledger = ledger.New(o.store)
	o.spend = spend.New(spend.Options{Store: o.store, Secret: o.vault.Secret, Spenders: o.spenders, Log: o.options.Log})
	o.ledger.Flawed = o.flawed
	o.control = control.New(control.Options{
		Store: o.store, Secrets: o.vault, Traffic: control.Booked(o.ledger), Support: o.options.Support,
		CheckPolicy: o.options.CheckPolicy, Nodes: o.takers, Log: o.options.Log,
	})
	if o.fleet, err = o.newFleet(metrics); err != nil {
		return err
	}
	o.api, err = api.New(api.Options{
		Store: o.store, Control: o.control, Vault: o.vault, Ledger: o.ledger, Spend: o.spend, Fleet: o.fleet, Plain: o.tls == nil,
		Metrics: metrics, Version: o.options.Version, Log: o.options.Log,
	})
	if err != nil {
		return err
	}
	return o.welcome(ctx)
}

// openVault opens the store and what is kept in it under the key-encryption key.
func (o *Origin) openVault(ctx context.Context) (err error) {
	kek, err := vault.LoadKEK(o.options.KEKFile)
	if err != nil {
		return err
	}
	if o.store, err = store.Open(ctx, storeOptions(o.options.DB)); err != nil {
		return err
	}
	o.vault, err = vault.Open(ctx, o.store, vault.Options{KEK: kek})
	return err
}

func storeOptions(url string) store.Options {
	return store.Options{
		URL: url, Blobs: wire.BlobsOf,
		Schemas: []store.Schema{vault.Schema(), ledger.Schema(), spend.Schema(), fleet.Schema(), control.Schema(), api.Schema()},
	}
}

// Addr is where the origin listens.
func (o *Origin) Addr() net.Addr { return o.listener.Addr() }

// Control is what changes the catalog.
func (o *Origin) Control() *control.Control { return o.control }

// Vault has the keys.
func (o *Origin) Vault() *vault.Vault { return o.vault }

// Fleet knows the nodes.
func (o *Origin) Fleet() *fleet.Fleet { return o.fleet }

// Close closes what Run has not: call it after Run has returned, or in its place.
func (o *Origin) Close() error {
	var closers []io.Closer
	if o.listener != nil {
		closers = append(closers, o.listener)
	}
	if o.api != nil {
		o.api.Close()
	}
	if o.store != nil {
		closers = append(closers, o.store)
	}
	var failures []error
	for _, c := range closers {
		if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failures = append(failures, err)
		}
	}
	return errors.Join(failures...)
}

// handler sends nodes to the fleet and everybody else to the API. Streams of nodes, which go on for ever, end with ctx.
func (o *Origin) handler(ctx context.Context) http.Handler {
	nodes := o.fleet.Handler()
	mux := http.NewServeMux()
	mux.Handle("/v1/node/", nodes)
	mux.HandleFunc(wire.PathStream, func(w http.ResponseWriter, r *http.Request) {
		of, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		nodes.ServeHTTP(w, r.WithContext(of))
	})
	mux.Handle("/", o.api)
	return mux
}
