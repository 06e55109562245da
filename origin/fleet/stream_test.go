package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

func TestCommitReachesANode(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url))
		n := o.enrol("n1", "")
		n.connect(o)
		n.reaches(o.put("a", "1"))
		n.reaches(o.put("a", "2", "b", "1"))
		head := o.put("c", "1")
		n.reaches(head)
		assert.Equal(t, 1, n.snapshots)
		until(t, "acked", func() bool { return o.node("n1").Rev == head.Rev })
		got := o.node("n1")
		assert.Equal(t, "online", got.State)
		assert.Equal(t, head.Epoch, got.Epoch)
		assert.Zero(t, got.Lag)
		assert.Equal(t, "d", got.Digest)
		state := o.settled()
		assert.Equal(t, head.Rev, state.Rev)
		assert.Equal(t, 1, state.Online)
		assert.Equal(t, []Spread{{head.Epoch, head.Rev, 1, 1}}, state.Spread)
		n.stop()
		until(t, "offline", func() bool { return o.node("n1").State == "offline" })
	})
}

func TestCommitReachesANodeOverTLS(t *testing.T) {
	o := startTLS(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "1"))
	n.reaches(o.put("a", "2"))
	require.Equal(t, 1, n.snapshots)
}

func TestNodeMovesToAnotherOriginWithoutASnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		a := start(t, openStore(t, url))
		n := a.enrol("n1", "")
		n.connect(a)
		n.reaches(a.put("a", "1"))
		a.stop()
		n.set(func() { n.deltas = 0 })
		until(t, "over", func() bool { return n.over() != nil })
		var head store.Head
		for i := range 30 {
			head = a.put("a", fmt.Sprint(i))
		}
		b := start(t, sameStore(t, a, url)) // its memory begins at the head
		n.connect(b)
		n.reaches(head)
		assert.Equal(t, 1, n.snapshots)
		assert.Equal(t, 30, n.deltas)
		n.reaches(b.put("a", "last"))
		assert.Equal(t, 1, n.snapshots)
	})
}

// What is not held in memory any more is read from the store.
func TestOldRevisions(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "1"))
	n.stop()
	n.set(func() { n.deltas = 0 })
	var head store.Head
	for i := range oldPage + 3 {
		head = o.put("a", fmt.Sprint(i))
	}
	until(t, "read", func() bool { return o.feed.view().head.Rev == head.Rev })
	o.feed.change(func(v *view) bool {
		v.base, v.entries = v.head, nil
		return true
	})
	n.connect(o)
	n.reaches(head)
	n.reaches(o.put("a", "2"))
	assert.Equal(t, 1, n.snapshots)
	assert.Equal(t, oldPage+4, n.deltas)
}

// A roll-out may be held for so long that what the others may have is not held in memory any more.
func TestOldRevisionsOfAHeldRollout(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	nodes := o.nodes("r", 3)
	o.settled()
	canary, others := first(nodes)
	others[0].stop()
	until(t, "offline", func() bool { return o.node(others[0].name).State == "offline" })
	good := o.put("a", "1")
	others[1].reaches(good)
	o.settled()
	canary.set(func() { canary.refuse = func(int64) *wire.Nack { return &wire.Nack{Code: wire.NackCompile} } })
	o.put("a", "poison")
	o.held()
	o.feed.change(func(v *view) bool {
		v.base, v.entries = v.head, nil
		return true
	})
	others[0].connect(o)
	others[0].reaches(good)
	assert.Equal(t, 1, others[0].snapshots)
	canary.set(func() { canary.refuse = nil })
	mended := o.put("a", "2")
	for _, n := range nodes {
		n.reaches(mended)
	}
}

