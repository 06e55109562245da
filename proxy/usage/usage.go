// Package usage sums up what requests used, keeps the sums on the node's disk, and offers them as numbered reports until
// the origin has counted them; it knows neither requests nor how reports travel.
//
// What is added goes to the journal every 50 ms, and so outlives the process but for that window. Every few seconds the
// rows so far become a report, which never changes from then on. Reports are numbered from 1 in each life of a process,
// its incarnation, so that the origin can count each exactly once however often it is sent. What a life leaves behind,
// the next one sends under the old incarnation.
//
// While the origin is away reports get longer, not more: from some seconds up to an hour each, the more of them wait.
package usage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// KV is the node's durable store. Get returns store.ErrNotFound for an unknown key; Each visits in the order of keys.
type KV interface {
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
	Each(prefix []byte, visit func(key, value []byte) error) error
	Sync() error
}

// Options are settings; zero values mean the defaults.
type Options struct {
	FlushEvery  time.Duration // how much a dying process may lose; default 50 ms
	ReportEvery time.Duration // how long a report gets while the origin takes them; default 5 s
	MaxRows     int           // of a report, before rows are put together; default 10,000
	MaxSpool    int64         // bytes of reports that wait, before reports get coarser; default 32 MiB
	Log         *slog.Logger  // nil: silent
	Now         func() time.Time
}

func (o *Options) fill() {
	if o.FlushEvery == 0 {
		o.FlushEvery = 50 * time.Millisecond
	}
	if o.ReportEvery == 0 {
		o.ReportEvery = 5 * time.Second
	}
	if o.MaxRows == 0 {
		o.MaxRows = 10_000
	}
	if o.MaxSpool == 0 {
		o.MaxSpool = 32 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Usage is a node's sums. It is safe for concurrent use.
type Usage struct {
	o       Options
	stripes [stripes]stripe
	flawed  atomic.Int64 // how often Add was told a number that cannot be true

	mu      sync.Mutex // of all that follows; Add never takes it
	journal journal
	open    *sums     // what the report under way has so far
	late    *sums     // what of open is not in the journal yet
	since   time.Time // when open began; zero while it is empty
	seq     int64     // open's number
	room    []cell    // for drain
	spool   spool
	failure error // of the last write
	warned  bool  // of flawed

	status  atomic.Pointer[Status]
	changed chan struct{}
}

// New finds what earlier lives left behind in kv. No two may use a kv at once.
func New(kv KV, o Options) (*Usage, error) {
	o.fill()
	u := &Usage{o: o, open: newSums(), late: newSums(), seq: 1, changed: make(chan struct{}, 1)}
	for i := range u.stripes {
		u.stripes[i].init(o.MaxRows)
	}
	u.journal = journal{kv: kv, life: newLife(o.Now()), most: foldParts}
	left, err := u.journal.leftovers()
	if err != nil {
		return nil, fmt.Errorf("usage: cannot read the reports that an earlier run left in the node's store: %w", err)
	}
	u.spool = left
	u.wake()
	return u, nil
}

// newLife names a life of the process. Names sort by age as far as clocks can be trusted.
func newLife(now time.Time) string {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%012x-%s", now.UnixMilli(), hex.EncodeToString(random[:]))
}

// Status is how the reports are doing.
type Status struct {
	Incarnation string `json:"incarnation"`     // under what the reports of this life are numbered
	Reports     int    `json:"reports"`         // that wait for the origin
	Bytes       int64  `json:"bytes"`           // of them on the disk
	Error       string `json:"error,omitempty"` // why the disk takes no more
}

// Status never waits for the disk.
func (u *Usage) Status() Status { return *u.status.Load() }

// Incarnation is under what the reports of this life are numbered.
func (u *Usage) Incarnation() string { return u.status.Load().Incarnation }

// Pending tells how many reports wait for the origin.
func (u *Usage) Pending() int { return u.status.Load().Reports }

// Changed has a value after there is a report that was not there before.
func (u *Usage) Changed() <-chan struct{} { return u.changed }

// publish tells how the spool is.
func (u *Usage) publish() {
	s := Status{Incarnation: u.journal.life, Reports: len(u.spool.reports), Bytes: u.spool.size}
	if name, ok := u.spool.names[u.journal.life]; ok {
		s.Incarnation = name.As
	}
	if u.failure != nil {
		s.Error = u.failure.Error()
	}
	if before := u.status.Load(); before == nil || *before != s {
		u.status.Store(&s)
	}
}

// wake tells whoever sends that there is something to send, if so.
func (u *Usage) wake() {
	u.publish()
	if len(u.spool.reports) > 0 {
		select {
		case u.changed <- struct{}{}:
		default:
		}
	}
}

// Run keeps the journal and makes reports, until ctx ends and all that was added before is on the disk. What is added
// after that is kept by a further Flush.
func (u *Usage) Run(ctx context.Context) error {
	tick := time.NewTicker(u.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return u.Flush()
		case <-tick.C:
			u.work()
		}
	}
}

// work does what is due. A disk that refuses is asked again next time, and complained of once.
func (u *Usage) work() {
	u.mu.Lock()
	defer u.mu.Unlock()
	err := u.flush()
	if u.due() {
		err = u.seal()
	} else if err == nil && u.journal.long() {
		_, err = u.journal.fold(u.seq, u.period(), u.open)
	}
	switch {
	case err != nil && u.failure == nil:
		u.o.Log.Error("usage cannot be written to the node's disk and is kept in memory: free some room there", "err", err)
	case err == nil && u.failure != nil:
		u.o.Log.Info("usage is written to the node's disk again")
	}
	u.failure = err
	if n := u.flawed.Load(); n > 0 && !u.warned {
		u.warned = true
		u.o.Log.Error("a provider tells usage that cannot be true; only what a report may have is counted of it, and no more is said of that",
			"requests", n)
	}
	u.publish()
}

// Flush returns when all that was added before outlives a power cut, or says why it does not.
func (u *Usage) Flush() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := u.flush(); err != nil {
		return fmt.Errorf("usage: cannot write the journal; what the last requests used may be lost: %w", err)
	}
	return nil
}

