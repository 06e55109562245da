package badger

import (
	"encoding/binary"
	"math/bits"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A stored value is
//
//	checksum of the key and of all that follows (8 bytes) | expiry in unix milliseconds, 0 for never (8) | value
//
// The expiry is not Badger's own: that one has seconds, and an expired version would let an older one in an
// older segment shine through. The checksum catches what Badger lets pass: torn value logs after a power cut,
// and pointers into files that are gone, which Badger answers with an empty value and no error.
const envelope = 16

// tombstone marks, as Badger's user meta, a version that hides older ones in older segments.
const tombstone = 1

// keyMark precedes every stored key: Badger takes neither empty keys nor those that begin with "!badger!".
const keyMark = 'v'

func checksum(key, sealed []byte) uint64 {
	return xxhash.Sum64(sealed[8:]) ^ bits.RotateLeft64(xxhash.Sum64(key), 1)
}

// appendSealed appends the stored form of value to dst.
func appendSealed(dst, key, value []byte, expires time.Time) []byte {
	at := len(dst)
	var ms uint64
	if !expires.IsZero() {
		ms = uint64(max(expires.UnixMilli(), 1))
	}
	dst = append(dst, make([]byte, 8)...)
	dst = binary.LittleEndian.AppendUint64(dst, ms)
	dst = append(dst, value...)
	binary.LittleEndian.PutUint64(dst[at:], checksum(key, dst[at:]))
	return dst
}

// unseal returns the value within the stored form, without copying; ok is false for damaged bytes.
func unseal(key, sealed []byte) (value []byte, expired, ok bool) {
	if len(sealed) < envelope || binary.LittleEndian.Uint64(sealed) != checksum(key, sealed) {
		return nil, false, false
	}
	ms := int64(binary.LittleEndian.Uint64(sealed[8:]))
	return sealed[envelope:], ms != 0 && time.Now().UnixMilli() >= ms, true
}

// reader is the state of one read; it is pooled, with take bound once, so that a read allocates nothing itself.
type reader struct {
	key, stored, dst []byte
	forgotten        func(key []byte, version uint64) bool // nil: nothing is
	version          uint64
	tombstone        bool
	damaged          bool
	take             func(sealed []byte) error
}

var readers = sync.Pool{New: func() any {
	r := new(reader)
	r.take = r.accept
	return r
}}

func newReader(dst, key []byte, mark byte) *reader {
	r := readers.Get().(*reader)
	r.key, r.dst = key, dst
	r.stored = append(append(r.stored[:0], mark), key...)
	return r
}

func (r *reader) release() {
	r.key, r.dst, r.forgotten, r.tombstone, r.damaged = nil, nil, nil, false, false
	readers.Put(r)
}

// accept appends the value to dst. It runs while Badger holds the bytes in place.
func (r *reader) accept(sealed []byte) error {
	if r.tombstone || (r.forgotten != nil && r.forgotten(r.key, r.version)) {
		return errGone
	}
	value, expired, ok := unseal(r.key, sealed)
	r.damaged = !ok
	if !ok || expired {
		return errGone
	}
	r.dst = append(r.dst, value...)
	return nil
}
