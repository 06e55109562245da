package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

func TestAFileBelongsToOneProcess(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a folder?", "100%")
	path := filepath.Join(folder, "origin #1.db")
	s := open(t, Options{URL: "sqlite:" + path})
	_, err := Open(t.Context(), Options{URL: path})
	assert.ErrorIs(t, err, ErrInUse)
	assert.ErrorContains(t, err, "another process holds "+path+".lock")
	apply(t, s, Put("m", "a", body(""), Any))
	found, err := filepath.Glob(filepath.Join(folder, "*"))
	require.NoError(t, err)
	assert.Contains(t, found, path+"-wal", "it has a write-ahead log")
	for _, file := range found {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	require.NoError(t, s.Close())
	assert.NoFileExists(t, path+"-wal")
	open(t, Options{URL: path})
}

func TestEveryCommitIsOnTheDisk(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		require.NoError(t, s.write().QueryRowContext(t.Context(), "pragma "+pragma).Scan(&got))
		assert.Equal(t, want, got, pragma)
	}
	_, err := s.read().ExecContext(t.Context(), "delete from head")
	assert.Error(t, err, "readers only read")
}

func TestWhatCannotBeOpened(t *testing.T) {
	notFolder := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(notFolder, []byte("this is not a database, although it is long enough to be one"), 0o600))
	for url, says := range map[string]string{
		"":                                  "give one, or a URL that begins with postgres://",
		filepath.Join(notFolder, "x.db"):    "cannot make the folder of the store",
		notFolder:                           "file is not a database",
		"postgres://localhost:notaport/":    "cannot read the URL of the PostgreSQL database",
		"postgres://u:secret@127.0.0.1:1/d": "cannot reach the PostgreSQL database \"d\" at 127.0.0.1:1",
	} {
		_, err := Open(t.Context(), Options{URL: url})
		require.ErrorContains(t, err, says)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestTablesAreBroughtUpToDate(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		old := moneySchema
		old.Steps = old.Steps[:1]
		options.Schemas = []Schema{old}
		s := open(t, options)
		require.NoError(t, s.Update(t.Context(), func(tx *Tx) error { return tx.run("insert into accounts (name, nano) values ('a', 1)") }))
		require.NoError(t, s.Close())

		broken := moneySchema
		broken.Steps = append(broken.Steps[:2:2], "create table other (id bigint)", "this is no SQL")
		options.Schemas = []Schema{broken}
		_, err := Open(t.Context(), options)
		require.ErrorContains(t, err, "cannot bring the store's tables up to date: step 4 of money")

		options.Schemas = []Schema{moneySchema}
		s = open(t, options)
		assert.Equal(t, []string{"a1 false [] false"}, accountsOf(t, s), "steps that failed left nothing, and the others are taken")
		require.NoError(t, s.Close())

		options.Schemas = []Schema{old}
		_, err = Open(t.Context(), options)
		require.ErrorIs(t, err, ErrNewer)
		assert.ErrorContains(t, err, "the tables of money are at version 2, and this Wedge knows versions up to 1: update Wedge")
	})
}

func TestManyOriginsMakeTheTablesOnce(t *testing.T) {
	options := Options{URL: pgtest.Database(t), Schemas: []Schema{moneySchema}}
	stores := make([]*Store, 4)
	testkit.Hammer(len(stores), 1, func(g, _ int) {
		var err error
		stores[g], err = Open(t.Context(), options)
		assert.NoError(t, err)
	})
	epochs := map[int64]bool{}
	for _, s := range stores {
		require.NotNil(t, s)
		head, err := s.Head(t.Context())
		require.NoError(t, err)
		epochs[head.Epoch] = true
		require.NoError(t, s.Close())
	}
	assert.Len(t, epochs, 1)
}

func TestAChangeAndOtherTablesShareATransaction(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		options.Schemas = []Schema{moneySchema}
		s := open(t, options)
		set := func(expect int64) func(tx *Tx) error {
			return func(tx *Tx) error {
				if err := tx.run("insert into accounts (name, nano) values ('a', 1)"); err != nil {
					return err
				}
				head, err := tx.Apply(ChangeSet{Actor: "a", Ops: []Op{Put("m", "a", body("1"), expect)}})
				if err != nil {
					return err
				}
				r, err := tx.Get("m", "a")
				assert.Equal(t, head.Rev, r.Version, "it sees its own change")
				return err
			}
		}
		assert.ErrorIs(t, s.Update(t.Context(), set(7)), ErrConflict)
		assert.Empty(t, accountsOf(t, s))
		told := s.Watch(t.Context())
		require.NoError(t, s.Update(t.Context(), set(Absent)))
		assert.EqualValues(t, 1, <-told)
		assert.Len(t, accountsOf(t, s), 1)
		assert.Error(t, s.View(t.Context(), func(tx *Tx) error { return tx.run("delete from accounts") }), "a view changes nothing")
	})
}
