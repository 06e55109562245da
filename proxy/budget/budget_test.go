package budget

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/wedge-proxy/wedge/store"
	"github.com/wedge-proxy/wedge/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a store whose writes are safe once they are synced.
type disk struct {
	safe, now map[string][]byte
	broken    error
}

func newDisk() *disk { return &disk{safe: map[string][]byte{}, now: map[string][]byte{}} }

func (d *disk) Get(key []byte) ([]byte, error) {
	if v, ok := d.now[string(key)]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (d *disk) Put(key, value []byte) error {
	if d.broken == nil {
		d.now[string(key)] = bytes.Clone(value)
	}
	return d.broken
}

func (d *disk) Delete(key []byte) error { delete(d.now, string(key)); return d.broken }

func (d *disk) Each(prefix []byte, visit func(key, value []byte) error) error {
	for _, k := range slices.Sorted(maps.Keys(d.now)) {
		if bytes.HasPrefix([]byte(k), prefix) {
			if err := visit([]byte(k), d.now[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *disk) Sync() error { d.safe = maps.Clone(d.now); return d.broken }

// crash forgets what was not synced.
func (d *disk) crash() *disk { return &disk{safe: d.safe, now: maps.Clone(d.safe)} }

// bank lends up to a limit for each pot.
type bank struct {
	limit   int64
	keep    int64 // what nodes may keep; -1: all
	away    bool
	granted map[string]int64
	known   map[string]int64
	asked   []*wire.LeaseRequest
}

var errAway = errors.New("nobody there")

func (b *bank) Lease(_ context.Context, r *wire.LeaseRequest) (*wire.LeaseReply, error) {
	if b.away {
		return nil, errAway
	}
	b.asked = append(b.asked, r)
	reply := new(wire.LeaseReply)
	for _, p := range r.Pots {
		id := fmt.Sprint(r.Purse, p.Budget, p.Period)
		b.granted[id] = max(b.granted[id], p.Granted)
		more := min(p.Want, b.limit-(b.granted[id]-p.Returned))
		b.known[id] = max(b.known[id], p.Spent+p.Unverified)
		g := wire.PotGrant{Budget: p.Budget, Period: p.Period, Known: b.known[id], Keep: b.keep, Limit: b.limit, Spent: p.Spent}
		if more > 0 {
			b.granted[id] += more
			g.Keep = -1
		} else if p.Want > 0 {
			g.Refused = wire.RefusedExhausted
		}
		g.Granted, g.Committed = b.granted[id], b.granted[id]-p.Returned
		reply.Pots = append(reply.Pots, g)
	}
	return reply, nil
}

func newBank(limit int64) *bank {
	return &bank{limit: limit, keep: -1, granted: map[string]int64{}, known: map[string]int64{}}
}

// at is the time of tests that have no clock of their own.
var at = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func rule(name string, limit int64, change ...func(*wire.Budget)) wire.Budget {
	b := wire.Budget{Name: name, LimitNano: limit, Period: "daily", Timezone: "UTC", Scope: "key", Kind: "hard", OnExhausted: "deny", Offline: "pessimistic", Unpriced: "deny"}
	for _, f := range change {
		f(&b)
	}
	return b
}

// open opens a book whose clock stands at now.
func open(t testing.TB, d *disk, l Lender, now *time.Time, rules ...wire.Budget) *Book {
	t.Helper()
	b, err := Open(Options{KV: d, Lender: l, Wait: time.Microsecond, Now: func() time.Time { return *now }})
	require.NoError(t, err)
	b.Use(rules)
	return b
}

// admit admits, as far as rounds of Run's work bring the money for it.
func admit(b *Book, h *Hold, nano int64, now time.Time, names ...string) *Account {
	var accounts []*Account
	for _, name := range names {
		accounts = append(accounts, b.Account(name))
	}
	short := b.Admit(h, accounts, nano, now)
	for range 6 { // each may wait for the disk, and for the lender
		if short == nil {
			break
		}
		b.Work(context.Background())
		short = b.Admit(h, accounts, nano, now)
	}
	return short
}

// status is where a budget stands.
func status(t testing.TB, b *Book, name string) Status {
	t.Helper()
	for _, s := range b.Status() {
		if s.Budget == name {
			return s
		}
	}
	require.Fail(t, "no status", name)
	return Status{}
}

func TestHoldsAreAllOrNothing(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("team", 100), rule("all", 1000))
	var first, second, third Hold
	require.Nil(t, admit(b, &first, 60, now, "all", "team"))
	assert.Equal(t, "team", admit(b, &second, 60, now, "all", "team").Name())
	assert.Zero(t, second.Nano())
	assert.Equal(t, int64(60), status(t, b, "all").HeldNano, "what one budget refuses is held in none")
	require.Nil(t, admit(b, &third, 40, now, "all", "team"))
	assert.Equal(t, "team", b.Extend(&third, 1, now).Name())
	assert.Equal(t, int64(100), status(t, b, "all").HeldNano)
	first.Settle(10)
	third.Settle(40)
	for _, name := range []string{"all", "team"} {
		s := status(t, b, name)
		assert.Equal(t, []int64{50, 0}, []int64{s.SpentNano, s.HeldNano}, name)
	}
	first.Settle(10) // again does nothing
	assert.Equal(t, int64(50), status(t, b, "all").SpentNano)
}

func TestMoreThanWasHeldIsBooked(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100))
	var h Hold
	require.Nil(t, admit(b, &h, 50, now, "b"))
	b.Work(context.Background())
	require.Nil(t, b.Extend(&h, 30, now))
	h.Settle(130)
	assert.Equal(t, int64(130), status(t, b, "b").SpentNano)
	assert.NotNil(t, admit(b, &h, 1, now, "b"))
	assert.True(t, b.Account("b").Exhausted(now))
}

func TestSoftBudgetsRefuseNothing(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100, func(b *wire.Budget) { b.Kind = "soft" }))
	for range 3 {
		var h Hold
		require.Nil(t, admit(b, &h, 90, now, "b"))
		h.Settle(90)
	}
	assert.Equal(t, int64(270), status(t, b, "b").SpentNano)
	assert.False(t, b.Account("b").Exhausted(now))
}

