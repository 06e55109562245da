package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
	"github.com/wedge-proxy/wedge/wire"
)

// What Options.Book answers when a report is not counted; any other error is the origin's own fault, and the node sends
// the report again.
var (
	// ErrGap says that reports are missing before this one.
	ErrGap = errors.New("reports are missing before this one")
	// ErrReport says that the report can never be counted as it is.
	ErrReport = errors.New("not a report")
)

// Options say what a fleet is made with.
type Options struct {
	Store *store.Store // opened with Schema, and with the vault's
	Vault *vault.Vault
	// Book counts a node's report exactly once: see ErrGap and ErrReport. Nil: reports are refused.
	Book func(ctx context.Context, node string, r *wire.Report) (wire.ReportReply, error)
	// Lease gives a node what it may spend of budgets, and use of rate limits: see ErrReport. Nil: there is none.
	Lease func(ctx context.Context, node string, r *wire.LeaseRequest) (*wire.LeaseReply, error)
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
	// Plain tells whether a request without TLS may be answered: one that comes through the loopback interface. Nil: none.
	Plain func(r *http.Request) bool
	// NoWaves sends every revision to all nodes at once.
	NoWaves bool
	// CanaryWait is how long nodes of the first waves may take to put a revision into use; 0 means 3 s.
	CanaryWait  time.Duration
	PingEvery   time.Duration // 0 means 10 s
	ReportEvery time.Duration // 0 means 5 s
	Snapshots   int           // how many nodes are sent a whole state at the same time; 0 means 128
	Metrics     *obs.Registry // nil: one of its own
}

const (
	defaultCanaryWait  = 3 * time.Second
	defaultPingEvery   = 10 * time.Second
	defaultReportEvery = 5 * time.Second
	defaultSnapshots   = 128
)

// Fleet serves the nodes that are connected to this origin. Others may serve more of them on the same store.
type Fleet struct {
	o      Options
	log    *slog.Logger
	id     string // of this process among the origins
	count  *metrics
	writes writer
	feed   feed
	states states
	local  registry
	grants grants
	acked  chan struct{} // holds a token when nodes have answered
	old    chan struct{} // holds a token for each stream that sends what is not held in memory
}

// New makes a fleet. It serves nodes as soon as Run is called.
func New(o Options) (*Fleet, error) {
	if o.Store == nil || o.Vault == nil {
		return nil, errors.New("cannot serve nodes without a store and a vault")
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Plain == nil {
		o.Plain = func(*http.Request) bool { return false }
	}
	if o.Metrics == nil {
		o.Metrics = obs.NewRegistry()
	}
	o.CanaryWait = positive(o.CanaryWait, defaultCanaryWait)
	o.PingEvery = positive(o.PingEvery, defaultPingEvery)
	o.ReportEvery = positive(o.ReportEvery, defaultReportEvery)
	o.Snapshots = positive(o.Snapshots, defaultSnapshots)
	f := &Fleet{o: o, log: o.Log, id: newID(), acked: make(chan struct{}, 1), old: make(chan struct{}, maxOld)}
	f.writes.init(o.Store)
	f.local.init()
	f.feed.init()
	f.states.slots = make(chan struct{}, o.Snapshots)
	f.count = newMetrics(o.Metrics, f)
	return f, nil
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// newID draws what tells sessions and processes apart: 128 bits in hexadecimal digits.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Run serves until ctx is done: it ends the nodes' streams then, waits for them, and tells others that the nodes are gone.
func (f *Fleet) Run(ctx context.Context) error {
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	writer.Go(func() { f.writes.run(writing) })
	defer writer.Wait()
	defer stopWriting()

	if err := f.announce(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.follow(ctx) })
	group.Go(func() error { return f.lead(ctx) })
	group.Go(func() error { return f.tend(ctx) })
	err := group.Wait()
	f.local.close()
	f.depart()
	return err
}

// Handler answers the nodes' requests, at the paths that wire names.
func (f *Fleet) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.PathEnrol, f.serve(f.enrol))
	mux.HandleFunc("POST "+wire.PathRenew, f.serve(f.renew))
	mux.HandleFunc("POST "+wire.PathHello, f.serve(f.hello))
	mux.HandleFunc("GET "+wire.PathStream, f.serve(f.stream))
	mux.HandleFunc("POST "+wire.PathAck, f.serve(f.ack))
	mux.HandleFunc("POST "+wire.PathReport, f.serve(f.report))
	mux.HandleFunc("POST "+wire.PathLease, f.serve(f.lease))
	mux.HandleFunc("POST "+wire.PathSecrets, f.serve(f.secrets))
	mux.HandleFunc("GET "+wire.PathBlob+"{digest}", f.serve(f.blob))
	mux.HandleFunc("/v1/node/", f.serve(func(http.ResponseWriter, *http.Request) error {
		return refuse(codeNotFound, "nodes can ask for nothing here, or not with this method")
	}))
	return mux
}