// A node that is far behind gets the whole state, which is less.
func TestFarBehind(t *testing.T) {
	if testing.Short() {
		t.Skip("so many revisions take a while")
	}
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "1"))
	n.stop()
	n.set(func() { n.deltas = 0 })
	var head store.Head
	for i := range maxGap + 1 {
		head = o.put("a", fmt.Sprint(i))
	}
	until(t, "read", func() bool { return o.feed.view().head.Rev == head.Rev })
	assert.Len(t, o.feed.view().entries, keepEntries)
	o.feed.change(func(v *view) bool {
		v.base, v.entries = v.head, nil
		return true
	})
	o.settled()
	n.connect(o)
	n.reaches(head)
	assert.Equal(t, 2, n.snapshots)
	assert.Zero(t, n.deltas)
}

// A node may come to an origin that has not read yet what another one has sent it.
func TestNodeIsAheadOfTheOrigin(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "0"))
	head := o.put("a", "1")
	n.reaches(head)
	n.stop()
	o.feed.change(func(v *view) bool {
		v.entries, v.head = v.entries[:len(v.entries)-1], v.entries[len(v.entries)-2].at
		return true
	})
	n.connect(o)
	n.reaches(o.put("a", "2"))
	assert.Equal(t, 1, n.snapshots)
}

func TestSecondHelloEndsTheFirstSession(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		a := start(t, openStore(t, url))
		b := start(t, sameStore(t, a, url))
		n := a.enrol("n1", "")
		n.connect(a)
		n.reaches(a.put("a", "1"))
		clone := newNode(t, "n1")
		clone.key, clone.cert, clone.trust = n.key, n.cert, n.trust
		for _, o := range []*origin{a, b} { // the same origin, then another one
			clone.connect(o)
			until(t, "the older stream is over", func() bool { return n.over() != nil })
			assert.Equal(t, codeFenced, codeOf(n.answer()))
			assert.Equal(t, codeFenced, codeOf(n.follow(t.Context(), "")))
			clone.reaches(o.put("a", fmt.Sprint(o == a)))
			clone, n = n, clone
		}
	})
}

func TestStreamMovesWithItsSession(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		a := start(t, openStore(t, url))
		b := start(t, sameStore(t, a, url))
		n := a.enrol("n1", "")
		n.connect(a)
		n.reaches(a.put("a", "1"))
		n.stop()
		require.NoError(t, n.hello())
		n.set(func() { n.url = b.server.URL })
		head := a.put("a", "2")
		until(t, "the other origin sends it", func() bool {
			require.NoError(t, n.follow(t.Context(), "500ms"))
			return n.rev() == head.Rev
		})
		assert.Equal(t, 1, n.snapshots)
	})
}

func TestSnapshotWhereHistoryIsForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url), func(o *Options) { o.CanaryWait = 20 * time.Second })
		nodes := o.nodes("r", 2)
		for _, n := range nodes {
			n.reaches(o.put("a", "1"))
		}
		o.settled()
		for _, n := range nodes {
			n.stop()
		}
		o.stop()
		o.put("a", "2", "b", "1")
		head := o.put("a", "3")
		_, err := o.store.Compact(t.Context(), store.Cut{Rev: head.Rev})
		require.NoError(t, err)
		o = start(t, o.store)
		for _, n := range nodes {
			n.connect(o)
			n.reaches(head)
			assert.Equal(t, 2, n.snapshots, n.name)
		}
		next := o.put("a", "4")
		for _, n := range nodes {
			n.reaches(next)
			assert.Equal(t, 2, n.snapshots, n.name)
		}
	})
}

