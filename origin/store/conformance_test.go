package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/wire"
)

func TestAChangeIsOneRevision(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		empty, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Head{Epoch: now.now.UnixMilli(), IssuedAt: now.now}, empty)

		now.advance(time.Second)
		made := now.now
		head := apply(t, s, Put("model", "a", body("1"), Absent), Put("model", "b", body("1"), Any), Put("key", "a", body("k"), Absent))
		assert.EqualValues(t, 1, head.Rev)
		assert.Equal(t, empty.Epoch, head.Epoch)
		assert.Equal(t, made, head.IssuedAt)
		got, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, head, got)

		now.advance(time.Second)
		apply(t, s, Put("model", "a", body("2"), 1), Delete("model", "b", 1))
		a, err := s.Get(t.Context(), "model", "a")
		require.NoError(t, err)
		assert.Equal(t, Resource{Kind: "model", Name: "a", Version: 2, Created: made, Updated: now.now, Body: body("2")}, a)
		_, err = s.Get(t.Context(), "model", "b")
		assert.ErrorIs(t, err, ErrNotFound)
		assert.EqualError(t, err, `cannot read model "b": not found`)

		apply(t, s, Put("model", "b", body("3"), Absent))
		b, err := s.Get(t.Context(), "model", "b")
		require.NoError(t, err)
		assert.Equal(t, now.now, b.Created, "what was deleted begins anew")
		assert.NoError(t, s.Verify(t.Context()))
	})
}

func TestAChangeThatIsRefusedChangesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		head := apply(t, s, Put("model", "a", body("1"), Absent), Put("model", "b", body("1"), Absent))
		for name, c := range map[string]struct {
			op   Op
			want ConflictError
			says string
		}{
			"create what is there": {Put("model", "b", body("2"), Absent), ConflictError{"model", "b", 0, 1},
				`cannot create model "b": it is there already, at version 1: read it again, and repeat the change on what it says now`},
			"change what has changed": {Put("model", "b", body("2"), 7), ConflictError{"model", "b", 7, 1},
				`cannot change model "b" at version 7: it is at version 1: read it again, and repeat the change on what it says now`},
			"delete what has changed": {Delete("model", "b", 7), ConflictError{"model", "b", 7, 1},
				`cannot change model "b" at version 7: it is at version 1: read it again, and repeat the change on what it says now`},
			"change what is gone": {Put("model", "c", body("2"), 7), ConflictError{"model", "c", 7, 0},
				`cannot change model "c" at version 7: it has been deleted: read it again, and repeat the change on what it says now`},
		} {
			t.Run(name, func(t *testing.T) {
				_, err := s.Apply(t.Context(), ChangeSet{Actor: "tester", Ops: []Op{Put("model", "a", body("2"), 1), c.op}})
				require.ErrorIs(t, err, ErrConflict)
				var conflict *ConflictError
				require.ErrorAs(t, err, &conflict)
				assert.Equal(t, c.want, *conflict)
				assert.Equal(t, c.says, conflict.Error())
			})
		}
		mustRefuse(t, s, ErrNotFound, Put("model", "a", body("2"), 1), Delete("model", "c", Any))
		got, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, head, got)
		a, err := s.Get(t.Context(), "model", "a")
		require.NoError(t, err)
		assert.Equal(t, body("1"), a.Body)
		assert.EqualValues(t, 2, apply(t, s, Put("model", "a", body("2"), 1)).Rev, "no revision has been lost")
	})
}

