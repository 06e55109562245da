package wire

import (
	"strconv"
	"strings"
	"time"
)

// Span is one period of a budget, or for a rolling one the part of it that is counted together.
type Span struct {
	Start, End time.Time // UTC; End is zero for the period total
	// Window is how many spans before this one count with it: what was spent in them is not there to be spent again. 0 but
	// for rolling periods.
	Window int
}

// Contains says that a time lies in the span.
func (s Span) Contains(t time.Time) bool {
	return !t.Before(s.Start) && (s.End.IsZero() || t.Before(s.End))
}

const (
	rollingParts = 12 // spans of a rolling period
	leastSpan    = 5 * time.Minute
)

// SpanAt is the budget's period that a time lies in.
func (b *Budget) SpanAt(t time.Time) Span {
	if hours, is := rolling(b.Period); is {
		size := max(time.Duration(hours)*time.Hour/rollingParts, leastSpan)
		start := t.UTC().Truncate(size)
		return Span{Start: start, End: start.Add(size), Window: int(time.Duration(hours) * time.Hour / size)}
	}
	if b.Period == "total" {
		return Span{}
	}
	zone, err := time.LoadLocation(b.Timezone)
	if err != nil {
		zone = time.UTC // refused where the catalog is read
	}
	y, m, d := t.In(zone).Date()
	day := func(y int, m time.Month, d int) time.Time { return dayStart(y, m, d, zone) }
	switch b.Period {
	case "weekly": // from Monday
		d -= int(t.In(zone).Weekday()+6) % 7
		return Span{Start: day(y, m, d), End: day(y, m, d+7)}
	case "monthly":
		return Span{Start: day(y, m, 1), End: day(y, m+1, 1)}
	case "quarterly":
		m -= (m - 1) % 3
		return Span{Start: day(y, m, 1), End: day(y, m+3, 1)}
	}
	return Span{Start: day(y, m, d), End: day(y, m, d+1)}
}

// dayStart is when a day begins: not always at midnight, where clocks are put forward then.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if of := time.Date(y, m, d, 12, 0, 0, 0, zone).Day(); t.Day() != of { // midnight was skipped, and t is before it
		t = t.Add(time.Hour)
	}
	return t.UTC()
}

// SpanOf is the budget's period that begins at a time in unix seconds, 0 for the period total.
func (b *Budget) SpanOf(start int64) (Span, bool) {
	if b.Period == "total" {
		return Span{}, start == 0
	}
	s := b.SpanAt(time.Unix(start, 0))
	return s, s.Start.Unix() == start
}

// Begin is the span's start in unix seconds, 0 for the period total.
func (s Span) Begin() int64 {
	if s.End.IsZero() {
		return 0
	}
	return s.Start.Unix()
}

// rolling is the length of a rolling period in hours.
func rolling(period string) (hours int, is bool) {
	m := rollingText.FindStringSubmatch(period)
	if m == nil {
		return 0, false
	}
	hours, err := strconv.Atoi(m[1])
	return hours, err == nil
}

// Downgrade is the model that an OnExhausted names.
func Downgrade(onExhausted string) (model string, is bool) {
	return strings.CutPrefix(onExhausted, downgrade)
}
