package cache

import (
	"sync"

	"github.com/wedge-proxy/wedge/proxy/stream"
)

// Flights are the upstream calls under way by the key of the answer they will bring, so that equal concurrent
// misses share one. The zero value is ready.
type Flights struct {
	shards [64]flightShard
}

type flightShard struct {
	mu sync.Mutex
	m  map[Key]*stream.Flight
	_  [40]byte // one cache line each
}

func (s *Flights) shard(k *Key) *flightShard { return &s.shards[k[0]&63] }

// Join adds r to the flight of k as a follower, or makes r the leader of fresh, which it registers under k.
func (s *Flights) Join(k *Key, r *stream.Reader, fresh func() *stream.Flight) (f *stream.Flight, leads bool) {
	sh := s.shard(k)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f := sh.m[*k]; f != nil && f.Join(r) {
		return f, false
	}
	if sh.m == nil {
		sh.m = map[Key]*stream.Flight{}
	}
	f = fresh()
	sh.m[*k] = f
	return f, true
}

// Remove takes f out, so that nobody finds it any more. The answer, if it is kept, must be in the memory tier
// by then, or the next equal request would go upstream once more.
func (s *Flights) Remove(k *Key, f *stream.Flight) {
	sh := s.shard(k)
	sh.mu.Lock()
	if sh.m[*k] == f {
		delete(sh.m, *k)
	}
	sh.mu.Unlock()
}

// Len is the number of flights under way.
func (s *Flights) Len() int {
	n := 0
	for i := range s.shards {
		s.shards[i].mu.Lock()
		n += len(s.shards[i].m)
		s.shards[i].mu.Unlock()
	}
	return n
}
