// Package proxy is the order of a request: from a client's bytes through keys, versions, cache and targets to the
// answer, and what is given back afterwards. It knows the mechanisms of the packages below it, and no driver.
package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/net/http2"

	"github.com/wedge-proxy/wedge/internal/obs"
	"github.com/wedge-proxy/wedge/internal/websockets"
	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/downstream"
	"github.com/wedge-proxy/wedge/proxy/rate"
	"github.com/wedge-proxy/wedge/proxy/route"
	"github.com/wedge-proxy/wedge/proxy/upstream"
	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

// Durable keeps small facts on the node's disk. Get returns store.ErrNotFound for an unknown key.
type Durable interface {
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
}

// Options are what a server is made of. Zero values mean the defaults; Cache and Dialects are required.
type Options struct {
	Node       string // the node's name, for x-wedge-node
	Cache      *cache.Cache
	Durable    Durable // nil: what providers keep for tenants is remembered until the process ends
	Dialects   *dialect.Set
	Policies   Policies // nil: a catalog with policies is refused
	Secret     func(ref string) (string, error)
	FromOrigin bool // Secret resolves origin:NAME, too
	Registry   *obs.Registry
	AccessLog  *obs.AccessLog
	Usage      Meter         // nil: usage is not summed up
	Budgets    *budget.Book  // nil: a catalog with budgets is refused
	Rates      *rate.Limiter // nil: the server has its own
	Log        *slog.Logger
	TLS        *tls.Config // nil: clients come in the clear
	PlainHTTP2 bool        // clients in the clear may speak HTTP/2

	MaxBody      int           // bytes of a request body; default 32 MiB
	MaxHeader    int           // bytes of a request's headers, for which each connection has a buffer; default 16 KiB
	MaxAnswer    int           // bytes of a whole answer; default 64 MiB
	ReadTimeout  time.Duration // for a request to arrive; default 60 s
	WriteTimeout time.Duration // for a client to take some bytes; default 30 s
	Heartbeat    time.Duration // of silence in a stream, after which a comment tells that it goes on; default 15 s
	IdleTimeout  time.Duration // of a client's connection between requests; default 120 s
	MaxInFlight  int           // requests under way; default 65,536
	MaxConns     int           // clients' connections; default 7 of 8 files that the process may have open
	MaxResume    int           // bytes kept of streams that clients may come back to; default 64 MiB
	MaxSockets   int           // WebSockets open; default 16,384
	Origins      []string      // of web pages that may ask, besides the node's own: patterns of hosts such as *.example.com, or with a scheme
}

