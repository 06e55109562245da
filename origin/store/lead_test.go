package store

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/origin/store/pgtest"
)

func TestOnlyOneLeads(t *testing.T) {
	onEach(t, func(t *testing.T, options Options) {
		options.leadFor = time.Second
		s := open(t, options)
		lead, ok, err := s.TryLead(t.Context(), "job")
		require.NoError(t, err)
		require.True(t, ok)
		_, ok, err = s.TryLead(t.Context(), "job")
		require.NoError(t, err)
		assert.False(t, ok)
		other, ok, err := s.TryLead(t.Context(), "another job")
		require.NoError(t, err)
		assert.True(t, ok)

		time.Sleep(3 * options.leadFor / 2)
		require.NoError(t, lead.Context().Err(), "it is renewed")
		_, ok, err = s.TryLead(t.Context(), "job")
		require.NoError(t, err)
		assert.False(t, ok)
		lead.Release()
		assert.Error(t, lead.Context().Err())
		lead, ok, err = s.TryLead(t.Context(), "job")
		require.NoError(t, err)
		assert.True(t, ok)

		require.NoError(t, s.Close())
		assert.Error(t, lead.Context().Err(), "the store's end is the lead's")
		assert.Error(t, other.Context().Err())
		_, _, err = s.TryLead(t.Context(), "job")
		assert.Error(t, err)
	})
}

func TestManyOriginsHaveOneLead(t *testing.T) {
	options := Options{URL: pgtest.Database(t), leadFor: 5 * time.Second}
	stores := []*Store{open(t, options), open(t, options)}
	var leading, led atomic.Int64
	testkit.Hammer(6, 20, func(g, _ int) {
		lead, ok, err := stores[g%2].TryLead(t.Context(), "job")
		if assert.NoError(t, err) && ok {
			assert.EqualValues(t, 1, leading.Add(1))
			led.Add(1)
			leading.Add(-1)
			lead.Release()
		}
	})
	assert.NotZero(t, led.Load())
}

func TestALeadThatCannotBeRenewedEndsBeforeOthersTakeIt(t *testing.T) {
	options := Options{URL: pgtest.Database(t), leadFor: time.Second}
	holder, other := open(t, options), open(t, options)
	lead, ok, err := holder.TryLead(t.Context(), "job")
	require.NoError(t, err)
	require.True(t, ok)
	var lost atomic.Bool
	go func() { <-lead.Context().Done(); lost.Store(true) }()
	require.NoError(t, holder.write().Close()) // as if its network had gone
	testkit.Eventually(t, 20*time.Second, func() error {
		wasLost := lost.Load()
		_, ok, err := other.TryLead(t.Context(), "job")
		if err == nil && !ok {
			err = errors.New("not free yet")
		}
		if err == nil {
			assert.True(t, wasLost)
		}
		return err
	})
	lead.Release() // does nothing more
}

func TestALeadThatSomebodyElseTookIsLost(t *testing.T) {
	s := open(t, Options{URL: databases["sqlite"](t), leadFor: 100 * time.Millisecond})
	lead, ok, err := s.TryLead(t.Context(), "job")
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, s.Update(t.Context(), func(tx *Tx) error {
		return tx.run("update leads set holder = 'x', until = {now} + 1000000000 where name = 'job'")
	}))
	select {
	case <-lead.Context().Done():
	case <-time.After(10 * time.Second):
		t.Fatal("it has not noticed")
	}
	lead.Release()
	assert.Equal(t, 1, count(t, s, "leads"), "it leaves the other one's lead alone")
}
