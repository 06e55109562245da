package fleet

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/wire"
)

// rollout says which revision each wave may have: canary ≥ tenth ≥ all.
type rollout struct {
	turn               int64 // how often it has moved; 0: there is none yet
	epoch              int64
	canary, tenth, all int64
	canaries           []string // the first wave
	since              time.Time
	held               *Held
}

// member is what waves need to know of a node.
type member struct {
	name, region   string
	bucket         uint64
	online, pinned bool
	epoch, rev     int64 // in use
	refused        *Refused
}

// buckets are what names are hashed into; the second wave is a tenth of them.
const buckets = 10_000

// bucketOf is where a node stands in the order of waves: the same at all times and on all origins.
func bucketOf(name string) uint64 {
	sum := sha256.Sum256([]byte("wedge wave 1\n" + name))
	return binary.BigEndian.Uint64(sum[:8]) % buckets
}

// The stages of a Rollout.
const (
	stageCanary = "canary"
	stageTenth  = "tenth"
	stageAll    = "all"
	stageDone   = "done"
	stageHeld   = "held"
)

// stage is how far the roll-out is; whether all have answered, it does not know.
func (r *rollout) stage() string {
	switch {
	case r.held != nil:
		return stageHeld
	case r.tenth < r.canary:
		return stageCanary
	case r.all < r.tenth:
		return stageTenth
	}
	return stageAll
}

// front is the revision that a node may have.
func (r *rollout) front(name string, bucket uint64) int64 {
	switch {
	case r.tenth < r.canary && slices.Contains(r.canaries, name):
		return r.canary
	case bucket < buckets/10 || slices.Contains(r.canaries, name):
		return r.tenth
	}
	return r.all
}

// in says that the stage waits for the node's answer, if it is there.
func (r *rollout) in(m *member) bool {
	switch {
	case m.pinned:
		return false
	case r.tenth < r.canary:
		return slices.Contains(r.canaries, m.name)
	case r.all < r.tenth:
		return m.bucket < buckets/10 || slices.Contains(r.canaries, m.name)
	}
	return true
}

// has says that the node uses what the roll-out brings.
func (r *rollout) has(m *member) bool { return m.epoch == r.epoch && m.rev >= r.canary }

// refuses says that the node has refused what the roll-out brings.
func (r *rollout) refuses(m *member) bool {
	return m.refused != nil && m.refused.Epoch == r.epoch && m.refused.Rev == r.canary && !r.has(m)
}

// wave moves a roll-out on.
type wave struct {
	wait  time.Duration   // for nodes of the first waves
	asked map[string]bool // nodes of this stage that have been online in it: who leaves still owes an answer
	stage int64           // that asked belongs to
}

// next is what a roll-out becomes, given the head and all nodes. The first roll-out of all is over at once.
func (w *wave) next(r rollout, head wire.Position, members []member, now time.Time) rollout {
	if r.turn == 0 {
		return rollout{epoch: head.Epoch, canary: head.Rev, tenth: head.Rev, all: head.Rev, since: now}
	}
	if r.epoch != head.Epoch {
		r = rollout{turn: r.turn, epoch: head.Epoch}
	}
	for {
		if head.Rev > r.canary && (r.held != nil || r.all == r.canary) {
			r.begin(head.Rev, members, now)
		}
		w.remember(&r, members)
		if !w.step(&r, members, now) {
			return r
		}
	}
}

// begin starts a roll-out with the first wave, or with all where there is at most one node.
func (r *rollout) begin(rev int64, members []member, now time.Time) {
	r.held, r.since, r.canary, r.canaries = nil, now, rev, elect(members)
	free := 0
	for i := range members {
		if !members[i].pinned {
			free++
		}
	}
	if free <= 1 {
		r.tenth, r.all = rev, rev
	}
}

// elect picks the first node of each region that is online.
func elect(members []member) []string {
	first := map[string]*member{}
	for i := range members {
		m := &members[i]
		if was := first[m.region]; m.online && !m.pinned && (was == nil || compareMembers(m, was) < 0) {
			first[m.region] = m
		}
	}
	var names []string
	for _, m := range first {
		names = append(names, m.name)
	}
	slices.Sort(names)
	return names
}

func compareMembers(a, b *member) int {
	return cmp.Or(cmp.Compare(a.bucket, b.bucket), strings.Compare(a.name, b.name))
}

// remember keeps whom the stage has asked.
func (w *wave) remember(r *rollout, members []member) {
	stage := r.canary + r.tenth + r.all // grows from stage to stage
	if w.asked == nil || w.stage != stage {
		w.asked, w.stage = map[string]bool{}, stage
	}
	for i := range members {
		if m := &members[i]; m.online && r.in(m) {
			w.asked[m.name] = true
		}
	}
}

// step moves the roll-out by one stage, holds it or lets it go on, and tells whether there may be more to do.
func (w *wave) step(r *rollout, members []member, now time.Time) bool {
	if r.all == r.canary {
		return false
	}
	if r.held != nil {
		return r.release(members, now)
	}
	waiting, missing, proven := 0, "", false
	for i := range members {
		m := &members[i]
		switch {
		case r.refuses(m):
			r.hold(m.name, m.refused.Code, m.refused.Message)
			return true
		case !r.in(m):
		case r.has(m):
			proven = true
		case m.online || w.asked[m.name]:
			waiting, missing = waiting+1, m.name
		}
	}
	switch {
	case waiting > 0 && now.Sub(r.since) >= w.wait:
		r.hold(missing, wire.NackTimeout, fmt.Sprintf("%d of the stage's nodes did not tell within %s that they use it", waiting, w.wait))
		return true
	case waiting > 0:
		return false
	case r.tenth < r.canary && !proven: // the first wave is nobody, or has been pinned
		if r.canaries = elect(members); len(r.canaries) == 0 {
			return false
		}
	case r.tenth < r.canary:
		r.tenth = r.canary
	default:
		r.all = r.tenth
	}
	r.since = now
	return true
}

func (r *rollout) hold(node, code, message string) {
	r.held = &Held{Rev: r.canary, Node: node, Code: code, Message: message}
}

// release lets a roll-out go on that is held by a node which has come round, or which was only slow and is out of it now.
func (r *rollout) release(members []member, now time.Time) bool {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == r.held.Node })
	gone := i < 0 || members[i].pinned && !r.refuses(&members[i])
	if i >= 0 && r.has(&members[i]) || gone && r.held.Code == wire.NackTimeout {
		r.held, r.since = nil, now
		return true
	}
	return false
}

func joinNames(names []string) string { return strings.Join(names, " ") }

func splitNames(s string) []string { return strings.Fields(s) }
