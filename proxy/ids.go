package proxy

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync/atomic"
)

// requestID names a request on every node: req_, eight hexadecimal digits of the process, sixteen of the request.
type requestID struct {
	text [28]byte
	seq  uint64
}

func (id *requestID) bytes() []byte { return id.text[:] }

// idSource makes request ids. The request's part is the sequence number in disguise, so that explain finds a
// record by it without a map and clients cannot count requests.
type idSource struct {
	process  [4]byte
	odd, inv uint64 // odd × inv = 1 modulo 2⁶⁴
	mask     uint64
	seq      atomic.Uint64
}

func newIDSource() *idSource {
	var b [20]byte
	_, _ = rand.Read(b[:]) // never fails
	s := &idSource{odd: binary.LittleEndian.Uint64(b[:]) | 1, mask: binary.LittleEndian.Uint64(b[8:])}
	copy(s.process[:], b[16:])
	s.inv = s.odd
	for range 6 { // Newton's iteration doubles the good bits from three
		s.inv *= 2 - s.odd*s.inv
	}
	return s
}

func (s *idSource) next() (id requestID) {
	id.seq = s.seq.Add(1)
	var b [12]byte
	copy(b[:], s.process[:])
	binary.BigEndian.PutUint64(b[4:], (id.seq*s.odd)^s.mask)
	copy(id.text[:], "req_")
	hex.Encode(id.text[4:], b[:])
	return id
}

// parse returns the sequence number of an id of this process.
func (s *idSource) parse(text []byte) (seq uint64, ok bool) {
	var b [12]byte
	if len(text) != 28 || string(text[:4]) != "req_" {
		return 0, false
	}
	if _, err := hex.Decode(b[:], text[4:]); err != nil || [4]byte(b[:4]) != s.process {
		return 0, false
	}
	return (binary.BigEndian.Uint64(b[4:]) ^ s.mask) * s.inv, true
}
