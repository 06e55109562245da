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
	count(&c.requests, v.Requests)
	count(&c.input, v.Input)
	count(&c.cachedInput, v.CachedInput)
	count(&c.output, v.Output)
	count(&c.cost, v.CostNano)
	count(&c.unpriced, v.Unpriced)
	count(&c.estimated, v.Estimated)
	count(&c.list, v.ListNano)
	count(&c.saved, v.SavedNano)
	count(&c.waste, v.WasteNano)
	if v.Requests > 0 {
		count(&c.micros, int64(v.Took/time.Microsecond))
		c.latency[wire.LatencyBucket(v.Took)]++
	}
	if v.FirstToken > 0 {
		count(&c.ttftMicros, int64(v.FirstToken/time.Microsecond))
		c.ttftCount++
	}
}

// count adds to a sum, which stays one that the origin books: see wire.MostCounted. A report with any other would keep all
// that follow it from being counted.
func count(sum *int64, n int64) {
	*sum = min(min(max(*sum, 0), wire.MostCounted)+min(max(n, 0), wire.MostCounted), wire.MostCounted)
}

// flawed says that some number is none that a row may have: a provider told it.
func (v *Values) flawed() bool {
	for _, n := range [...]int64{
		v.Requests, v.Input, v.CachedInput, v.Output, v.CostNano, v.Unpriced, v.Estimated, v.ListNano, v.SavedNano, v.WasteNano,
	} {
		if n < 0 || n > wire.MostCounted {
			return true
		}
	}
	return false
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
	count(&u.Requests, c.requests)
	count(&u.Input, c.input)
	count(&u.CachedInput, c.cachedInput)
	count(&u.Output, c.output)
	count(&u.CostNano, c.cost)
	count(&u.Unpriced, c.unpriced)
	count(&u.Estimated, c.estimated)
	count(&u.ListNano, c.list)
	count(&u.SavedNano, c.saved)
	count(&u.WasteNano, c.waste)
	count(&u.MicrosSum, c.micros)
	count(&u.TTFTSum, c.ttftMicros)
	count(&u.TTFTCount, c.ttftCount)
	for i, n := range c.latency {
		count(&u.Latency[i], int64(n))
	}
}

// merge adds a row that was written down before.
func (s *sums) merge(from *wire.Usage) {
	k := keyOf(from)
	u := s.row(&k, math.MaxInt32)
	more := counted(from)
	for i, n := range counted(u) {
		count(n, *more[i])
	}
	for i, n := range from.Latency {
		count(&u.Latency[i], n)
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
