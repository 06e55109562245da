package route

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
)

func newSet(weights ...int) *Set {
	targets := make([]*Target, len(weights))
	for i := range targets {
		targets[i] = &Target{}
	}
	return NewSet(targets, weights)
}

func TestPickFollowsTheWeights(t *testing.T) {
	s := newSet(90, 0, 10)
	var n [3]int
	const draws = 200_000
	for range draws {
		n[s.Pick(0, 0)]++
	}
	assert.InDelta(t, 0.9, float64(n[0])/draws, 0.01)
	assert.Zero(t, n[1])
	assert.InDelta(t, 0.1, float64(n[2])/draws, 0.01)
}

func TestPickTriesEachTargetOnce(t *testing.T) {
	s := newSet(5, 3, 0, 2)
	for range 1000 {
		tried := uint64(0)
		for range 3 {
			i := s.Pick(tried, 0)
			require.GreaterOrEqual(t, i, 0)
			require.Zero(t, tried&(1<<i), "target %d was drawn twice", i)
			tried |= 1 << i
		}
		require.Equal(t, uint64(0b1011), tried)
		require.Equal(t, -1, s.Pick(tried, 0))
	}
}

func TestEjection(t *testing.T) {
	s := newSet(1, 1)
	bad, now := s.Target(0), time.Unix(1000, 0)
	fail := func(at time.Time) { bad.Acquire(); bad.Release(Bad, at, 0) }
	for range ejectAfter - 1 {
		fail(now)
	}
	assert.True(t, bad.EjectedUntil().IsZero(), "a few failures are no pattern")
	bad.Acquire()
	bad.Release(Neutral, now, 0)
	assert.True(t, bad.EjectedUntil().IsZero(), "a client that leaves says nothing about the target")
	fail(now)
	require.Equal(t, now.Add(ejectFirst), bad.EjectedUntil())
	for range 100 {
		require.Equal(t, 1, s.Pick(0, now.UnixNano()))
	}
	assert.Equal(t, 0, s.Pick(0b10, now.UnixNano()), "an ejected target is better than none")

	later := now.Add(ejectFirst)
	trials := 0
	for range 100 {
		if s.Pick(0, later.UnixNano()) == 0 {
			trials++
		}
	}
	assert.Equal(t, 1, trials, "one trial at a time")
	fail(later)
	assert.Equal(t, later.Add(2*ejectFirst), bad.EjectedUntil(), "each further failure doubles the pause")
	fail(later)
	assert.Equal(t, later.Add(2*ejectFirst), bad.EjectedUntil(), "but those of one burst count once")
	bad.Acquire()
	bad.Release(Good, later, 0)
	assert.True(t, bad.EjectedUntil().IsZero())
	assert.Zero(t, bad.InFlight())
}

func TestLimitedTargetIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	var target Target
	now := time.Unix(1000, 0)
	for asked, want := range map[time.Duration]time.Duration{0: ejectFirst, 5 * time.Second: 5 * time.Second, time.Hour: ejectMost} {
		target.Acquire()
		target.Release(Limited, now, asked)
		assert.Equal(t, now.Add(want), target.EjectedUntil())
	}
}

func TestPoolKeepsLiveState(t *testing.T) {
	var p Pool
	a := p.Get("a")
	a.ObserveFirstByte(80 * time.Millisecond)
	a.ObserveFirstByte(160 * time.Millisecond)
	g := p.Gate("x")
	require.True(t, g.Enter(1))
	require.False(t, p.Gate("x").Enter(1))
	p.Retain(map[string]bool{"a": true}, map[string]bool{"x": true})
	assert.Same(t, a, p.Get("a"))
	assert.Equal(t, 90*time.Millisecond, p.Get("a").FirstByte())
	p.Retain(nil, nil)
	assert.NotSame(t, a, p.Get("a"))
	assert.True(t, p.Gate("x").Enter(1))
	g.Leave()
	assert.True(t, g.Enter(0), "no limit")
}

func TestBackoff(t *testing.T) {
	assert.Zero(t, Backoff(0, 3))
	for try := range 20 {
		d := Backoff(100*time.Millisecond, try)
		full := min(100*time.Millisecond<<min(try, 6), 8*time.Second)
		assert.LessOrEqual(t, d, full)
		assert.GreaterOrEqual(t, d, full*3/4)
	}
}

func TestHammerTarget(t *testing.T) {
	s := newSet(1, 2, 3)
	testkit.Hammer(8, 2000, func(_, i int) {
		k := s.Pick(0, time.Now().UnixNano())
		s.Target(k).Acquire()
		s.Target(k).Release(Outcome(i%4), time.Now(), 0)
	})
	for i := range s.Len() {
		assert.Zero(t, s.Target(i).InFlight())
	}
}

func BenchmarkPick(b *testing.B) {
	s := newSet(90, 10, 5, 5)
	b.ReportAllocs()
	for range b.N {
		if s.Pick(0, 0) < 0 {
			b.Fatal("no target")
		}
	}
}
