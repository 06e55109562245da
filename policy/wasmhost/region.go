package wasmhost

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

const (
	osPage     = 4 << 10
	touchSlice = 256 << 10 // bytes that are touched between two looks at the clock
)

// region is the linear memory of one instance. Its whole reach is reserved at once, so that growing moves nothing, and
// touched as it grows, because a page's first store costs microseconds in which no fuel is burnt.
type region struct {
	home    *regions
	all     []byte
	touched uint64
	out     bool
	late    func() bool // whether the guest that grows has used up its time; nil: it may take its time
}

// Reallocate implements experimental.LinearMemory. It refuses to grow past the reservation or the deadline.
func (r *region) Reallocate(size uint64) []byte {
	if size > uint64(len(r.all)) {
		return nil
	}
	for r.touched < size {
		if r.late != nil && r.late() {
			return nil
		}
		for end := min(size, r.touched+touchSlice); r.touched < end; r.touched += osPage {
			r.all[r.touched] = 0
		}
	}
	return r.all[:size:size]
}

// Free implements experimental.LinearMemory: the region goes back to its home. A second call does nothing.
func (r *region) Free() { r.home.takeBack(r) }

// regions reserves the memories of one program and keeps the freed ones for its next instances.
type regions struct {
	mu     sync.Mutex
	free   []*region
	closed bool
}

// allocate reserves max bytes, all zero. Every memory of a program has the same max. Without the memory to be had, the
// region is empty, which the instantiation reports.
func (rs *regions) allocate(max uint64, late func() bool) *region {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if last := len(rs.free) - 1; last >= 0 {
		r := rs.free[last]
		rs.free = rs.free[:last]
		clear(r.all[:min(r.touched, uint64(len(r.all)))])
		r.late, r.out = late, true
		return r
	}
	all, err := reserve(max)
	if err != nil {
		all = nil
	}
	return &region{home: rs, all: all, late: late, out: true}
}

func (rs *regions) takeBack(r *region) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !r.out {
		return
	}
	r.out, r.late = false, nil
	if rs.closed || r.all == nil {
		unreserve(r.all)
		return
	}
	rs.free = append(rs.free, r)
}

// close gives the freed regions to the operating system, and those still out as soon as they come back.
func (rs *regions) close() {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.closed = true
	for _, r := range rs.free {
		unreserve(r.all)
	}
	rs.free = nil
}

var _ experimental.LinearMemory = (*region)(nil)
