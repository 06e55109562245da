package store

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVerifyFindsWhatHasBeenTamperedWith(t *testing.T) {
	for name, c := range map[string]struct{ statement, says string }{
		"a body":              {`update history set body = '{}' where rev = 35 and kind = 'm'`, `m "34" of revision 35 is not what was stored`},
		"a body that is gone": {`update history set body = null where rev = 35 and kind = 'm'`, `m "34" of revision 35 is not what was stored`},
		"an operation":        {`delete from history where rev = 35 and kind = 'm'`, `revision 35 has 1 operations and should have 2`},
		"who it was":          {`update changes set actor = 'nobody' where rev = 35`, `who made revision 35`},
		"why it was":          {`update changes set reason = 'none' where rev = 25`, `who made revision 25`},
		"when it was":         {`update changes set at = at + 1 where rev = 35`, `who made revision 35`},
		"a payload":           {`update changes set payload = x'00' where rev = 35`, `the payload of revision 35 cannot be read`},
		"a chain":             {`update changes set chain = zeroblob(32) where rev = 35`, `the chain of revision 35 is 0000`},
		"a revision":          {`delete from changes where rev = 205`, `between revisions`},
		"the last revision":   {`delete from changes where rev = 211`, `the chain ends at revision 210`},
		"the base":            {`update head set base_chain = zeroblob(32)`, `the chain of revision 21 is`},
		"the head":            {`update head set rev = rev + 1`, `the chain ends at revision 211`},
		"what is kept":        {`update head set kept = 1`, `history is kept from 1 and records from 20`},
		"a resource":          {`update resources set body = '{}' where name = '40'`, `m "40" is not what revision 41 made it`},
		"an old resource":     {`update resources set body = '{}' where name = '25'`, `m "25" is not what revision 26 made it`},
		"a missing resource":  {`delete from resources where name = '40'`, `m "40": it is missing`},
		"a resource that was": {`insert into resources values ('m', '3', 4, 0, 0, '"3"')`, `m "3": it is not what the last change made it`},
		"a resource to come":  {`update resources set rev = 999 where name = '5'`, `m "5": it is not what the last change made it`},
		"a chunk":             {`update blob_chunks set body = zeroblob(524288) where n = 0`, `has 524388 bytes of 524388 and the digest`},
		"a chunk less":        {`delete from blob_chunks where n = 1`, `has 524288 bytes of 524388 and the digest`},
		"a blob":              {`delete from blobs`, `policy "p": the blob that it names is missing`},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Options{URL: tampered(t), Blobs: blobsOf, Schemas: []Schema{moneySchema}})
			require.NoError(t, s.Verify(t.Context()))
			require.NoError(t, s.Update(t.Context(), func(tx *Tx) error {
				n, err := tx.Exec(c.statement)
				assert.NotZero(t, n)
				return err
			}))
			err := s.Verify(t.Context())
			require.ErrorIs(t, err, ErrCorrupt)
			assert.ErrorContains(t, err, c.says)
		})
	}
}

var filledUp []byte

// tampered returns the path of a store that fillUp has filled.
func tampered(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "origin.db")
	if filledUp == nil {
		s := open(t, Options{URL: path, Blobs: blobsOf, Schemas: []Schema{moneySchema}})
		fillUp(t, s)
		require.NoError(t, s.Close())
		var err error
		filledUp, err = os.ReadFile(path)
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(path, filledUp, 0o600))
	return path
}
