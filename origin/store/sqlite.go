package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"modernc.org/sqlite" // the driver's name is sqlite
)

// sqliteDB is one file: one connection writes, a few read what has been committed.
type sqliteDB struct {
	phrases
	writer, reader *sql.DB
	lock           *os.File
}

const (
	sqliteReaders = 4
	sqliteBusy    = 5  // SQLITE_BUSY
	sqliteIO      = 10 // SQLITE_IOERR
)

func openSQLite(ctx context.Context, path string) (dialect, error) {
	if path == "" {
		return nil, invalid("cannot open a store without a path: give one, or a URL that begins with postgres://")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the store: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	d := &sqliteDB{lock: lock}
	d.words = strings.NewReplacer("{bytes}", "blob", "{text}", "text", " {for update}", "",
		"{now}", "cast(unixepoch('subsec') * 1000000 as integer)")
	err = d.open(ctx, path)
	if err != nil {
		_ = d.close()
		return nil, fmt.Errorf("cannot open the store %s: %w", path, err)
	}
	return d, nil
}

// lockFile locks a file for as long as the process lives or it is closed. SQLite would let two processes write in
// turn, but neither would tell the other of its revisions, and both would lead.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%w: another process holds %s (%w): stop it, or use PostgreSQL for several origins", ErrInUse, path, err)
	}
	return f, nil
}

func (d *sqliteDB) open(ctx context.Context, path string) error {
	// The file may hold secrets, and the -wal and -shm beside it get the permissions that it has.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	dsn := func(more string) string {
		return (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String() + "?_busy_timeout=10000" + more
	}
	if d.writer, err = sql.Open("sqlite", dsn("&_journal_mode=WAL&_synchronous=FULL&_txlock=immediate")); err != nil {
		return err
	}
	d.writer.SetMaxOpenConns(1)
	if err := d.writer.PingContext(ctx); err != nil { // makes the file one with a WAL before anybody reads it
		return err
	}
	if d.reader, err = sql.Open("sqlite", dsn("&_query_only=true")); err != nil {
		return err
	}
	d.reader.SetMaxOpenConns(sqliteReaders)
	d.reader.SetMaxIdleConns(sqliteReaders)
	return nil
}

func (d *sqliteDB) write() *sql.DB                                 { return d.writer }
func (d *sqliteDB) read() *sql.DB                                  { return d.reader }
func (d *sqliteDB) writeOptions() *sql.TxOptions                   { return nil }
func (d *sqliteDB) readOptions() *sql.TxOptions                    { return &sql.TxOptions{ReadOnly: true} }
func (d *sqliteDB) lockSchema(context.Context, *sql.Tx) error      { return nil }
func (d *sqliteDB) announce(context.Context, *sql.Tx, int64) error { return nil }
func (d *sqliteDB) listen(ctx context.Context, _ func()) error     { <-ctx.Done(); return ctx.Err() }
func (d *sqliteDB) alone() bool                                    { return true }

func (d *sqliteDB) has(ctx context.Context, q querier, table string) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx, "select count(*) from sqlite_schema where type = 'table' and name = ?", table).Scan(&n)
	return n > 0, err
}

func (d *sqliteDB) again(err error) bool { return codeOf(err) == sqliteBusy }

// unsure: where the disk failed, the log may be whole nevertheless when it is read the next time.
func (d *sqliteDB) unsure(err error) bool { return codeOf(err) == sqliteIO }

// codeOf is SQLite's code for an error, -1 if it is another's.
func codeOf(err error) int {
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return -1
	}
	return failed.Code() & 0xff // the rest is an extended code
}

func (d *sqliteDB) close() error {
	var errs []error
	for _, db := range []*sql.DB{d.reader, d.writer} { // the last one to close folds the WAL into the file
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, d.lock.Close())...)
}