func TestWhatNoChangeMaySay(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	many := make([]Op, MaxOps+1)
	for i := range many {
		many[i] = Put("model", fmt.Sprint(i), body(""), Any)
	}
	large, half := []byte(`"`+strings.Repeat("x", MaxBody)+`"`), []byte(`"`+strings.Repeat("x", MaxBody-2)+`"`)
	var tooMuch []Op
	for i := range MaxSetBytes/MaxBody + 1 {
		tooMuch = append(tooMuch, Put("model", fmt.Sprint(i), half, Any))
	}
	for name, set := range map[string]ChangeSet{
		"nothing":                {Actor: "a"},
		"too many operations":    {Actor: "a", Ops: many},
		"too many bytes":         {Actor: "a", Ops: tooMuch},
		"nobody":                 {Ops: many[:1]},
		"a reason with NUL":      {Actor: "a", Reason: "\x00", Ops: many[:1]},
		"a long key":             {Actor: "a", Key: strings.Repeat("k", MaxText+1), Ops: many[:1]},
		"one resource twice":     {Actor: "a", Ops: []Op{many[0], Delete("model", "0", Any)}},
		"no kind":                {Actor: "a", Ops: []Op{Put("", "x", body(""), Any)}},
		"no name":                {Actor: "a", Ops: []Op{Put("x", "", body(""), Any)}},
		"a long name":            {Actor: "a", Ops: []Op{Put("x", strings.Repeat("x", MaxName+1), body(""), Any)}},
		"a name that is no text": {Actor: "a", Ops: []Op{Put("x", "\xff", body(""), Any)}},
		"no version":             {Actor: "a", Ops: []Op{Put("x", "x", body(""), -2)}},
		"a body to delete":       {Actor: "a", Ops: []Op{{Kind: "x", Name: "x", Body: body(""), Delete: true, Expect: Any}}},
		"to delete nothing":      {Actor: "a", Ops: []Op{Delete("x", "x", Absent)}},
		"no body":                {Actor: "a", Ops: []Op{Put("x", "x", nil, Any)}},
		"no JSON":                {Actor: "a", Ops: []Op{Put("x", "x", []byte("{"), Any)}},
		"a large body":           {Actor: "a", Ops: []Op{Put("x", "x", large, Any)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Apply(t.Context(), set)
			assert.ErrorIs(t, err, ErrInvalid)
		})
	}
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	assert.Zero(t, head.Rev)
}

func TestTheLargestChange(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		var ops []Op
		for i := range MaxOps {
			ops = append(ops, Put(strings.Repeat("k", MaxName), fmt.Sprintf("%0*d", MaxName, i), body(strings.Repeat("x", 8000)), Absent))
		}
		apply(t, s, ops...)
		changes, head, err := s.Changes(t.Context(), 0, 10)
		require.NoError(t, err)
		assert.EqualValues(t, 1, head.Rev)
		require.Len(t, changes, 1)
		require.Len(t, changes[0].Ops, MaxOps)
		assert.Equal(t, ops[MaxOps-1].Name, changes[0].Ops[MaxOps-1].Name, "operations keep their order")
		for i := range ops {
			ops[i].Delete, ops[i].Body, ops[i].Expect = true, nil, 1
		}
		apply(t, s, ops...)
		assert.NoError(t, s.Verify(t.Context()))
	})
}

func TestAKeyMakesAChangeOnce(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		set := ChangeSet{Actor: "tester", Reason: "why", Key: "k1", Ops: []Op{Put("model", "a", body("1"), Absent)}}
		first, err := s.Apply(t.Context(), set)
		require.NoError(t, err)
		apply(t, s, Put("model", "a", body("2"), 1))

		now.advance(23 * time.Hour)
		again, err := s.Apply(t.Context(), set)
		require.NoError(t, err)
		assert.Equal(t, first, again, "although the version that it expects is long gone")

		for name, edit := range map[string]func(set *ChangeSet){
			"another body":    func(set *ChangeSet) { set.Ops = []Op{Put("model", "a", body("x"), Absent)} },
			"another version": func(set *ChangeSet) { set.Ops = []Op{Put("model", "a", body("1"), 2)} },
			"another actor":   func(set *ChangeSet) { set.Actor = "somebody" },
			"another reason":  func(set *ChangeSet) { set.Reason = "because" },
		} {
			t.Run(name, func(t *testing.T) {
				other := set
				edit(&other)
				_, err := s.Apply(t.Context(), other)
				assert.ErrorIs(t, err, ErrKeyUsed)
			})
		}

		now.advance(2 * time.Hour)
		_, err = s.Apply(t.Context(), set)
		assert.ErrorIs(t, err, ErrConflict, "the key stands for nothing any more")
		head, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 2, head.Rev)
	})
}

func TestListsArePagedByTheBytesOfNames(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		names := []string{"A-1", "Z", "a", "a b", "a-b", "aB", "ab", "b", "Ä", "ä", "日本", "😀"}
		var ops []Op
		for i := range names {
			ops = append(ops, Put("model", names[len(names)-1-i], body(""), Absent))
		}
		apply(t, s, append(ops, Put("prompt", "other", body(""), Absent))...)
		var got []string
		for after := ""; ; {
			page, err := s.List(t.Context(), "model", after, 5)
			require.NoError(t, err)
			for _, r := range page {
				got = append(got, r.Name)
			}
			if len(page) < 5 {
				break
			}
			after = page[4].Name
		}
		assert.Equal(t, names, got)
		all, err := s.List(t.Context(), "model", "", 0)
		require.NoError(t, err)
		assert.Len(t, all, len(names))
	})
}

