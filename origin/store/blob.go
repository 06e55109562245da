package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	// MaxBlob is how many bytes a blob has at most.
	MaxBlob = 64 << 20

	chunkSize      = 512 << 10 // bytes of a blob in one row
	chunksPerSweep = 64
)

// PutBlob stores what r has under its digest, sha256: and 64 hexadecimal digits, and refuses it if that is not what it
// is. A blob that is there already is not read again, but its time begins anew: a blob that nothing names is kept as
// long as CollectBlobs is told to.
func (s *Store) PutBlob(ctx context.Context, digest string, r io.Reader) error {
	if err := s.putBlob(ctx, digest, r); err != nil {
		return fmt.Errorf("cannot store the blob %s: %w", digest, err)
	}
	return nil
}

func (s *Store) putBlob(ctx context.Context, digest string, r io.Reader) error {
	if !isDigest(digest) {
		return invalid("a digest is sha256: and 64 hexadecimal digits in lower case")
	}
	var there int64
	err := s.Update(ctx, func(t *Tx) (err error) {
		there, err = t.Exec("update blobs set touched = ? where digest = ?", s.now().UnixMicro(), digest)
		return err
	})
	if err != nil || there > 0 {
		return err
	}
	upload := rand.Text()
	size, err := s.upload(ctx, upload, digest, r)
	if err == nil {
		err = s.finish(ctx, upload, digest, size)
	}
	if err != nil {
		s.abandon(ctx, upload)
	}
	return err
}

func isDigest(digest string) bool {
	digits, ok := strings.CutPrefix(digest, "sha256:")
	_, err := hex.DecodeString(digits)
	return ok && err == nil && len(digits) == 2*sha256.Size && strings.ToLower(digits) == digits
}

// upload stores the chunks of a blob, each in a transaction of its own: changes get their turn in between, and the
// memory of one chunk is enough. Nobody sees them before finish.
func (s *Store) upload(ctx context.Context, upload, digest string, r io.Reader) (size int64, err error) {
	hash := sha256.New()
	r = io.TeeReader(io.LimitReader(r, MaxBlob+1), hash)
	chunk := make([]byte, chunkSize)
	for n := 0; ; n++ {
		read, err := io.ReadFull(r, chunk)
		if size += int64(read); size > MaxBlob {
			return 0, invalid("it has more than %d bytes", MaxBlob)
		}
		if read > 0 {
			err := s.Update(ctx, func(t *Tx) error {
				return t.run("insert into blob_chunks (upload, n, at, body) values (?, ?, ?, ?)", upload, n, s.now().UnixMicro(), chunk[:read])
			})
			if err != nil {
				return 0, err
			}
		}
		switch {
		case err == nil:
			continue
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return 0, fmt.Errorf("reading it: %w", err)
		}
		if got := digestOf([sha256.Size]byte(hash.Sum(nil))); got != digest {
			return 0, invalid("its digest is %s: send it again", got)
		}
		return size, nil
	}
}

// finish makes an upload the blob, unless somebody else's was faster.
func (s *Store) finish(ctx context.Context, upload, digest string, size int64) error {
	return s.Update(ctx, func(t *Tx) error {
		if _, err := t.head("{for update}"); err != nil { // keeps the sweep of CollectBlobs out
			return err
		}
		var stored int64
		if err := t.Row("select coalesce(sum(length(body)), 0) from blob_chunks where upload = ?", upload).Scan(&stored); err != nil {
			return err
		}
		if stored != size {
			return errors.New("it took so long that its first part has been thrown away: send it again")
		}
		err := t.run(`insert into blobs (digest, upload, size, touched) values (?, ?, ?, ?)
			on conflict (digest) do update set touched = excluded.touched`, digest, upload, size, s.now().UnixMicro())
		if err != nil {
			return err
		}
		return t.run("delete from blob_chunks where upload = ? and not exists (select 1 from blobs where upload = ?)", upload, upload)
	})
}

// abandon throws the chunks of an upload away. Where that fails, CollectBlobs does it later.
func (s *Store) abandon(ctx context.Context, upload string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = s.Update(ctx, func(t *Tx) error {
		return t.run("delete from blob_chunks where upload = ? and not exists (select 1 from blobs where upload = ?)", upload, upload)
	})
}

