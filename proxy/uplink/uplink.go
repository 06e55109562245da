// Package uplink is a node's one connection to its origins: it enrols, takes verified revisions from them into the node's
// own store and into use, and brings them what the node reports; it knows neither how a catalog is compiled nor what a
// report counts.
package uplink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/wedge-proxy/wedge/wire"
)

// KV is the node's durable store. Get returns store.ErrNotFound for an unknown key; Each visits in the order of keys. What
// Put stored outlives the process, and after Sync the machine.
type KV interface {
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
	Each(prefix []byte, visit func(key, value []byte) error) error
	Sync() error
}

// Reports are what the node has to tell, in order.
type Reports interface {
	// Next is the oldest report that the origin has not counted; the same one until Sent.
	Next() (*wire.Report, bool)
	// Sent tells that the origin has counted up to a report.
	Sent(wire.ReportReply)
	// Gap tells that the origin has not counted the report before: those that are left become reports of another
	// incarnation.
	Gap() error
	// Changed has a value after there is a report that was not there before.
	Changed() <-chan struct{}
}

// Options are what a node brings along. Origins, Name, Dir, KV and Activate are required.
type Options struct {
	Origins     []string // URLs; any of them will do
	Join        string   // a join token, needed until the node has enrolled
	Name        string   // the node's
	Region      string
	Address     string // where clients reach the node, for people
	Version     string // of the program
	Incarnation string // one life of the node's journal
	Dir         string // the node's identity: its key, its certificate, the authority's
	CAFile      string // the authority's certificate, if it is not the one that came with the join token
	KV          KV

	// Activate puts a catalog into use; it should give up when ctx ends. An error refuses the revision.
	Activate func(ctx context.Context, c *wire.Catalog) error
	// Check tells of a catalog's references to secrets, other than origin:NAME, whether the node may resolve them. Nil: it
	// may resolve none.
	Check   func(ref string) error
	Control func(wire.Control) // what the origin asks of the node; may be nil
	Reports Reports            // nil: there is nothing to report
	Log     *slog.Logger       // nil: silent

	now       func() time.Time
	backoff   func(attempt int) time.Duration
	activates time.Duration // what Activate may take
	probation time.Duration
	patience  time.Duration // until a stream that says nothing is taken for one that somebody buffers
	poll      time.Duration // how long an origin may wait before it answers a poll
}

const (
	probationTime = time.Minute
	bufferedAfter = 10 * time.Second
	backoffFirst  = 500 * time.Millisecond
	backoffMost   = 30 * time.Second
	activateTime  = 30 * time.Second
	steadyAfter   = 10 * time.Second // a session that lasted so long worked
)

func (o *Options) settle() error {
	if len(o.Origins) == 0 || o.Dir == "" || o.KV == nil || o.Activate == nil {
		return errors.New("uplink: Options need Origins, Dir, KV and Activate")
	}
	for i, origin := range o.Origins {
		url, err := checkOrigin(origin)
		if err != nil {
			return err
		}
		o.Origins[i] = url
	}
	if o.CAFile != "" {
		if _, err := os.Stat(o.CAFile); err != nil {
			return fmt.Errorf("cannot read the authority's certificate: %w", err)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.backoff == nil {
		o.backoff = fullJitter
	}
	o.activates = cmp.Or(o.activates, activateTime)
	o.probation = cmp.Or(o.probation, probationTime)
	o.patience = cmp.Or(o.patience, bufferedAfter)
	o.poll = cmp.Or(o.poll, pollTime)
	return nil
}

// fullJitter spreads nodes that lost their origin at the same moment.
func fullJitter(attempt int) time.Duration {
	most := min(backoffMost, backoffFirst<<min(attempt, 10))
	return backoffFirst/4 + rand.N(most)
}

// Uplink is the link. Boot, then Run.
type Uplink struct {
	o    Options
	disk disk
	who  who

	// work is held while a revision is taken, and so while its modules are fetched. Whoever asks for the status or for a
	// secret does not need it.
	work      sync.Mutex
	meta      meta
	anchor    wire.Trust // see trust
	vouched   wire.Trust // what an enrolment named, until the first revision after it
	used      *state     // in use; nil before the first
	inUse     string     // the digest of its catalog
	staging   staging
	owed      *wire.Ack // a refusal that no origin has heard of yet
	anew      bool      // the next stream begins with a whole state
	failing   failing
	trial     *time.Timer
	trialEnds time.Time

	took     atomic.Bool // the last session put a revision into use
	resort   bool        // the store's only revision killed the process before: an origin is asked first
	secrets  secrets
	shown    shown
	present  atomic.Pointer[session] // nil without one
	buffered map[string]time.Time    // when it was seen that somebody holds back the streams of an origin
}

// failing counts how often in a row the link failed while a revision was taken.
type failing struct {
	at    wire.Position
	times int
}

// Open reads the node's identity, if it has one. Nothing is asked yet.
func Open(o Options) (*Uplink, error) {
	o.Origins = slices.Clone(o.Origins)
	if err := o.settle(); err != nil {
		return nil, err
	}
	id, err := loadIdentity(o.Dir)
	if err != nil {
		return nil, err
	}
	u := &Uplink{o: o, disk: disk{o.KV}, buffered: map[string]time.Time{}, trial: time.NewTimer(time.Hour)}
	u.trial.Stop() // until there is something to prove
	u.setIdentity(id)
	if u.anchor, err = loadTrust(o.Dir); err != nil {
		return nil, err
	}
	if id == nil && o.Join == "" && len(u.anchor) == 0 { // with keys to trust there may be a bundle
		return nil, errNoIdentity
	}
	u.shown.set(func(s *Status) { s.Link, s.Since, s.Node = linkDown, o.now().UTC(), u.name() })
	return u, nil
}

// name is the node's: the certificate's once there is one.
func (u *Uplink) name() string {
	if id := u.identity(); id != nil {
		return id.name()
	}
	return u.o.Name
}

// Run follows the origins until ctx ends. An error is one that asking again does not mend: the node cannot enrol and has
// nothing to serve.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.end()
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { u.prove(ctx); return nil })
	work.Go(func() error { return u.link(ctx) })
	return work.Wait()
}

