package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

const (
	writers = 6
	rounds  = 30
)

// TestManyWritersMakeOneHistory lets writers race for one resource and for their own, while readers follow.
func TestManyWritersMakeOneHistory(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		first := open(t, options)
		handles := []*Store{first}
		if isPostgres(options.URL) {
			handles = append(handles, open(t, options), open(t, options)) // as if other origins
		}
		ctx, cancel := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for _, s := range handles {
			readers.Go(func() { assert.NoError(t, followTo(ctx, s, writers*rounds)) })
		}
		var made, conflicts atomic.Int64
		testkit.Hammer(writers, rounds, func(g, i int) {
			s := handles[g%len(handles)]
			for ctx.Err() == nil {
				var version int64
				if r, err := s.Get(ctx, "m", "shared"); err == nil {
					version = r.Version
				}
				_, err := s.Apply(ctx, ChangeSet{Actor: fmt.Sprint("writer ", g), Ops: []Op{
					Put("m", "shared", body(fmt.Sprint(g, i)), version), Put("m", fmt.Sprint(g), body(fmt.Sprint(i)), Any)}})
				if errors.Is(err, ErrConflict) {
					conflicts.Add(1)
					continue
				}
				if assert.NoError(t, err) {
					made.Add(1)
				}
				return
			}
		})
		done := make(chan struct{})
		go func() { readers.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Error("a reader has missed the last revision")
		}
		cancel()
		<-done
		head, err := first.Head(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, writers*rounds, head.Rev)
		assert.EqualValues(t, head.Rev, made.Load())
		assert.NoError(t, first.Verify(t.Context()))
		t.Logf("%d revisions, %d conflicts", made.Load(), conflicts.Load())
	})
}

// followTo reads the changes up to a revision as a watch tells of them, and checks that each follows the one before.
func followTo(ctx context.Context, s *Store, last int64) error {
	var at int64
	var chain Chain
	for range s.Watch(ctx) {
		for {
			changes, head, err := s.Changes(ctx, at, 7)
			if err != nil {
				return err
			}
			for _, c := range changes {
				if c.Rev != at+1 || c.Chain != chain.Next(c.Rev, c.Payload) || len(c.Ops) != 2 {
					return fmt.Errorf("revision %d does not follow %d", c.Rev, at)
				}
				at, chain = c.Rev, c.Chain
			}
			if at == last {
				return nil
			}
			if at == head.Rev {
				break
			}
		}
	}
	return fmt.Errorf("the watch ended at revision %d", at)
}

func TestOneOfManyWins(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		var won, lost atomic.Int64
		testkit.Hammer(16, 1, func(g, _ int) {
			_, err := s.Apply(t.Context(), ChangeSet{Actor: "racer", Ops: []Op{Put("m", "a", body(fmt.Sprint(g)), Absent)}})
			if errors.Is(err, ErrConflict) {
				lost.Add(1)
			} else if assert.NoError(t, err) {
				won.Add(1)
			}
		})
		assert.EqualValues(t, 1, won.Load())
		assert.EqualValues(t, 15, lost.Load())
	})
}

func TestAKeySentManyTimesAtOnceMakesOneRevision(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		testkit.Hammer(8, 4, func(_, i int) {
			head, err := s.Apply(t.Context(), ChangeSet{Actor: "a", Key: fmt.Sprint(i), Ops: []Op{Put("m", fmt.Sprint(i), body(""), Absent)}})
			assert.NoError(t, err)
			assert.NotZero(t, head.Rev)
		})
		head, err := s.Head(t.Context())
		require.NoError(t, err)
		assert.EqualValues(t, 4, head.Rev)
	})
}

