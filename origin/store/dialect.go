package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"sync"
)

// dialect is a database with its way of saying what SQL leaves open. Queries are written once, with ? for arguments
// and words in braces, which each dialect replaces:
//
//	{bytes}       the type of a column of bytes
//	{text}        the type of a column of text, ordered by its bytes
//	{for update}  locks the rows that a select finds until the transaction ends
//	{now}         the database's clock in microseconds since 1970
type dialect interface {
	// write and read are the pools for transactions that change something, and for everything else.
	write() *sql.DB
	read() *sql.DB
	// writeOptions are those of a transaction whose statements see what others have committed before them; readOptions
	// are those of one that sees one state of everything.
	writeOptions() *sql.TxOptions
	readOptions() *sql.TxOptions
	// say puts a query into the dialect's words.
	say(query string) string
	// lockSchema keeps other processes from changing the schema until the transaction ends.
	lockSchema(ctx context.Context, tx *sql.Tx) error
	// has tells whether a table is there.
	has(ctx context.Context, q querier, table string) (bool, error)
	// again tells whether a transaction that failed so should be tried again.
	again(err error) bool
	// unsure tells whether a commit that failed so may have happened.
	unsure(err error) bool
	// announce tells other processes in the transaction that there is a revision; listen calls heard when one did, until
	// ctx is done or the connection breaks. Both are hints.
	announce(ctx context.Context, tx *sql.Tx, rev int64) error
	listen(ctx context.Context, heard func()) error
	// alone tells whether no other process can have the database open.
	alone() bool
	close() error
}

// phrases replaces the words in braces, and remembers what it made of a query.
type phrases struct {
	words    *strings.Replacer
	numbered bool // $1, $2 in place of ?
	made     sync.Map
}

func (p *phrases) say(query string) string {
	if made, ok := p.made.Load(query); ok {
		return made.(string)
	}
	said := p.words.Replace(query)
	if p.numbered {
		said = number(said)
	}
	p.made.Store(query, said)
	return said
}

// number replaces each ? with $1, $2, … No query of ours has a ? in a literal.
func number(query string) string {
	var out strings.Builder
	for n := 1; ; n++ {
		before, after, found := strings.Cut(query, "?")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		out.WriteString("$" + strconv.Itoa(n))
		query = after
	}
}
