package usage

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/wire"
)

// clock is a time that tests move.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.UnixMilli(1_800_000_000_000)} }

func (c *clock) Now() time.Time { return c.now }

// origin counts reports as the real one does.
type origin struct {
	counted map[string]int64 // the last report of each incarnation
	total   map[string]wire.Usage
	gaps    int
}

func newOrigin() *origin { return &origin{counted: map[string]int64{}, total: map[string]wire.Usage{}} }

// book tells whether it answered with a gap.
func (o *origin) book(r *wire.Report) (reply wire.ReportReply, gap bool) {
	switch last := o.counted[r.Incarnation]; {
	case r.Seq <= last:
		return wire.ReportReply{Seq: last, Duplicate: true}, false
	case r.Seq > last+1:
		o.gaps++
		return wire.ReportReply{Seq: last}, true
	}
	o.counted[r.Incarnation] = r.Seq
	for i := range r.Usage {
		u := &r.Usage[i]
		sum := o.total[u.Model]
		sum.Requests += u.Requests
		sum.CostNano += u.CostNano
		o.total[u.Model] = sum
	}
	return wire.ReportReply{Seq: r.Seq}, false
}

func (o *origin) requests() (n int64) {
	for _, u := range o.total {
		n += u.Requests
	}
	return n
}

// sendAll sends what waits.
func sendAll(t require.TestingT, u *Usage, o *origin) {
	for {
		r, ok := u.Next()
		if !ok {
			return
		}
		reply, gap := o.book(r)
		if gap {
			require.NoError(t, u.Gap())
			continue
		}
		u.Sent(reply)
	}
}

func one(model string) (Key, Values) {
	return Key{Hour: 500_000, Model: model}, Values{Requests: 1, CostNano: 3, Took: 3 * time.Millisecond}
}

func TestWhatIsAddedBecomesAReport(t *testing.T) {
	c, d := newClock(), newDisk()
	u := open(t, d, Options{Now: c.Now})
	k := Key{Hour: 5, Model: "m", Version: "1.0.0", Experiment: "e", Arm: "a", Key: "k", Provider: "p", Target: "t", Cache: "miss", Code: "upstream_error"}
	u.Add(k, Values{Requests: 1, Input: 10, CachedInput: 4, Output: 7, CostNano: 99, Took: 3 * time.Millisecond, FirstToken: time.Millisecond})
	u.Add(k, Values{Requests: 1, Unpriced: 1, Took: time.Second})
	u.Add(k, Values{Input: 5})
	k.Code = ""
	u.Add(k, Values{Requests: 1})
	u.work()
	_, ok := u.Next()
	assert.False(t, ok, "not before its time")
	from := c.now
	c.now = c.now.Add(5 * time.Second)
	u.work()
	<-u.Changed()
	require.Equal(t, 1, u.Pending())
	r, ok := u.Next()
	require.True(t, ok)
	slices.SortFunc(r.Usage, func(a, b wire.Usage) int { return int(b.Requests - a.Requests) }) // rows have no order
	slow := make([]int64, 21)
	slow[4], slow[20] = 1, 1
	assert.Equal(t, &wire.Report{
		Incarnation: u.Incarnation(), Seq: 1, From: from.UnixMilli(), To: c.now.UnixMilli(), Usage: []wire.Usage{
			{Hour: 5, Model: "m", Version: "1.0.0", Experiment: "e", Arm: "a", Key: "k", Provider: "p", Target: "t", Cache: "miss", Code: "upstream_error",
				Requests: 2, Input: 15, CachedInput: 4, Output: 7, CostNano: 99, Unpriced: 1, MicrosSum: 1_003_000, TTFTSum: 1000, TTFTCount: 1, Latency: slow},
			{Hour: 5, Model: "m", Version: "1.0.0", Experiment: "e", Arm: "a", Key: "k", Provider: "p", Target: "t", Cache: "miss",
				Requests: 1, Latency: []int64{1}},
		},
	}, r)
	u.Sent(wire.ReportReply{Seq: 1})
	_, ok = u.Next()
	assert.False(t, ok)
	assert.Empty(t, d.keys(""), "nothing is left on the disk")
	c.now = c.now.Add(time.Hour)
	u.work()
	assert.Zero(t, u.Pending(), "no requests, no report")
}

