package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model is what a store should do, in memory.
type model struct {
	resources map[resourceID]Resource
	changes   []Change // from revision 1 on; Chain and Payload left out
	kept      int64
	keys      map[string]keyed
}

type keyed struct {
	set  string // what it was
	head Head
}

// apply is Apply; it returns the error's kind.
func (m *model) apply(set *ChangeSet, at time.Time) error {
	for _, op := range set.Ops {
		current := m.resources[resourceID{op.Kind, op.Name}].Version
		if op.Expect != Any && op.Expect != current {
			return ErrConflict
		}
		if op.Delete && current == Absent {
			return ErrNotFound
		}
	}
	rev := int64(len(m.changes)) + 1
	c := Change{Record: Record{Rev: rev, At: at, Actor: set.Actor, Reason: set.Reason}}
	for _, op := range set.Ops {
		id := resourceID{op.Kind, op.Name}
		was, there := m.resources[id]
		switch {
		case op.Delete:
			delete(m.resources, id)
		case there:
			m.resources[id] = Resource{op.Kind, op.Name, rev, was.Created, at, op.Body}
		default:
			m.resources[id] = Resource{op.Kind, op.Name, rev, at, at, op.Body}
		}
		op.Expect = 0
		c.Ops = append(c.Ops, op)
	}
	m.changes = append(m.changes, c)
	return nil
}

func (m *model) snapshot() []Resource {
	all := slices.Collect(maps.Values(m.resources))
	slices.SortFunc(all, func(a, b Resource) int { return strings.Compare(a.Kind+"\x00"+a.Name, b.Kind+"\x00"+b.Name) })
	return all
}

func (m *model) history(kind, name string) (past []Past) {
	for _, c := range slices.Backward(m.changes[m.kept:]) {
		for _, op := range c.Ops {
			if op.Kind == kind && op.Name == name {
				past = append(past, Past{c.Rev, c.At, c.Actor, c.Reason, op.Body})
			}
		}
	}
	return past
}

var (
	kinds = rapid.SampledFrom([]string{"model", "prompt"})
	names = rapid.SampledFrom([]string{"a", "b", "Ü", "a/b"})
)

func drawSet(t *rapid.T, m *model) ChangeSet {
	set := ChangeSet{Actor: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "actor"), Reason: rapid.SampledFrom([]string{"", "why"}).Draw(t, "reason"),
		Key: rapid.SampledFrom([]string{"", "", "k1", "k2", "k3"}).Draw(t, "key")}
	ids := rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) resourceID {
		return resourceID{kinds.Draw(t, "kind"), names.Draw(t, "name")}
	}), 1, 4, func(id resourceID) resourceID { return id }).Draw(t, "ids")
	for _, id := range ids {
		current := m.resources[id].Version
		expect := rapid.SampledFrom([]int64{Any, current, current, current + 1}).Draw(t, "expect")
		if rapid.Bool().Draw(t, "delete") && expect != Absent {
			set.Ops = append(set.Ops, Delete(id.kind, id.name, expect))
		} else {
			set.Ops = append(set.Ops, Put(id.kind, id.name, body(rapid.StringMatching(`[a-z]{0,5}`).Draw(t, "body")), expect))
		}
	}
	return set
}

func TestTheStoreDoesWhatTheModelDoes(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		rapid.Check(t, func(rt *rapid.T) {
			empty(t, s)
			m := &model{resources: map[resourceID]Resource{}, keys: map[string]keyed{}}
			rt.Repeat(map[string]func(*rapid.T){
				"apply":   func(rt *rapid.T) { checkApply(t, rt, s, m, now) },
				"history": func(rt *rapid.T) { checkHistory(t, rt, s, m) },
				"changes": func(rt *rapid.T) { checkChanges(t, rt, s, m) },
				"list":    func(rt *rapid.T) { checkList(t, rt, s, m) },
				"compact": func(rt *rapid.T) {
					cut := Cut{Rev: rapid.Int64Range(0, int64(len(m.changes))).Draw(rt, "cut"), Audit: rapid.Bool().Draw(rt, "audit")}
					kept, err := s.Compact(t.Context(), cut)
					require.NoError(rt, err)
					m.kept = max(m.kept, cut.Rev)
					require.Equal(rt, m.kept, kept)
				},
			})
			require.NoError(rt, s.Verify(t.Context()))
			require.Equal(rt, m.snapshot(), snapshotOf(t, s))
		})
	})
}

// empty makes a store as it was at first.
func empty(t *testing.T, s *Store) {
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) error {
		for _, table := range ownSchema.Tables[1:] {
			if err := tx.run("delete from " + table); err != nil {
				return err
			}
		}
		zero := make([]byte, 32)
		return tx.run("update head set rev = 0, kept = 0, base = 0, chain = ?, base_chain = ?", zero, zero)
	}))
}

func checkApply(t *testing.T, rt *rapid.T, s *Store, m *model, now *clock) {
	now.advance(time.Millisecond)
	set := drawSet(rt, m)
	same := fmt.Sprint(set)
	head, err := s.Apply(t.Context(), set)
	first, used := m.keys[set.Key]
	switch {
	case used && first.set == same:
		require.NoError(rt, err)
		require.Equal(rt, first.head, head)
		return
	case used:
		require.ErrorIs(rt, err, ErrKeyUsed)
		return
	}
	if want := m.apply(&set, now.now); want != nil {
		// The first operation that does not fit decides, and both may be there.
		require.True(rt, errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound), "%v and not %v", err, want)
		return
	}
	require.NoError(rt, err)
	require.EqualValues(rt, len(m.changes), head.Rev)
	if set.Key != "" {
		m.keys[set.Key] = keyed{same, head}
	}
}

func checkHistory(t *testing.T, rt *rapid.T, s *Store, m *model) {
	kind, name := kinds.Draw(rt, "kind"), names.Draw(rt, "name")
	history, err := s.History(t.Context(), kind, name, 0, 0)
	require.NoError(rt, err)
	require.Equal(rt, m.history(kind, name), history)
	got, err := s.Get(t.Context(), kind, name)
	if want, there := m.resources[resourceID{kind, name}]; there {
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	} else {
		require.ErrorIs(rt, err, ErrNotFound)
	}
}

func checkChanges(t *testing.T, rt *rapid.T, s *Store, m *model) {
	last := int64(len(m.changes))
	after := rapid.Int64Range(0, last+1).Draw(rt, "after")
	limit := rapid.IntRange(1, 10).Draw(rt, "limit")
	changes, head, err := s.Changes(t.Context(), after, limit)
	switch {
	case after < m.kept:
		require.ErrorIs(rt, err, ErrCompacted)
		return
	case after > last:
		require.ErrorIs(rt, err, ErrAhead)
		return
	}
	require.NoError(rt, err)
	require.Equal(rt, last, head.Rev)
	want := m.changes[after:min(last, after+int64(limit))]
	require.Len(rt, changes, len(want))
	for i := range changes {
		changes[i].Chain, changes[i].Payload = Chain{}, nil
		require.Equal(rt, want[i], changes[i])
	}
}

func checkList(t *testing.T, rt *rapid.T, s *Store, m *model) {
	kind, after, limit := kinds.Draw(rt, "kind"), names.Draw(rt, "after"), rapid.IntRange(1, 3).Draw(rt, "limit")
	var want []Resource
	for _, r := range m.snapshot() {
		if r.Kind == kind && r.Name > after && len(want) < limit {
			want = append(want, r)
		}
	}
	got, err := s.List(t.Context(), kind, after, limit)
	require.NoError(rt, err)
	require.Equal(rt, want, got)
}