func (o *Options) fill() error {
	if o.Cache == nil || o.Dialects == nil || !o.Dialects.Complete() {
		return errors.New("proxy: Options need Cache, and Dialects with every codec and rewriter")
	}
	if o.Secret == nil {
		o.Secret = func(ref string) (string, error) { return "", fmt.Errorf("no secrets can be resolved here: %s", ref) }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Registry == nil {
		o.Registry = obs.NewRegistry()
	}
	if o.Rates == nil {
		o.Rates = rate.New(rate.Options{})
	}
	if o.Durable == nil {
		o.Durable = &forgetful{}
	}
	orDefault(&o.MaxBody, 32<<20)
	orDefault(&o.MaxHeader, 16<<10)
	orDefault(&o.MaxAnswer, 64<<20)
	orDefault(&o.MaxInFlight, 65_536)
	orDefault(&o.MaxConns, mostConns())
	orDefault(&o.MaxResume, 64<<20)
	orDefault(&o.MaxSockets, 16_384)
	orDefault(&o.ReadTimeout, time.Minute)
	orDefault(&o.WriteTimeout, 30*time.Second)
	orDefault(&o.IdleTimeout, 2*time.Minute)
	orDefault(&o.Heartbeat, 15*time.Second)
	return nil
}

func orDefault[T comparable](p *T, value T) {
	var zero T
	if *p == zero {
		*p = value
	}
}

// Server answers clients. Until a catalog was published it refuses every request.
type Server struct {
	o          Options
	http       fasthttp.Server
	http2      *http2Front
	sockets    sockets
	noSockets  sync.Map // the providers that have none, by name and address: until when they are not asked again
	recordings recordings
	watcher    *downstream.Watcher
	ids        *idSource
	metrics    *metrics
	explain    *explainRing
	memo       memo
	factors    factors
	rates      *rate.Limiter

	snap     atomic.Pointer[Snapshot]
	refusal  atomic.Pointer[Refusal]
	publish  sync.Mutex
	inFlight atomic.Int64
	draining atomic.Bool // Shutdown was called
	drained  atomic.Bool // the operator wants no new requests here
	serving  atomic.Bool
	retiring sync.WaitGroup
	parked   parked
	detached sync.WaitGroup // answers that are written apart from the server
	ended    chan ended
	shadows  chan struct{}   // a token for each shadow request under way
	life     context.Context // ends when Shutdown waits no longer
	end      context.CancelFunc
	work     sync.WaitGroup

	// Live state, by key; it outlives snapshots.
	live        route.Pool
	endpointsMu sync.Mutex
	endpoints   map[string]*upstream.Endpoint

	lobbiesMu sync.Mutex
	lobbies   []*downstream.Lobby // of every Serve
}

// Refusal is a catalog that was offered and not taken.
type Refusal struct {
	Time   time.Time `json:"time"`
	Digest string    `json:"digest,omitempty"`
	Source string    `json:"source"`
	Reason string    `json:"reason"`
}

// New makes a server.
func New(o Options) (*Server, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	s := &Server{
		o: o, watcher: &downstream.Watcher{}, ids: newIDSource(), metrics: newMetrics(o.Registry),
		explain: newExplainRing(), endpoints: map[string]*upstream.Endpoint{}, ended: make(chan ended, doneQueue),
		shadows: make(chan struct{}, maxShadows), rates: o.Rates,
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.http = fasthttp.Server{
		Handler: s.handle, ErrorHandler: s.handleUnread, Name: serverName, Logger: quietLogger{},
		MaxRequestBodySize: o.MaxBody, ReadBufferSize: o.MaxHeader, ReadTimeout: o.ReadTimeout, IdleTimeout: o.IdleTimeout,
		NoDefaultContentType: true, DisablePreParseMultipartForm: true, CloseOnShutdown: true, SecureErrorLogMessage: true,
		LazyRequestTime: true, HeaderReceived: s.bound, ConnState: released, MaxIdleWorkerDuration: idleWorker,
	}
	var err error
	if s.http2, err = newHTTP2Front(s); err != nil {
		return nil, fmt.Errorf("proxy: cannot make ready for HTTP/2: %w", err)
	}
	s.http.NextProto(http2.NextProtoTLS, s.http2.serve)
	s.snap.Store(&Snapshot{table: catalog.Compile(&wire.Catalog{})})
	s.registerState(o.Registry)
	return s, nil
}

// mostConns leaves some of the files that the process may have open to providers, the store and the admin port.
func mostConns() int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return math.MaxInt
	}
	return int(min(files.Cur-files.Cur/8, math.MaxInt32))
}

// idleWorker is how long a goroutine of the server's waits for another connection before it ends, and its stack with it.
const idleWorker = 2 * time.Second

// released tells a connection that the server is done with it.
func released(c net.Conn, state fasthttp.ConnState) {
	if state != fasthttp.StateHijacked && state != fasthttp.StateClosed {
		return
	}
	if conn := plain(c); conn != nil {
		conn.Released()
	}
}

// serverName is what answers say of who sent them.
const serverName = "wedge"

// quietLogger drops fasthttp's own log lines: they would repeat clients' bytes.
type quietLogger struct{}

func (quietLogger) Printf(string, ...any) {}

// Publish compiles a catalog and swaps it in, unless it equals the one in use. A catalog that fails anywhere is refused whole and the last good one
// stays; the refusal shows on /status and in the metrics. source says where the catalog came from.
func (s *Server) Publish(c *wire.Catalog, source string) error {
	s.publish.Lock()
	defer s.publish.Unlock()
	if s.snap.Load().Digest == c.Digest() {
		s.refusal.Store(nil)
		return nil
	}
	return s.install(c, source)
}