func TestReportsStayUntilTheyAreCounted(t *testing.T) {
	c := newClock()
	u := open(t, newDisk(), Options{Now: c.Now})
	for range 5 {
		u.Add(one("m"))
		u.work()
		c.now = c.now.Add(5 * time.Second)
		u.work()
	}
	require.Equal(t, 5, u.Pending())
	first, _ := u.Next()
	again, _ := u.Next()
	assert.Equal(t, first, again)
	u.Sent(wire.ReportReply{Seq: 0})
	again, _ = u.Next()
	assert.Equal(t, int64(1), again.Seq, "it was not counted")
	u.Sent(wire.ReportReply{Seq: 3, Duplicate: true}) // all that the origin has
	next, _ := u.Next()
	assert.Equal(t, int64(4), next.Seq)
	assert.Equal(t, 2, u.Pending())
	u.Sent(wire.ReportReply{Seq: 99})
	assert.Zero(t, u.Pending())
	u.Sent(wire.ReportReply{Seq: 100}) // without a report
}

func TestALifeSendsWhatTheOneBeforeLeft(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	var lives []string
	for range 4 {
		u := open(t, d, Options{Now: c.Now})
		lives = append(lives, u.Incarnation())
		for range 3 {
			u.Add(one("m"))
			u.work()
			c.now = c.now.Add(4 * time.Second)
			u.work()
		}
		u.Add(one("m"))
		require.NoError(t, u.Flush())
		u.Add(one("m")) // is lost with the process
	}
	u := open(t, d, Options{Now: c.Now})
	<-u.Changed()
	var order []string
	for {
		r, ok := u.Next()
		if !ok {
			break
		}
		order = append(order, fmt.Sprint(r.Incarnation, "/", r.Seq))
		reply, gap := o.book(r)
		require.False(t, gap)
		u.Sent(reply)
	}
	var want []string
	for _, life := range lives {
		want = append(want, life+"/1", life+"/2")
	}
	assert.Equal(t, want, order, "the oldest first")
	assert.Equal(t, int64(16), o.requests())
	assert.Empty(t, d.keys(""))
}

func TestRunFlushesAtItsEnd(t *testing.T) {
	d, o := newDisk(), newOrigin()
	u := open(t, d, Options{FlushEvery: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- u.Run(ctx) }()
	u.Add(one("m"))
	cancel()
	require.NoError(t, <-done)
	assert.Positive(t, d.syncs)
	sendAll(t, open(t, d, Options{}), o)
	assert.Equal(t, int64(1), o.requests())
}

func TestRunReports(t *testing.T) {
	d, o := newDisk(), newOrigin()
	u := open(t, d, Options{FlushEvery: time.Millisecond, ReportEvery: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- u.Run(ctx) }()
	u.Add(one("m"))
	<-u.Changed()
	sendAll(t, u, o)
	assert.Equal(t, int64(1), o.requests())
	cancel()
	require.NoError(t, <-done)
}

func TestADiskThatRefuses(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now})
	step := func() {
		u.Add(one("m"))
		u.work()
		c.now = c.now.Add(5 * time.Second)
		u.work()
	}
	step()
	d.refuse(true)
	u.Add(one("m"))
	require.ErrorIs(t, u.Flush(), errFull)
	for range 10 {
		step()
	}
	assert.Contains(t, u.Status().Error, errFull.Error())
	assert.Equal(t, 2, u.Pending(), "one waits on the disk and one in memory; the next one stays open")
	sendAll(t, u, o)
	assert.Equal(t, int64(3), o.requests(), "straight from memory, too")
	step()
	assert.Equal(t, 1, u.Pending())
	d.refuse(false)
	step()
	assert.Empty(t, u.Status().Error)
	require.NoError(t, u.Flush())

	sendAll(t, open(t, d, Options{Now: c.Now}), o)
	assert.Equal(t, int64(14), o.requests())
	assert.Zero(t, o.gaps)
}

func TestRestAfterADiskRefused(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now})
	d.refuse(true)
	for range 8 {
		u.Add(one("m"))
		u.work()
		c.now = c.now.Add(3 * time.Second)
	}
	d.refuse(false)
	require.NoError(t, u.Flush())
	sendAll(t, open(t, d, Options{Now: c.Now}), o) // the process died
	assert.Equal(t, int64(8), o.requests())
	assert.Zero(t, o.gaps)
}

