package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// moneySchema stands for the tables of another part of the origin.
var moneySchema = Schema{
	Name:   "money",
	Tables: []string{"accounts"},
	Steps: []string{
		"create table accounts (name {text} primary key, nano bigint not null, share double precision, note {bytes})",
		"alter table accounts add column closed bigint",
	},
}

// fillUp makes a store with something of everything.
func fillUp(t testing.TB, s *Store) {
	t.Helper()
	digest, err := s.PutBytes(t.Context(), randomBlob(chunkSize+100))
	require.NoError(t, err)
	for i := range 2*rowsPerInsert + 10 {
		apply(t, s, Put("m", fmt.Sprint(i), body(fmt.Sprint(i)), Any), Put("policy", "p", named(digest), Any))
	}
	apply(t, s, Delete("m", "3", Any))
	_, err = s.Compact(t.Context(), Cut{Rev: 20, Audit: true})
	require.NoError(t, err)
	_, err = s.Compact(t.Context(), Cut{Rev: 30})
	require.NoError(t, err)
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) error {
		return tx.Insert("accounts", []string{"name", "nano", "share", "note", "closed"}, [][]any{
			{"a", int64(-1 << 63), 0.1, []byte{0, 255}, nil}, {"b", int64(1<<63 - 1), nil, nil, int64(0)}}, "")
	}))
}

// accountsOf tells the rows of moneySchema.
func accountsOf(t testing.TB, s *Store) (all []string) {
	t.Helper()
	require.NoError(t, s.View(t.Context(), func(tx *Tx) error {
		rows, err := tx.Query("select name, nano, share, note, closed from accounts order by name")
		require.NoError(t, err)
		return each(rows, func() error {
			var name string
			var nano int64
			var share *float64
			var note []byte
			var closed *int64
			err := rows.Scan(&name, &nano, &share, &note, &closed)
			all = append(all, fmt.Sprint(name, nano, share != nil && *share == 0.1, note, closed != nil))
			return err
		})
	}))
	return all
}

func TestABackupIsRestoredOnEitherDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		options.Blobs, options.Schemas = blobsOf, []Schema{moneySchema}
		s := open(t, options)
		fillUp(t, s)
		var backup bytes.Buffer
		head, err := s.Backup(t.Context(), &backup)
		require.NoError(t, err)
		onEach(t, func(t *testing.T, target Options) {
			target.Blobs, target.Schemas = options.Blobs, options.Schemas
			restored, err := Restore(t.Context(), target, bytes.NewReader(backup.Bytes()))
			require.NoError(t, err)
			assert.Greater(t, restored.Epoch, head.Epoch)
			assert.Equal(t, head.Rev, restored.Rev)
			assert.Equal(t, head.Chain, restored.Chain)
			r := open(t, target)
			got, err := r.Head(t.Context())
			require.NoError(t, err)
			assert.Equal(t, restored, got)
			assert.Equal(t, snapshotOf(t, s), snapshotOf(t, r))
			assert.Equal(t, []string{"a-9223372036854775808 true [0 255] false", "b9223372036854775807 false [] true"}, accountsOf(t, r))
			want, _, err := s.Changes(t.Context(), 30, 0)
			require.NoError(t, err)
			changes, _, err := r.Changes(t.Context(), 30, 0)
			require.NoError(t, err)
			assert.Equal(t, want, changes)
			_, _, err = r.Changes(t.Context(), 29, 0)
			assert.ErrorIs(t, err, ErrCompacted)
			require.NoError(t, r.Verify(t.Context()))
			next := apply(t, r, Put("m", "3", body("again"), Absent))
			assert.Equal(t, head.Rev+1, next.Rev)

			_, err = Restore(t.Context(), Options{URL: databases["sqlite"](t), Blobs: blobsOf}, bytes.NewReader(backup.Bytes()))
			assert.ErrorIs(t, err, ErrNewer, "a Wedge that does not know the tables")
		})
		_, err = Restore(t.Context(), Options{URL: databases["sqlite"](t), Schemas: []Schema{{Name: "money", Steps: moneySchema.Steps[:1]}}},
			bytes.NewReader(backup.Bytes()))
		assert.ErrorIs(t, err, ErrNewer, "a Wedge that knows them as they were")
	})
}

func TestAnEpochOnlyGrows(t *testing.T) {
	now := newClock()
	options := Options{URL: databases["sqlite"](t), Now: now.Now}
	s := open(t, options)
	var backup bytes.Buffer
	head, err := s.Backup(t.Context(), &backup)
	require.NoError(t, err)
	now.advance(-time.Hour) // a machine whose clock is wrong
	restored, err := Restore(t.Context(), Options{URL: databases["sqlite"](t), Now: now.Now}, &backup)
	require.NoError(t, err)
	assert.Equal(t, head.Epoch+1, restored.Epoch)
}

