package wasmhost

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	kvShards    = 8
	kvShardSize = abi.MaxKVPolicy / kvShards
	kvOverhead  = 64    // bytes that a pair counts on top of its key and value
	sweepEvery  = 1_000 // milliseconds
)

// keyValues are one policy's pairs, seen by all its instances and versions. It holds abi.MaxKVPolicy bytes in equal
// shards; a shard that is full forgets its expired pairs and then those written longest ago.
type keyValues struct {
	shards [kvShards]kvShard
}

type kvShard struct {
	mu     sync.Mutex
	pairs  map[string]*kvPair
	oldest *kvPair // of a list from the longest written to the last written
	newest *kvPair
	size   int
	swept  int64 // when expired pairs were last looked for, in Unix milliseconds
}

type kvPair struct {
	key        string
	value      []byte
	expires    int64 // Unix milliseconds; 0 never
	prev, next *kvPair
}

func newKeyValues() *keyValues {
	kv := &keyValues{}
	for i := range kv.shards {
		kv.shards[i].pairs = map[string]*kvPair{}
	}
	return kv
}

func (kv *keyValues) shard(key []byte) *kvShard {
	return &kv.shards[xxhash.Sum64(key)%kvShards]
}

// get copies the key's value to dst if it fits, and returns its length, or -1 if there is none.
func (kv *keyValues) get(key, dst []byte, now int64) int {
	s := kv.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.live(key, now)
	if p == nil {
		return -1
	}
	if len(p.value) <= len(dst) {
		copy(dst, p.value)
	}
	return len(p.value)
}

// put stores a copy of value for ttl seconds, 0 for as long as the node runs. It refuses what is over the limits.
func (kv *keyValues) put(key, value []byte, ttl uint32, now int64) bool {
	if !kvKeyFits(key) || len(value) > abi.MaxKVValue {
		return false
	}
	s := kv.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, value, expiry(ttl, now), now)
	return true
}

// add adds delta to the number that the key holds as 8 little-endian bytes and returns the sum; anything else counts
// as 0. Only the addition that creates a number sets its ttl, so that a count covers a fixed span of time.
func (kv *keyValues) add(key []byte, delta int64, ttl uint32, now int64) (int64, bool) {
	if !kvKeyFits(key) {
		return 0, false
	}
	s := kv.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.live(key, now); p != nil && len(p.value) == 8 {
		sum := int64(binary.LittleEndian.Uint64(p.value)) + delta
		binary.LittleEndian.PutUint64(p.value, uint64(sum))
		return sum, true
	}
	var value [8]byte
	binary.LittleEndian.PutUint64(value[:], uint64(delta))
	s.put(key, value[:], expiry(ttl, now), now)
	return delta, true
}

// bytes is how much of the policy's room is taken.
func (kv *keyValues) bytes() (n int) {
	for i := range kv.shards {
		s := &kv.shards[i]
		s.mu.Lock()
		n += s.size
		s.mu.Unlock()
	}
	return n
}

func kvKeyFits(key []byte) bool { return len(key) > 0 && len(key) <= abi.MaxKVKey }

func expiry(ttl uint32, now int64) int64 {
	if ttl == 0 {
		return 0
	}
	return now + int64(ttl)*int64(time.Second/time.Millisecond)
}

func (p *kvPair) size() int { return kvOverhead + len(p.key) + len(p.value) }

func (s *kvShard) live(key []byte, now int64) *kvPair {
	p := s.pairs[string(key)]
	if p == nil || p.expires == 0 || now < p.expires {
		return p
	}
	s.remove(p)
	return nil
}

func (s *kvShard) put(key, value []byte, expires, now int64) {
	p := s.live(key, now)
	if p == nil {
		p = &kvPair{key: string(key)}
		s.pairs[p.key] = p
		s.size += p.size()
	} else {
		s.unlink(p)
	}
	s.size += len(value) - len(p.value)
	p.value = append(p.value[:0], value...)
	p.expires = expires
	s.link(p)
	if s.size > kvShardSize {
		s.makeRoom(now)
	}
}

// makeRoom never reaches the pair written last: one pair is far smaller than a shard. Expired pairs are looked for once
// a second at most: to look at all pairs for every one that is put would take the node's time, not the guest's.
func (s *kvShard) makeRoom(now int64) {
	if now-s.swept >= sweepEvery {
		s.swept = now
		for _, p := range s.pairs {
			if p.expires != 0 && now >= p.expires {
				s.remove(p)
			}
		}
	}
	for s.size > kvShardSize {
		s.remove(s.oldest)
	}
}

func (s *kvShard) remove(p *kvPair) {
	delete(s.pairs, p.key)
	s.unlink(p)
	s.size -= p.size()
}

func (s *kvShard) link(p *kvPair) {
	p.prev, p.next = s.newest, nil
	if s.newest == nil {
		s.oldest = p
	} else {
		s.newest.next = p
	}
	s.newest = p
}

func (s *kvShard) unlink(p *kvPair) {
	if p.prev == nil {
		s.oldest = p.next
	} else {
		p.prev.next = p.next
	}
	if p.next == nil {
		s.newest = p.prev
	} else {
		p.next.prev = p.prev
	}
	p.prev, p.next = nil, nil
}