// Blob reads a blob. It is an io.ReadSeeker, holds one chunk in memory and needs no closing; it must not be used by
// two goroutines at once.
type Blob struct {
	Digest string
	Size   int64 // bytes

	ctx    context.Context
	store  *Store
	upload string
	offset int64
	chunk  []byte // the one that the last Read came from
	number int64  // the chunk's
}

// OpenBlob finds a blob, or returns ErrNotFound. Reads end with ctx.
func (s *Store) OpenBlob(ctx context.Context, digest string) (*Blob, error) {
	b := &Blob{Digest: digest, ctx: ctx, store: s}
	err := s.read().QueryRowContext(ctx, s.say("select upload, size from blobs where digest = ?"), digest).Scan(&b.upload, &b.Size)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the blob %s: %w", digest, err)
	}
	return b, nil
}

// Read reads on from where the last Read or Seek ended.
func (b *Blob) Read(p []byte) (int, error) {
	if b.offset >= b.Size {
		return 0, io.EOF
	}
	if n := b.offset / chunkSize; b.chunk == nil || b.number != n {
		err := b.store.read().QueryRowContext(b.ctx, b.store.say("select body from blob_chunks where upload = ? and n = ?"),
			b.upload, n).Scan(&b.chunk)
		if errors.Is(err, sql.ErrNoRows) {
			err = ErrNotFound // collected since it was opened
		}
		if err != nil {
			b.chunk = nil
			return 0, fmt.Errorf("cannot read the blob %s: %w", b.Digest, err)
		}
		b.number = n
	}
	within := b.offset % chunkSize
	if within >= int64(len(b.chunk)) {
		return 0, fmt.Errorf("cannot read the blob %s: %w", b.Digest, corrupt("chunk %d has %d bytes", b.number, len(b.chunk)))
	}
	n := copy(p, b.chunk[within:])
	b.offset += int64(n)
	return n, nil
}

// Seek sets where the next Read begins.
func (b *Blob) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.offset
	case io.SeekEnd:
		offset += b.Size
	}
	if offset < 0 {
		return 0, invalid("cannot seek in the blob %s before its beginning", b.Digest)
	}
	b.offset = offset
	return offset, nil
}

// CollectBlobs deletes the blobs that no body in the history names and nobody has put for the time given, which must
// be longer than it takes to put a blob and then the resource that names it. It tells how many there were, and their
// bytes.
func (s *Store) CollectBlobs(ctx context.Context, unusedFor time.Duration) (blobs int, size int64, err error) {
	before := s.now().Add(-unusedFor).UnixMicro()
	err = s.Update(ctx, func(t *Tx) error {
		blobs, size = 0, 0
		if _, err := t.head("{for update}"); err != nil { // no change may begin to name one of them meanwhile
			return err
		}
		rows, err := t.Query(`delete from blobs where touched < ?
			and not exists (select 1 from blob_refs r where r.digest = blobs.digest) returning size`, before)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var n int64
			err := rows.Scan(&n)
			blobs, size = blobs+1, size+n
			return err
		})
	})
	if err == nil {
		err = s.sweep(ctx, before)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("cannot collect the blobs that nothing names: %w", err)
	}
	return blobs, size, nil
}

// sweep deletes the chunks that belong to no blob, a few at a time.
func (s *Store) sweep(ctx context.Context, before int64) error {
	for {
		var swept int64
		err := s.Update(ctx, func(t *Tx) (err error) {
			if _, err := t.head("{for update}"); err != nil {
				return err
			}
			swept, err = t.Exec(`delete from blob_chunks where (upload, n) in (select c.upload, c.n from blob_chunks c
				where c.at < ? and not exists (select 1 from blobs b where b.upload = c.upload) limit ?)`, before, chunksPerSweep)
			return err
		})
		if err != nil || swept < chunksPerSweep {
			return err
		}
	}
}

// DigestOf names a blob.
func DigestOf(blob []byte) string { return digestOf(sha256.Sum256(blob)) }

// PutBytes stores a blob that lies in memory, and returns its digest.
func (s *Store) PutBytes(ctx context.Context, blob []byte) (string, error) {
	digest := DigestOf(blob)
	return digest, s.PutBlob(ctx, digest, bytes.NewReader(blob))
}
