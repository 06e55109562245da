package fleet

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/wire"
)

// session is a node that has said hello to this origin, or has come over with the session of another one.
type session struct {
	id, node string
	bucket   uint64
	ctx      context.Context // ends with the session; its cause is why
	end      context.CancelCauseFunc

	mu      sync.Mutex
	used    wire.Position // what the node uses, without a chain; it believes the keys that are named there
	wish    wire.Control  // what the operator wants of the node
	wished  int           // how often that has changed
	told    int           // how many of these the node has been told
	changed chan struct{} // closed when wish changes
	stream  int           // counts streams; the last one is the one that counts
	stop    context.CancelFunc
	streams int       // that are open
	idle    time.Time // since when there is none
	polls   bool      // the last one was a long poll: the next one comes soon
}

var (
	errFenced  = errors.New("the node has begun another session")
	errRemoved = errors.New("the node has been removed")
)

func newSession(id, node string, used wire.Position, wish wire.Control, now time.Time) *session {
	s := &session{id: id, node: node, bucket: bucketOf(node), used: used, wish: wish, wished: 1, changed: make(chan struct{}),
		idle: now, polls: true}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

// refusal is what a node is told whose session has ended.
func (s *session) refusal() error {
	switch cause := context.Cause(s.ctx); {
	case errors.Is(cause, errRemoved):
		return refuse(codeForbidden, "the node %s has been removed; let it enrol again, with a new join token", s.node)
	case errors.Is(cause, errStopped):
		return cause
	}
	return refuse(codeFenced, "another session of the node %s has begun; say hello again", s.node)
}

// set changes what the operator wants, and wakes the stream.
func (s *session) set(wish wire.Control) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(wish)
}

// setAt is set, unless the wish has changed since it was at a version.
func (s *session) setAt(version int, wish wire.Control) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wished != version {
		return false
	}
	if s.wish != wish {
		s.change(wish)
	}
	return true
}

func (s *session) change(wish wire.Control) {
	s.wish, s.wished = wish, s.wished+1
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *session) version() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wished
}

// uses notes what the node has put into use.
func (s *session) uses(at wire.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = at
}

func (s *session) inUse() wire.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// control is what the operator wants, and closed when that changes. news says that the node has not been told yet.
func (s *session) control() (wish wire.Control, version int, news bool, changed <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wish, s.wished, s.told < s.wished, s.changed
}

func (s *session) tell(version int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = max(s.told, version)
}

// open begins a stream in place of the one before, whose context it ends. A node that streams is told everything anew.
func (s *session) open(ctx context.Context, polls bool) (context.Context, func(now time.Time)) {
	ctx, stop := context.WithCancel(ctx)
	unlink := context.AfterFunc(s.ctx, stop)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop != nil {
		s.stop()
	}
	s.stop, s.streams, s.polls = stop, s.streams+1, polls
	if !polls {
		s.told = 0
	}
	return ctx, func(now time.Time) {
		unlink()
		stop()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams, s.idle = s.streams-1, now
	}
}

// silent says that the node has no stream, and should have one.
func (s *session) silent(now time.Time, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams > 0 {
		return false
	}
	return !s.polls || now.Sub(s.idle) > patience
}

// registry is the sessions of this process, one for each node.
type registry struct {
	mu     sync.Mutex
	byNode map[string]*session
	closed bool
	open   sync.WaitGroup // streams
}

func (r *registry) init() { r.byNode = map[string]*session{} }

// add puts a session in place of an older one of the same node.
func (r *registry) add(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.byNode[s.node]; old != nil {
		old.end(errFenced)
	}
	r.byNode[s.node] = s
	if r.closed {
		s.end(errStopped)
	}
}

// remove forgets a session, if it is still the node's, and ends it.
func (r *registry) remove(s *session, cause error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.end(cause)
	if r.byNode[s.node] != s {
		return false
	}
	delete(r.byNode, s.node)
	return true
}

func (r *registry) get(node string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byNode[node]
}

// known returns the sessions, each with the version of what the operator wants.
func (r *registry) known() map[*session]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[*session]int, len(r.byNode))
	for _, s := range r.byNode {
		known[s] = s.version()
	}
	return known
}

// enter lets a stream begin, which must call leave at its end.
func (r *registry) enter() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errStopped
	}
	r.open.Add(1)
	return nil
}

func (r *registry) leave() { r.open.Done() }

// close ends all sessions, and waits for their streams.
func (r *registry) close() {
	r.mu.Lock()
	r.closed = true
	for _, s := range r.byNode {
		s.end(errStopped)
	}
	r.mu.Unlock()
	r.open.Wait()
}