// Refuse notes that a catalog from source was not taken.
func (s *Server) Refuse(digest, source string, reason error) {
	s.metrics.refused.Inc()
	s.refusal.Store(&Refusal{Time: time.Now().UTC(), Digest: digest, Source: source, Reason: reason.Error()})
	s.o.Log.Error("catalog refused; the last good one stays in use", "source", source, "reason", reason)
}

// Run does the server's background work until ctx ends: it notices clients that left, probes providers, and tells
// policies how requests ended.
func (s *Server) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { s.probeProviders(ctx) })
	work.Go(func() { s.tellPolicies(ctx) })
	work.Go(func() { tidy(ctx) })
	return s.watcher.Run(ctx)
}

// Serve answers the clients of a listener until Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	from := downstream.Listen(ln)
	from.WriteTimeout = s.o.WriteTimeout
	l := downstream.NewLobby(from)
	l.Patience, l.MaxConns = s.o.ReadTimeout, s.o.MaxConns
	l.Report = func(err error) {
		s.o.Log.Warn("no further connections are taken until some of those that are open have ended", "open", from.Conns(), "error", err)
	}
	if !s.enter(l) {
		return l.Close()
	}
	s.serving.Store(true)
	defer s.serving.Store(false)
	switch {
	case s.o.TLS != nil:
		return s.http.Serve(tls.NewListener(l, withProtocols(s.o.TLS)))
	case s.o.PlainHTTP2:
		return s.http.Serve(plainListener{l})
	}
	return s.http.Serve(l)
}

// enter has Shutdown end l. It returns false if that has been called.
func (s *Server) enter(l *downstream.Lobby) bool {
	s.lobbiesMu.Lock()
	defer s.lobbiesMu.Unlock()
	s.lobbies = append(s.lobbies, l)
	return !s.draining.Load()
}

// withProtocols offers HTTP/2 besides what a configuration offers already.
func withProtocols(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.NextProtos = append([]string{http2.NextProtoTLS, "http/1.1"}, c.NextProtos...)
	return c
}

// Shutdown stops taking requests, waits for those under way until ctx ends, and then closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	defer context.AfterFunc(ctx, s.end)()
	telling, told := context.WithCancel(ctx)
	var front sync.WaitGroup
	front.Go(func() { s.http2.shutdown(telling) })
	front.Go(func() { s.endLobbies(ctx) })
	s.recordings.shutdown()
	s.parked.shutdown()
	s.sockets.shutdown(ctx)
	err := s.http.ShutdownWithContext(ctx)
	if err == nil {
		err = s.awaitDetached(ctx)
	}
	told()
	front.Wait()
	s.endpointsMu.Lock()
	defer s.endpointsMu.Unlock()
	for _, e := range s.endpoints {
		e.Close()
	}
	s.retiring.Wait()
	s.work.Wait()
	return err
}

// endLobbies closes the connections that have asked nothing, once nothing is under way: until then they hear that the node ends.
func (s *Server) endLobbies(ctx context.Context) {
	for s.inFlight.Load() > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.lobbiesMu.Lock()
	defer s.lobbiesMu.Unlock()
	for _, l := range s.lobbies {
		l.End()
	}
}

// Drain takes the server out of service, or back into it: requests under way go on, new ones are refused.
func (s *Server) Drain(on bool) { s.drained.Store(on) }

// Ready says why the server cannot answer, or nil.
func (s *Server) Ready() error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case s.drained.Load():
		return errors.New("drained by the operator")
	case s.snap.Load().Digest == "":
		return errors.New("no catalog is in use yet")
	case !s.serving.Load():
		return errors.New("the listener is not open")
	}
	return nil
}

// handle is called by fasthttp with a whole request.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	x := s.acquire(ctx)
	if x.conn != nil {
		_ = x.conn.Uncork() // what ended the answer before a pipelined request; a broken connection shows at the next write
	}
	n := s.inFlight.Add(1)
	straighten(ctx)
	x.client = clientDialect(ctx)
	if e := x.admissible(n); e != nil {
		x.refuse(e)
	} else if e := x.safely((*exchange).dispatch); e != nil {
		x.refuse(e)
	}
	if !x.streamed {
		x.finish()
	}
}

