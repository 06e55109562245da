package proxy

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/wedge-proxy/wedge/proxy/budget"
	"github.com/wedge-proxy/wedge/proxy/cache"
	"github.com/wedge-proxy/wedge/proxy/catalog"
	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/proxy/downstream"
	"github.com/wedge-proxy/wedge/proxy/price"
	"github.com/wedge-proxy/wedge/proxy/rate"
	"github.com/wedge-proxy/wedge/proxy/request"
	"github.com/wedge-proxy/wedge/proxy/stream"
)

// cacheStatus is an answer's x-wedge-cache.
type cacheStatus uint8

const (
	cacheNone cacheStatus = iota // the request did not get as far as the cache
	cacheBypass
	cacheMiss
	cacheHitMemory
	cacheHitDisk
	cacheStale
	cacheCoalesced
	cacheStatuses
)

func (c cacheStatus) String() string {
	return [cacheStatuses]string{"", "bypass", "miss", "hit-memory", "hit-disk", "stale", "coalesced"}[c]
}

// hit says that the answer came from a tier.
func (c cacheStatus) hit() bool { return c == cacheHitMemory || c == cacheHitDisk || c == cacheStale }

// exchange is one request and its answer. It is owned by the connection's goroutine from acquire to release;
// request bytes that it points to are valid until the response is written.
type exchange struct {
	state

	// What a pooled exchange keeps: buffers, and parts that reset themselves.
	view   request.View
	chat   request.View  // the chat that says what a request of another dialect does
	own    stream.Flight // when the flight is not shared
	ownUp  upcall
	watch  downstream.Watch
	keyBuf []byte `wedge:"kept"`
	tagBuf []byte `wedge:"kept"`
	body   []byte `wedge:"kept"` // what goes upstream
	lines  []byte `wedge:"kept"` // its header lines
	path   []byte `wedge:"kept"` // and its path
	out    []byte `wedge:"kept"` // a whole answer, or the last part of a stream
	tries  [maxTries]try

	accounts  [maxAccounts]*budget.Account
	promptBuf dialect.Prompt `wedge:"kept"`
}

// state is what release makes zero.
type state struct {
	s     *Server
	snap  *Snapshot
	ctx   *fasthttp.RequestCtx
	conn  *downstream.Conn // nil outside a Listener
	visit *visit           // in place of a connection
	start time.Time
	id    requestID

	// What the request is.
	client          dialect.ID // whose SDK the client is
	op              dialect.Op
	pathModel       []byte // of Gemini's API, which names the model in the path
	pathStream      bool   // as it does that a stream is asked for
	array, elements bool   // the stream is a JSON array; it has begun
	who             *principal
	doc             document
	known           *memoEntry // what is known of the body, if it came before
	place           *atomic.Pointer[memoEntry]
	digest          documentDigest // if it was computed
	parsed          bool           // view holds the body, after the policies' edits
	ruling          *ruling        // nil where the model has no policies
	recalled        *decided       // the same bytes were decided before
	ref             []byte         // the model reference
	form            form           // where a form names it
	units           catalog.Units
	tags            []byte          // k=v,k=v, sorted
	prompt          *dialect.Prompt // what it says, once somebody wanted to know
	model           *catalog.Model  // nil for a direct reference
	version         *version
	why             string // how the version was chosen
	exp             *catalog.Experiment
	arm             int
	streaming       bool   // the client asked for a stream
	forced          []byte // x-wedge-provider
	timeout         time.Time
	timed           bool // by the client
	ticket          rate.Ticket
	limited         bool // the ticket was taken

	// What the cache said.
	rules  cacheRules
	cache  cacheStatus
	reason string // why the cache was not asked
	key    cache.Key
	shared cache.Key // of the flight
	entry  *cache.Entry

	// How the answer was got.
	flight   *stream.Flight
	alone    bool            // own and ownUp were used
	leads    bool            // of a shared flight that has not ended yet
	hurried  bool            // there was no time for another attempt
	gathers  bool            // the provider is asked for a stream, and the client wants the answer whole
	short    *budget.Account // which had no money
	spared   *budget.Account // which the request is not held against
	reader   stream.Reader
	up       *upcall
	watched  bool
	alarm    *bell // when the request's own time is over
	parting  *bell // when a visit's client leaves
	plan     plan
	upstream time.Duration // spent waiting for providers

	// What was answered.
	failure    *dialect.Error
	answered   *target
	usage      dialect.Usage
	carries    bool   // the request may hold what another dialect's provider signed
	dropped    string // fields of the request that the answering target's dialect has no word for
	cost       int64
	counts     dialect.Usage // that the cost was counted from
	wasted     int64         // nano-USD: attempts whose answer nobody got
	guessed    bool          // the cost is an estimate: the provider does not tell what it billed
	status     int
	sent       int64
	overhead   time.Duration // the node's own share until the first byte
	firstToken time.Duration
	streamed   bool                           // the exchange is the response's body, and Close finishes it
	apart      bool                           // the connection was taken from the server
	remains    func(*exchange) *dialect.Error // what is then still to be done
	flow       io.WriterTo                    // and the answer's body, if its length is not known
	passes     bool                           // the answer is another exchange's, which accounts for it
	gone       bool                           // the client left
	broken     bool                           // a panic left it in no state to be used again
}

// keptMost bounds each buffer that a pooled exchange keeps, in bytes.
const keptMost = 64 << 10

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func (s *Server) acquire(ctx *fasthttp.RequestCtx) *exchange {
	x := exchanges.Get().(*exchange)
	x.s, x.ctx, x.snap = s, ctx, s.snap.Load()
	if x.conn = downstream.From(ctx.Conn()); x.conn == nil {
		x.visit, _ = ctx.Conn().(*visit)
	}
	x.start = time.Now()
	x.id = s.ids.next()
	x.cost = price.Unknown
	x.status = fasthttp.StatusOK
	return x
}

// release gives the exchange back, zero but for bounded buffers.
func (x *exchange) release() {
	if x.broken {
		if x.ruling != nil {
			x.ruling.chain.use.done()
		}
		return
	}
	if x.ruling != nil {
		x.ruling.release()
	}
	if x.parsed {
		x.view.Reset()
	}
	if x.alone {
		x.ownUp.reset()
		x.own = stream.Flight{}
	}
	x.accounts = [maxAccounts]*budget.Account{}
	for _, b := range [...]*[]byte{&x.tagBuf, &x.promptBuf.Scratch, &x.keyBuf, &x.body, &x.lines, &x.path, &x.out} {
		if *b = (*b)[:0]; cap(*b) > keptMost {
			*b = nil
		}
	}
	x.promptBuf = dialect.Prompt{Scratch: x.promptBuf.Scratch}
	clear(x.tries[:min(x.plan.attempts, maxTries)])
	x.state = state{}
	exchanges.Put(x)
}

// Gone is called when the client's connection was found closed, from another goroutine.
func (x *exchange) Gone() { x.flight.Gone(&x.reader) }

// watchClient makes the watcher call Gone when the client leaves.
func (x *exchange) watchClient() {
	switch {
	case x.conn != nil:
		x.s.watcher.Add(&x.watch, x.conn, x)
		x.watched = true
	case x.visit != nil:
		x.parting = whenDone(x.visit.ctx, x.Gone)
	}
}

func (x *exchange) unwatchClient() {
	if x.watched {
		x.s.watcher.Remove(&x.watch)
		x.watched = false
	}
	x.parting.silence()
	x.parting = nil
}
