package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Secrets keeps what secrets are. A secret's resource is put and deleted in the same transaction.
type Secrets interface {
	// PutSecret keeps a secret and returns the body of its resource, a wire.SecretRecord.
	PutSecret(t *store.Tx, name, value string) (body []byte, err error)
	// DeleteSecret forgets a secret.
	DeleteSecret(t *store.Tx, name string) error
}

// Options are what the catalog's control works with.
type Options struct {
	Store   *store.Store // opened with Schema
	Secrets Secrets      // nil: there are no secrets
	// Traffic tells what nodes reported of a model, one entry for each of its versions, in whole hours from the one that
	// since falls into. Nil: nothing was reported.
	Traffic func(ctx context.Context, model string, since, until time.Time) ([]VersionTotals, error)
	// Support is what nodes do with a catalog: what they do not, is refused.
	Support wire.Support
	// CheckPolicy loads a policy's module and tries it on its cases, nil where it has none. Nil: policies are not tried.
	CheckPolicy func(ctx context.Context, p *wire.Policy, module, cases []byte) error
	// Reach tells why a provider does not answer. Nil: it is asked over HTTP, without credentials.
	Reach func(ctx context.Context, p *wire.Provider) error
	// Nodes names the nodes that would take a candidate now. Nil: that is not known.
	Nodes func(ctx context.Context) ([]string, error)
	// Tick is how often releases are looked at; 0 means a second.
	Tick time.Duration
	Log  *slog.Logger     // nil: nothing is logged
	Now  func() time.Time // nil: time.Now
}

// Control changes the catalog. It is safe for concurrent use, and so are several on one database.
type Control struct {
	options Options
	store   *store.Store
	turn    chan struct{} // one change of this process after the other
}

const tickEvery = time.Second

// New is a control on an open store.
func New(o Options) *Control {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tick == 0 {
		o.Tick = tickEvery
	}
	if o.Reach == nil {
		o.Reach = reach
	}
	return &Control{options: o, store: o.Store, turn: make(chan struct{}, 1)}
}

func (c *Control) now() time.Time { return c.options.Now().UTC() }