func TestSnapshotAfterARestore(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url))
		nodes := o.nodes("r", 3)
		o.put("a", "1")
		var backup bytes.Buffer
		_, err := o.store.Backup(t.Context(), &backup)
		require.NoError(t, err)
		lost := o.put("a", "lost")
		for _, n := range nodes {
			n.reaches(lost)
		}
		o.settled()
		o.stop()

		other := sqlite(t)
		if strings.HasPrefix(url, "postgres") {
			other = pgtest.Database(t)
		}
		head, err := store.Restore(t.Context(), storeOptions(other), &backup)
		require.NoError(t, err)
		require.Greater(t, head.Epoch, lost.Epoch)
		o = start(t, openStore(t, other))
		require.NoError(t, o.Pin(t.Context(), nodes[2].name, true, ""))
		for _, n := range nodes {
			n.connect(o)
		}
		for _, n := range nodes[:2] {
			n.reaches(head)
			assert.Equal(t, 2, n.snapshots)
		}
		next := o.put("a", "2")
		for _, n := range nodes[:2] {
			n.reaches(next)
		}
		assert.Equal(t, lost.Rev, nodes[2].rev(), "it is pinned")
		assert.Equal(t, 1, nodes[2].snapshots)
		require.NoError(t, o.Pin(t.Context(), nodes[2].name, false, ""))
		nodes[2].reaches(next)
		o.settled()
	})
}

func TestWrongChainGetsASnapshot(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	head := o.put("a", "1")
	n.reaches(head)
	for _, at := range []wire.Position{
		{Epoch: head.Epoch, Rev: head.Rev, Chain: wire.Chain{1}},
		{Epoch: head.Epoch, Rev: head.Rev - 1, Chain: head.Chain},
		{Epoch: head.Epoch, Rev: head.Rev + 7, Chain: head.Chain},
		{Epoch: head.Epoch + 1, Rev: head.Rev, Chain: head.Chain},
		{Epoch: 1, Rev: 1},
		{Epoch: head.Epoch},
	} {
		n.stop()
		n.set(func() { n.at, n.used, n.state = at, at, map[string]wire.Resource{} })
		was := n.snapshots
		n.connect(o)
		n.reaches(head)
		assert.Equal(t, was+1, n.snapshots, "%v", at)
	}
}

func TestLongPoll(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.set(func() { n.url = o.server.URL })
	require.NoError(t, n.hello())
	require.NoError(t, n.follow(t.Context(), "30s")) // the snapshot and what the operator wants
	assert.Equal(t, 1, n.snapshots)
	assert.Equal(t, 1, n.controls)
	began := time.Now()
	require.NoError(t, n.follow(t.Context(), "50ms")) // nothing
	assert.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
	assert.Equal(t, 1, n.controls)
	assert.Equal(t, "online", o.node("n1").State, "it comes again soon")
	polled := make(chan error, 1)
	go func() { polled <- n.follow(t.Context(), "30s") }()
	head := o.put("a", "1")
	require.NoError(t, <-polled)
	assert.Equal(t, head.Rev, n.rev())
	go func() { polled <- n.follow(t.Context(), "30s") }()
	time.Sleep(20 * time.Millisecond)
	require.NoError(t, o.Drain(t.Context(), "n1", true, ""))
	require.NoError(t, <-polled)
	assert.True(t, n.control.Drain)
	require.NoError(t, n.follow(t.Context(), "10ms"))
	assert.Equal(t, 2, n.controls)
	assert.Equal(t, 1, n.snapshots)
}

func TestNodeThatPollsNoMoreIsOffline(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.PingEvery = 50 * time.Millisecond })
	n := o.enrol("n1", "")
	n.set(func() { n.url = o.server.URL })
	require.NoError(t, n.hello())
	require.NoError(t, n.follow(t.Context(), "10ms"))
	until(t, "offline", func() bool { return o.node("n1").State == "offline" })
}

// Now and then a head tells the whole state's digest, so that nodes can forget the deltas before it.
func TestFoldingHeads(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), withoutWaves)
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "0"))
	n.set(func() { n.deltas = 0 })
	var head store.Head
	for i := range foldRevisions + 20 {
		head = o.put(fmt.Sprint("m", i%10), fmt.Sprint(i))
	}
	n.reaches(head)
	until(t, "folded", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.folds >= 1 })
	n.reaches(o.put("a", "1"))
	assert.Equal(t, 1, n.snapshots)
	assert.Equal(t, foldRevisions+21, n.deltas)
	assert.LessOrEqual(t, n.folds, 2)
}

