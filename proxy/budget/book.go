// Package budget keeps a node within its budgets' money: what it may spend, what it holds for requests under way, what it
// has spent. It knows neither requests nor how leases travel.
//
// A node has one purse. For each period of a budget the purse has a pot of totals that only grow: what was granted,
// returned, spent. A request may take from a pot what the pot's allowance leaves, and the allowance is on the disk before
// anybody takes from it: so a process that dies has spent no more than the disk says, however suddenly it dies.
package budget

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

// KV is the node's durable store. Get returns store.ErrNotFound for an unknown key; Each visits in the order of keys.
type KV interface {
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
	Each(prefix []byte, visit func(key, value []byte) error) error
	Sync() error
}

// Lender gives the purse money, as an origin does. Any error means that nobody answered.
type Lender interface {
	Lease(ctx context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error)
}

// Options are settings; zero values mean the defaults. KV is required.
type Options struct {
	KV          KV
	Dir         string        // the data folder, which the purse belongs to; "": copies of KV are not told apart
	Lender      Lender        // nil: the node lends to itself, up to each budget's limit
	FlushEvery  time.Duration // how often what was spent is written down; default 50 ms
	ReportEvery time.Duration // how often the lender is told; default 5 s
	Wait        time.Duration // how long an admission waits for money that may come; default 300 ms
	Now         func() time.Time
	Log         *slog.Logger
	Rates       func() []wire.RateDemand // what the node wants of rate limits; may be nil
	Shares      func([]wire.RateShare)   // takes its shares of them; may be nil
}

func (o *Options) fill() {
	if o.FlushEvery == 0 {
		o.FlushEvery = 50 * time.Millisecond
	}
	if o.ReportEvery == 0 {
		o.ReportEvery = 5 * time.Second
	}
	if o.Wait == 0 {
		o.Wait = 300 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

// Book is a node's budgets. It is safe for concurrent use.
type Book struct {
	o     Options
	purse string

	mu       sync.Mutex // of all that follows; a warm admission never takes it
	accounts map[string]*Account
	pots     map[potID]*pot
	failure  error // of the last write
	away     bool  // the lender did not answer the last time
	asked    time.Time
	retired  time.Time     // when pots were last looked at
	came     chan struct{} // closed when money came, and made anew

	kick chan struct{} // somebody waits for the disk
	want chan struct{} // somebody waits for the lender
}

type potID struct {
	budget string
	start  int64
}

// Open finds what earlier lives of the purse left in the store.
func Open(o Options) (*Book, error) {
	o.fill()
	b := &Book{
		o: o, accounts: map[string]*Account{}, pots: map[potID]*pot{}, came: make(chan struct{}),
		kick: make(chan struct{}, 1), want: make(chan struct{}, 1),
	}
	if err := b.load(); err != nil {
		return nil, fmt.Errorf("budget: cannot read what the node spent before: %w", err)
	}
	return b, nil
}

// load reads the purse and its pots. What a process that died may have spent counts as spent.
func (b *Book) load() error {
	mark, err := folderMark(b.o.Dir)
	if err != nil {
		return err
	}
	own, err := b.o.KV.Get([]byte(keyPurse))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	purse, of, _ := cutPurse(own)
	if purse == "" || of != mark && b.o.Lender != nil {
		return b.begin(mark)
	}
	b.purse = purse
	var dead [][]byte
	err = b.o.KV.Each([]byte(prefixPot), func(key, value []byte) error {
		p, err := parsePot(string(key[len(prefixPot):]), value)
		if err != nil {
			b.o.Log.Error("what was written of a budget is damaged and left out", "error", err)
			dead = append(dead, slices.Clone(key))
			return nil
		}
		p.doubt()
		b.pots[potID{p.budget, p.start}] = p
		return nil
	})
	return err
}

// begin makes a new purse: there is none yet, or the store is a copy of another folder's, whose money it does not have.
func (b *Book) begin(mark string) error {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	b.purse = hex.EncodeToString(random[:])
	var old [][]byte
	err := b.o.KV.Each([]byte(prefixPot), func(key, _ []byte) error {
		old = append(old, slices.Clone(key))
		return nil
	})
	for _, key := range old {
		if err == nil {
			err = b.o.KV.Delete(key)
		}
	}
	if err == nil {
		err = b.o.KV.Put([]byte(keyPurse), []byte(b.purse+" "+mark))
	}
	if err == nil {
		err = b.o.KV.Sync()
	}
	return err
}

// Use puts a catalog's budgets into use. Accounts keep their identity by name.
func (b *Book) Use(list []wire.Budget) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := make(map[string]bool, len(list))
	for i := range list {
		known[list[i].Name] = true
		a := b.account(list[i].Name)
		a.rule.Store(&list[i])
		a.gone.Store(false)
		a.dry.Store(0)
		if p := a.pot.Load(); p != nil && p != b.potAt(a, b.o.Now()) { // its periods were changed
			a.pot.Store(nil)
		}
	}
	for name, a := range b.accounts {
		if !known[name] {
			a.gone.Store(true)
		}
	}
	b.kickNow()
	b.wantNow()
}

// Account is the account of a budget; Use says what it may spend.
func (b *Book) Account(name string) *Account {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.account(name)
}

func (b *Book) account(name string) *Account {
	a := b.accounts[name]
	if a == nil {
		a = &Account{name: name}
		b.accounts[name] = a
	}
	return a
}

func (b *Book) kickNow() {
	select {
	case b.kick <- struct{}{}:
	default:
	}
}

func (b *Book) wantNow() {
	select {
	case b.want <- struct{}{}:
	default:
	}
}

// Run writes down what is spent, and leases, until ctx ends and all is on the disk.
func (b *Book) Run(ctx context.Context) error {
	var work sync.WaitGroup
	defer work.Wait()
	if b.o.Lender != nil {
		work.Go(func() { b.lease(ctx) })
	}
	tick := time.NewTicker(b.o.FlushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return b.end()
		case <-tick.C:
		case <-b.kick:
		}
		b.flush(b.o.Now())
	}
}

// Work is one round of what Run does.
func (b *Book) Work(ctx context.Context) {
	now := b.o.Now()
	b.flush(now)
	if b.o.Lender != nil && b.leaseDue(now) {
		b.ask(ctx)
		b.flush(now)
	}
}

// Flush returns when what was settled before outlives the process, or says why it does not.
func (b *Book) Flush() error {
	b.flush(b.o.Now())
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}
