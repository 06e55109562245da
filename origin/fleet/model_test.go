package fleet

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/wedge-proxy/wedge/wire"
)

// fleetModel is nodes that take what their wave may have, refuse it, sleep, come and go, and a history that goes on.
type fleetModel struct {
	t       *rapid.T
	w       *wave
	r       rollout
	head    wire.Position
	now     time.Time
	members []member
	poison  map[int64]bool // revisions that every node refuses
	lone    int64          // the last one that went to all because there was one node at most
}

func newFleetModel(t *rapid.T) *fleetModel {
	m := &fleetModel{t: t, w: &wave{wait: time.Second}, head: wire.Position{Epoch: 1, Rev: 1}, now: time.UnixMilli(1_800_000_000_000),
		poison: map[int64]bool{}}
	for i := range rapid.IntRange(0, 30).Draw(t, "nodes") {
		name := fmt.Sprint("n", i)
		m.members = append(m.members, member{name: name, region: fmt.Sprint("r", i%3), bucket: bucketOf(name), online: true})
	}
	m.move()
	return m
}

// move moves the roll-out on and checks what must hold whatever happens.
func (m *fleetModel) move() {
	was := m.r
	m.r = m.w.next(m.r, m.head, slices.Clone(m.members), m.now)
	if !m.r.same(&was) {
		m.r.turn = was.turn + 1
	}
	r := &m.r
	assert.GreaterOrEqual(m.t, r.canary, r.tenth)
	assert.GreaterOrEqual(m.t, r.tenth, r.all)
	assert.Equal(m.t, m.head.Epoch, r.epoch)
	if was.epoch == r.epoch {
		assert.GreaterOrEqual(m.t, r.all, was.all)
		assert.GreaterOrEqual(m.t, r.canary, was.canary)
	}
	free, proven := 0, false
	if r.epoch != was.epoch {
		m.lone = 0
	}
	for i := range m.members {
		n := &m.members[i]
		if !n.pinned {
			free++
		}
		proven = proven || n.epoch == r.epoch && n.rev >= r.tenth
	}
	if was.turn > 0 && r.tenth > was.tenth && free > 1 {
		assert.True(m.t, proven, "the second wave may have %d, which no node uses", r.tenth)
	}
	again := m.w.next(m.r, m.head, slices.Clone(m.members), m.now)
	assert.True(m.t, again.same(&m.r) || was.turn == 0, "nothing has happened since, and it moves on: %+v, %+v", m.r, again)
	if free <= 1 && r.all > was.all {
		m.lone = r.all
	}
	if m.poison[r.canary] && m.lone != r.canary {
		assert.Less(m.t, r.all, r.canary, "a revision that nobody takes has reached everybody")
	}
}

// answer has a node take what it may have, or refuse it.
func (m *fleetModel) answer(n *member) {
	rev := min(m.r.front(n.name, n.bucket), m.head.Rev)
	switch {
	case !n.online || n.pinned || m.r.epoch != m.head.Epoch || rev == 0 || n.epoch == m.head.Epoch && n.rev >= rev:
	case m.poison[rev]:
		n.refused = &Refused{Epoch: m.head.Epoch, Rev: rev, Nack: wire.Nack{Code: wire.NackCompile}}
	default:
		n.epoch, n.rev, n.refused = m.head.Epoch, rev, nil
	}
}

func TestWavesModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newFleetModel(t)
		some := func() *member {
			if len(m.members) == 0 {
				t.Skip("there are no nodes")
			}
			return &m.members[rapid.IntRange(0, len(m.members)-1).Draw(t, "node")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { m.move() },
			"revision": func(*rapid.T) { m.head.Rev++ },
			"poison": func(*rapid.T) {
				m.head.Rev++
				m.poison[m.head.Rev] = true
			},
			"restore": func(*rapid.T) {
				m.head.Epoch++
				m.head.Rev, m.poison = max(m.head.Rev-2, 1), map[int64]bool{}
			},
			"answer": func(*rapid.T) { m.answer(some()) },
			"leave":  func(*rapid.T) { n := some(); n.online = !n.online },
			"pin":    func(*rapid.T) { n := some(); n.pinned = !n.pinned },
			"time":   func(*rapid.T) { m.now = m.now.Add(400 * time.Millisecond) },
		})
		m.settle()
	})
}

// settle brings everybody back; a sound revision must reach them all then.
func (m *fleetModel) settle() {
	m.head.Rev++
	for i := range m.members {
		m.members[i].online, m.members[i].pinned = true, false
	}
	for range 20 {
		m.move()
		for i := range m.members {
			m.answer(&m.members[i])
		}
	}
	m.move()
	assert.Equal(m.t, m.head.Rev, m.r.all, "%+v", m.r)
	for i := range m.members {
		assert.True(m.t, m.r.has(&m.members[i]))
	}
}
