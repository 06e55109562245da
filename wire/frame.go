package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// FrameType says what a frame of the origin's stream holds.
type FrameType byte

// The frames of a node's stream. Whole states come as FrameSnapshot, FrameResource… and a FrameHead with a State; changes
// as FrameDelta… and a FrameHead without one. Nothing is put into use before the head that covers it.
const (
	FrameSnapshot FrameType = 'S' // a SnapshotStart, in JSON: forget what was staged, a whole state follows
	FrameResource FrameType = 'R' // see AppendResource
	FrameDelta    FrameType = 'D' // a Delta
	FrameHead     FrameType = 'H' // a SignedHead: what came before it is complete
	FrameControl  FrameType = 'C' // a Control, in JSON
	FramePing     FrameType = 'P' // the origin's time in unix milliseconds (8 bytes)
)

// MaxFrame is how many bytes a frame's body has at most: a change set's bodies and what they need beside.
const MaxFrame = 10 << 20

// AppendFrame appends a frame: the body's length (4 bytes, big-endian), the type, the body.
func AppendFrame(dst []byte, t FrameType, body []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(body)))
	return append(append(dst, byte(t)), body...)
}

// ReadFrame reads one frame, whose body it may put into buf. io.EOF says that the stream ended between two frames.
func ReadFrame(r io.Reader, buf []byte) (t FrameType, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, buf, err
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n > MaxFrame {
		return 0, buf, fmt.Errorf("a frame of %d bytes is larger than the %d that are read", n, MaxFrame)
	}
	if int(n) > cap(buf) {
		buf = make([]byte, n)
	}
	body = buf[:n]
	if _, err = io.ReadFull(r, body); err != nil {
		return 0, body, fmt.Errorf("the stream broke off inside a frame: %w", noEOF(err))
	}
	return FrameType(head[4]), body, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// AppendResource appends a resource's encoding: kind, name and body, each with its length (a varint) before it.
func AppendResource(dst []byte, r *Resource) []byte {
	dst = appendText(appendText(dst, r.Kind), r.Name)
	return append(binary.AppendUvarint(dst, uint64(len(r.Body))), r.Body...)
}

// ParseResource reads what AppendResource wrote; the body is borrowed from b.
func ParseResource(b []byte) (Resource, error) {
	p := payloadReader{rest: b}
	r := Resource{Kind: p.text(), Name: p.text(), Body: p.sized()}
	if p.failed || len(p.rest) > 0 {
		return Resource{}, errors.New("not a resource")
	}
	return r, nil
}