func TestGap(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now})
	step := func() {
		u.Add(one("m"))
		u.work()
		c.now = c.now.Add(5 * time.Second)
		u.work()
	}
	step()
	sendAll(t, u, o)
	before := *o
	before.counted = map[string]int64{u.Incarnation(): 1}
	before.total = map[string]wire.Usage{"m": {Requests: 1}}
	step()
	step()
	sendAll(t, u, o)
	first := u.Incarnation()
	o = &before // restored from a backup: reports 2 and 3 are lost
	step()
	step()
	d.refuse(true)
	_, ok := u.Next()
	require.True(t, ok)
	require.ErrorIs(t, u.Gap(), errFull, "it must not be forgotten")
	d.refuse(false)
	sendAll(t, u, o)
	assert.Equal(t, int64(3), o.requests())
	assert.Equal(t, 1, o.gaps)
	assert.NotEqual(t, first, u.Incarnation())
	assert.Equal(t, int64(2), o.counted[u.Incarnation()])
	step()
	step()
	c.now = c.now.Add(time.Second)
	u = open(t, d, Options{Now: c.Now}) // the process died
	sendAll(t, u, o)
	assert.Equal(t, int64(5), o.requests())
	assert.Equal(t, 1, o.gaps, "the next life knows the new name")
	open(t, d, Options{Now: c.Now})
	assert.Empty(t, d.keys(""), "and forgets it in the end")
}

func TestWeeksWithoutAnOrigin(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now, MaxSpool: 256 << 10})
	const days = 30
	var added int64
	for end := c.now.Add(days * 24 * time.Hour); c.now.Before(end); c.now = c.now.Add(15 * time.Minute) {
		for i := range 100 {
			k, v := one(fmt.Sprint("m", i%3))
			k.Key, k.Hour = fmt.Sprint("k", (added+int64(i))%99), c.now.Unix()/3600
			u.Add(k, v)
		}
		added += 100
		u.work()
	}
	t.Logf("%d reports of %d bytes after %d days", u.Pending(), u.Status().Bytes, days)
	assert.Less(t, u.Pending(), 1500)
	assert.Less(t, u.Status().Bytes, int64(8<<20), "200 rows an hour, in the end")
	c.now = c.now.Add(time.Hour)
	u.work()
	sendAll(t, u, o)
	assert.Equal(t, added, o.requests(), "reports got coarser and lost nothing")
	assert.Equal(t, 3*added, o.total["m0"].CostNano+o.total["m1"].CostNano+o.total["m2"].CostNano+o.total[other].CostNano)
}

func TestALongReportsPartsArePutTogether(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now, ReportEvery: time.Hour})
	for n := range 3*foldParts + 10 {
		u.Add(one("m"))
		u.work()
		require.LessOrEqual(t, len(d.keys(prefixPart)), foldParts, n)
	}
	assert.Len(t, d.keys(prefixReport), 1)
	assert.Len(t, d.keys(prefixPart), 10)
	sendAll(t, open(t, d, Options{Now: c.Now}), o)
	assert.Equal(t, int64(3*foldParts+10), o.requests())
}

func TestTooManyRows(t *testing.T) {
	c, d := newClock(), newDisk()
	u := open(t, d, Options{Now: c.Now, MaxRows: 10})
	for i := range 1000 {
		k, v := one("m")
		k.Key, k.Cache = fmt.Sprint("k", i%15), "hit-memory"
		k.Target = fmt.Sprint("t", i)
		if i%2 == 1 {
			k.Code, k.Provider = "upstream_error", "p"
		}
		u.Add(k, v)
	}
	for i := range 1000 {
		k, v := one(fmt.Sprint("m", i))
		u.Add(k, v)
	}
	c.now = c.now.Add(time.Minute)
	u.work()
	c.now = c.now.Add(time.Minute)
	u.work()
	r, ok := u.Next()
	require.True(t, ok)
	assert.LessOrEqual(t, len(r.Usage), 30)
	var all, failed, rest int64
	for i := range r.Usage {
		all += r.Usage[i].Requests
		if r.Usage[i].Failed() {
			failed += r.Usage[i].Requests
		}
		if r.Usage[i].Model == other {
			rest += r.Usage[i].Requests
		}
	}
	assert.Equal(t, int64(2000), all)
	assert.Equal(t, int64(500), failed, "what failed still counts as failed")
	assert.Positive(t, rest)
}

