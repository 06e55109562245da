// Package api is what people and programs ask the origin over HTTP: one table of routes, from which the router, the
// checks of roles and the OpenAPI document come; it decides nothing about the catalog or the nodes.
package api

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/origin/control"
	"github.com/wedge-proxy/wedge/origin/ledger"
	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/vault"
)

// Options are what the API works with. What has no "nil" is needed.
type Options struct {
	Store   *store.Store
	Control *control.Control
	Vault   *vault.Vault
	Ledger  *ledger.Ledger
	Spend   *spend.Spend
	Fleet   Fleet
	Plain   bool          // nodes come without TLS: join tokens name no CA
	Metrics *obs.Registry // nil: one of its own
	Version string        // of the program
	// Heartbeat is how often a feed without news says that it is alive; 0 means 15 s.
	Heartbeat time.Duration
	Log       *slog.Logger     // nil: nothing is logged
	Now       func() time.Time // nil: time.Now
}

const heartbeatEvery = 15 * time.Second

// API answers requests. It is an http.Handler, safe for concurrent use.
type API struct {
	options Options
	store   *store.Store
	log     *slog.Logger
	mux     *http.ServeMux
	routes  []route
	meters  meters
	openapi []byte
	feeds   chan struct{} // room for those that are open

	closing context.Context // done when feeds have to end
	close   context.CancelFunc
}

// New makes an API.
func New(o Options) (*API, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Metrics == nil {
		o.Metrics = obs.NewRegistry()
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = heartbeatEvery
	}
	a := &API{
		options: o, store: o.Store, log: o.Log, mux: http.NewServeMux(), routes: routes(), meters: newMeters(&o),
		feeds: make(chan struct{}, maxFeeds),
	}
	a.closing, a.close = context.WithCancel(context.Background())
	for i := range a.routes {
		r := &a.routes[i]
		a.mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) { a.serve(w, q, r) })
	}
	var err error
	if a.openapi, err = document(a.routes, o.Version); err != nil {
		return nil, fmt.Errorf("cannot describe the API: %w", err)
	}
	return a, nil
}

// Close ends feeds, which would go on for ever, and lets the origin say that it is not ready any more. Other requests
// are answered as before.
func (a *API) Close() { a.close() }

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(w)
	defer a.finish(x, r)
	secure(w.Header())
	handler, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.fail(x, r, a.nowhere(handler, r))
		return
	}
	x.pattern = pattern
	a.mux.ServeHTTP(x, r)
}

// nowhere is why no route takes a request, as the router says it.
func (a *API) nowhere(handler http.Handler, r *http.Request) *fault {
	said := &answerProbe{header: http.Header{}}
	handler.ServeHTTP(said, r)
	if said.status != http.StatusMethodNotAllowed {
		return faultf(http.StatusNotFound, codeNotFound, "there is nothing at this path; GET %s lists what there is", pathOpenAPI)
	}
	f := faultf(said.status, codeMethod, "this path does not take %s; it takes %s", r.Method, said.header.Get("Allow"))
	f.header = http.Header{"Allow": said.header["Allow"]}
	return f
}

// answerProbe keeps an answer's status and header.
type answerProbe struct {
	header http.Header
	status int
}

func (p *answerProbe) Header() http.Header         { return p.header }
func (p *answerProbe) WriteHeader(status int)      { p.status = status }
func (p *answerProbe) Write(b []byte) (int, error) { return len(b), nil }

// secure says what browsers must not make of an answer. Nobody else's pages may read it: there is no CORS.
func secure(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cache-Control", "no-store")
}