func TestALateSettlementBelongsToItsPeriod(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100))
	var late, next Hold
	require.Nil(t, admit(b, &late, 100, now, "b"))
	assert.NotNil(t, admit(b, &next, 1, now, "b"))
	now = now.Add(24 * time.Hour)
	require.Nil(t, admit(b, &next, 100, now, "b"), "a new day has its own money")
	late.Settle(70)
	s := status(t, b, "b")
	assert.Equal(t, []int64{0, 100}, []int64{s.SpentNano, s.HeldNano})
}

func TestRollingPeriodsCountTheirWindow(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100, func(b *wire.Budget) { b.Period = "rolling-24h" }))
	spend := func(nano int64) bool {
		var h Hold
		if admit(b, &h, nano, now, "b") != nil {
			return false
		}
		h.Settle(nano)
		return true
	}
	require.True(t, spend(60))
	now = now.Add(6 * time.Hour)
	require.True(t, spend(40))
	assert.False(t, spend(1))
	now = now.Add(18 * time.Hour)
	assert.False(t, spend(1), "not before the last of it is a day old")
	now = now.Add(2 * time.Hour)
	require.True(t, spend(60))
	assert.False(t, spend(1))
}

// A process that dies may have spent all that the disk allowed it, and no more.
func TestACrashPutsTheAllowanceInDoubt(t *testing.T) {
	now, d := at, newDisk()
	b := open(t, d, nil, &now, rule("b", 1000))
	for range 5 {
		var h Hold
		require.Nil(t, admit(b, &h, 10, now, "b"))
		h.Settle(7)
	}
	require.NoError(t, b.Flush())
	var lost Hold
	require.Nil(t, admit(b, &lost, 10, now, "b")) // nobody writes down what becomes of it
	d = d.crash()
	b = open(t, d, nil, &now, rule("b", 1000))
	s := status(t, b, "b")
	assert.Equal(t, int64(35), s.SpentNano)
	assert.GreaterOrEqual(t, s.UnverifiedNano, int64(10))
	assert.LessOrEqual(t, s.UnverifiedNano, int64(60), "little is in doubt")
	b = open(t, d.crash(), nil, &now, rule("b", 1000))
	assert.Equal(t, s.UnverifiedNano, status(t, b, "b").UnverifiedNano, "dying again adds nothing")
}

func TestAGoodEndLosesNothing(t *testing.T) {
	now, d, origin := at, newDisk(), newBank(1000)
	b := open(t, d, origin, &now, rule("b", 1000))
	var h Hold
	require.Nil(t, admit(b, &h, 100, now, "b"))
	h.Settle(60)
	ended, end := context.WithCancel(context.Background())
	end()
	require.NoError(t, b.Run(ended))
	b = open(t, d.crash(), origin, &now, rule("b", 1000))
	s := status(t, b, "b")
	assert.Equal(t, []int64{60, 0}, []int64{s.SpentNano, s.UnverifiedNano})
	origin.away = true
	require.Nil(t, admit(b, &h, 40, now, "b"), "what was leased is there without the origin")
}

