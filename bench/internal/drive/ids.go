package drive

import (
	"fmt"
	"math/rand/v2"
)

// IDs yields the number that fills the next request's slots.
type IDs func() uint64

// Cycle yields first, first+1, … first+n-1 and begins anew; with n 0 it never does.
func Cycle(first, n uint64) IDs {
	var i uint64
	return func() uint64 {
		id := first + i
		if i++; i == n {
			i = 0
		}
		return id
	}
}

// Trace draws keys 0 … keys-1 with Zipf's law of exponent s, the same sequence for the same seed, and counts
// how many requests repeat an earlier one.
type Trace struct {
	zipf     *rand.Zipf
	seen     map[uint64]struct{}
	Requests uint64
}

// NewTrace needs s > 1 and at least one key.
func NewTrace(s float64, keys, seed uint64) (*Trace, error) {
	if s <= 1 || keys == 0 {
		return nil, fmt.Errorf("cannot draw a Zipf trace with exponent %v over %d keys: the exponent must be above 1, and there must be a key", s, keys)
	}
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	return &Trace{zipf: rand.NewZipf(rng, s, 1, keys-1), seen: map[uint64]struct{}{}}, nil
}

// Next draws a key.
func (t *Trace) Next() uint64 {
	id := t.zipf.Uint64()
	t.seen[id] = struct{}{}
	t.Requests++
	return id
}

// Repeats is the number of requests that an endless cache could have answered.
func (t *Trace) Repeats() uint64 { return t.Requests - uint64(len(t.seen)) }
