package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"
)

// relay is a transport that keeps the upstream connection's reader, so that one Read of a chunked body yields
// every chunk that has come already: one write to the client instead of one for each chunk.
type relay struct{}

func (relay) RoundTrip(hc *fasthttp.HostClient, req *fasthttp.Request, resp *fasthttp.Response) (retry bool, err error) {
	cc, err := hc.AcquireConn(0, req.ConnectionClose())
	if err != nil {
		return false, err
	}
	bw := hc.AcquireWriter(cc.Conn())
	if err = req.Write(bw); err == nil {
		err = bw.Flush()
	}
	hc.ReleaseWriter(bw)
	if err != nil {
		hc.CloseConn(cc)
		return true, err
	}
	b := bodies.Get().(*body)
	b.br = hc.AcquireReader(cc.Conn())
	b.release = func(whole bool) {
		hc.ReleaseReader(b.br)
		if whole && !req.ConnectionClose() {
			hc.ReleaseConn(cc)
		} else {
			hc.CloseConn(cc)
		}
	}
	if err = resp.Header.Read(b.br); err != nil {
		b.release(false)
		return errors.Is(err, io.EOF), err
	}
	if n := resp.Header.ContentLength(); n >= 0 {
		answer := make([]byte, n)
		_, err = io.ReadFull(b.br, answer)
		resp.SetBodyRaw(answer)
		b.release(err == nil)
		return false, err
	}
	resp.SetBodyStream(b, -1)
	return false, nil
}

var bodies = sync.Pool{New: func() any { return new(body) }}

// body decodes a chunked body.
type body struct {
	br      *bufio.Reader
	release func(whole bool)
	left    int // bytes left of the chunk
	ended   bool
}

// Read blocks for the first byte only.
func (b *body) Read(p []byte) (n int, err error) {
	for n < len(p) && !b.ended && (n == 0 || b.ready()) {
		if b.left == 0 {
			if err = b.nextChunk(); err != nil {
				return n, err
			}
			continue
		}
		m, err := b.br.Read(p[n : n+min(b.left, len(p)-n)])
		n, b.left = n+m, b.left-m
		if err == nil && b.left == 0 {
			_, err = b.br.Discard(2)
		}
		if err != nil {
			return n, unexpected(err)
		}
	}
	if n == 0 && b.ended {
		return 0, io.EOF
	}
	return n, nil
}

// ready tells whether the next step needs nothing but what is buffered.
func (b *body) ready() bool {
	have, _ := b.br.Peek(b.br.Buffered())
	if b.left > 0 {
		return len(have) >= b.left+2
	}
	end := bytes.IndexByte(have, '\n')
	return end >= 0 && (have[0] != '0' || len(have) >= end+3)
}

func (b *body) nextChunk() error {
	line, err := b.br.ReadSlice('\n')
	if err != nil {
		return unexpected(err)
	}
	size, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
	if err != nil {
		return err
	}
	b.left, b.ended = int(size), size == 0
	if b.ended {
		_, err = b.br.Discard(2)
	}
	return unexpected(err)
}

// Close gives the connection back if the body was read to its end.
func (b *body) Close() error {
	b.release(b.ended)
	*b = body{}
	bodies.Put(b)
	return nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