func TestDeadlocksAreTriedAgain(t *testing.T) {
	options := Options{URL: pgtest.Database(t), Schemas: []Schema{{Name: "test", Steps: []string{
		"create table pair (id bigint primary key, n bigint not null); insert into pair values (1, 0), (2, 0)"}}}}
	s := open(t, options)
	const changes = 20
	var tries atomic.Int64
	testkit.Hammer(4, changes, func(g, _ int) {
		err := s.Update(t.Context(), func(tx *Tx) error {
			tries.Add(1)
			for i := range 2 {
				if err := tx.run("update pair set n = n + 1 where id = ?", 1+(g+i)%2); err != nil {
					return err
				}
			}
			return nil
		})
		assert.NoError(t, err)
	})
	var n int64
	require.NoError(t, s.View(t.Context(), func(tx *Tx) error { return tx.Row("select n from pair where id = 1").Scan(&n) }))
	assert.EqualValues(t, 4*changes, n)
	t.Logf("%d tries for %d transactions", tries.Load(), 4*changes)
}

func TestTriesAreBounded(t *testing.T) {
	s := open(t, Options{URL: pgtest.Database(t)})
	tries := 0
	err := s.Update(t.Context(), func(tx *Tx) error {
		tries++
		return tx.run("do $$ begin raise exception 'no' using errcode = '40001'; end $$")
	})
	assert.ErrorContains(t, err, "cannot get a transaction through in 10 tries")
	assert.Equal(t, maxTries, tries)

	ctx, cancel := context.WithCancel(t.Context())
	err = s.Update(ctx, func(tx *Tx) error {
		defer cancel()
		return tx.run("do $$ begin raise exception 'no' using errcode = '40001'; end $$")
	})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestACommitWithoutAnAnswerIsInDoubt(t *testing.T) {
	s := open(t, Options{URL: pgtest.Database(t)})
	err := s.Update(t.Context(), func(tx *Tx) error {
		var pid int
		if err := tx.Row("select pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := s.write().ExecContext(t.Context(), "select pg_terminate_backend($1, 10000)", pid)
		return err
	})
	require.ErrorIs(t, err, ErrUnknown)
	assert.ErrorContains(t, err, "repeat the change with the same idempotency key")
	apply(t, s, Put("m", "a", body(""), Absent))
}

// TestAServerThatStopsAndStartsLosesNothing lets writers repeat what failed, with the key that they began with.
func TestAServerThatStopsAndStartsLosesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server several times")
	}
	server := pgtest.Own(t)
	url, err := server.NewSchema(t.Context())
	require.NoError(t, err)
	options := Options{URL: url, poll: 50 * time.Millisecond}
	stores := []*Store{open(t, options), open(t, options)}
	var done, failures atomic.Int64
	var group sync.WaitGroup
	group.Go(func() {
		testkit.Hammer(4, 60, func(g, i int) {
			set := ChangeSet{Actor: "a", Key: fmt.Sprint(g, "/", i), Ops: []Op{Put("m", fmt.Sprint(g), body(fmt.Sprint(i)), Any)}}
			for {
				if _, err := stores[g%2].Apply(t.Context(), set); err == nil {
					done.Add(1)
					return
				}
				failures.Add(1)
				time.Sleep(5 * time.Millisecond)
			}
		})
	})
	for _, at := range []int64{40, 120, 200} {
		testkit.Eventually(t, time.Minute, func() error {
			if n := done.Load(); n < at {
				return fmt.Errorf("%d changes so far", n)
			}
			return nil
		})
		server.Halt()
		require.NoError(t, server.Run())
	}
	group.Wait()
	head, err := stores[0].Head(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 4*60, head.Rev, "each change is one revision, whatever its writer was told")
	assert.NoError(t, stores[0].Verify(t.Context()))
	assert.NotZero(t, failures.Load())
}