// Money is on the disk before it is spent.
func TestADiskThatDoesNotWriteGivesOutNothing(t *testing.T) {
	now, d := at, newDisk()
	b := open(t, d, nil, &now, rule("b", 1000))
	d.broken = errors.New("full")
	var h Hold
	assert.NotNil(t, admit(b, &h, 10, now, "b"))
	require.ErrorIs(t, b.Flush(), d.broken)
	assert.Contains(t, status(t, b, "b").Note, "disk")
	d.broken = nil
	assert.Nil(t, admit(b, &h, 10, now, "b"))
	assert.NoError(t, b.Flush())
}

func TestACopyOfTheFolderHasItsOwnPurse(t *testing.T) {
	now, dir, d, origin := at, t.TempDir(), newDisk(), newBank(1000)
	openIn := func(dir string, d *disk) *Book {
		b, err := Open(Options{KV: d, Dir: dir, Lender: origin, Wait: time.Microsecond, Now: func() time.Time { return now }})
		require.NoError(t, err)
		b.Use([]wire.Budget{rule("b", 1000)})
		return b
	}
	b := openIn(dir, d)
	var h Hold
	require.Nil(t, admit(b, &h, 100, now, "b"))
	h.Settle(60)
	require.NoError(t, b.Flush())
	same := openIn(dir, d.crash())
	assert.Equal(t, b.purse, same.purse)
	copied := t.TempDir()
	text, err := os.ReadFile(filepath.Join(dir, "purse"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(copied, "purse"), text, 0o600))
	other := openIn(copied, d.crash())
	assert.NotEqual(t, b.purse, other.purse)
	assert.Zero(t, status(t, other, "b").SpentNano)
	origin.away = true
	assert.NotNil(t, admit(other, &h, 1, now, "b"), "a copy has nothing to spend")
}

func TestOfflineModes(t *testing.T) {
	for offline, want := range map[string]int64{"pessimistic": 0, "safe": 50, "optimistic": 500} {
		t.Run(offline, func(t *testing.T) {
			now, origin := at, newBank(1000)
			origin.away = true
			b := open(t, newDisk(), origin, &now, rule("b", 1000, func(b *wire.Budget) {
				if b.Offline = offline; offline == "safe" {
					b.GraceNano = 50
				}
			}))
			b.Work(context.Background())
			var got int64
			for range 50 {
				var h Hold
				if admit(b, &h, 10, now, "b") == nil {
					h.Settle(10)
					got += 10
				}
			}
			assert.Equal(t, want, got)
		})
	}
}

func TestWhatIsNotNeededIsReturned(t *testing.T) {
	now, origin := at, newBank(1000)
	b := open(t, newDisk(), origin, &now, rule("b", 1000))
	var h Hold
	require.Nil(t, admit(b, &h, 100, now, "b"))
	h.Settle(20)
	require.Positive(t, status(t, b, "b").LeaseNano)
	origin.keep = 0
	for range 20 {
		now = now.Add(10 * time.Second)
		b.Work(context.Background())
		origin.limit = 1 // it lends no more
	}
	last := origin.asked[len(origin.asked)-1]
	require.Len(t, last.Pots, 1)
	p := last.Pots[0]
	assert.Equal(t, p.Spent, p.Granted-p.Returned, "all that is not spent: %+v", p)
}

func TestLimitsChange(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100))
	var h Hold
	require.Nil(t, admit(b, &h, 90, now, "b"))
	h.Settle(90)
	b.Use([]wire.Budget{rule("b", 50)})
	assert.NotNil(t, admit(b, &h, 1, now, "b"))
	b.Use(nil)
	assert.Equal(t, "soft", b.Account("b").Budget().Kind, "what the catalog has not, refuses nothing")
	b.Use([]wire.Budget{rule("b", 200)})
	assert.Equal(t, int64(90), status(t, b, "b").SpentNano, "it is remembered by its name")
	require.Nil(t, admit(b, &h, 100, now, "b"))
	assert.Equal(t, int64(100), b.BoundNano())
}

func TestMoneyOfComingPeriodsIsLeasedInTime(t *testing.T) {
	now, origin := at, newBank(1000)
	b := open(t, newDisk(), origin, &now, rule("b", 1000, func(b *wire.Budget) { b.OfflineFor = 24 * time.Hour }))
	var h Hold
	require.Nil(t, admit(b, &h, 10, now, "b"))
	h.Settle(10)
	for range 3 {
		now = now.Add(6 * time.Second)
		b.Work(context.Background())
	}
	origin.away = true
	now = now.Add(24 * time.Hour)
	b.Work(context.Background())
	assert.Nil(t, admit(b, &h, 10, now, "b"), "tomorrow's lease is here")
}

