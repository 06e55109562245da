package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"
)

// A backup is the tables row by row, so that either database can be restored from the other's:
//
//	backupMagic, the header as JSON with its length before it,
//	for each table a 't', its name, the number of its columns and their names, and for each row an 'r' and its values,
//	an 'e', and the SHA-256 of all that.
//
// Lengths and numbers are varints. A value is a byte that tells its type, and what it is.
const backupMagic = "wedge backup 1\n"

const (
	valueNull = iota
	valueInt
	valueText
	valueBytes
	valueFloat
)

// backupHeader tells what a backup was taken of.
type backupHeader struct {
	At      time.Time      `json:"at"`
	Epoch   int64          `json:"epoch"`
	Rev     int64          `json:"rev"`
	Schemas map[string]int `json:"schemas"` // versions
}

// Backup writes one state of everything to w, leads and unfinished requests aside, and returns its head.
func (s *Store) Backup(ctx context.Context, w io.Writer) (head Head, err error) {
	// Not View, which may try again: w would have got the beginning twice.
	tx, err := s.read().BeginTx(ctx, s.readOptions())
	if err == nil {
		defer func() { _ = tx.Rollback() }()
		head, err = (&Tx{ctx: ctx, tx: tx, store: s}).backup(w)
	}
	if err != nil {
		return Head{}, fmt.Errorf("cannot back up the store: %w", err)
	}
	return head, nil
}

// BackupFile makes a backup at path, which is there when all of it is on the disk, and as it was before otherwise.
func (s *Store) BackupFile(ctx context.Context, path string) (head Head, err error) {
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return Head{}, fmt.Errorf("cannot back up the store: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second time, perhaps
			_ = os.Remove(part)
		}
	}()
	if head, err = s.Backup(ctx, f); err != nil {
		return Head{}, err
	}
	if err = errors.Join(f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return Head{}, fmt.Errorf("cannot back up the store to %s: %w", path, err)
	}
	return head, nil
}

// syncFolder makes a new name last.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (t *Tx) backup(w io.Writer) (Head, error) {
	head, err := t.head("")
	if err != nil {
		return Head{}, err
	}
	versions, err := t.versions()
	if err != nil {
		return Head{}, err
	}
	header, err := json.Marshal(backupHeader{At: t.store.now(), Epoch: head.Epoch, Rev: head.Rev, Schemas: versions})
	if err != nil {
		return Head{}, err
	}
	hash := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(w, hash), 64<<10)
	b := appendText([]byte(backupMagic), string(header))
	for _, schema := range t.store.schemas {
		for _, table := range schema.Tables {
			if b, err = t.backupTable(out, b, table); err != nil {
				return Head{}, fmt.Errorf("table %s: %w", table, err)
			}
		}
	}
	if _, err = out.Write(append(b, 'e')); err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = w.Write(hash.Sum(nil))
	}
	return head, err
}

// backupTable writes b and then the table, and returns b emptied.
func (t *Tx) backupTable(out io.Writer, b []byte, table string) ([]byte, error) {
	rows, err := t.Query("select * from " + table)
	if err != nil {
		return b, err
	}
	columns, err := rows.Columns()
	if err != nil {
		return b, errors.Join(err, rows.Close())
	}
	b = binary.AppendUvarint(appendText(append(b, 't'), table), uint64(len(columns)))
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for i, column := range columns {
		b = appendText(b, column)
		places[i] = &values[i]
	}
	err = each(rows, func() error {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		b = append(b, 'r')
		for i, v := range values {
			if b, err = appendValue(b, v); err != nil {
				return fmt.Errorf("column %s: %w", columns[i], err)
			}
		}
		_, err := out.Write(b)
		b = b[:0]
		return err
	})
	return b, err
}

func appendValue(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, valueNull), nil
	case int64:
		return binary.AppendVarint(append(b, valueInt), v), nil
	case string:
		return appendText(append(b, valueText), v), nil
	case []byte:
		return append(binary.AppendUvarint(append(b, valueBytes), uint64(len(v))), v...), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, valueFloat), math.Float64bits(v)), nil
	}
	return b, fmt.Errorf("a backup takes whole numbers, text, bytes and double precision, not %T", v)
}
