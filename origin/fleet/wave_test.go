package fleet

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/origin/store/pgtest"
	"github.com/wedge-proxy/wedge/wire"
)

// first tells which of some nodes of one region comes first.
func first(nodes []*node) (canary *node, others []*node) {
	canary = slices.MinFunc(nodes, func(a, b *node) int {
		return compareMembers(&member{name: a.name, bucket: bucketOf(a.name)}, &member{name: b.name, bucket: bucketOf(b.name)})
	})
	for _, n := range nodes {
		if n != canary {
			others = append(others, n)
		}
	}
	return canary, others
}

func TestRefusalHoldsTheWaveAtTheFirstNode(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url), func(o *Options) { o.CanaryWait = 20 * time.Second })
		nodes := o.nodes("r", 5)
		good := o.put("a", "1")
		for _, n := range nodes {
			n.reaches(good)
		}
		o.settled()
		canary, others := first(nodes)
		canary.set(func() {
			canary.refuse = func(rev int64) *wire.Nack {
				if rev == good.Rev+1 {
					return &wire.Nack{Code: wire.NackCompile, Resource: "policy/p", Message: "does not compile"}
				}
				return nil
			}
		})
		bad := o.put("a", "poison")
		require.Equal(t, Held{Rev: bad.Rev, Node: canary.name, Code: wire.NackCompile, Message: "does not compile"}, o.held())
		state, err := o.State(t.Context())
		require.NoError(t, err)
		assert.Equal(t, stageHeld, state.Rollout.Stage)
		assert.Equal(t, []int64{bad.Rev, good.Rev, good.Rev}, []int64{state.Rollout.Canary, state.Rollout.Tenth, state.Rollout.All})
		got := o.node(canary.name)
		assert.Equal(t, "held", got.State)
		assert.Equal(t, good.Rev, got.Rev)
		require.NotNil(t, got.Refused)
		assert.Equal(t, wire.Nack{Code: wire.NackCompile, Resource: "policy/p", Message: "does not compile"}, got.Refused.Nack)
		assert.Contains(t, o.log.String(), "revision held")
		time.Sleep(300 * time.Millisecond) // longer than it takes to reach everybody
		for _, n := range others {
			assert.False(t, n.sees(bad.Rev), n.name)
		}
		// Who comes again gets no more than its wave may have.
		others[0].connect(o)
		time.Sleep(100 * time.Millisecond)
		assert.False(t, others[0].sees(bad.Rev))

		mended := o.put("a", "2")
		for _, n := range nodes {
			n.reaches(mended)
		}
		o.settled()
		assert.Nil(t, o.node(canary.name).Refused)
		assert.Equal(t, 1, canary.snapshots)
	})
}

func TestSilentCanaryHoldsTheWaveUntilItAnswers(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.CanaryWait = 200 * time.Millisecond })
	nodes := o.nodes("r", 3)
	good := o.put("a", "1")
	for _, n := range nodes {
		n.reaches(good)
	}
	o.settled()
	canary, others := first(nodes)
	canary.set(func() { canary.mute = true })
	next := o.put("a", "2")
	held := o.held()
	assert.Equal(t, wire.NackTimeout, held.Code)
	assert.Equal(t, canary.name, held.Node)
	assert.False(t, others[0].sees(next.Rev))
	canary.set(func() { canary.mute = false })
	require.NoError(t, canary.answer())
	for _, n := range nodes {
		n.reaches(next)
	}
	o.settled()
}

func TestCanaryThatLeavesHoldsTheWave(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.CanaryWait = 300 * time.Millisecond })
	nodes := o.nodes("r", 3)
	o.settled()
	canary, others := first(nodes)
	canary.set(func() { canary.mute = true })
	next := o.put("a", "1")
	until(t, "sent", func() bool { return canary.sees(next.Rev) })
	canary.stop()
	assert.Equal(t, canary.name, o.held().Node)
	assert.False(t, others[0].sees(next.Rev))
	// With the node out of the fleet nobody waits for it.
	require.NoError(t, o.Remove(t.Context(), canary.name))
	for _, n := range others {
		n.reaches(next)
	}
}

func TestEachRegionHasACanary(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.CanaryWait = 20 * time.Second })
	west, east := o.nodes("west", 4), o.nodes("east", 4)
	o.settled()
	a, others := first(west)
	b, more := first(east)
	a.set(func() { a.mute = true })
	next := o.put("a", "1")
	b.reaches(next)
	until(t, "sent", func() bool { return a.sees(next.Rev) })
	time.Sleep(200 * time.Millisecond)
	for _, n := range append(others, more...) {
		assert.False(t, n.sees(next.Rev), n.name)
	}
	state, err := o.State(t.Context())
	require.NoError(t, err)
	assert.Equal(t, stageCanary, state.Rollout.Stage)
	assert.Equal(t, 1, state.Rollout.Waiting)
	a.set(func() { a.mute = false })
	require.NoError(t, a.answer())
	for _, n := range append(others, more...) {
		n.reaches(next)
	}
}