func TestHistoryAndAudit(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		now := newClock()
		options.Now = now.Now
		s := open(t, options)
		for i, op := range []Op{Put("m", "a", body("1"), Absent), Put("m", "b", body("x"), Absent), Put("m", "a", body("3"), 1),
			Delete("m", "a", 3), Put("m", "a", body("5"), Absent)} {
			_, err := s.Apply(t.Context(), ChangeSet{Actor: "tester", Reason: fmt.Sprint("reason ", i+1), Ops: []Op{op}})
			require.NoError(t, err)
		}
		want := []Past{
			{5, now.now, "tester", "reason 5", body("5")},
			{4, now.now, "tester", "reason 4", nil},
			{3, now.now, "tester", "reason 3", body("3")},
			{1, now.now, "tester", "reason 1", body("1")},
		}
		got, err := s.History(t.Context(), "m", "a", 0, 0)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		got, err = s.History(t.Context(), "m", "a", 4, 1)
		require.NoError(t, err)
		assert.Equal(t, want[2:3], got)

		records, err := s.Audit(t.Context(), 5, 3)
		require.NoError(t, err)
		require.Len(t, records, 3)
		assert.EqualValues(t, 4, records[0].Rev)
		assert.Equal(t, "reason 4", records[0].Reason)
		payload, err := wire.ParsePayload(records[2].Payload)
		require.NoError(t, err)
		assert.Equal(t, []Item{{Kind: "m", Name: "b", Digest: sha256.Sum256(body("x"))}}, payload.Items)
	})
}

func TestChangesFollowTheChain(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		const revisions = 25
		for i := range revisions {
			apply(t, s, Put("m", fmt.Sprint(i%4), body(fmt.Sprint(i)), Any), Put("m", "same", body(""), Any))
		}
		var chain Chain
		var after int64
		for after < revisions {
			changes, head, err := s.Changes(t.Context(), after, 10)
			require.NoError(t, err)
			require.NotEmpty(t, changes)
			for _, c := range changes {
				require.Equal(t, after+1, c.Rev)
				chain = chain.Next(c.Rev, c.Payload)
				require.Equal(t, chain, c.Chain)
				require.Len(t, c.Ops, 2)
				after = c.Rev
			}
			if after == head.Rev {
				assert.Equal(t, chain, head.Chain)
			}
		}
		none, head, err := s.Changes(t.Context(), revisions, 10)
		require.NoError(t, err)
		assert.Empty(t, none)
		assert.EqualValues(t, revisions, head.Rev)
		_, _, err = s.Changes(t.Context(), revisions+1, 10)
		assert.ErrorIs(t, err, ErrAhead)
	})
}

func TestAPageOfChangesIsBoundedByBytes(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	large := []byte(`"` + strings.Repeat("x", MaxBody-2) + `"`)
	for range 11 {
		apply(t, s, Put("m", "a", large, Any))
	}
	changes, _, err := s.Changes(t.Context(), 0, 100)
	require.NoError(t, err)
	assert.Len(t, changes, maxPageBytes/MaxBody)
	changes, _, err = s.Changes(t.Context(), 8, 100)
	require.NoError(t, err)
	assert.Len(t, changes, 3)
}

func TestASnapshotIsOneState(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		apply(t, s, Put("b", "1", body("1"), Absent), Put("a", "2", body("1"), Absent), Put("a", "1", body("1"), Absent))
		apply(t, s, Delete("a", "1", 1), Put("a", "3", body("2"), Absent))
		var got []string
		head, err := s.Snapshot(t.Context(), func(head Head, r Resource) error {
			if len(got) == 0 {
				apply(t, s, Put("a", "2", body("3"), Any), Put("b", "2", body("3"), Any), Delete("b", "1", Any)) // not seen
			}
			assert.EqualValues(t, 2, head.Rev)
			got = append(got, fmt.Sprintf("%s/%s@%d %s", r.Kind, r.Name, r.Version, r.Body))
			return nil
		})
		require.NoError(t, err)
		assert.EqualValues(t, 2, head.Rev)
		assert.Equal(t, []string{`a/2@1 {"v":"1"}`, `a/3@2 {"v":"2"}`, `b/1@1 {"v":"1"}`}, got)

		stop := errors.New("enough")
		_, err = s.Snapshot(t.Context(), func(Head, Resource) error { return stop })
		assert.ErrorIs(t, err, stop)
	})
}

func TestTheStoreOutlivesItsProcess(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		head := apply(t, s, Put("m", "a", body("1"), Absent))
		require.NoError(t, s.Close())
		s = open(t, options)
		got, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.Equal(t, head, got)
		assert.NoError(t, s.Verify(t.Context()))
	})
}