func TestLongNamesAreBounded(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now})
	for i := range 9000 {
		k, v := one("m")
		k.Key, k.Target, k.Provider = fmt.Sprint("k", i, strings.Repeat("x", 500)), strings.Repeat("y", 500), strings.Repeat("z", 500)
		u.Add(k, v)
	}
	u.work()
	c.now = c.now.Add(time.Minute)
	u.work()
	assert.Less(t, u.Status().Bytes, int64(3*maxReportBytes))
	sendAll(t, u, o)
	assert.Equal(t, int64(9000), o.requests())
}

func TestADamagedReportDoesNotHoldUpTheOthers(t *testing.T) {
	c, d, o := newClock(), newDisk(), newOrigin()
	u := open(t, d, Options{Now: c.Now})
	for range 2 {
		u.Add(one("m"))
		u.work()
		c.now = c.now.Add(5 * time.Second)
		u.work()
	}
	d.values[d.keys(prefixReport)[0]] = []byte("nonsense")
	for range maxTries - 1 {
		_, ok := u.Next()
		require.False(t, ok)
	}
	r, ok := u.Next()
	require.True(t, ok)
	assert.Empty(t, r.Usage)
	sendAll(t, u, o)
	assert.Equal(t, int64(1), o.requests())
}

func TestAStrangeKeyIsAnError(t *testing.T) {
	d := newDisk()
	require.NoError(t, d.Put([]byte(prefixReport+"life/xyz"), nil))
	_, err := New(d, Options{})
	require.ErrorContains(t, err, "none of the journal's")
}

func TestPatience(t *testing.T) {
	for _, c := range []struct {
		waiting int
		want    time.Duration
	}{{0, 5 * time.Second}, {63, 5 * time.Second}, {64, 10 * time.Second}, {200, 40 * time.Second}, {640, time.Hour}, {1 << 30, time.Hour}} {
		assert.Equal(t, c.want, patience(5*time.Second, c.waiting), c.waiting)
	}
	assert.Equal(t, 2*time.Hour, patience(2*time.Hour, 1000))
}

func TestAClockThatIsSetBack(t *testing.T) {
	c := newClock()
	u := open(t, newDisk(), Options{Now: c.Now})
	u.Add(one("m"))
	u.work()
	c.now = c.now.Add(-24 * time.Hour)
	u.work()
	c.now = c.now.Add(5 * time.Second)
	u.work()
	assert.Equal(t, 1, u.Pending())
}

func TestCellsOfThePastAreForgotten(t *testing.T) {
	c := newClock()
	u := open(t, newDisk(), Options{Now: c.Now})
	for hour := range int64(200) {
		k, v := one("m")
		k.Hour = hour
		u.Add(k, v)
		u.work()
		c.now = c.now.Add(time.Hour)
		u.work()
	}
	cells, bytes := 0, 0
	for i := range u.stripes {
		cells += len(u.stripes[i].cells)
		bytes += u.stripes[i].bytes
	}
	assert.LessOrEqual(t, cells, 3*keepRounds)
	assert.Equal(t, cells, bytes, "a model of one letter each")
}

// Many add while reports are made and sent.
func TestHammer(t *testing.T) {
	d, o := newDisk(), newOrigin()
	u := open(t, d, Options{FlushEvery: time.Millisecond, ReportEvery: 3 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done, sent := make(chan error), make(chan struct{})
	go func() { done <- u.Run(ctx) }()
	go func() {
		defer close(sent)
		for {
			select {
			case <-ctx.Done():
				return
			case <-u.Changed():
				sendAll(t, u, o)
				u.Status()
			}
		}
	}()
	const goroutines, rounds = 8, 20_000
	testkit.Hammer(goroutines, rounds, func(g, i int) { u.Add(one(fmt.Sprint("m", i%7))) })
	cancel()
	require.NoError(t, <-done)
	<-sent
	sendAll(t, open(t, d, Options{}), o)
	assert.Equal(t, int64(goroutines*rounds), o.requests())
}
