package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
)

const (
	maxBackupValue   = 16 << 20 // bytes; no column of ours takes more
	restoreRowBytes  = 4 << 20  // of rows that are inserted at once
	maxBackupColumns = 100
)

// Restore fills an empty store from a backup and begins a new epoch, by which readers learn that what they have seen
// of the old one may not be true any more. Nothing is stored unless the whole backup is sound. options are those that
// the store is opened with afterwards.
func Restore(ctx context.Context, options Options, r io.Reader) (head Head, err error) {
	s, err := connect(ctx, options)
	if err != nil {
		return Head{}, err
	}
	defer func() { err = firstOf(err, s.Close()) }()
	// Not Update, which may try again: r can be read only once.
	err = s.update(ctx, func(t *Tx) error {
		head, err = t.restore(&backupReader{r: bufio.NewReaderSize(r, 64<<10), hash: sha256.New()})
		return err
	})
	if err != nil {
		return Head{}, fmt.Errorf("cannot restore the backup: %w", err)
	}
	return head, nil
}

// firstOf is the first error of the two that is one.
func firstOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}

func (t *Tx) restore(r *backupReader) (Head, error) {
	if there, err := t.store.has(t.ctx, t.tx, "schema_versions"); err != nil || there {
		return Head{}, firstOf(err, fmt.Errorf("%w: there is a store already: restore into a new file or database", ErrNotEmpty))
	}
	header, err := r.header()
	if err != nil {
		return Head{}, err
	}
	if err := t.makeTables(header); err != nil {
		return Head{}, err
	}
	if err := t.restoreTables(r); err != nil {
		return Head{}, err
	}
	head, err := t.head("")
	if err != nil {
		return Head{}, err
	}
	head.Epoch = max(head.Epoch+1, t.store.now().UnixMilli())
	if err := t.run("update head set epoch = ? where id = 1", head.Epoch); err != nil {
		return Head{}, err
	}
	return head, t.verify()
}

// makeTables makes the tables as they were when the backup was taken. Open takes the steps since.
func (t *Tx) makeTables(header backupHeader) error {
	for name := range header.Schemas {
		if !slices.ContainsFunc(t.store.schemas, func(s Schema) bool { return s.Name == name }) {
			return fmt.Errorf("%w: it has tables of %s, which this Wedge does not know: update Wedge", ErrNewer, name)
		}
	}
	return t.migrate(header.Schemas)
}

// restoreTables fills the tables up to the end of the backup, and checks its digest.
func (t *Tx) restoreTables(r *backupReader) error {
	return r.tables(t.knows, func(table string, columns []string, rows [][]any) error {
		if err := t.Insert(table, columns, rows, ""); err != nil {
			return fmt.Errorf("table %s: %w", table, err)
		}
		return nil
	})
}

// knows makes sure that table and columns are names of ours, for they go into statements.
func (t *Tx) knows(table string, columns []string) error {
	if !slices.ContainsFunc(t.store.schemas, func(s Schema) bool { return slices.Contains(s.Tables, table) }) {
		return fmt.Errorf("%w: it has a table %q, which this Wedge does not know", errBackup, table)
	}
	rows, err := t.Query("select * from " + table + " limit 0")
	if err != nil {
		return err
	}
	own, err := rows.Columns()
	if err = firstOf(err, rows.Close()); err != nil {
		return err
	}
	for _, column := range columns {
		if !slices.Contains(own, column) {
			return fmt.Errorf("%w: its table %s has a column %q, which this Wedge does not know", errBackup, table, column)
		}
	}
	return nil
}

var errBackup = fmt.Errorf("%w: this is not a whole backup: take another one", ErrCorrupt)

// backupReader reads what a backup consists of. After the first error everything it returns is zero.
type backupReader struct {
	r    *bufio.Reader
	hash hash.Hash // of what has been read
	err  error
}

func (r *backupReader) header() (header backupHeader, err error) {
	magic := make([]byte, len(backupMagic))
	if r.read(magic); string(magic) != backupMagic {
		return header, firstOf(r.err, errBackup)
	}
	if err := json.Unmarshal([]byte(r.text()), &header); r.err != nil || err != nil {
		return header, firstOf(r.err, errBackup)
	}
	return header, nil
}

// tables calls begin for each table, fill for some of its rows at a time, and compares the digest at the end.
func (r *backupReader) tables(begin func(string, []string) error, fill func(string, []string, [][]any) error) error {
	var table string
	var columns []string
	var rows [][]any
	size := 0
	for {
		mark := r.byte()
		if r.err == nil && len(rows) > 0 && (mark != 'r' || len(rows) == rowsPerInsert || size > restoreRowBytes) {
			r.fail(fill(table, columns, rows))
			rows, size = nil, 0
		}
		switch mark {
		case 't':
			table, columns = r.table()
			if r.err == nil {
				r.fail(begin(table, columns))
			}
		case 'r':
			row := make([]any, len(columns))
			for i := range row {
				row[i] = r.value(&size)
			}
			rows = append(rows, row)
		case 'e':
			return r.end()
		default:
			r.fail(errBackup)
		}
		if r.err != nil {
			return r.err
		}
	}
}

func (r *backupReader) table() (name string, columns []string) {
	name = r.text()
	n := r.number()
	if n > maxBackupColumns {
		r.fail(errBackup)
	}
	for ; n > 0 && r.err == nil; n-- {
		columns = append(columns, r.text())
	}
	return name, columns
}

// end compares the digest.
func (r *backupReader) end() error {
	sum := r.hash.Sum(nil)
	told := make([]byte, len(sum))
	if r.read(told); r.err == nil && !bytes.Equal(sum, told) {
		r.fail(errBackup)
	}
	return r.err
}

// value reads one and adds its bytes to size.
func (r *backupReader) value(size *int) any {
	switch r.byte() {
	case valueNull:
	case valueInt:
		unsigned := r.number() // as binary.AppendVarint folds the sign in
		return int64(unsigned>>1) ^ -int64(unsigned&1)
	case valueText:
		text := r.text()
		*size += len(text)
		return text
	case valueBytes:
		b := r.bytes()
		*size += len(b)
		return b
	case valueFloat:
		var b [8]byte
		r.read(b[:])
		return math.Float64frombits(binary.BigEndian.Uint64(b[:]))
	default:
		r.fail(errBackup)
	}
	return nil
}

func (r *backupReader) text() string { return string(r.bytes()) }

func (r *backupReader) bytes() []byte {
	n := r.number()
	if n > maxBackupValue {
		r.fail(errBackup)
	}
	if r.err != nil {
		return nil
	}
	b := make([]byte, n)
	r.read(b)
	return b
}

func (r *backupReader) number() uint64 {
	n, err := binary.ReadUvarint(byteReader{r})
	if err != nil {
		r.fail(errBackup)
		return 0
	}
	return n
}

func (r *backupReader) byte() byte {
	var b [1]byte
	r.read(b[:])
	return b[0]
}

// byteReader is a backupReader for those who want errors.
type byteReader struct{ *backupReader }

func (r byteReader) ReadByte() (byte, error) { return r.byte(), r.err }

func (r *backupReader) read(b []byte) {
	if r.err != nil {
		return
	}
	if _, err := io.ReadFull(r.r, b); err != nil {
		clear(b)
		r.fail(fmt.Errorf("%w (%w)", errBackup, err))
		return
	}
	r.hash.Write(b)
}

func (r *backupReader) fail(err error) { r.err = firstOf(r.err, err) }