func TestPinnedNodeStays(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		o := start(t, openStore(t, url))
		nodes := o.nodes("r", 3)
		was := o.put("a", "1")
		for _, n := range nodes {
			n.reaches(was)
		}
		pinned, others := first(nodes) // it would be the canary
		require.NoError(t, o.Pin(t.Context(), pinned.name, true, "looking into it"))
		until(t, "told", func() bool { return pinned.wish() == wire.Control{Pinned: true, Reason: "looking into it"} })
		next := o.put("a", "2")
		for _, n := range others {
			n.reaches(next)
		}
		o.settled()
		assert.False(t, pinned.sees(next.Rev))
		got := o.node(pinned.name)
		assert.True(t, got.Pinned)
		assert.Equal(t, int64(1), got.Lag)
		pinned.connect(o)
		time.Sleep(100 * time.Millisecond)
		assert.False(t, pinned.sees(next.Rev))
		require.NoError(t, o.Pin(t.Context(), pinned.name, false, ""))
		pinned.reaches(next)
		assert.Equal(t, 1, pinned.snapshots)
	})
}

func (n *node) wish() wire.Control {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.control
}

func TestOperatorsWishReachesNodesOfOtherOrigins(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		a := start(t, openStore(t, url))
		b := start(t, sameStore(t, a, url))
		n := a.enrol("n1", "")
		n.connect(a)
		began := time.Now()
		require.NoError(t, b.Drain(t.Context(), "n1", true, "maintenance"))
		until(t, "drained", func() bool { return n.wish() == wire.Control{Drain: true, Reason: "maintenance"} })
		assert.Less(t, time.Since(began), 5*time.Second)
		require.NoError(t, b.Drain(t.Context(), "n1", false, ""))
		until(t, "undrained", func() bool { return n.wish() == wire.Control{} })
		require.NoError(t, b.Remove(t.Context(), "n1"))
		until(t, "over", func() bool { return n.over() != nil })
		assert.Equal(t, codeForbidden, codeOf(n.hello()))
		assert.Equal(t, codeForbidden, codeOf(n.answer()))
	})
}

func TestRolloutsOfTwoOrigins(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		a := start(t, openStore(t, url))
		b := start(t, sameStore(t, a, url))
		nodes := []*node{a.enrol("n1", "r"), a.enrol("n2", "r"), a.enrol("n3", "r"), a.enrol("n4", "r")}
		for i, n := range nodes {
			n.connect([]*origin{a, b}[i%2])
		}
		for i := range 3 {
			head := []*origin{a, b}[i%2].put("a", string(rune('0'+i)))
			for _, n := range nodes {
				n.reaches(head)
			}
		}
		assert.Equal(t, 4, b.settled().Online)
	})
}

func TestNodesThatWereAwayGetWhatAllMayHave(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)))
	nodes := o.nodes("r", 3)
	o.settled()
	nodes[2].stop()
	until(t, "offline", func() bool { return o.node(nodes[2].name).State == "offline" })
	next := o.put("a", "1")
	nodes[0].reaches(next)
	o.settled()
	nodes[2].connect(o)
	nodes[2].reaches(next)
	assert.Equal(t, 1, nodes[2].snapshots)
}

func TestRevisionWaitsForTheFirstNode(t *testing.T) {
	o := start(t, openStore(t, sqlite(t)), func(o *Options) { o.CanaryWait = 20 * time.Second })
	nodes := o.nodes("r", 3)
	o.settled()
	for _, n := range nodes {
		n.stop()
	}
	until(t, "offline", func() bool { s, _ := o.State(context.Background()); return s.Online == 0 })
	bad := o.put("a", "poison")
	time.Sleep(200 * time.Millisecond)
	nodes[0].refuse = func(int64) *wire.Nack { return &wire.Nack{Code: wire.NackLimit, Message: "too large"} }
	nodes[0].connect(o)
	assert.Equal(t, nodes[0].name, o.held().Node)
	nodes[1].connect(o)
	time.Sleep(100 * time.Millisecond)
	assert.False(t, nodes[1].sees(bad.Rev))
}

// Streams outlive the database; what it could not take comes again from the nodes.
func TestDatabaseOutage(t *testing.T) {
	if testing.Short() {
		t.Skip("a server of its own takes a while")
	}
	server := pgtest.Own(t, "fsync=off")
	url, err := server.NewSchema(t.Context())
	require.NoError(t, err)
	o := start(t, openStore(t, url))
	nodes := o.nodes("r", 3)
	was := o.put("a", "1")
	for _, n := range nodes {
		n.reaches(was)
	}
	o.settled()
	server.Halt()
	time.Sleep(2 * time.Second)
	for _, n := range nodes {
		require.NoError(t, n.over())
		require.Contains(t, []string{codeBusy, codeInternal}, codeOf(n.answer()))
	}
	require.NoError(t, server.Run())
	until(t, "the database is back", func() bool { _, err := o.store.Head(context.Background()); return err == nil })
	next := o.put("a", "2")
	for _, n := range nodes {
		n.reaches(next)
		assert.Equal(t, 1, n.snapshots)
	}
	o.settled()
}