// hello begins a session, and ends every older one of the node.
func (f *Fleet) hello(w http.ResponseWriter, r *http.Request) error {
	c, err := f.identify(r)
	if err != nil {
		return err
	}
	var h wire.Hello
	if err := read(w, r, maxHello, &h); err != nil {
		return err
	}
	if err := checkHello(&h); err != nil {
		return err
	}
	if f.feed.view() == nil {
		return busy(time.Second, "the origin is starting; try again")
	}
	trust, err := f.o.Vault.Trust(r.Context())
	if err != nil {
		return err
	}
	id := newID()
	var wish wire.Control
	err = f.writes.put(r.Context(), &write{
		node: c.name, pulse: true,
		do: func(t *store.Tx) (err error) {
			wish, err = f.begin(t, &c, &h, id)
			return err
		},
		after: func() {
			f.local.add(newSession(id, c.name, wire.Position{Epoch: h.Epoch, Rev: h.Rev}, wish, f.o.Now()))
		},
	})
	if err != nil {
		return err
	}
	f.notice() // a node that is there counts in the waves
	send(w, http.StatusOK, wire.Welcome{
		Session: id, Schema: wire.SyncSchema, Time: f.now(), Trust: trust,
		PingEvery: f.o.PingEvery.Milliseconds(), ReportEvery: f.o.ReportEvery.Milliseconds(),
	})
	return nil
}

func checkHello(h *wire.Hello) error {
	if h.Schema < wire.SyncSchema {
		return refuse(codeUpgrade, "the node knows version %d of the protocol, the origin sends %d; upgrade the node", h.Schema, wire.SyncSchema)
	}
	if h.Region != "" {
		if err := wire.CheckName(h.Region); err != nil {
			return refuse(codeInvalid, "the region: %s", err)
		}
	}
	if h.Epoch < 0 || h.Rev < 0 {
		return refuse(codeInvalid, "the node says that it uses revision %d of epoch %d", h.Rev, h.Epoch)
	}
	return errors.Join(checkText("the version", h.Version, 200), checkText("the address", h.Address, 500),
		checkText("the incarnation", h.Incarnation, 200))
}

// begin enters the session, and returns what the operator wants of the node.
func (f *Fleet) begin(t *store.Tx, c *caller, h *wire.Hello, id string) (wish wire.Control, err error) {
	n, err := t.Exec(`update fleet_nodes set session = ?, holder = ?, region = case when ? = '' then region else ? end, version = ?,
		address = ?, epoch = ?, rev = ?, seen = ? where name = ? and since <= ?`,
		id, f.id, h.Region, h.Region, h.Version, h.Address, h.Epoch, h.Rev, f.now(), c.name, c.since)
	if err != nil {
		return wish, err
	}
	if n == 0 {
		return wish, c.removed()
	}
	err = t.Row("select pinned, drained, reason from fleet_nodes where name = ?", c.name).Scan(&wish.Pinned, &wish.Drain, &wish.Reason)
	return wish, err
}

// resume finds the session that a node names: it may have begun at another origin.
func (f *Fleet) resume(r *http.Request, c *caller, id string) (*session, error) {
	if s := f.local.get(c.name); s != nil && s.id == id {
		if s.ctx.Err() != nil {
			return nil, s.refusal()
		}
		return s, nil
	}
	if id == "" || len(id) > 64 {
		return nil, refuse(codeInvalid, "the node names no session; say hello first")
	}
	var s *session
	err := f.writes.put(r.Context(), &write{
		node: c.name, pulse: true,
		do: func(t *store.Tx) error {
			var wish wire.Control
			var used wire.Position
			err := t.Row(`update fleet_nodes set holder = ? where name = ? and since <= ? and session = ?
				returning epoch, rev, pinned, drained, reason`, f.id, c.name, c.since, id).
				Scan(&used.Epoch, &used.Rev, &wish.Pinned, &wish.Drain, &wish.Reason)
			if errors.Is(err, sql.ErrNoRows) {
				return f.whyNot(t, c)
			}
			s = newSession(id, c.name, used, wish, f.o.Now())
			return err
		},
		after: func() { f.local.add(s) },
	})
	return s, err
}

// whyNot tells why a session is not the node's.
func (f *Fleet) whyNot(t *store.Tx, c *caller) error {
	var since int64
	err := t.Row("select since from fleet_nodes where name = ?", c.name).Scan(&since)
	if errors.Is(err, sql.ErrNoRows) || err == nil && c.since < since {
		return c.removed()
	}
	if err != nil {
		return err
	}
	return refuse(codeFenced, "another session of the node %s has begun; say hello again", c.name)
}

// notice wakes who leads the roll-out.
func (f *Fleet) notice() {
	select {
	case f.acked <- struct{}{}:
	default:
	}
}
