package api

import (
	"bytes"
	"net/http"
	"strconv"
	"time"

	"github.com/wedge-proxy/wedge/origin/store"
)

// BlobStored tells of a blob that is in the store.
type BlobStored struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// putBlob stores the body.
func (c *call) putBlob() error {
	digest := c.name()
	if c.r.ContentLength > store.MaxBlob {
		return &http.MaxBytesError{Limit: store.MaxBlob}
	}
	if blob, err := c.store.OpenBlob(c.r.Context(), digest); err == nil {
		if err := c.store.PutBlob(c.r.Context(), digest, bytes.NewReader(nil)); err != nil { // keeps it for longer
			return err
		}
		c.status = http.StatusOK
		return c.send(BlobStored{digest, blob.Size})
	}
	defer c.arriveWithin(blobTime)()
	if err := c.store.PutBlob(c.r.Context(), digest, http.MaxBytesReader(c.x, c.r.Body, store.MaxBlob)); err != nil {
		return err
	}
	blob, err := c.store.OpenBlob(c.r.Context(), digest)
	if err != nil {
		return err
	}
	return c.send(BlobStored{digest, blob.Size})
}

// getBlob answers with a blob, or a part of it.
func (c *call) getBlob() error {
	blob, err := c.store.OpenBlob(c.r.Context(), c.name())
	if err != nil {
		return err
	}
	h := c.x.Header()
	h.Set("Content-Type", mediaBytes)
	h.Set("Etag", strconv.Quote(blob.Digest))
	http.ServeContent(c.x, c.r, "", time.Time{}, blob)
	return nil
}
