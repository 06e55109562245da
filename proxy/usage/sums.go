package usage

import (
	"math"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// other stands for what has no row of its own.
const other = "other"

// Bounds of a report besides the number of its rows: an estimate of its bytes on the disk, where a value has 8 MiB at
// most.
const (
	maxReportBytes = 2 << 20
	rowBytes       = 96 // of a row, besides its strings
)

// counts are what was added to a row since it was looked at.
type counts struct {
	requests, input, cachedInput, output int64
	cost, unpriced                       int64
	estimated, list, saved, waste        int64
	micros, ttftMicros, ttftCount        int64
	latency                              [wire.LatencyBuckets]uint32
}

func (c *counts) add(v *Values) {
	c.requests += v.Requests
	c.input += v.Input
	c.cachedInput += v.CachedInput
	c.output += v.Output
	c.cost += v.CostNano
	c.unpriced += v.Unpriced
	c.estimated += v.Estimated
	c.list += v.ListNano
	c.saved += v.SavedNano
	c.waste += v.WasteNano
	if v.Requests > 0 {
		c.micros += int64(v.Took / time.Microsecond)
		c.latency[wire.LatencyBucket(v.Took)]++
	}
	if v.FirstToken > 0 {
		c.ttftMicros += int64(v.FirstToken / time.Microsecond)
		c.ttftCount++
	}
}

// sums are the rows of a report, in the order in which they were first seen.
type sums struct {
	rows  []wire.Usage // Latency has all its buckets
	index map[Key]int
	exact int // rows that stand for themselves
	size  int // about the bytes that they take on the disk
}

func newSums() *sums { return &sums{index: map[Key]int{}} }

func (s *sums) len() int { return len(s.rows) }

// reset forgets the rows. What a long report grew is given back.
func (s *sums) reset() {
	if len(s.rows) > 1024 {
		*s = *newSums()
		return
	}
	clear(s.rows)
	clear(s.index)
	s.rows, s.exact, s.size = s.rows[:0], 0, 0
}

// add adds to the row of k, or to one that stands for more than k where there are limit rows already.
func (s *sums) add(k *Key, c *counts, limit int) {
	u := s.row(k, limit)
	u.Requests += c.requests
	u.Input += c.input
	u.CachedInput += c.cachedInput
	u.Output += c.output
	u.CostNano += c.cost
	u.Unpriced += c.unpriced
	u.Estimated += c.estimated
	u.ListNano += c.list
	u.SavedNano += c.saved
	u.WasteNano += c.waste
	u.MicrosSum += c.micros
	u.TTFTSum += c.ttftMicros
	u.TTFTCount += c.ttftCount
	for i, n := range c.latency {
		u.Latency[i] += int64(n)
	}
}

// merge adds a row that was written down before.
func (s *sums) merge(from *wire.Usage) {
	k := keyOf(from)
	u := s.row(&k, math.MaxInt32)
	more := counted(from)
	for i, n := range counted(u) {
		*n += *more[i]
	}
	for i, n := range from.Latency {
		u.Latency[i] += n
	}
}

func (s *sums) row(k *Key, limit int) *wire.Usage {
	if i, ok := s.index[*k]; ok {
		return &s.rows[i]
	}
	if s.exact < limit && s.size < maxReportBytes {
		s.exact++
		return s.insert(k)
	}
	coarse := k.coarse()
	if i, ok := s.index[coarse]; ok {
		return &s.rows[i]
	}
	if len(s.rows) < 2*limit && s.size < 2*maxReportBytes {
		return s.insert(&coarse)
	}
	coarse.Model, coarse.Version, coarse.Key = other, other, other
	if i, ok := s.index[coarse]; ok {
		return &s.rows[i]
	}
	return s.insert(&coarse)
}

func (s *sums) insert(k *Key) *wire.Usage {
	s.index[*k] = len(s.rows)
	s.rows = append(s.rows, usageOf(k))
	s.size += rowBytes + k.bytes()
	u := &s.rows[len(s.rows)-1]
	u.Latency = make([]int64, wire.LatencyBuckets)
	return u
}

// bytes is the length of the strings.
func (k *Key) bytes() int {
	return len(k.Model) + len(k.Version) + len(k.Experiment) + len(k.Arm) + len(k.Key) + len(k.Provider) + len(k.Target) +
		len(k.Cache) + len(k.Code) + len(k.Team) + len(k.Tags) + len(k.Prices)
}

// coarse is the key of the row that counts what finds no room: it still tells whose requests they were, of which version,
// whether they hit and whether they failed.
func (k *Key) coarse() Key {
	code := ""
	if k.Code != "" {
		code = wire.CodeRefused
		if u := usageOf(k); u.Failed() {
			code = wire.CodeOther
		}
	}
	return Key{Hour: k.Hour, Model: k.Model, Version: k.Version, Key: k.Key, Cache: k.Cache, Code: code, Team: k.Team, Prices: k.Prices,
		Experiment: other, Arm: other, Provider: other, Target: other, Tags: other}
}

// usageOf is a row with nothing counted.
func usageOf(k *Key) wire.Usage {
	return wire.Usage{
		Hour: k.Hour, Model: k.Model, Version: k.Version, Experiment: k.Experiment, Arm: k.Arm, Key: k.Key,
		Provider: k.Provider, Target: k.Target, Cache: k.Cache, Code: k.Code, Team: k.Team, Tags: k.Tags, Prices: k.Prices,
	}
}

func keyOf(u *wire.Usage) Key {
	return Key{
		Hour: u.Hour, Model: u.Model, Version: u.Version, Experiment: u.Experiment, Arm: u.Arm, Key: u.Key,
		Provider: u.Provider, Target: u.Target, Cache: u.Cache, Code: u.Code, Team: u.Team, Tags: u.Tags, Prices: u.Prices,
	}
}
