package badger

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	bg "github.com/dgraph-io/badger/v4"
)

// TestTablesOfAnotherShape: what a killed process left in a table in memory is there after a start with smaller ones, also
// when that start was killed, too. Without room for it Badger ends the process.
func TestTablesOfAnotherShape(t *testing.T) {
	const entries = 60_000
	key := func(i int) []byte { return fmt.Appendf(nil, "%06d", i) }
	log := &logger{log: slog.New(slog.DiscardHandler)}
	large := shape{memTable: 8 << 20, valueLog: 16 << 20}
	dir := t.TempDir()
	room := &space{dir: dir, reserve: 1 << 20}
	e, err := openEngine(dir, large, room, log)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.close()) })
	for i := 0; i < entries; i += 1000 {
		c, err := e.admit(1)
		require.NoError(t, err)
		batch := make([]bg.Entry, 1000)
		for j := range batch {
			batch[j] = bg.Entry{Key: key(i + j), Value: []byte("v")}
		}
		require.NoError(t, e.send(c, uint64(i+1), batch))
		c.ack(nil)
		<-c.done
	}
	for name, cut := range map[string]func([]byte) []byte{
		"untouched":       func(log []byte) []byte { return log },
		"read and killed": func(log []byte) []byte { return bytes.TrimRight(log, "\x00") },
	} {
		t.Run(name, func(t *testing.T) {
			left := t.TempDir()
			require.NoError(t, os.CopyFS(left, os.DirFS(dir)))
			require.NoError(t, os.Remove(filepath.Join(left, "LOCK")))
			logs, err := filepath.Glob(filepath.Join(left, "*.mem"))
			require.NoError(t, err)
			require.Len(t, logs, 1, "all of it in one table")
			data, err := os.ReadFile(logs[0])
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(logs[0], cut(data), 0o600))
			again, err := openEngine(left, kvShape, room, log)
			require.NoError(t, err)
			defer func() { assert.NoError(t, again.close()) }()
			require.NoError(t, again.with(func(db *bg.DB) error {
				assert.Equal(t, kvShape.memTable, db.Opts().MemTableSize)
				txn := db.NewTransactionAt(entries+1, false)
				defer txn.Discard()
				for i := range entries {
					if _, err := txn.Get(key(i)); err != nil {
						return fmt.Errorf("%s: %w", key(i), err)
					}
				}
				return nil
			}))
		})
	}
}