func TestAFullDiskRefusesChangesAndLosesNothing(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t)})
	apply(t, s, Put("m", "a", body("1"), Absent))
	limitPages := func(pages int) {
		_, err := s.write().ExecContext(t.Context(), fmt.Sprint("pragma max_page_count = ", pages))
		require.NoError(t, err)
	}
	limitPages(1) // as many as there are
	large := body(strings.Repeat("x", 100_000))
	_, err := s.Apply(t.Context(), ChangeSet{Actor: "a", Ops: []Op{Put("m", "a", body("2"), 1), Put("m", "b", large, Absent)}})
	require.ErrorContains(t, err, "cannot store the change of a: database or disk is full")
	require.NoError(t, s.Verify(t.Context()))
	limitPages(1 << 20)
	assert.EqualValues(t, 2, apply(t, s, Put("m", "a", body("2"), 1), Put("m", "b", large, Absent)).Rev)
	require.NoError(t, s.Verify(t.Context()))
}

func TestContextsAreRespected(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Apply(ctx, ChangeSet{Actor: "a", Ops: []Op{Put("m", "a", body(""), Any)}})
		assert.ErrorIs(t, err, context.Canceled)
		_, err = s.Head(ctx)
		assert.ErrorIs(t, err, context.Canceled)

		// A change that waits for another one gives up in time.
		err = s.Update(t.Context(), func(tx *Tx) error {
			if _, err := tx.head("{for update}"); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := s.Apply(ctx, ChangeSet{Actor: "a", Ops: []Op{Put("m", "a", body(""), Any)}})
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			return nil
		})
		require.NoError(t, err)
		apply(t, s, Put("m", "a", body(""), Absent))
	})
}

func TestWatch(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		s := open(t, options)
		ctx, cancel := context.WithCancel(t.Context())
		told := s.Watch(ctx)
		apply(t, s, Put("m", "a", body("1"), Any))
		assert.EqualValues(t, 1, <-told)
		apply(t, s, Put("m", "a", body("2"), Any))
		apply(t, s, Put("m", "a", body("3"), Any))
		assert.EqualValues(t, 3, <-told, "the slow miss what is in between")
		assert.EqualValues(t, 3, <-s.Watch(ctx), "a new one is told at once")
		cancel()
		_, more := <-told
		assert.False(t, more)

		told = s.Watch(t.Context())
		require.NoError(t, s.Close())
		for range told {
		}
		_, more = <-s.Watch(t.Context())
		assert.False(t, more, "a closed store tells nothing")
	})
}

func TestOthersRevisionsAreSeen(t *testing.T) {
	t.Run("when they are announced", func(t *testing.T) {
		options := Options{URL: pgtest.Database(t), poll: time.Hour}
		seesOthers(t, options)
	})
	t.Run("when nothing is announced", func(t *testing.T) {
		options := Options{URL: pgtest.Database(t), poll: 20 * time.Millisecond}
		seesOthers(t, options, func(s *Store) { s.dialect.(*postgresDB).notifies = false })
	})
}

func seesOthers(t *testing.T, options Options, prepare ...func(*Store)) {
	writer, reader := open(t, options), open(t, options)
	for _, f := range prepare {
		f(writer)
	}
	told := reader.Watch(t.Context())
	for rev := range int64(3) {
		apply(t, writer, Put("m", "a", body(fmt.Sprint(rev)), Any))
		select {
		case got := <-told:
			assert.Equal(t, rev+1, got)
		case <-time.After(10 * time.Second):
			t.Fatal("not told")
		}
	}
}

func TestABrokenConnectionIsReplaced(t *testing.T) {
	options := Options{URL: pgtest.Database(t), poll: 20 * time.Millisecond}
	s, other := open(t, options), open(t, options)
	told := s.Watch(t.Context())
	apply(t, other, Put("m", "a", body("1"), Any))
	assert.EqualValues(t, 1, <-told)
	_, err := other.dialect.write().ExecContext(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
		where pid <> pg_backend_pid() and backend_type = 'client backend'`)
	require.NoError(t, err)
	testkit.Eventually(t, 10*time.Second, func() error {
		_, err := other.Apply(t.Context(), ChangeSet{Actor: "a", Ops: []Op{Put("m", "a", body("2"), Any)}})
		return err
	})
	for rev := range told {
		if rev >= 2 {
			break
		}
	}
	_, err = s.Get(t.Context(), "m", "a")
	assert.NoError(t, err)
}
