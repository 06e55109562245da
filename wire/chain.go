package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
)

// Chain stands for a revision and all before it: the SHA-256 of the chain before, the revision's number and its
// payload. Before the first revision it is zero.
type Chain [sha256.Size]byte

// Next is the chain of the revision that follows.
func (c Chain) Next(rev int64, payload []byte) Chain {
	b := make([]byte, 0, len(c)+8+len(payload))
	b = append(b, c[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(rev))
	return sha256.Sum256(append(b, payload...))
}

// String is the chain in hexadecimal digits.
func (c Chain) String() string { return hex.EncodeToString(c[:]) }

// maxItems bounds what is read of one change; an origin makes far smaller ones.
const maxItems = 1 << 16

// payloadMagic makes sure that no other text of ours is ever taken for a payload.
const payloadMagic = "wedge change 1\n"

// Payload is what a revision's chain covers, in place of the change itself: bodies and audit as digests, so that the
// chain can be followed by those who may not see all of it, and still can when history has been forgotten.
type Payload struct {
	At    time.Time // in whole microseconds
	Audit [sha256.Size]byte
	Items []Item
}

// Item is what a revision did to one resource.
type Item struct {
	Kind, Name string
	Deleted    bool
	Digest     [sha256.Size]byte // of the body; zero if deleted
}

// AuditDigest stands for who made a change, and why.
func AuditDigest(actor, reason string) [sha256.Size]byte {
	b := appendText([]byte("wedge audit 1\n"), actor)
	return sha256.Sum256(appendText(b, reason))
}

// Append appends the payload's one and only encoding: the magic line, the time in microseconds (8 bytes), the audit's
// digest, the number of items, and each of them as kind, name, and 0 for a deletion or 1 and the digest of the body.
// Numbers are big-endian; texts have their length (a varint) before them.
func (p *Payload) Append(dst []byte) []byte {
	dst = append(dst, payloadMagic...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(p.At.UnixMicro()))
	dst = append(dst, p.Audit[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(p.Items)))
	for i := range p.Items {
		item := &p.Items[i]
		dst = appendText(appendText(dst, item.Kind), item.Name)
		if item.Deleted {
			dst = append(dst, 0)
		} else {
			dst = append(append(dst, 1), item.Digest[:]...)
		}
	}
	return dst
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

var errPayload = errors.New("not the payload of a revision")

// ParsePayload reads what Append wrote, and nothing else.
func ParsePayload(b []byte) (*Payload, error) {
	r := payloadReader{rest: b}
	if string(r.take(len(payloadMagic))) != payloadMagic {
		return nil, errPayload
	}
	p := &Payload{At: time.UnixMicro(int64(binary.BigEndian.Uint64(r.take(8)))).UTC()}
	copy(p.Audit[:], r.take(sha256.Size))
	n := r.number()
	for r.failed = r.failed || n > maxItems; n > 0 && !r.failed; n-- {
		item := Item{Kind: r.text(), Name: r.text()}
		switch r.take(1)[0] {
		case 0:
			item.Deleted = true
		case 1:
			copy(item.Digest[:], r.take(sha256.Size))
		default:
			r.failed = true
		}
		p.Items = append(p.Items, item)
	}
	if r.failed || len(r.rest) > 0 {
		return nil, errPayload
	}
	return p, nil
}

// payloadReader takes bytes from the front; where there are too few, it fails and hands out zeros.
type payloadReader struct {
	rest   []byte
	failed bool
}

func (r *payloadReader) take(n int) []byte {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return make([]byte, max(n, 0))
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *payloadReader) number() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 { // there is but one encoding: the shortest
		r.failed = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *payloadReader) text() string {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.failed = true
		return ""
	}
	return string(r.take(int(n)))
}
