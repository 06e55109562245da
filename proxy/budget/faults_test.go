package budget

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/spend"
	"github.com/wedge-proxy/wedge/wire"
)

// What clients ask for, operators change, and clocks and disks do, must neither stop a budget nor let it be spent twice.

// spendAll spends in small sums until there is no more, and returns what it spent.
func spendAll(b *Book, now time.Time, name string) (total int64) {
	for {
		var h Hold
		if !admitSoon(b, &h, 10, now, name) {
			return total
		}
		h.Settle(10)
		total += 10
	}
}

func admitSoon(b *Book, h *Hold, nano int64, now time.Time, name string) bool {
	for range 5 {
		if b.Admit(h, []*Account{b.Account(name)}, nano, now) == nil {
			return true
		}
		b.flush(now)
	}
	return false
}

func TestARequestThatIsTooDearStopsNobodyElse(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 1000))
	var h Hold
	b.flush(now)
	require.NotNil(t, b.Admit(&h, []*Account{b.Account("b")}, 1001, now))
	assert.False(t, b.Account("b").Exhausted(now))
	assert.True(t, admitSoon(b, &h, 10, now, "b"))
}

func TestARequestThatIsTooDearLeavesTheLeaseToOthers(t *testing.T) {
	now := at
	lender := spend.NewMemory()
	rules := []wire.Budget{rule("b", 1_000_000_000)}
	lender.Use(rules)
	b := open(t, newDisk(), lender, &now, rules...)
	var h Hold
	b.Work(context.Background())
	require.NotNil(t, b.Admit(&h, []*Account{b.Account("b")}, 2_000_000_000, now))
	b.Work(context.Background())
	now = now.Add(3 * time.Second)
	assert.True(t, func() bool {
		for range 3 {
			if b.Admit(&h, []*Account{b.Account("b")}, 1000, now) == nil {
				return true
			}
			b.Work(context.Background())
			now = now.Add(3 * time.Second)
		}
		return false
	}())
}

func TestAnotherPeriodCountsFromTheChangeOn(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 100, func(r *wire.Budget) { r.Period = "total" }))
	require.EqualValues(t, 100, spendAll(b, now, "b"))
	b.Use([]wire.Budget{rule("b", 100)})
	assert.EqualValues(t, 100, spendAll(b, now, "b"), "the day's")
	now = now.Add(24 * time.Hour)
	assert.EqualValues(t, 100, spendAll(b, now, "b"), "the next day's")
	b.Use([]wire.Budget{rule("b", 100, func(r *wire.Budget) { r.Period = "total" })})
	assert.Zero(t, spendAll(b, now, "b"), "the total was spent before")
}

func TestAStreamOfAnEarlierPartCountsInTheWindow(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 1000, func(r *wire.Budget) { r.Period = "rolling-12h" }))
	var h Hold
	require.True(t, admitSoon(b, &h, 10, now, "b"))
	now = now.Add(time.Hour)
	rest := spendAll(b, now, "b")
	for range 400 {
		b.flush(now)
		b.Extend(&h, 10, now)
	}
	assert.EqualValues(t, 1000, rest+h.Nano())
	h.Settle(h.Nano())
}

func TestAClockThatJumpsForgetsNothing(t *testing.T) {
	now := at
	b := open(t, newDisk(), nil, &now, rule("b", 1000))
	require.EqualValues(t, 1000, spendAll(b, now, "b"))
	back := now
	now = now.Add(48 * time.Hour)
	var h Hold
	b.Admit(&h, []*Account{b.Account("b")}, 10, now)
	h.Settle(0)
	for range 3 {
		b.flush(now)
		now = now.Add(2 * time.Minute)
	}
	now = back
	b.flush(now)
	assert.Zero(t, spendAll(b, now, "b"))
}

func TestABudgetThatComesBackKnowsWhatItSpent(t *testing.T) {
	now, d := at, newDisk()
	again := func(rules ...wire.Budget) *Book {
		b := open(t, d, nil, &now, rules...)
		b.flush(now)
		return b
	}
	b := again(rule("b", 1000))
	require.EqualValues(t, 1000, spendAll(b, now, "b"))
	require.NoError(t, b.end())
	now = now.Add(time.Hour)
	b = again() // it is out of the catalog for a while
	b.flush(now)
	require.NoError(t, b.end())
	now = now.Add(time.Hour)
	b = again(rule("b", 1000))
	assert.Zero(t, spendAll(b, now, "b"))
}

type flakyDisk struct {
	*disk
	fails bool
}

func (f *flakyDisk) Sync() error {
	if f.fails {
		return errors.New("input/output error")
	}
	return f.disk.Sync()
}

func TestADiskThatFailedOnceIsUsedAgain(t *testing.T) {
	now, d := at, &flakyDisk{disk: newDisk()}
	b, err := Open(Options{KV: d, Wait: time.Microsecond, Now: func() time.Time { return now }})
	require.NoError(t, err)
	b.Use([]wire.Budget{rule("b", 1000)})
	var h Hold
	d.fails = true
	require.False(t, admitSoon(b, &h, 10, now, "b"), "nothing is lent that is not on the disk")
	d.fails = false
	now = now.Add(time.Second)
	assert.True(t, admitSoon(b, &h, 10, now, "b"))
}

// What sets a folder's owner and modes anew at each start does not make it another folder.
func TestAPurseKeepsToItsFolder(t *testing.T) {
	now, d, dir := at, newDisk(), t.TempDir()
	lender := spend.NewMemory()
	rules := []wire.Budget{rule("b", 1_000_000)}
	lender.Use(rules)
	purse := ""
	for range 3 {
		b, err := Open(Options{KV: d, Dir: dir, Lender: lender, Wait: time.Microsecond, Now: func() time.Time { return now }})
		require.NoError(t, err)
		if purse == "" {
			purse = b.purse
		}
		require.Equal(t, purse, b.purse)
		require.NoError(t, b.end())
		time.Sleep(5 * time.Millisecond) // so that the time of change differs
		require.NoError(t, os.Chown(filepath.Join(dir, "purse"), os.Getuid(), os.Getgid()))
		require.NoError(t, os.Chmod(filepath.Join(dir, "purse"), 0o600))
	}
}

// Admissions that wait, flushes and looks at the status do not disturb each other.
func TestManyWaitAtOnce(t *testing.T) {
	b, err := Open(Options{KV: newDisk(), Wait: 5 * time.Millisecond, FlushEvery: time.Millisecond})
	require.NoError(t, err)
	b.Use([]wire.Budget{rule("b", 1000)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	var total atomic.Int64
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 200 {
				var h Hold
				if b.Admit(&h, []*Account{b.Account("b")}, 30, time.Now()) == nil {
					total.Add(3)
					h.Settle(3)
				}
				b.Status()
			}
		})
	}
	work.Wait()
	cancel()
	require.NoError(t, <-ended)
	assert.LessOrEqual(t, total.Load(), int64(1000))
	assert.Greater(t, total.Load(), int64(900))
}
