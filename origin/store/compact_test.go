package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestCompaction(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		const revisions = revsPerCut + 60 // more than one transaction takes
		for i := range revisions {
			now.advance(time.Minute)
			apply(t, s, Put("m", fmt.Sprint(i%7), body(fmt.Sprint(i)), Any))
		}
		before := snapshotOf(t, s)
		const cut = revisions - 20
		kept, err := s.Compact(t.Context(), Cut{Rev: cut})
		require.NoError(t, err)
		assert.EqualValues(t, cut, kept)

		_, _, err = s.Changes(t.Context(), cut-1, 10)
		assert.ErrorIs(t, err, ErrCompacted)
		changes, _, err := s.Changes(t.Context(), cut, 0)
		require.NoError(t, err)
		assert.Len(t, changes, 20)
		assert.Equal(t, before, snapshotOf(t, s))
		history, err := s.History(t.Context(), "m", "0", 0, 0)
		require.NoError(t, err)
		assert.Len(t, history, 2)
		records, err := s.Audit(t.Context(), 0, 1000)
		require.NoError(t, err)
		assert.Len(t, records, revisions, "who changed what is kept")
		require.NoError(t, s.Verify(t.Context()))

		kept, err = s.Compact(t.Context(), Cut{Rev: 5})
		require.NoError(t, err)
		assert.EqualValues(t, cut, kept, "what is forgotten stays so")

		kept, err = s.Compact(t.Context(), Cut{Before: now.now.Add(-9 * time.Minute), Audit: true})
		require.NoError(t, err)
		assert.EqualValues(t, revisions-10, kept)
		records, err = s.Audit(t.Context(), 0, 1000)
		require.NoError(t, err)
		assert.Len(t, records, 10)
		require.NoError(t, s.Verify(t.Context()))

		kept, err = s.Compact(t.Context(), Cut{Before: now.now.Add(time.Hour), Audit: true})
		require.NoError(t, err)
		assert.EqualValues(t, revisions, kept)
		require.NoError(t, s.Verify(t.Context()))
		apply(t, s, Put("m", "0", body("after"), Any))
		require.NoError(t, s.Verify(t.Context()))
		_, err = s.Compact(t.Context(), Cut{Rev: revisions + 2})
		assert.ErrorIs(t, err, ErrInvalid)
	})
}

func snapshotOf(t testing.TB, s *Store) (all []Resource) {
	t.Helper()
	_, err := s.Snapshot(t.Context(), func(_ Head, r Resource) error {
		all = append(all, r)
		return nil
	})
	require.NoError(t, err)
	return all
}

// randomBlob makes a blob that is not the same in any two chunks.
func randomBlob(size int) []byte {
	b := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
	_, _ = rng.Read(b) // never fails
	return b
}

func TestBlobs(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 5} {
			blob := randomBlob(size)
			digest, err := s.PutBytes(t.Context(), blob)
			require.NoError(t, err)
			require.NoError(t, s.PutBlob(t.Context(), digest, iotest.ErrReader(errors.New("not read again"))))
			b, err := s.OpenBlob(t.Context(), digest)
			require.NoError(t, err)
			assert.EqualValues(t, size, b.Size)
			require.NoError(t, iotest.TestReader(b, blob))
		}
		_, err := s.OpenBlob(t.Context(), DigestOf([]byte("never put")))
		assert.ErrorIs(t, err, ErrNotFound)
		require.NoError(t, s.Verify(t.Context()))
	})
}

func TestBlobsAreServedByRange(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	blob := randomBlob(2*chunkSize + 100)
	digest, err := s.PutBytes(t.Context(), blob)
	require.NoError(t, err)
	b, err := s.OpenBlob(t.Context(), digest)
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", chunkSize-10, 2*chunkSize+9))
	w := httptest.NewRecorder()
	http.ServeContent(w, r, "", time.Time{}, b)
	assert.Equal(t, http.StatusPartialContent, w.Code)
	assert.True(t, bytes.Equal(blob[chunkSize-10:2*chunkSize+10], w.Body.Bytes()))
	_, err = b.Seek(-1, io.SeekStart)
	assert.ErrorIs(t, err, ErrInvalid)
}

