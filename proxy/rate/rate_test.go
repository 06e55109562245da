package rate

import (
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/proxy/dialect"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// limiter has limits by name.
func limiter(rules map[string]wire.Rate) (*Limiter, func(names ...string) []*Limit) {
	l := New(Options{Now: func() time.Time { return at }})
	var list []Rule
	for name, r := range rules {
		list = append(list, Rule{name, r})
	}
	l.Use(list)
	return l, func(names ...string) (limits []*Limit) {
		for _, name := range names {
			limits = append(limits, l.Of(name))
		}
		return limits
	}
}

func perMinute(requests, tokens, concurrency int) wire.Rate {
	r := wire.Rate{Concurrency: concurrency}
	if requests > 0 {
		r.Requests, r.RequestsPer = int64(requests), time.Minute
	}
	if tokens > 0 {
		r.Tokens, r.TokensPer = int64(tokens), time.Minute
	}
	return r
}

// TestBucket: a limit admits what a bucket of its size admits that fills at its rate.
func TestBucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(t, "limit")
		l, of := limiter(map[string]wire.Rate{"r": perMinute(n, 0, 0)})
		level, last, now := float64(n), at, at
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "pause")))
			level = math.Min(float64(n), level+float64(n)*now.Sub(last).Minutes())
			last = now
			if math.Abs(level-1) < 1e-6 { // which of them rounds how, is nobody's concern
				continue
			}
			var ticket Ticket
			d, ok := l.Admit(&ticket, of("r"), 0, now)
			if want := level >= 1; ok != want {
				t.Fatalf("admitted %v at level %v", ok, level)
			}
			if ok {
				level--
				ticket.Done(0, now)
				continue
			}
			if wait := time.Duration((1 - level) / float64(n) * float64(time.Minute)); (d.RetryAfter - wait).Abs() > time.Microsecond {
				t.Fatalf("told to wait %v, not %v", d.RetryAfter, wait)
			}
		}
	})
}

func TestTokensAreCorrected(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(0, 600, 0)})
	var cheap, dear, next Ticket
	_, ok := l.Admit(&cheap, of("r"), 500, at)
	require.True(t, ok)
	_, ok = l.Admit(&dear, of("r"), 200, at)
	require.False(t, ok, "an estimate counts")
	cheap.Done(100, at)
	_, ok = l.Admit(&dear, of("r"), 200, at)
	require.True(t, ok, "until the truth is known")
	dear.Done(900, at) // which is more than there was
	d, ok := l.Admit(&next, of("r"), 100, at)
	require.False(t, ok)
	assert.Equal(t, "tokens", d.What)
	assert.Equal(t, 50*time.Second, d.RetryAfter, "100 and 900 were used of 600; 100 more take 500 to be paid back")
	_, ok = l.Admit(&next, of("r"), 100, at.Add(d.RetryAfter))
	assert.True(t, ok)
}

func TestMoreThanAWholeBurstIsAdmittedAlone(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(0, 100, 0)})
	var ticket Ticket
	_, ok := l.Admit(&ticket, of("r"), 5000, at)
	assert.True(t, ok, "it would never fit otherwise")
	_, ok = l.Admit(&ticket, of("r"), 1, at)
	assert.False(t, ok)
}

func TestConcurrency(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(0, 0, 2), "few": perMinute(1, 0, 0)})
	var tickets [3]Ticket
	for i := range 2 {
		_, ok := l.Admit(&tickets[i], of("r"), 0, at)
		require.True(t, ok)
	}
	d, ok := l.Admit(&tickets[2], of("r"), 0, at)
	require.False(t, ok)
	assert.Equal(t, "concurrency", d.What)
	assert.Positive(t, d.RetryAfter)
	tickets[0].Done(0, at)
	tickets[0].Done(0, at) // again does nothing
	_, ok = l.Admit(&tickets[2], of("r", "few"), 0, at)
	require.True(t, ok)
	_, ok = l.Admit(&tickets[0], of("r"), 0, at)
	assert.False(t, ok)
}

// What the last limit refuses is taken of none.
func TestAllOrNothing(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"wide": perMinute(10, 1000, 10), "narrow": perMinute(1, 0, 0)})
	var first, second Ticket
	_, ok := l.Admit(&first, of("wide", "narrow"), 10, at)
	require.True(t, ok)
	for range 50 {
		d, ok := l.Admit(&second, of("wide", "narrow"), 10, at)
		require.False(t, ok)
		assert.Equal(t, "narrow", d.Limit.Name())
	}
	requests, tokens := l.Of("wide").Windows(at)
	assert.Equal(t, []int64{9, 990}, []int64{requests.Remaining, tokens.Remaining})
	second.Done(5, at)
	requests, _ = l.Of("wide").Windows(at)
	assert.Equal(t, int64(9), requests.Remaining)
}

func TestSharesExpire(t *testing.T) {
	now := at
	l := New(Options{Now: func() time.Time { return now }})
	l.Use([]Rule{{"r", perMinute(100, 0, 10)}})
	admitted := func() (n int) {
		for {
			var ticket Ticket
			if _, ok := l.Admit(&ticket, []*Limit{l.Of("r")}, 0, now); !ok {
				return n
			}
			ticket.Done(0, now)
			n++
		}
	}
	assert.Equal(t, 100, admitted())
	now = now.Add(time.Hour)
	l.Share([]wire.RateShare{{Rate: "r", Share: 0.7, TTLMS: 15_000, Nodes: 4}, {Rate: "unknown", Share: 1}})
	assert.Equal(t, 70, admitted())
	now = now.Add(time.Hour)
	assert.Equal(t, 25, admitted(), "a share that is not renewed becomes an equal one")
}