func TestABackupOfOlderTablesIsBroughtUpToDate(t *testing.T) {
	old := moneySchema
	old.Steps = old.Steps[:1]
	s := open(t, Options{URL: databases["sqlite"](t), Schemas: []Schema{old}})
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) error { return tx.run("insert into accounts (name, nano) values ('a', 1)") }))
	var backup bytes.Buffer
	_, err := s.Backup(t.Context(), &backup)
	require.NoError(t, err)
	options := Options{URL: databases["sqlite"](t), Schemas: []Schema{moneySchema}}
	_, err = Restore(t.Context(), options, &backup)
	require.NoError(t, err)
	assert.Equal(t, []string{"a1 false [] false"}, accountsOf(t, open(t, options)))
}

func TestABackupThatIsNotWholeRestoresNothing(t *testing.T) {
	source := Options{URL: databases["sqlite"](t), Blobs: blobsOf, Schemas: []Schema{moneySchema}}
	s := open(t, source)
	fillUp(t, s)
	var whole bytes.Buffer
	_, err := s.Backup(t.Context(), &whole)
	require.NoError(t, err)
	onEach(t, func(t *testing.T, options Options) {
		options.Blobs, options.Schemas = source.Blobs, source.Schemas
		damaged := map[string][]byte{"nothing": nil, "something else": []byte("PK\x03\x04 and so on, and on, and on")}
		for _, at := range []int{20, 500, 5000, whole.Len() / 2, whole.Len() - 1} {
			damaged[fmt.Sprint("cut at ", at)] = whole.Bytes()[:at]
			flipped := bytes.Clone(whole.Bytes())
			flipped[at] ^= 4
			damaged[fmt.Sprint("changed at ", at)] = flipped
		}
		for name, b := range damaged {
			_, err := Restore(t.Context(), options, bytes.NewReader(b))
			assert.Error(t, err, name)
		}
		_, err := Restore(t.Context(), options, bytes.NewReader(whole.Bytes()))
		require.NoError(t, err, "the others have left nothing behind")
		_, err = Restore(t.Context(), options, bytes.NewReader(whole.Bytes()))
		assert.ErrorIs(t, err, ErrNotEmpty)
	})
}

func TestABackupFileIsWholeOrNotThere(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	head := apply(t, s, Put("m", "a", body("1"), Any))
	path := filepath.Join(t.TempDir(), "backup")
	require.NoError(t, os.WriteFile(path+".part", []byte("what a dead process left"), 0o600))
	got, err := s.BackupFile(t.Context(), path)
	require.NoError(t, err)
	assert.Equal(t, head, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	assert.NoFileExists(t, path+".part")

	require.NoError(t, s.Close())
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = s.BackupFile(t.Context(), path)
	assert.Error(t, err)
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, before, after, "the last one stays")
	assert.NoFileExists(t, path+".part")
	_, err = s.BackupFile(t.Context(), filepath.Join(path, "x"))
	assert.ErrorContains(t, err, "cannot back up the store")
}

// smallBackup is of a store with a resource and a blob.
func smallBackup(t testing.TB) []byte {
	t.Helper()
	s := open(t, Options{URL: databases["sqlite"](t)})
	apply(t, s, Put("m", "a", body("1"), Any))
	_, err := s.PutBytes(t.Context(), []byte("x"))
	require.NoError(t, err)
	var backup bytes.Buffer
	_, err = s.Backup(t.Context(), &backup)
	require.NoError(t, err)
	return backup.Bytes()
}

func TestABackupThatSomebodyTamperedWithIsRefusedOrHoldsTogether(t *testing.T) {
	whole := smallBackup(t)
	rng := rand.New(rand.NewPCG(1, 2))
	refused := 0
	for range 60 {
		b := bytes.Clone(whole)
		b[rng.IntN(len(b)-sha256.Size)] ^= 1 << rng.IntN(8)
		options := Options{URL: databases["sqlite"](t)}
		if _, err := Restore(t.Context(), options, bytes.NewReader(resum(b))); err != nil {
			refused++
			continue
		}
		s := open(t, options)
		require.NoError(t, s.Verify(t.Context()))
		require.NoError(t, s.Close())
	}
	assert.Greater(t, refused, 30)
}

func FuzzBackupReader(f *testing.F) {
	f.Add(smallBackup(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &backupReader{r: bufio.NewReader(bytes.NewReader(resum(b))), hash: sha256.New()}
		if _, err := r.header(); err != nil {
			assert.ErrorIs(t, err, ErrCorrupt)
			return
		}
		width := 0
		err := r.tables(func(_ string, columns []string) error {
			width = len(columns)
			return nil
		}, func(_ string, columns []string, rows [][]any) error {
			for _, row := range rows {
				assert.Len(t, row, width)
			}
			assert.LessOrEqual(t, len(rows), rowsPerInsert)
			return nil
		})
		if err != nil {
			assert.ErrorIs(t, err, ErrCorrupt)
		}
	})
}

// resum makes the digest at a backup's end right.
func resum(b []byte) []byte {
	if len(b) < sha256.Size {
		return b
	}
	b = bytes.Clone(b[:len(b)-sha256.Size])
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}
