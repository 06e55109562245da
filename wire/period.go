package wire

import (
	"strconv"
	"strings"
	"sync"
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

// rollingParts is how many spans a rolling period has.
const rollingParts = 12

// SpanAt is the budget's period that a time lies in.
func (b *Budget) SpanAt(t time.Time) Span {
	if b.Period == "total" {
		return Span{}
	}
	if hours, is := rolling(b.Period); is {
		return rollingSpan(t, int64(hours)*3600/rollingParts)
	}
	zone := zoneOf(b.Timezone)
	local := t.In(zone)
	begin := func(n int) time.Time { return b.begin(local, n, zone) }
	n := 0
	switch { // where clocks are put back over midnight, a day's first moments come before its last midnight
	case t.Before(begin(0)):
		n = -1
	case !t.Before(begin(1)):
		n = 1
	}
	return Span{Start: begin(n), End: begin(n + 1)}
}

// rollingSpan is the part of a rolling period, of so many seconds, that a time lies in.
func rollingSpan(t time.Time, size int64) Span {
	start := t.Unix()
	if start %= size; start < 0 {
		start += size
	}
	start = t.Unix() - start
	return Span{Start: time.Unix(start, 0).UTC(), End: time.Unix(start+size, 0).UTC(), Window: rollingParts}
}

// begin is when the n-th period after that of a local day begins.
func (b *Budget) begin(local time.Time, n int, zone *time.Location) time.Time {
	y, m, d := local.Date()
	switch b.Period {
	case "weekly": // from Monday
		return dayStart(y, m, d-int(local.Weekday()+6)%7+7*n, zone)
	case "monthly":
		return dayStart(y, m+time.Month(n), 1, zone)
	case "quarterly":
		return dayStart(y, m-(m-1)%3+time.Month(3*n), 1, zone)
	}
	return dayStart(y, m, d+n, zone)
}

// zones are those that were asked for; there are no more than the time zone database has.
var zones sync.Map

func zoneOf(name string) *time.Location {
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC // refused where the catalog is read
	}
	zones.Store(name, zone)
	return zone
}

// dayStart is when a day begins: not always at midnight, where clocks are put forward then.
func dayStart(y int, m time.Month, d int, zone *time.Location) time.Time {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	if hour, minute, second := t.Clock(); hour >= 12 { // midnight was skipped, and t is before it
		t = t.Add(24*time.Hour - time.Duration(hour*3600+minute*60+second)*time.Second)
	}
	return t.UTC()
}

// What a calendar can be asked for, in unix seconds: the years 1 to 9999.
const (
	firstMoment = -62135596800
	lastMoment  = 253402300799
)

// SpanOf is the budget's period that begins at a time in unix seconds, 0 for the period total; false if none does.
func (b *Budget) SpanOf(start int64) (Span, bool) {
	if b.Period == "total" {
		return Span{}, start == 0
	}
	if start < firstMoment || start > lastMoment {
		return Span{}, false
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
