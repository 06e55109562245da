package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

// postgresDB is PostgreSQL, or what speaks its protocol: nothing here needs more than serialisable transactions.
type postgresDB struct {
	phrases
	config   *pgx.ConnConfig
	db       *sql.DB
	notifies bool
}

const (
	channel    = "wedge_revision"
	schemaLock = 0x7765646765 // "wedge"; an arbitrary number that all origins agree on
)

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

func openPostgres(ctx context.Context, url string, connections int) (dialect, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, invalid("cannot read the URL of the PostgreSQL database: %w", err) // the error leaves the password out
	}
	d := &postgresDB{config: config, db: stdlib.OpenDB(*config)}
	d.numbered = true
	d.words = strings.NewReplacer("{bytes}", "bytea", "{text}", `text collate "C"`, "{for update}", "for update",
		"{now}", "cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)")
	d.db.SetMaxOpenConns(connections)
	d.db.SetMaxIdleConns(connections)
	d.db.SetConnMaxIdleTime(5 * time.Minute)
	if err := d.db.PingContext(ctx); err != nil {
		_ = d.db.Close()
		return nil, fmt.Errorf("cannot reach the PostgreSQL database %q at %s:%d: %w: check that it runs, and the store's URL",
			config.Database, config.Host, config.Port, err)
	}
	// Those who only speak the protocol may not know notifications; an error in a transaction would end it.
	_, err = d.db.ExecContext(ctx, "select pg_notify($1, '')", channel)
	d.notifies = err == nil
	return d, nil
}

func (d *postgresDB) write() *sql.DB { return d.db }
func (d *postgresDB) read() *sql.DB  { return d.db }
func (d *postgresDB) alone() bool    { return false }
func (d *postgresDB) close() error   { return d.db.Close() }

// writeOptions: a transaction that has waited for the head's lock must see what the one before it did, whatever the
// server's default is.
func (d *postgresDB) writeOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelReadCommitted}
}

func (d *postgresDB) readOptions() *sql.TxOptions {
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

func (d *postgresDB) lockSchema(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "select pg_advisory_xact_lock($1)", schemaLock)
	return err
}

func (d *postgresDB) has(ctx context.Context, q querier, table string) (bool, error) {
	var n int
	err := q.QueryRowContext(ctx,
		"select count(*) from information_schema.tables where table_schema = current_schema() and table_name = $1", table).Scan(&n)
	return n > 0, err
}

// again: a serialisation failure and a deadlock undo the transaction, and say so.
func (d *postgresDB) again(err error) bool {
	var failed *pgconn.PgError
	return errors.As(err, &failed) && (failed.Code == "40001" || failed.Code == "40P01")
}

// unsure: unless the server says that the commit failed, and does not just say good-bye, it may have happened.
func (d *postgresDB) unsure(err error) bool {
	var failed *pgconn.PgError
	return !errors.As(err, &failed) || failed.SeverityUnlocalized != "ERROR"
}

// announce takes a lock over all that commit with a notification. Changes hold the head's lock at this point, so that
// it costs nothing more.
func (d *postgresDB) announce(ctx context.Context, tx *sql.Tx, rev int64) error {
	if !d.notifies {
		return nil
	}
	_, err := tx.ExecContext(ctx, "select pg_notify($1, $2)", channel, strconv.FormatInt(rev, 10))
	return err
}

func (d *postgresDB) listen(ctx context.Context, heard func()) error {
	if !d.notifies {
		<-ctx.Done()
		return ctx.Err()
	}
	conn, err := pgx.ConnectConfig(ctx, d.config.Copy())
	if err != nil {
		return err
	}
	// The store is being closed, or the connection is broken: a word of good-bye must not hold that up.
	defer func() {
		bye, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = conn.Close(bye)
	}()
	if _, err := conn.Exec(ctx, "listen "+channel); err != nil {
		return err
	}
	for {
		heard() // once at first: something may have been said before we listened
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