// flush moves what was added to the journal. The mutex is held.
func (u *Usage) flush() error {
	u.drain()
	if err := u.writeKept(); err != nil {
		return err
	}
	if err := u.journal.add(u.seq, u.late); err != nil {
		return err
	}
	u.late.reset()
	return u.journal.sync()
}

// drain collects what the stripes hold.
func (u *Usage) drain() {
	limit := u.spool.limit(u.o.MaxRows, u.o.MaxSpool)
	for i := range u.stripes {
		u.room = u.stripes[i].drain(u.room, func(c *cell) {
			u.open.add(&c.key, &c.counts, limit)
			u.late.add(&c.key, &c.counts, limit)
		})
	}
	if u.since.IsZero() && u.open.len() > 0 {
		u.since = u.o.Now()
	}
}

// writeKept writes the report that the disk refused: nothing of the next one may lie there before it.
func (u *Usage) writeKept() error {
	r := u.spool.unwritten()
	if r == nil {
		return nil
	}
	size, err := u.journal.write(r.seq, r.when, math.MaxUint32, r.kept)
	if err == nil {
		r.kept, r.size = nil, size
		u.spool.size += int64(size)
	}
	return err
}

// Reports that wait make the next one longer: twice as long for every so many, up to an hour.
const (
	doubling  = 64
	maxReport = time.Hour
)

// patience is how long a report gets when so many wait.
func patience(every time.Duration, waiting int) time.Duration {
	return max(every, min(every<<min(waiting/doubling, 16), maxReport))
}

// due says that the open report is to be ended.
func (u *Usage) due() bool {
	if u.open.len() == 0 || u.spool.unwritten() != nil {
		return false
	}
	age := u.o.Now().Sub(u.since)
	if age < 0 { // the clock was set back
		u.since = u.o.Now()
	}
	return age >= patience(u.o.ReportEvery, len(u.spool.reports))
}

func (u *Usage) period() period { return period{u.since.UnixMilli(), u.o.Now().UnixMilli()} }

// seal ends the open report. It may be sent from then on, even if the disk refuses it.
func (u *Usage) seal() error {
	r := report{life: u.journal.life, seq: u.seq}
	size, err := u.journal.fold(u.seq, u.period(), u.open)
	if r.size = size; err != nil {
		r.kept, r.when = u.open, u.period()
		u.open = newSums()
	}
	u.spool.push(r)
	u.open.reset()
	u.late.reset()
	u.seq++
	u.since = time.Time{}
	u.journal.next()
	for i := range u.stripes {
		u.stripes[i].age()
	}
	u.wake()
	return err
}

// Key tells rows apart. Its strings are copied when a row is first seen.
type Key struct {
	Hour       int64 // unix hours: when the requests were admitted
	Model      string
	Version    string
	Experiment string
	Arm        string
	Key        string
	Provider   string
	Target     string
	Cache      string
	Code       string
	Team       string
	Tags       string // k=v,k=v, sorted by k
	Prices     string // the digest of those that costs were counted with
}

// Values are added to a row.
type Values struct {
	Requests    int64
	Input       int64 // tokens
	CachedInput int64
	Output      int64
	CostNano    int64
	Unpriced    int64
	Estimated   int64 // nano-USD of CostNano that is an estimate
	ListNano    int64 // see wire.Usage
	SavedNano   int64
	WasteNano   int64
	Took        time.Duration // of the requests, if there are any
	FirstToken  time.Duration // 0: there was none
}
