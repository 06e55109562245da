// Package route turns a version's targets into a bounded list of attempts: weighted choice, passive health,
// in-flight limits. It knows targets by their live state only; it sends nothing.
package route

import (
	"maps"
	"math/bits"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is what an attempt told about its target.
type Outcome uint8

const (
	Good    Outcome = iota // an answer, also a refusal that is the client's own fault
	Neutral                // nothing: the client left
	Limited                // 429: try again later
	Bad                    // refused, timed out, 5xx, cut, nonsense
)

const (
	ejectAfter = 3                // Bad outcomes in a row
	ejectFirst = time.Second      // doubled with every further Bad one …
	ejectMost  = 30 * time.Second // … up to this
	trialGap   = time.Second      // between trial requests to an ejected target whose time is up
)

// Target is the live state of one provider and upstream model. It outlives snapshots: a new catalog forgets
// nothing that was learnt.
type Target struct {
	inFlight  atomic.Int32
	bad       atomic.Int32 // in a row
	ejected   atomic.Int64 // unix nanoseconds until which the target is skipped for its failures; 0: healthy
	trial     atomic.Bool  // an attempt is to tell whether the ejected target is back
	probeBad  atomic.Int32 // probes that failed in a row
	limited   atomic.Int64 // unix nanoseconds until which it asked to be left alone
	firstByte atomic.Int64 // nanoseconds, exponentially weighted
	hides     atomic.Bool  // answers had more tokens than could be seen coming
}

// Pool keeps live state by key. The zero value is ready.
type Pool struct {
	mu      sync.Mutex
	targets map[string]*Target
	gates   map[string]*Gate
}

// Gate returns the gate of a provider, the same for every snapshot that names it.
func (p *Pool) Gate(provider string) *Gate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gates == nil {
		p.gates = map[string]*Gate{}
	}
	g := p.gates[provider]
	if g == nil {
		g = &Gate{}
		p.gates[provider] = g
	}
	return g
}

// Get returns the target of a key, the same for every snapshot that names it.
func (p *Pool) Get(key string) *Target {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.targets == nil {
		p.targets = map[string]*Target{}
	}
	t := p.targets[key]
	if t == nil {
		t = &Target{}
		p.targets[key] = t
	}
	return t
}

// Retain forgets the targets and gates that the sets do not name.
func (p *Pool) Retain(targets, providers map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.targets, func(k string, _ *Target) bool { return !targets[k] })
	maps.DeleteFunc(p.gates, func(k string, _ *Gate) bool { return !providers[k] })
}

// Gate bounds the attempts under way at one provider. It outlives snapshots; the limit is the snapshot's.
type Gate struct{ n atomic.Int32 }

// Enter counts an attempt in, or says that limit (0: none) attempts are under way already.
func (g *Gate) Enter(limit int) bool {
	if n := g.n.Add(1); limit > 0 && n > int32(limit) {
		g.n.Add(-1)
		return false
	}
	return true
}

// Leave counts an attempt out.
func (g *Gate) Leave() { g.n.Add(-1) }

// Acquire counts an attempt in.
func (t *Target) Acquire() { t.inFlight.Add(1) }

// Release counts an attempt out and learns from it. retryAfter is what a Limited answer asked for, or 0.
func (t *Target) Release(o Outcome, now time.Time, retryAfter time.Duration) {
	t.inFlight.Add(-1)
	switch o {
	case Good:
		if t.bad.Load() != 0 || t.ejected.Load() != 0 {
			t.bad.Store(0)
			t.ejected.Store(0)
		}
	case Limited:
		t.limited.Store(now.Add(min(max(retryAfter, ejectFirst), ejectMost)).UnixNano())
	case Bad:
		if !t.trial.Swap(false) && now.UnixNano() < t.ejected.Load() {
			return // of the burst that ejected it
		}
		if n := t.bad.Add(1); n >= ejectAfter {
			t.ejected.Store(now.Add(min(ejectFirst<<min(n-ejectAfter, 5), ejectMost)).UnixNano())
		}
	case Neutral:
	}
}

// ObserveHidden learns that the target generates tokens that nobody sees coming.
func (t *Target) ObserveHidden() {
	if !t.hides.Load() {
		t.hides.Store(true)
	}
}

// Hides says that the target generated such tokens.
func (t *Target) Hides() bool { return t.hides.Load() }

// ObserveFirstByte learns how long the target took until its first byte.
func (t *Target) ObserveFirstByte(d time.Duration) {
	old := t.firstByte.Load()
	if old == 0 {
		t.firstByte.Store(int64(d))
		return
	}
	t.firstByte.Store(old + (int64(d)-old)/8)
}