func TestBlobsThatAreRefused(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		blob := randomBlob(chunkSize + 1)
		for name, c := range map[string]struct {
			digest string
			r      io.Reader
			want   error
		}{
			"other bytes":    {DigestOf(blob), bytes.NewReader(blob[1:]), ErrInvalid},
			"too large":      {DigestOf(blob), io.LimitReader(zeros{}, MaxBlob+1), ErrInvalid},
			"a broken line":  {DigestOf(blob), io.MultiReader(bytes.NewReader(blob), iotest.ErrReader(io.ErrClosedPipe)), io.ErrClosedPipe},
			"no digest":      {"sha256:12", bytes.NewReader(blob), ErrInvalid},
			"another digest": {"md5:" + strings.Repeat("a", 64), bytes.NewReader(blob), ErrInvalid},
			"upper case":     {"sha256:" + strings.Repeat("A", 64), bytes.NewReader(blob), ErrInvalid},
		} {
			if name == "too large" && testing.Short() {
				continue
			}
			assert.ErrorIs(t, s.PutBlob(t.Context(), c.digest, c.r), c.want, name)
			_, err := s.OpenBlob(t.Context(), c.digest)
			assert.ErrorIs(t, err, ErrNotFound, name)
		}
		assert.Zero(t, count(t, s, "blob_chunks"), "nothing is left of them")
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func count(t testing.TB, s *Store, table string) (n int) {
	t.Helper()
	require.NoError(t, s.View(t.Context(), func(tx *Tx) error { return tx.Row("select count(*) from " + table).Scan(&n) }))
	return n
}

// blobsOf tells the blob that a body of these tests names: all of it.
func blobsOf(kind string, body []byte) ([]string, error) {
	if kind != "policy" {
		return nil, nil
	}
	digest := strings.Trim(string(body), `"`)
	if !isDigest(digest) {
		return nil, errors.New("no digest")
	}
	return []string{digest, digest}, nil
}

func named(digest string) []byte { return []byte(`"` + digest + `"`) }

func TestBlobsAreKeptAsLongAsTheyAreNamed(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now, options.Blobs = now.Now, blobsOf
		s := open(t, options)
		var digests []string
		for i := range 4 {
			digest, err := s.PutBytes(t.Context(), randomBlob(chunkSize+i))
			require.NoError(t, err)
			digests = append(digests, digest)
		}
		collect := func(want int) {
			t.Helper()
			blobs, size, err := s.CollectBlobs(t.Context(), time.Hour)
			require.NoError(t, err)
			assert.Equal(t, want, blobs)
			assert.Equal(t, want > 0, size >= chunkSize)
			require.NoError(t, s.Verify(t.Context()))
		}
		mustRefuse(t, s, ErrInvalid, Put("policy", "a", named(DigestOf(nil)), Any))
		mustRefuse(t, s, ErrInvalid, Put("policy", "a", body(""), Any))
		apply(t, s, Put("policy", "a", named(digests[0]), Absent), Put("policy", "b", named(digests[2]), Absent))
		apply(t, s, Put("policy", "a", named(digests[1]), 1))
		collect(0) // too young
		now.advance(2 * time.Hour)
		require.NoError(t, s.PutBlob(t.Context(), digests[3], nil)) // begins anew
		collect(0)
		now.advance(2 * time.Hour)
		collect(1) // 3, which nobody ever named

		_, err := s.Compact(t.Context(), Cut{Rev: 1})
		require.NoError(t, err)
		collect(1) // 0, which was named by what has been forgotten, while 2 is named by what is there
		apply(t, s, Delete("policy", "b", 1))
		collect(0) // the history since names it no more, and revision 1 is forgotten …
		_, err = s.Compact(t.Context(), Cut{Rev: 3})
		require.NoError(t, err)
		collect(1) // … which the next compaction learns
		_, err = s.OpenBlob(t.Context(), digests[1])
		require.NoError(t, err)
		assert.Equal(t, 2, count(t, s, "blob_chunks"))
	})
}

func TestAnUploadThatWasGivenUpIsCollected(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		blob := randomBlob(3 * chunkSize)
		slow := io.MultiReader(bytes.NewReader(blob[:chunkSize]), hook(func() {
			now.advance(2 * time.Hour)
			_, _, err := s.CollectBlobs(t.Context(), time.Hour)
			assert.NoError(t, err)
		}), bytes.NewReader(blob[chunkSize:]))
		err := s.PutBlob(t.Context(), DigestOf(blob), slow)
		assert.ErrorContains(t, err, "it took so long that its first part has been thrown away")

		ctx, cancel := context.WithCancel(t.Context())
		_, err = s.upload(ctx, "dead", DigestOf(blob), io.MultiReader(bytes.NewReader(blob[:2*chunkSize]), hook(cancel), bytes.NewReader(blob)))
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, 2, count(t, s, "blob_chunks"))
		now.advance(2 * time.Hour)
		_, _, err = s.CollectBlobs(t.Context(), time.Hour)
		require.NoError(t, err)
		assert.Zero(t, count(t, s, "blob_chunks"))
	})
}

// hook is a reader of nothing that calls itself once it is reached.
type hook func()

func (f hook) Read([]byte) (int, error) { f(); return 0, io.EOF }

func TestTwoPutOneBlobAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		blob := randomBlob(2*chunkSize + 1)
		slow := io.MultiReader(bytes.NewReader(blob[:chunkSize]), hook(func() {
			_, err := s.PutBytes(t.Context(), blob)
			assert.NoError(t, err)
		}), bytes.NewReader(blob[chunkSize:]))
		require.NoError(t, s.PutBlob(t.Context(), DigestOf(blob), slow))
		assert.Equal(t, 3, count(t, s, "blob_chunks"))
		assert.Equal(t, 1, count(t, s, "blobs"))
		assert.NoError(t, s.Verify(t.Context()))
	})
}
