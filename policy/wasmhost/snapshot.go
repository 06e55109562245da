package wasmhost

import (
	"bytes"

	"github.com/tetratelabs/wazero/api"
)

const snapshotPage = 4 << 10

var zeroPage [snapshotPage]byte

// snapshot is what an instance was when it was ready for its first request. Pages of zeros are not kept.
type snapshot struct {
	size    uint32 // of the memory
	pieces  []piece
	globals []uint64
	buffer  buffer
}

// piece is a run of pages.
type piece struct {
	at   int
	data []byte
}

// buffer is the guest's input buffer.
type buffer struct{ at, size uint32 }

func takeSnapshot(memory []byte, globals []api.MutableGlobal, b buffer) *snapshot {
	s := &snapshot{size: uint32(len(memory)), globals: make([]uint64, len(globals)), buffer: b}
	for at := 0; at < len(memory); {
		end := at
		for end < len(memory) && !isZero(memory[end:end+snapshotPage]) {
			end += snapshotPage
		}
		if end > at {
			s.pieces = append(s.pieces, piece{at, bytes.Clone(memory[at:end])})
		}
		at = end + snapshotPage
	}
	for i, g := range globals {
		s.globals[i] = g.Get()
	}
	return s
}

func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:len(page)]) }

// restore writes the snapshot over a memory that may have grown since, and over the globals.
func (s *snapshot) restore(memory []byte, globals []api.MutableGlobal) {
	done := 0
	for _, p := range s.pieces {
		clear(memory[done:p.at])
		done = p.at + copy(memory[p.at:], p.data)
	}
	clear(memory[done:])
	for i, g := range globals {
		g.Set(s.globals[i])
	}
}

func (s *snapshot) bytes() (n int) {
	for _, p := range s.pieces {
		n += len(p.data)
	}
	return n
}

func (s *snapshot) equal(o *snapshot) bool {
	if s.size != o.size || s.buffer != o.buffer || len(s.pieces) != len(o.pieces) {
		return false
	}
	for i, p := range s.pieces {
		if p.at != o.pieces[i].at || !bytes.Equal(p.data, o.pieces[i].data) {
			return false
		}
	}
	for i, g := range s.globals {
		if g != o.globals[i] {
			return false
		}
	}
	return true
}
