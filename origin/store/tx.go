package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Tx is a transaction. It must not be used after the function that it was given to has returned, nor by two goroutines
// at once.
type Tx struct {
	ctx   context.Context
	tx    *sql.Tx
	store *Store
	rev   int64 // the last revision that it made, 0 for none
}

const (
	maxTries   = 10
	firstPause = 2 * time.Millisecond // doubled from try to try, each with full jitter
	maxPause   = 500 * time.Millisecond
)

// Update runs f in a transaction and commits it if f returns nil. Where the database asks for another try, f is called
// again from the start. An error that is ErrUnknown leaves open whether the transaction was committed.
func (s *Store) Update(ctx context.Context, f func(t *Tx) error) error {
	return s.repeat(ctx, func() error { return s.update(ctx, f) })
}

func (s *Store) update(ctx context.Context, f func(t *Tx) error) error {
	tx, err := s.write().BeginTx(ctx, s.writeOptions())
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	t := &Tx{ctx: ctx, tx: tx, store: s}
	if err := f(t); err != nil {
		return err
	}
	if t.rev > 0 {
		if err := s.announce(ctx, tx, t.rev); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil { // before it is in doubt
		return err
	}
	if err := tx.Commit(); err != nil {
		if !s.unsure(err) {
			return err
		}
		return fmt.Errorf("%w: it broke off during the commit (%w): read what is there, or repeat the change with the same idempotency key",
			ErrUnknown, err)
	}
	s.watch.tell(t.rev)
	return nil
}

// View runs f in a transaction that sees one state of everything and changes nothing.
func (s *Store) View(ctx context.Context, f func(t *Tx) error) error {
	return s.repeat(ctx, func() error {
		tx, err := s.read().BeginTx(ctx, s.readOptions())
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		return f(&Tx{ctx: ctx, tx: tx, store: s})
	})
}

// repeat calls f until it fails for good, succeeds, or has been tried often enough.
func (s *Store) repeat(ctx context.Context, f func() error) error {
	pause := firstPause
	for try := 1; ; try++ {
		err := f()
		if err == nil || errors.Is(err, ErrUnknown) || !s.again(err) {
			return err
		}
		if try == maxTries {
			return fmt.Errorf("cannot get a transaction through in %d tries: %w: try again when the database has less to do", maxTries, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(pause)):
		}
		pause = min(2*pause, maxPause)
	}
}

// Context is the one that the transaction runs under.
func (t *Tx) Context() context.Context { return t.ctx }

// Exec runs a statement and tells how many rows it changed. Arguments stand as ?, and words in braces are replaced as
// in a Schema; {for update} after a select locks the rows that it finds.
func (t *Tx) Exec(query string, args ...any) (rows int64, err error) {
	result, err := t.tx.ExecContext(t.ctx, t.store.say(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// run is Exec for those who do not count.
func (t *Tx) run(query string, args ...any) error {
	_, err := t.Exec(query, args...)
	return err
}

// Query runs a select, written as for Exec. Its rows must be closed before the next statement.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	return t.tx.QueryContext(t.ctx, t.store.say(query), args...)
}

// Row runs a select of at most one row, written as for Exec.
func (t *Tx) Row(query string, args ...any) *sql.Row {
	return t.tx.QueryRowContext(t.ctx, t.store.say(query), args...)
}

// rowsPerInsert bounds how many rows one statement inserts: each of the databases would take more.
const rowsPerInsert = 100

// Insert inserts rows of as many values as there are columns. suffix follows the values, such as "on conflict …".
func (t *Tx) Insert(table string, columns []string, rows [][]any, suffix string) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(columns)), ",") + "),"
	for len(rows) > 0 {
		n := min(len(rows), rowsPerInsert)
		args := make([]any, 0, n*len(columns))
		for _, row := range rows[:n] {
			args = append(args, row...)
		}
		query := fmt.Sprintf("insert into %s (%s) values %s %s", table, strings.Join(columns, ", "),
			strings.TrimSuffix(strings.Repeat(one, n), ","), suffix)
		if err := t.run(query, args...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}
