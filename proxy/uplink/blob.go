package uplink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/wedge-proxy/wedge/wire"
)

// maxBlob is the largest blob that a node takes, in bytes: more than a module may have.
const maxBlob = 8 << 20

const blobTries = 5 // each goes on where the one before broke off

// blob is a module, from the node's store or from the origin.
func (u *Uplink) blob(ctx context.Context, c *caller, digest string) ([]byte, error) {
	if blob, err := u.o.KV.Get(blobKey(digest)); err == nil && digestOf(blob) == digest {
		return blob, nil
	}
	if c == nil {
		return nil, refused(wire.NackResource, "", errNotHere)
	}
	blob, err := c.blob(ctx, digest)
	if err != nil {
		return nil, fault(err, "")
	}
	if err := u.o.KV.Put(blobKey(digest), blob); err != nil {
		return nil, refused(wire.NackResource, "", fmt.Errorf("cannot keep it in the node's store: %w", err))
	}
	return blob, nil
}

func digestOf(blob []byte) string {
	sum := sha256.Sum256(blob)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// blob fetches a blob. Where the connection breaks it goes on from where it was.
func (c *caller) blob(ctx context.Context, digest string) (got []byte, err error) {
	for range blobTries {
		if got, err = c.blobFrom(ctx, digest, got); err == nil {
			break
		}
		if _, told := errors.AsType[*originError](err); told || ctx.Err() != nil || len(got) > maxBlob {
			return nil, err
		}
	}
	if err == nil && digestOf(got) != digest {
		err = refused(wire.NackResource, "", fmt.Errorf("what the origin sent for %s is something else", digest))
	}
	return got, err
}

// blobFrom fetches what is missing, and returns what is there then.
func (c *caller) blobFrom(ctx context.Context, digest string, got []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*callTime)
	defer cancel()
	var headers []string
	if len(got) > 0 {
		headers = []string{"Range", fmt.Sprintf("bytes=%d-", len(got))}
	}
	resp, err := c.do(ctx, "GET", wire.PathBlob+digest, nil, headers...)
	if err != nil {
		return got, err
	}
	defer func() { _ = resp.Body.Close() }() // what came was taken
	if resp.StatusCode == 200 {
		got = nil // the whole
	}
	out := bytes.NewBuffer(got)
	_, err = io.Copy(out, io.LimitReader(resp.Body, int64(maxBlob-len(got)+1)))
	if out.Len() > maxBlob {
		err = refused(wire.NackLimit, "", fmt.Errorf("the module %s has more than the %d bytes that a node takes", digest, maxBlob))
	}
	return out.Bytes(), err
}