// An admission waits for the disk, and for the lender, as long as Wait and no longer.
func TestAdmissionsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := newBank(1000)
		b, err := Open(Options{KV: newDisk(), Lender: origin})
		require.NoError(t, err)
		b.Use([]wire.Budget{rule("b", 1000)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		began := time.Now()
		var h, none Hold
		assert.Nil(t, b.Admit(&h, []*Account{b.Account("b")}, 10, time.Now()))
		assert.Less(t, time.Since(began), 300*time.Millisecond)
		began = time.Now()
		assert.NotNil(t, b.Admit(&none, []*Account{b.Account("b")}, 5000, time.Now()))
		assert.LessOrEqual(t, time.Since(began), 300*time.Millisecond)
		h.Settle(10)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestDamagedRecordsAreLeftOut(t *testing.T) {
	now, d := at, newDisk()
	b := open(t, d, nil, &now, rule("b", 100))
	var h Hold
	require.Nil(t, admit(b, &h, 10, now, "b"))
	require.NoError(t, b.Flush())
	for key := range d.now {
		if key != keyPurse {
			d.now[key] = []byte("nonsense")
		}
	}
	b = open(t, d, nil, &now, rule("b", 100))
	assert.Zero(t, status(t, b, "b").SpentNano)
}

func FuzzParsePot(f *testing.F) {
	f.Add("0000000000000000/b", appendTotals(nil, &totals{1, 2, 3, 4, 5, 6}))
	f.Add("", []byte{layout})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		p, err := parsePot(key, value)
		if err == nil {
			again, err := parsePot(key, appendTotals(nil, &p.written))
			require.NoError(t, err)
			require.Equal(t, p.written, again.written)
		}
	})
}

func TestPeriodsThatAreOverAreForgotten(t *testing.T) {
	for _, period := range []string{"daily", "rolling-1h"} {
		now, d, origin := at, newDisk(), newBank(1000)
		b := open(t, d, origin, &now, rule("b", 1000, func(b *wire.Budget) { b.Period = period }))
		var h Hold
		for range 200 {
			require.Nil(t, admit(b, &h, 10, now, "b"))
			h.Settle(10)
			b.Work(context.Background())
			now = now.Add(time.Hour)
		}
		assert.Less(t, len(b.pots), 20, period)
		assert.Less(t, len(d.now), 20, period)
		var last wire.PotReport
		for _, r := range origin.asked {
			for _, p := range r.Pots {
				if p.Period == origin.asked[0].Pots[0].Period {
					last = p
				}
			}
		}
		assert.Equal(t, last.Spent, last.Granted-last.Returned, "what was left is returned: %+v", last)
	}
}

// A virtual machine that goes back to a snapshot has the same folder, and does not know what it spent since.
func TestADiskThatWasSetBack(t *testing.T) {
	now, d, origin := at, newDisk(), newBank(1000)
	b := open(t, d, origin, &now, rule("b", 1000))
	spend := func(b *Book, n int) {
		for range n {
			var h Hold
			require.Nil(t, admit(b, &h, 10, now, "b"))
			h.Settle(10)
		}
		now = now.Add(6 * time.Second)
		b.Work(context.Background())
	}
	spend(b, 3)
	snapshot := d.crash()
	spend(b, 20)
	b = open(t, snapshot, origin, &now, rule("b", 1000))
	require.NoError(t, b.Flush())
	now = now.Add(6 * time.Second)
	b.Account("b")
	b.Work(context.Background())
	s := status(t, b, "b")
	assert.Equal(t, int64(230), s.SpentNano+s.UnverifiedNano)
}

func TestTheGraceIsThatOfAWindow(t *testing.T) {
	now, origin := at, newBank(1000)
	origin.away = true
	b := open(t, newDisk(), origin, &now, rule("b", 1000, func(b *wire.Budget) { b.Period, b.Offline, b.GraceNano = "rolling-1h", "safe", 50 }))
	b.Work(context.Background())
	var got int64
	for range 12 {
		for range 10 {
			var h Hold
			if admit(b, &h, 10, now, "b") == nil {
				h.Settle(10)
				got += 10
			}
		}
		now = now.Add(5 * time.Minute)
	}
	assert.Equal(t, int64(50), got)
	for _, p := range b.request(now).Pots {
		if p.Spent > 0 {
			assert.Equal(t, p.Spent, p.Grace)
		}
	}
}
