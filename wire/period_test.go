package wire

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	require.NoError(t, err)
	return at
}

func TestPeriodsOfTheCalendar(t *testing.T) {
	f := func(period, zone, at, start, end string, hours float64) {
		t.Helper()
		b := &Budget{Period: period, Timezone: zone}
		s := b.SpanAt(moment(t, at))
		assert.Equal(t, start, s.Start.Format(time.RFC3339))
		assert.Equal(t, end, s.End.Format(time.RFC3339))
		assert.InDelta(t, hours, s.End.Sub(s.Start).Hours(), 0)
		assert.Zero(t, s.Window)
		assert.Equal(t, s, b.SpanAt(s.Start))
		assert.Equal(t, s, b.SpanAt(s.End.Add(-1)))
		assert.Equal(t, s.End, b.SpanAt(s.End).Start)
	}
	f("daily", "UTC", "2026-11-23T12:00:00Z", "2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", 24)
	f("daily", "Europe/Berlin", "2026-11-23T23:30:00Z", "2026-11-23T23:00:00Z", "2026-11-24T23:00:00Z", 24)
	f("daily", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", 23)
	f("daily", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", 25)
	f("daily", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z", 23)
	f("daily", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z", 25)
	f("daily", "Asia/Kathmandu", "2026-11-23T18:14:59Z", "2026-11-22T18:15:00Z", "2026-11-23T18:15:00Z", 24)

	f("weekly", "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z", 168)
	f("weekly", "UTC", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z", 168)
	f("weekly", "America/New_York", "2026-11-02T04:30:00Z", "2026-10-26T04:00:00Z", "2026-11-02T05:00:00Z", 169)
	f("monthly", "Europe/Berlin", "2026-12-31T23:00:00Z", "2026-12-31T23:00:00Z", "2027-01-31T23:00:00Z", 31*24)
	f("monthly", "UTC", "2028-02-29T10:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z", 29*24)
	f("quarterly", "UTC", "2026-11-23T00:00:00Z", "2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z", 92*24)
	f("quarterly", "UTC", "2026-03-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z", 90*24)
	f("quarterly", "Europe/Berlin", "2026-03-31T22:00:00Z", "2026-03-31T22:00:00Z", "2026-06-30T22:00:00Z", 91*24)
}

// In some places clocks are put forward or back at midnight: a day begins at one o'clock there, or has midnight twice.
func TestDaysWithoutMidnightAndWithTwo(t *testing.T) {
	f := func(zone, at, start, end string) {
		t.Helper()
		s := (&Budget{Period: "daily", Timezone: zone}).SpanAt(moment(t, at))
		assert.Equal(t, start+" "+end, s.Start.Format(time.RFC3339)+" "+s.End.Format(time.RFC3339))
	}
	f("Africa/Cairo", "2026-04-24T10:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z") // begins at 01:00
	f("America/Havana", "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")
	f("America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z")
	f("America/St_Johns", "2010-11-07T02:30:30Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z") // at 00:01 it became 23:01
	f("America/St_Johns", "2010-11-07T03:00:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z")
	f("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z") // and the next day is the 31st
	f("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z")
}

func TestRollingPeriods(t *testing.T) {
	for hours, size := range map[string]time.Duration{"1": 5 * time.Minute, "6": 30 * time.Minute, "7": 35 * time.Minute, "24": 2 * time.Hour, "720": 60 * time.Hour} {
		b := &Budget{Period: "rolling-" + hours + "h", Timezone: "Europe/Berlin"}
		s := b.SpanAt(moment(t, "2026-11-23T12:34:56Z"))
		assert.Equal(t, size, s.End.Sub(s.Start), hours)
		assert.Equal(t, 12, s.Window)
		assert.Zero(t, s.Start.Unix()%int64(size.Seconds()), "they begin at multiples of their length")
		assert.True(t, s.Contains(moment(t, "2026-11-23T12:34:56Z")))
		assert.Equal(t, time.UTC, s.Start.Location())
		before := b.SpanAt(time.Unix(-1, 0))
		assert.Equal(t, -int64(size.Seconds()), before.Begin())
		assert.Zero(t, before.End.Unix())
	}
}

func TestThePeriodTotal(t *testing.T) {
	b := &Budget{Period: "total"}
	s := b.SpanAt(time.Now())
	assert.Equal(t, Span{}, s)
	assert.Zero(t, s.Begin())
	assert.True(t, s.Contains(time.Time{}) && s.Contains(time.Now()))
	s, is := b.SpanOf(0)
	assert.True(t, is)
	assert.Equal(t, Span{}, s)
	_, is = b.SpanOf(1)
	assert.False(t, is)
}

func TestSpansThatNobodyHas(t *testing.T) {
	for _, period := range append(spans[:4:4], "rolling-7h") {
		b := &Budget{Period: period, Timezone: "America/New_York"}
		at := b.SpanAt(moment(t, "2026-11-23T12:34:56Z")).Begin()
		_, is := b.SpanOf(at)
		assert.True(t, is, period)
		for _, start := range []int64{at + 1, at - 1, math.MinInt64, math.MaxInt64, firstMoment - 1, lastMoment + 1} {
			_, is := b.SpanOf(start)
			assert.False(t, is, "%s %d", period, start)
		}
	}
	_, is := (&Budget{Period: "daily", Timezone: "Nowhere"}).SpanOf(86_400)
	assert.True(t, is, "UTC where the zone is unknown")
}

func drawBudget(t *rapid.T) *Budget {
	return &Budget{
		Period: rapid.SampledFrom(append(spans[:4:4], "rolling-1h", "rolling-5h", "rolling-7h", "rolling-24h", "rolling-719h", "rolling-720h")).Draw(t, "period"),
		Timezone: rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Beirut", "America/Havana",
			"America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia", "Pacific/Kwajalein", "Asia/Tehran", "Africa/Monrovia"}).Draw(t, "zone"),
	}
}

// From 1930 to 2110.
var anyMoment = rapid.Int64Range(-1_262_304_000, 4_417_977_600)

// Every moment is in one span and in no other, and a span is found by its beginning.
func TestSpansTileTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBudget(t)
		at := time.Unix(anyMoment.Draw(t, "at"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds"))
		s := b.SpanAt(at)
		require.True(t, s.Contains(at), "%v is not in %v", at.UTC(), s)
		require.True(t, s.Start.Before(s.End))
		before, after := b.SpanAt(s.Start.Add(-1)), b.SpanAt(s.End)
		require.Equal(t, s.Start, before.End, "no gap before it, and no overlap")
		require.Equal(t, s.End, after.Start, "nor after it")
		require.Equal(t, s, b.SpanAt(s.Start))
		require.Equal(t, s, b.SpanAt(s.End.Add(-1)))

		same, is := b.SpanOf(s.Begin())
		require.True(t, is)
		require.Equal(t, s, same)
		_, is = b.SpanOf(s.Begin() + rapid.Int64Range(1, s.End.Unix()-s.Start.Unix()-1).Draw(t, "inside"))
		require.False(t, is, "a span begins once")
	})
}

// However long ago the spans of a rolling period's window began, together they are at least the period.
func TestWindowsCoverTheirPeriod(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hours := rapid.IntRange(1, maxRolling).Draw(t, "hours")
		b := &Budget{Period: fmt.Sprintf("rolling-%dh", hours)}
		at := time.Unix(anyMoment.Draw(t, "at"), 0)
		s := b.SpanAt(at)
		size := s.End.Sub(s.Start)
		first := s.Start.Add(-time.Duration(s.Window) * size)
		require.GreaterOrEqual(t, at.Sub(first), time.Duration(hours)*time.Hour)
		require.Equal(t, s.Start, b.SpanAt(first).Start.Add(time.Duration(s.Window)*size))
	})
}

// FuzzSpanOf looks for beginnings that stop the calendar, or that are none.
func FuzzSpanOf(f *testing.F) {
	f.Add(int64(0), "daily", "UTC")
	f.Add(int64(1_774_738_800), "weekly", "Europe/Berlin")
	f.Add(int64(math.MaxInt64), "rolling-7h", "")
	f.Add(int64(math.MinInt64), "quarterly", "Pacific/Apia")
	f.Fuzz(func(t *testing.T, start int64, period, zone string) {
		b := &Budget{Period: period, Timezone: zone}
		s, is := b.SpanOf(start)
		if !is {
			return
		}
		require.Equal(t, start, s.Begin())
		require.Equal(t, s, b.SpanAt(s.Start))
	})
}

func BenchmarkSpanAt(b *testing.B) {
	budget, now := &Budget{Period: "monthly", Timezone: "Europe/Berlin"}, time.Now()
	for b.Loop() {
		budget.SpanAt(now)
	}
}
