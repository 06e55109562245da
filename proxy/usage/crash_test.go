package usage

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/wire"
)

// world is a node with a bad disk, whose process dies every now and then, and an origin that does not always answer.
type world struct {
	*rapid.T
	disk    *disk
	clock   *clock
	origin  *origin
	u       *Usage
	added   int64
	unsafe  int64 // of those added in this life: the journal may not have them
	maxLost int64 // with lives before
}

func (w *world) begin() {
	var err error
	w.u, err = New(w.disk, Options{Now: w.clock.Now, MaxRows: 4})
	require.NoError(w, err)
	w.u.journal.most = 3
	w.unsafe = 0
}

func (w *world) add(t *rapid.T) {
	for range rapid.IntRange(1, 5).Draw(t, "n") {
		k, v := one(rapid.StringMatching("[a-f]").Draw(t, "model"))
		w.u.Add(k, v)
		w.added++
		w.unsafe++
	}
}

func (w *world) flush(*rapid.T) {
	if w.u.Flush() == nil {
		w.unsafe = 0
	}
}

func (w *world) work(t *rapid.T) {
	w.clock.now = w.clock.now.Add(time.Duration(rapid.IntRange(0, 7).Draw(t, "seconds")) * time.Second)
	w.u.work()
}

func (w *world) send(t *rapid.T) {
	r, ok := w.u.Next()
	if !ok {
		return
	}
	reply, gap := w.origin.book(r)
	require.False(w, gap, "reports follow each other")
	if rapid.Bool().Draw(t, "answered") {
		w.u.Sent(reply)
	}
}

func (w *world) die(*rapid.T) {
	w.maxLost += w.unsafe
	w.clock.now = w.clock.now.Add(time.Second)
	w.begin()
}

func TestCrashesAndFailuresCountNothingTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{T: t, disk: newDisk(), clock: newClock(), origin: newOrigin()}
		fails := rapid.SampledFrom([]int{0, 10, 50}).Draw(t, "failures in a hundred")
		w.disk.write = func() error {
			switch n := rapid.IntRange(0, 199).Draw(t, "luck"); {
			case n < fails:
				return errFull
			case n < 2*fails:
				return errTold
			}
			return nil
		}
		w.begin()
		t.Repeat(map[string]func(*rapid.T){"add": w.add, "flush": w.flush, "work": w.work, "send": w.send, "die": w.die})

		w.disk.write = nil
		require.NoError(t, w.u.Flush())
		w.die(t)
		sendAll(t, w.u, w.origin)
		assert.LessOrEqual(t, w.origin.requests(), w.added, "nothing is counted twice")
		assert.GreaterOrEqual(t, w.origin.requests(), w.added-w.maxLost, "nothing is lost that was flushed")
		assert.Zero(t, w.origin.gaps)
		assert.Empty(t, w.disk.keys(""))
	})
}

// A process that dies at each of its writes, one after the other, leaves the next one all that it had flushed.
func TestDeathAtEachWrite(t *testing.T) {
	for n := range 400 {
		d, c, o := newDisk(), newClock(), newOrigin()
		writes := 0
		d.write = func() error {
			if writes++; writes > n {
				return errFull
			}
			return nil
		}
		u := open(t, d, Options{Now: c.Now})
		var added, safe int64
		for i := range 40 {
			u.Add(one("m"))
			added++
			if u.Flush() == nil && writes <= n {
				safe = added
			}
			c.now = c.now.Add(time.Second)
			u.work()
			if r, ok := u.Next(); ok && i%3 == 0 && writes <= n {
				reply, gap := o.book(r)
				require.False(t, gap)
				u.Sent(reply)
			}
		}
		d.write = nil
		u = open(t, d, Options{Now: c.Now})
		for {
			r, ok := u.Next()
			if !ok {
				break
			}
			reply, gap := o.book(r)
			require.False(t, gap, n)
			again, _ := o.book(r)
			require.Equal(t, wire.ReportReply{Seq: reply.Seq, Duplicate: true}, again)
			u.Sent(reply)
		}
		require.GreaterOrEqual(t, o.requests(), safe, n)
		require.LessOrEqual(t, o.requests(), min(added, safe+1), n)
	}
}