// admissible says why the node takes no request now, or nil.
func (x *exchange) admissible(inFlight int64) *dialect.Error {
	switch {
	case x.visit != nil && x.visit.books:
		return nil
	case x.s.draining.Load():
		x.ctx.SetConnectionClose()
		return fail(codeDraining, "", "this node is shutting down; ask another one")
	case x.s.drained.Load():
		x.ctx.SetConnectionClose()
		return fail(codeDraining, "", "this node was taken out of service; ask another one")
	case inFlight > int64(x.s.o.MaxInFlight):
		return fail(codeOverloaded, "", "this node has as many requests under way as it takes; try again later")
	case x.snap.Digest == "":
		return fail(codeDraining, "", "this node has no catalog yet; try again later")
	}
	return nil
}

// dispatch finds what the path asks for.
func (x *exchange) dispatch() *dialect.Error {
	path := x.ctx.Path()
	if x.visit != nil && x.visit.do != nil {
		return x.visit.do(x)
	}
	if x.isPreflight() {
		return x.preflight()
	}
	if version, is := isLive(path); is && websockets.Asked(x.ctx) {
		return x.serveLive(version)
	}
	if x.client == dialect.Gemini {
		return x.dispatchGemini(path)
	}
	rest, ok := bytes.CutPrefix(path, []byte("/v1/"))
	if !ok {
		return fail(codeNotFound, "", "there is nothing at this path; the APIs are below /v1/ and /v1beta/")
	}
	if op, ok := operations[string(rest)]; ok {
		x.op = op
		if op == dialect.OpResponses && websockets.Asked(x.ctx) {
			return x.serveTurns()
		}
		if e := x.method("POST"); e != nil {
			return e
		}
		if op.Counts() {
			return x.serveCount()
		}
		return x.serve()
	}
	switch {
	case string(rest) == "realtime" && websockets.Asked(x.ctx):
		return x.serveRealtime()
	case string(rest) == "models" || bytes.HasPrefix(rest, []byte("models/")):
		return x.listModels(bytes.TrimPrefix(rest, []byte("models")))
	case string(rest) == "feedback":
		return x.takeFeedback()
	}
	if _, ok := operations[string(bytes.TrimRight(rest, "/"))]; ok { // it must not get around what is done for it
		return fail(codeNotFound, "", "there is nothing at this path; leave out the slash at its end")
	}
	return x.passThrough()
}

// method refuses every method but the one that the path takes.
func (x *exchange) method(want string) *dialect.Error {
	if string(x.ctx.Method()) == want {
		return nil
	}
	x.ctx.Response.Header.SetCanonical(headerAllow, []byte(want))
	return fail(codeMethodNotAllowed, "", "this path takes "+want+" only")
}

// strangersBody bounds the body of a request that shows no key of this node, in bytes: it is read before it is refused.
const strangersBody = 64 << 10

// bound says how much of a body is read. Whether the key is the whole key is checked later; its public part is enough
// to keep strangers from filling the memory.
func (s *Server) bound(h *fasthttp.RequestHeader) (c fasthttp.RequestConfig) {
	if n := h.ContentLength(); n >= 0 && n <= strangersBody {
		return c
	}
	id, ok := wire.KeyID(headerKey(h))
	if ok {
		_, ok = s.snap.Load().principals[string(id)]
	}
	if !ok && !bytes.Contains(h.RequestURI(), []byte("key=")) {
		c.MaxRequestBodySize = min(strangersBody, s.o.MaxBody)
	}
	return c
}

// handleUnread answers bytes that did not become a request.
func (s *Server) handleUnread(ctx *fasthttp.RequestCtx, err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return
	}
	x := s.acquire(ctx)
	s.inFlight.Add(1)
	ctx.SetConnectionClose()
	if x.conn != nil {
		x.conn.Linger()
	}
	x.refuse(readError(err))
	x.finish()
}

// forgetful is a Durable in memory.
type forgetful struct{ m sync.Map }

func (f *forgetful) Get(key []byte) ([]byte, error) {
	if v, ok := f.m.Load(string(key)); ok {
		return v.([]byte), nil
	}
	return nil, store.ErrNotFound
}

func (f *forgetful) Put(key, value []byte) error {
	f.m.Store(string(key), append([]byte(nil), value...))
	return nil
}
