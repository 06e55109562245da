package upstream

import (
	"compress/gzip"
	"errors"
	"io"
)

// gunzip appends a whole gzip body, decoded; max bounds the decoded bytes. Providers that compress without being
// asked are rare, so it allocates.
func (c *Call) gunzip(dst []byte, max int) ([]byte, error) {
	if coding := c.head.at(c.head.coding); !foldEqual(coding, "gzip") && !foldEqual(coding, "x-gzip") {
		return dst, c.refuseEncoded()
	}
	zr, err := gzip.NewReader(encoded{c})
	if err != nil {
		return dst, c.badGzip(err)
	}
	plain, err := io.ReadAll(io.LimitReader(zr, int64(max)+1))
	if err != nil {
		return dst, c.badGzip(err)
	}
	if len(plain) > max {
		return dst, ErrBodyTooLarge
	}
	return append(dst, plain...), nil
}

// badGzip tells a broken encoding from a broken connection.
func (c *Call) badGzip(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		err = c.failNet(PhaseBody, violation("the gzip body cannot be decoded: "+err.Error()))
	}
	c.err = err
	return err
}

// encoded reads a body as it came.
type encoded struct{ c *Call }

func (r encoded) Read(p []byte) (int, error) {
	payload, err := r.c.await()
	if err != nil {
		return 0, err
	}
	n := copy(p, payload)
	r.c.consume(n)
	return n, nil
}
