// Package store keeps what the origin must not lose: resources and every revision of them, blobs, and who changed
// what, in one SQLite file or in PostgreSQL; it knows neither what resources mean nor how they travel.
//
// Every change is one revision. Revisions are counted without gaps in the transaction that makes them, and each is
// chained to the one before it, so that a reader who holds (epoch, revision, chain) can tell whether what comes next
// continues what it has. Other parts of the origin keep tables of their own beside these (Options.Schemas) and work on
// them with Update and View.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Options say where a store lies, and what it is told by those who use it.
type Options struct {
	// URL is a path of a SQLite file, with or without "sqlite:" before it, or a URL that begins with postgres:// or
	// postgresql://.
	URL string
	// Blobs tells the digests of the blobs that a resource's body names. A change that names a blob which is not there
	// is refused, and a blob is kept as long as a body in the history names it. Nil: bodies name none.
	Blobs func(kind string, body []byte) ([]string, error)
	// Schemas are the tables of other parts of the origin.
	Schemas []Schema
	// Connections is how many connections to PostgreSQL are open at most; 0 means 16.
	Connections int
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	poll    time.Duration // how often PostgreSQL is asked for the revision
	leadFor time.Duration // how long a lead lasts that is not renewed
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	dialect
	options Options
	schemas []Schema
	watch   watchers
	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup // who follows the revisions of others, and the leads; begins under mu, never when closed
}

const (
	pollEvery      = time.Second
	leadDuration   = 15 * time.Second
	maxConnections = 16
)

// Open opens the store, makes its tables or brings them up to date, and begins to watch for revisions that other
// processes make. ctx bounds the opening only.
func Open(ctx context.Context, options Options) (*Store, error) {
	s, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	err = s.migrate(ctx)
	if err == nil {
		err = s.begin(ctx)
	}
	if err != nil {
		_ = s.close()
		return nil, err
	}
	return s, nil
}

// connect opens the database, whatever it holds.
func connect(ctx context.Context, options Options) (*Store, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Blobs == nil {
		options.Blobs = func(string, []byte) ([]string, error) { return nil, nil }
	}
	options.Connections = cmp.Or(options.Connections, maxConnections)
	options.poll = cmp.Or(options.poll, pollEvery)
	options.leadFor = cmp.Or(options.leadFor, leadDuration)
	s := &Store{options: options, schemas: append([]Schema{ownSchema}, options.Schemas...)}
	var err error
	if isPostgres(options.URL) {
		s.dialect, err = openPostgres(ctx, options.URL, options.Connections)
	} else {
		s.dialect, err = openSQLite(ctx, strings.TrimPrefix(options.URL, "sqlite:"))
	}
	if err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s, nil
}

// begin starts what runs as long as the store is open.
func (s *Store) begin(ctx context.Context) error {
	if s.dialect.alone() {
		// Nobody else has this file open: whoever led, is gone.
		if err := s.Update(ctx, func(t *Tx) error { return t.run("delete from leads") }); err != nil {
			return fmt.Errorf("cannot end the leads of the process before this one: %w", err)
		}
	}
	head, err := s.Head(ctx)
	if err != nil {
		return err
	}
	s.watch.tell(head.Rev)
	if !s.dialect.alone() {
		s.start(s.follow)
	}
	return nil
}

// Close ends every lead and watch, waits for them, and closes the database. What still runs on the store fails. A
// second Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.stop()
	s.running.Wait()
	s.watch.close()
	return s.close()
}

// start runs f until it ends by itself, which it does soon after s.ctx is done. It does nothing once the store is closed.
func (s *Store) start(f func()) (started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.running.Go(f)
	}
	return !s.closed
}

// now is the time in whole microseconds, which is what the tables keep.
func (s *Store) now() time.Time { return s.options.Now().UTC().Truncate(time.Microsecond) }

// timeOf is the time that a column holds.
func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// querier is what a transaction and a database have in common.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}
