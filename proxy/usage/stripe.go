package usage

import (
	"math/rand/v2"
	"strings"
	"sync"
)

// stripes is how many places there are to add to: as many processors can add at once without waiting. It is a power of
// two.
const stripes = 4

// recent is how many cells are found quickly, a power of two.
const recent = 256

// stripe holds what was added since the last drain, and remembers the rows, so that adding to one that is known
// allocates nothing.
type stripe struct {
	mu     sync.Mutex
	cells  map[Key]*cell
	recent [recent]*cell // found without the map, which hashes all of a key
	dirty  []*cell       // that something was added to
	most   int
	bytes  int // of the cells' strings
	round  uint32
	_      [64]byte // the next stripe's mutex is on another cache line
}

type cell struct {
	key Key
	counts
	dirty bool
	round uint32 // when it was last added to
}

func (s *stripe) init(most int) { s.cells, s.most = map[Key]*cell{}, most }

// Add counts. It waits for no disk, and allocates only when a row is first seen. Of numbers that cannot be true, such as
// those of a provider that tells nonsense, as much is counted as a report may have.
func (u *Usage) Add(k Key, v Values) {
	if v.flawed() {
		u.flawed.Add(1)
	}
	s := u.lock()
	s.add(&k, &v)
	s.mu.Unlock()
}

// lock finds a stripe that nobody adds to, and locks it.
func (u *Usage) lock() *stripe {
	at := rand.Uint32()
	for range stripes {
		if s := &u.stripes[at%stripes]; s.mu.TryLock() {
			return s
		}
		at++
	}
	s := &u.stripes[at%stripes]
	s.mu.Lock()
	return s
}

func (s *stripe) add(k *Key, v *Values) {
	c := s.recent[k.hint()%recent]
	if c == nil || c.key != *k {
		c = s.find(k)
	}
	if !c.dirty {
		c.dirty, c.round = true, s.round
		s.dirty = append(s.dirty, c)
	}
	c.counts.add(v)
}

// hint is a poor hash of the key, and a quick one.
func (k *Key) hint() (h uint) {
	for _, text := range [...]string{k.Model, k.Version, k.Arm, k.Key, k.Target, k.Cache, k.Code} {
		if n := len(text); n > 0 {
			h = h*31 + uint(text[n-1]) + uint(text[n/2])<<3
		}
	}
	return h
}

func (s *stripe) find(k *Key) *cell {
	c := s.cells[*k]
	if c == nil {
		c = s.learn(k)
	}
	s.recent[k.hint()%recent] = c
	return c
}

// learn makes the cell of a key that was not seen before; a key too many gets a coarser one.
func (s *stripe) learn(k *Key) *cell {
	if len(s.cells) >= s.most || s.bytes >= maxReportBytes {
		coarse := k.coarse()
		if len(s.cells) >= 2*s.most || s.bytes >= 2*maxReportBytes {
			coarse.Model, coarse.Version, coarse.Key = other, other, other
		}
		if c := s.cells[coarse]; c != nil {
			return c
		}
		k = &coarse
	}
	c := &cell{key: k.clone(), round: s.round}
	s.bytes += k.bytes()
	s.cells[c.key] = c
	return c
}

// clone copies the strings: they may be a request's, or a catalog's that is to be forgotten.
func (k *Key) clone() Key {
	c := *k
	for _, text := range [...]*string{
		&c.Model, &c.Version, &c.Experiment, &c.Arm, &c.Key, &c.Provider, &c.Target, &c.Cache, &c.Code, &c.Team, &c.Tags, &c.Prices,
	} {
		*text = strings.Clone(*text)
	}
	return c
}

// drainAtOnce is how many cells are read while Add may have to wait.
const drainAtOnce = 128

// drain hands what was added to each cell to take, and forgets it. room is given back, grown.
func (s *stripe) drain(room []cell, take func(c *cell)) []cell {
	for more := true; more; {
		room, more = s.some(room[:0])
		for i := range room {
			take(&room[i])
		}
	}
	return room
}

// some copies what was added to some cells, forgets it, and tells whether there are more.
func (s *stripe) some(room []cell) (copies []cell, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := max(0, len(s.dirty)-drainAtOnce)
	for i, c := range s.dirty[rest:] {
		room = append(room, *c)
		c.counts, c.dirty = counts{}, false
		s.dirty[rest+i] = nil
	}
	s.dirty = s.dirty[:rest]
	return room, rest > 0
}

// keepRounds is for how many reports a cell is remembered that nothing is added to: an hour's rows are over some time.
const keepRounds = 12

// age forgets cells that have not been added to for long.
func (s *stripe) age() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.round++
	if s.round%keepRounds != 0 {
		return
	}
	clear(s.recent[:])
	for k, c := range s.cells {
		if !c.dirty && s.round-c.round > keepRounds {
			s.bytes -= k.bytes()
			delete(s.cells, k)
		}
	}
}