// link keeps the link up: one origin after the other, with pauses that grow.
func (u *Uplink) link(ctx context.Context) error {
	for attempt := 0; ; attempt++ {
		origin, began := u.o.Origins[attempt%len(u.o.Origins)], time.Now()
		err := u.follow(ctx, origin)
		if ctx.Err() != nil {
			return nil
		}
		u.lastResort(ctx)
		if u.hopeless(err) {
			return err
		}
		u.shown.down(u.o.now(), err)
		u.o.Log.Warn("the link to the origin is down", "origin", origin, "error", err)
		// A session that breaks at once counts as a failure: a twin may have fenced it, or the origin sends what cannot be
		// taken. They must not chase each other.
		if u.took.Swap(false) || time.Since(began) > steadyAfter {
			attempt %= len(u.o.Origins) // it worked: begin with short pauses again
		}
		pause(ctx, max(u.o.backoff(attempt/len(u.o.Origins)), retryAfter(err)))
	}
}

// hopeless says that the node was refused an identity, and has no revision to go on with.
func (u *Uplink) hopeless(err error) bool {
	u.work.Lock()
	defer u.work.Unlock()
	if u.identity() != nil || u.used != nil {
		return false
	}
	switch codeOf(err) {
	case "unauthenticated", "forbidden", "invalid", "conflict":
		return true
	}
	return errors.Is(err, errToken) || errors.Is(err, errNoIdentity)
}

// end makes sure that a process which ends well does not count as one that died.
func (u *Uplink) end() {
	u.work.Lock()
	defer u.work.Unlock()
	u.trial.Stop()
	if u.meta.Trial {
		u.meta.Trials = -1 // the next start is not one after a death
		if err := u.disk.saveMeta(&u.meta); err != nil {
			u.o.Log.Error("cannot note that the process ended well", "error", err)
		}
	}
}

func retryAfter(err error) time.Duration {
	if refused, ok := errors.AsType[*originError](err); ok {
		return refused.after
	}
	return 0
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// follow enrols if need be, and follows one origin until the link breaks.
func (u *Uplink) follow(ctx context.Context, origin string) error {
	if u.nameless() {
		if err := u.enrol(ctx, origin); err != nil {
			return err
		}
	}
	c := u.renewed(ctx, origin)
	defer c.http.CloseIdleConnections()
	var w wire.Welcome
	if err := c.post(ctx, wire.PathHello, u.hello(), &w); err != nil {
		return fmt.Errorf("cannot begin a session: %w", err)
	}
	if w.Schema > wire.SyncSchema || w.Session == "" {
		return errors.New("the origin speaks a newer schema than this node: upgrade the node")
	}
	u.shown.up(u.o.now(), origin, u.name(), u.identity().certificate.NotAfter)
	s := &session{u: u, c: c, id: w.Session, ping: time.Duration(max(w.PingEvery, 100)) * time.Millisecond}
	u.present.Store(s)
	defer u.present.Store(nil)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return s.run(ctx) })
	work.Go(func() error { return s.report(ctx) })
	work.Go(func() error { return s.renewInTime(ctx) })
	return work.Wait()
}

// renewed is a caller whose certificate was exchanged if it was time to.
func (u *Uplink) renewed(ctx context.Context, origin string) *caller {
	c := u.call(origin)
	if !u.o.now().After(c.id.renewAt()) {
		return c
	}
	if err := u.renew(ctx, c); err != nil {
		u.o.Log.Error("the certificate stays as it is", "error", err)
		return c
	}
	c.http.CloseIdleConnections()
	return u.call(origin)
}

func (u *Uplink) hello() wire.Hello {
	u.work.Lock()
	defer u.work.Unlock()
	h := wire.Hello{Schema: wire.SyncSchema, Version: u.o.Version, Region: u.o.Region, Incarnation: u.o.Incarnation, Address: u.o.Address}
	if u.used != nil {
		h.Epoch, h.Rev = u.used.at.Epoch, u.used.at.Rev
	}
	return h
}

// errNoSession says that no origin answers now.
var errNoSession = errors.New("there is no session with an origin")

// Lease tells the origin what became of the node's leases, and asks it for more. It fails at once without a session.
func (u *Uplink) Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	s := u.present.Load()
	if s == nil {
		return nil, errNoSession
	}
	told := *r
	told.Session = s.id
	reply := new(wire.LeaseReply)
	if err := s.c.post(ctx, wire.PathLease, &told, reply); err != nil {
		return nil, fmt.Errorf("cannot lease: %w", err)
	}
	return reply, nil
}