// FirstByte is the smoothed time until the target's first byte; 0 before the first answer.
func (t *Target) FirstByte() time.Duration { return time.Duration(t.firstByte.Load()) }

// Probed learns from a probe of the target's provider. A good probe says nothing about what requests have told.
func (t *Target) Probed(good bool) {
	if good {
		t.probeBad.Store(0)
	} else {
		t.probeBad.Add(1)
	}
}

// Down says that probes of the target's provider fail.
func (t *Target) Down() bool { return t.probeBad.Load() >= ejectAfter }

// Healthy says that the target would be drawn now.
func (t *Target) Healthy(now time.Time) bool { return !t.Down() && !now.Before(t.EjectedUntil()) }

// InFlight is the number of attempts under way.
func (t *Target) InFlight() int { return int(t.inFlight.Load()) }

// EjectedUntil is the time until which the target is skipped; zero when it is healthy.
func (t *Target) EjectedUntil() time.Time {
	if ns := max(t.ejected.Load(), t.limited.Load()); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// usable says whether the target may be tried now. When an ejection's time is up one caller at a time gets a
// trial; the others go on avoiding the target until the trial told something.
func (t *Target) usable(now int64) bool {
	if now < t.limited.Load() || t.Down() {
		return false
	}
	until := t.ejected.Load()
	if until == 0 {
		return true
	}
	if now < until || !t.ejected.CompareAndSwap(until, now+int64(trialGap)) {
		return false
	}
	t.trial.Store(true)
	return true
}

// Set is a version's targets with their weights. It is immutable.
type Set struct {
	targets []*Target
	upto    []uint64 // cumulative weights
}

// MaxTargets is the most targets a set takes.
const MaxTargets = 64

// NewSet builds a set; weights are parallel to targets, not negative, and not all zero.
func NewSet(targets []*Target, weights []int) *Set {
	s := &Set{targets: targets}
	sum := uint64(0)
	for _, w := range weights {
		sum += uint64(w)
		s.upto = append(s.upto, sum)
	}
	return s
}

// Len is the number of targets.
func (s *Set) Len() int { return len(s.targets) }

// Target returns a target by its index.
func (s *Set) Target(i int) *Target { return s.targets[i] }

// Pick draws a target by weight among those that tried (a bit set of indexes) does not name, preferring healthy
// ones: a target that is ejected is drawn only when nothing else is left, for a late answer is better than
// none. Targets of weight 0 are never drawn. It returns -1 when every target has been tried.
func (s *Set) Pick(tried uint64, now int64) int {
	i := s.draw(rand.Uint64())
	if tried == 0 && s.targets[i].usable(now) {
		return i
	}
	return s.pickAmong(tried, now)
}

// draw maps a random number to an index by weight.
func (s *Set) draw(r uint64) int {
	hi, _ := bits.Mul64(r, s.upto[len(s.upto)-1])
	for i, u := range s.upto {
		if hi < u {
			return i
		}
	}
	return len(s.upto) - 1
}

func (s *Set) pickAmong(tried uint64, now int64) int {
	healthy, ejected := uint64(0), uint64(0)
	for i := range s.targets {
		switch {
		case tried&(1<<i) != 0 || s.weight(i) == 0:
		case s.targets[i].usable(now):
			healthy |= 1 << i
		default:
			ejected |= 1 << i
		}
	}
	if healthy != 0 {
		return s.drawAmong(healthy)
	}
	return s.drawAmong(ejected)
}

func (s *Set) weight(i int) uint64 {
	if i == 0 {
		return s.upto[0]
	}
	return s.upto[i] - s.upto[i-1]
}

func (s *Set) drawAmong(among uint64) int {
	total := uint64(0)
	for i := range s.targets {
		if among&(1<<i) != 0 {
			total += s.weight(i)
		}
	}
	if total == 0 {
		return -1
	}
	r := rand.Uint64N(total)
	for i := range s.targets {
		if among&(1<<i) == 0 {
			continue
		}
		if w := s.weight(i); r < w {
			return i
		} else {
			r -= w
		}
	}
	return -1
}

// Backoff is the pause before a target is tried again within one request: base, doubled with every further
// try, with up to a quarter less so that clients do not come back together.
func Backoff(base time.Duration, try int) time.Duration {
	d := min(base<<min(try, 6), 8*time.Second)
	if d <= 0 {
		return 0
	}
	return d - time.Duration(rand.Int64N(int64(d)/4+1))
}
