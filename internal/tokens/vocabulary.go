package tokens

import (
	"bytes"
	"compress/flate"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// packed is the vocabulary as internal/tools/o200k wrote it; docs/RATIONALE.md says where it comes from.
//
//go:embed o200k.flate
var packed string

const (
	size    = 199_998 // tokens; their ranks are 0 to size-1
	longest = 128     // bytes of the longest token

	// A slot holds a token's rank plus one, so that 0 is a free slot, and above it a tag from the token's hash, so
	// that the bytes of other tokens are rarely looked at. Two slots in five are taken: a search that fails is short.
	slotBits = 19
	rankBits = 18
	rankMask = 1<<rankBits - 1

	none = uint32(1<<32 - 1) // the rank of what is no token
)

// vocabulary is read-only once loaded.
type vocabulary struct {
	classes *classes
	bytes   []byte           // of all tokens, by rank
	ends    []uint32         // ends[rank+1] is where the token ends in bytes; ends[rank] is where it starts
	slots   []uint32         // by hash, probed linearly
	pairs   *[1 << 16]uint32 // ranks of the tokens of two bytes: where every merge starts
}

// load panics if the embedded vocabulary is damaged: then the binary is, and the tests of this package fail.
func load() *vocabulary {
	r := flate.NewReader(strings.NewReader(packed))
	lengths := make([]byte, size)
	v := &vocabulary{
		classes: newClasses(), ends: make([]uint32, size+1), slots: make([]uint32, 1<<slotBits), pairs: new([1 << 16]uint32),
	}
	if _, err := io.ReadFull(r, lengths); err != nil {
		panic(fmt.Errorf("tokens: cannot read the embedded vocabulary: %w", err))
	}
	for rank, n := range lengths {
		v.ends[rank+1] = v.ends[rank] + uint32(n)
	}
	v.bytes = make([]byte, v.ends[size])
	if _, err := io.ReadFull(r, v.bytes); err != nil {
		panic(fmt.Errorf("tokens: cannot read the embedded vocabulary: %w", err))
	}
	for i := range v.pairs {
		v.pairs[i] = none
	}
	for rank := range uint32(size) {
		v.add(rank)
	}
	return v
}

func (v *vocabulary) add(rank uint32) {
	token := v.token(rank)
	if len(token) == 2 {
		v.pairs[pair(token[0], token[1])] = rank
	}
	i, tag := place(token)
	for v.slots[i] != 0 {
		i = (i + 1) % (1 << slotBits)
	}
	v.slots[i] = tag | rank + 1
}

func (v *vocabulary) token(rank uint32) []byte { return v.bytes[v.ends[rank]:v.ends[rank+1]] }

// rank returns none if text, at least one byte, is no token.
func (v *vocabulary) rank(text []byte) uint32 {
	if len(text) > longest {
		return none
	}
	for i, tag := place(text); ; i = (i + 1) % (1 << slotBits) {
		slot := v.slots[i]
		if slot == 0 {
			return none
		}
		if rank := slot&rankMask - 1; slot&^rankMask == tag && bytes.Equal(v.token(rank), text) {
			return rank
		}
	}
}

func pair(a, b byte) uint16 { return uint16(a)<<8 | uint16(b) }

// place returns the slot where the search for text begins, and the tag that its slot carries.
func place(text []byte) (slot, tag uint32) {
	h := hash(text)
	return uint32(h >> (64 - slotBits)), uint32(h) &^ rankMask
}

// hash is made for this table: most texts are under 16 bytes, and two loads cover them.
func hash(text []byte) uint64 {
	const a, b = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93
	n := len(text)
	var head, tail uint64
	switch {
	case n >= 8:
		head, tail = binary.LittleEndian.Uint64(text), binary.LittleEndian.Uint64(text[n-8:])
		for i := 8; i < n-8; i += 8 {
			head = bits.RotateLeft64((head^binary.LittleEndian.Uint64(text[i:]))*b, 29)
		}
	case n >= 4:
		head, tail = uint64(binary.LittleEndian.Uint32(text)), uint64(binary.LittleEndian.Uint32(text[n-4:]))
	default:
		head, tail = uint64(text[0]), uint64(text[n/2])<<8|uint64(text[n-1])
	}
	hi, lo := bits.Mul64(head^a, tail^b^uint64(n)<<56)
	return (hi ^ lo) * a
}