func TestNewSigner(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	nodes := o.nodes("r", 3)
	nodes[0].reaches(o.put("a", "1"))
	o.settled()
	nodes[2].stop() // it learns of the new key from a head that the old one signed
	for range 2 {
		require.NoError(t, o.vault.RotateSigner(t.Context(), "tester"))
		head := o.put("a", "2")
		nodes[0].reaches(head)
		nodes[1].reaches(head)
	}
	nodes[2].connect(o)
	nodes[2].reaches(o.put("a", "3"))
	assert.Equal(t, 1, nodes[2].snapshots)
}

// A node that refuses the revision which names a new key believes the old one alone.
func TestNewSignerThatANodeRefuses(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	n.reaches(o.put("a", "1"))
	n.set(func() { n.refuse = func(int64) *wire.Nack { return &wire.Nack{Code: wire.NackCompile} } })
	require.NoError(t, o.vault.RotateSigner(t.Context(), "tester"))
	until(t, "refused", func() bool { return o.node("n1").Refused != nil })
	n.set(func() { n.refuse = nil })
	n.reaches(o.put("a", "2"))
	n.reaches(o.put("a", "3"))
	assert.Equal(t, 1, n.snapshots)
}

// A node that asks for everything anew, but has something to go on with, waits for its turn.
func TestNodeThatBeginsAnewStaysPinned(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	n := o.enrol("n1", "")
	n.connect(o)
	was := o.put("a", "1")
	n.reaches(was)
	require.NoError(t, o.Pin(t.Context(), "n1", true, ""))
	next := o.put("a", "2")
	n.stop()
	n.set(func() { n.at = wire.Position{} })
	n.connect(o)
	time.Sleep(100 * time.Millisecond)
	assert.Equal(t, was.Rev, n.rev())
	require.NoError(t, o.Pin(t.Context(), "n1", false, ""))
	n.reaches(next)
	assert.Equal(t, 2, n.snapshots)
}

// A node that reads nothing must not stop others, and goes on later from where it stands.
func TestStuckNodeStopsNobody(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), withoutWaves, func(o *Options) { o.PingEvery = 200 * time.Millisecond })
	stuck, other := o.enrol("stuck", ""), o.enrol("other", "")
	other.connect(o)
	stuck.connect(o)
	stuck.reaches(o.put("a", "1"))
	release := make(chan struct{})
	var once sync.Once
	stuck.set(func() { stuck.acked = func(int64) { <-release } })
	defer once.Do(func() { close(release) })
	big := strings.Repeat("x", 900<<10)
	var head store.Head
	for i := range 24 { // more than sockets hold
		head = o.put("a", big+fmt.Sprint(i))
		other.reaches(head)
	}
	until(t, "let go", func() bool { return o.node("stuck").State == "offline" })
	other.reaches(o.put("b", "1"))
	once.Do(func() { close(release) })
	stuck.set(func() { stuck.acked = nil })
	until(t, "over", func() bool { return stuck.over() != nil })
	stuck.connect(o)
	stuck.reaches(o.put("b", "2"))
	assert.Equal(t, 1, stuck.snapshots)
	assert.Greater(t, head.Rev, int64(20))
}

func TestTooManyWantTheWholeState(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.Snapshots = 1 })
	n := o.enrol("n1", "")
	o.states.slots <- struct{}{}
	n.set(func() { n.url = o.server.URL })
	require.NoError(t, n.hello())
	err := n.follow(t.Context(), "")
	assert.Equal(t, codeBusy, codeOf(err))
	told, _ := errors.AsType[*refused](err)
	require.NotNil(t, told)
	assert.Equal(t, "2", told.retry)
	<-o.states.slots
	n.connect(o)
	n.reaches(o.put("a", "1"))
	assert.Eventually(t, func() bool { return len(o.states.slots) == 0 }, 10*time.Second, time.Millisecond)
}