func TestRulesChange(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(100, 0, 0)})
	var ticket Ticket
	for range 50 {
		_, ok := l.Admit(&ticket, of("r"), 0, at)
		require.True(t, ok)
	}
	before := l.Of("r")
	l.Use([]Rule{{"r", perMinute(10, 0, 0)}, {"new", perMinute(1, 0, 0)}})
	assert.Same(t, before, l.Of("r"))
	for i := range 6 {
		_, ok := l.Admit(&ticket, of("r"), 0, at)
		assert.Equal(t, i < 5, ok, "half of it is used, as it was of the higher limit")
	}
	l.Use(nil)
	assert.Nil(t, l.Of("r"))
}

func TestClocksMayJump(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(60, 0, 0)})
	var ticket Ticket
	_, ok := l.Admit(&ticket, of("r"), 0, at.Add(100*time.Hour))
	require.True(t, ok)
	for range 3 {
		_, _ = l.Admit(&ticket, of("r"), 0, at)
	}
	d, ok := l.Admit(&ticket, of("r"), 0, at)
	assert.True(t, ok || d.RetryAfter <= 2*time.Minute, "a clock that was set back locks nobody out: %v", d)
}

func TestManyAtOnce(t *testing.T) {
	l, of := limiter(map[string]wire.Rate{"r": perMinute(1000, 0, 3)})
	limits := of("r")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				var ticket Ticket
				if _, ok := l.Admit(&ticket, limits, 1, at); ok {
					ticket.Done(1, at)
				}
			}
		})
	}
	all.Wait()
	assert.Zero(t, l.Of("r").inFlight, "no slot is lost")
}

func TestDemand(t *testing.T) {
	now := at
	l := New(Options{Now: func() time.Time { return now }})
	l.Use([]Rule{{"r", perMinute(1, 0, 0)}})
	for range 20 {
		var ticket Ticket
		_, _ = l.Admit(&ticket, []*Limit{l.Of("r")}, 30, now)
	}
	now = now.Add(10 * time.Second)
	assert.Equal(t, []wire.RateDemand{{Rate: "r", Requests: 2, Tokens: 60, InFlight: 1}}, l.Demand(), "what is refused is wanted, too")
	now = now.Add(10 * time.Second)
	assert.Equal(t, []wire.RateDemand{{Rate: "r", InFlight: 1}}, l.Demand())
}

// Limits that nobody uses are not told, however many there are; one that was in use is told once more.
func TestDemandOfIdleLimits(t *testing.T) {
	now := at
	l := New(Options{Now: func() time.Time { return now }})
	rules := make([]Rule, 10_000)
	for i := range rules {
		rules[i] = Rule{fmt.Sprint("key/k", i), perMinute(100, 0, 0)}
	}
	l.Use(rules)
	demand := func() []wire.RateDemand {
		now = now.Add(5 * time.Second)
		return l.Demand()
	}
	assert.Empty(t, demand())
	busy := l.Of("key/k7")
	var ticket Ticket
	_, ok := l.Admit(&ticket, []*Limit{busy}, 10, now)
	require.True(t, ok)
	assert.Equal(t, []wire.RateDemand{{Rate: "key/k7", Requests: 0.2, Tokens: 2, InFlight: 1}}, demand(), "of the last seconds only")
	assert.Equal(t, []wire.RateDemand{{Rate: "key/k7", InFlight: 1}}, demand(), "it is under way")
	ticket.Done(10, now)
	assert.Equal(t, []wire.RateDemand{{Rate: "key/k7"}}, demand())
	assert.Empty(t, demand())
	_, _ = l.Admit(&ticket, []*Limit{busy}, 10, now)
	ticket.Done(10, now)
	assert.Len(t, demand(), 1)
}

func TestHeaders(t *testing.T) {
	got := func(d dialect.ID) map[string]string {
		all := map[string]string{}
		Headers(d, Window{100, 7, 12500 * time.Millisecond}, Window{40_000, 39_000, 1500 * time.Millisecond}, at,
			func(name, value []byte) { all[string(name)] += string(value) })
		return all
	}
	assert.Equal(t, map[string]string{
		"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "12.5s",
		"x-ratelimit-limit-tokens": "40000", "x-ratelimit-remaining-tokens": "39000", "x-ratelimit-reset-tokens": "1.5s",
		"RateLimit": `"requests";r=7;t=13, "tokens";r=39000;t=2`, "RateLimit-Policy": `"requests";q=100, "tokens";q=40000`,
	}, got(dialect.OpenAI))
	anthropic := got(dialect.Anthropic)
	assert.Equal(t, "100", anthropic["anthropic-ratelimit-requests-limit"])
	assert.Equal(t, "39000", anthropic["anthropic-ratelimit-tokens-remaining"])
	assert.Equal(t, at.Add(13*time.Second).Format(time.RFC3339), anthropic["anthropic-ratelimit-requests-reset"], "not before it is true")
	assert.Equal(t, map[string]string{
		"RateLimit": `"requests";r=7;t=13, "tokens";r=39000;t=2`, "RateLimit-Policy": `"requests";q=100, "tokens";q=40000`,
	}, got(dialect.Gemini))
	Headers(dialect.OpenAI, Window{}, Window{}, at, func(name, value []byte) { t.Error("there is nothing to tell", fmt.Sprint(name, value)) })
}

// BenchmarkAdmit asks two limits.
func BenchmarkAdmit(b *testing.B) {
	l, of := limiter(map[string]wire.Rate{"a": perMinute(1e9, 1e12, 1000), "b": perMinute(1e9, 0, 0)})
	limits := of("a", "b")
	var ticket Ticket
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := l.Admit(&ticket, limits, 100, at); ok {
			ticket.Done(100, at)
		}
	}
}
