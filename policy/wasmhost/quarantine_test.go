package wasmhost

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// trapping traps on evil and else decides for the target.
func trapping(name string) []byte {
	g := guest{list: target(name)}
	g.request = w.Code(unless(w.Op(w.OpUnreachable)), g.listed())
	return g.bytes()
}

func trap(t *testing.T, p *Program, times int) {
	t.Helper()
	for range times {
		_, err := p.Request(evil, nil)
		require.ErrorIs(t, err, policy.ErrTrapped)
	}
}

func TestQuarantine(t *testing.T) {
	at := &clock{}
	var lines []string
	p := load(t, newHost(t, Options{Now: at.now, Log: func(_ uint32, name, text string) { lines = append(lines, name+": "+text) }}),
		Spec{Module: trapping("eu")})
	call := func() error { _, err := p.Request(good, nil); return err }

	trap(t, p, 2)
	at.pass(trapWindow + time.Second)
	trap(t, p, 2)
	require.NoError(t, call(), "four traps, but never three in ten seconds")
	trap(t, p, 1)
	require.ErrorIs(t, call(), policy.ErrQuarantined)
	until := p.Status().Quarantined
	require.NotNil(t, until)
	assert.InDelta(t, firstPause, until.Sub(at.now()), float64(time.Second))
	require.Len(t, lines, 1)
	assert.Contains(t, lines[0], "test: it is in quarantine for 10s: the policy trapped: unreachable")

	for pause := firstPause; pause < 2*longestPause; pause *= 2 {
		at.pass(min(pause, longestPause) + time.Second)
		require.NoError(t, call(), "tried again after %v", pause)
		assert.Nil(t, p.Status().Quarantined)
		trap(t, p, 1)
		require.ErrorIs(t, call(), policy.ErrQuarantined, "one trap is enough")
	}
	at.pass(longestPause + time.Second)
	require.NoError(t, call())
	at.pass(trapWindow + time.Second)
	trap(t, p, 2)
	require.NoError(t, call(), "it was well for long enough")
	assert.Equal(t, uint64(7), p.Status().Errors["quarantined"])
}

func TestAnErrorIsNoTrap(t *testing.T) {
	p := load(t, newHost(t, Options{}), Spec{Module: guest{request: w.I64Const(abi.ErrBadInput)}.bytes()})
	for range 10 {
		_, err := p.Request(good, nil)
		require.ErrorIs(t, err, policy.ErrRefused)
		require.ErrorContains(t, err, "-2 (bad input)")
	}
}

func TestQuarantineFallsBackToTheLastGoodVersion(t *testing.T) {
	at := &clock{}
	h := newHost(t, Options{Now: at.now})
	decision := func(p *Program) string {
		list, err := p.Request(good, nil)
		if err != nil {
			return err.Error()
		}
		a, _, err := abi.Next(list)
		require.NoError(t, err)
		return string(a.Text())
	}
	v1 := load(t, h, Spec{Module: trapping("v1")})
	v2 := load(t, h, Spec{Module: trapping("v2")})
	v1.Release()
	assert.Equal(t, "v2", decision(v2))
	trap(t, v2, 3)
	assert.Equal(t, "v1", decision(v2))
	assert.Equal(t, v1.digest, v2.Status().Fallback)

	v3 := load(t, h, Spec{Module: trapping("v3")})
	v2.Release()
	trap(t, v3, 3)
	assert.Equal(t, "v1", decision(v3), "v2 was not good")
	require.Len(t, h.Status(), 2)

	at.pass(firstPause + time.Second)
	assert.Equal(t, "v3", decision(v3))
	v4 := load(t, h, Spec{Module: trapping("v4")})
	v3.Release()
	trap(t, v4, 3)
	assert.Equal(t, "v3", decision(v4))
	assert.Len(t, h.Status(), 2, "v1 is gone")
	_, err := v1.Request(good, nil)
	require.ErrorIs(t, err, policy.ErrBusy, "it was released")
	trap(t, v3, 1) // its second time
	assert.Equal(t, policy.ErrQuarantined.Error(), decision(v4), "both are in quarantine")
	v4.Release()
	assert.Empty(t, h.Status())
	assert.Empty(t, h.kv)
}

// What ran for one tenant must not take the calls of several, whose requests it would keep in its memory.
func TestQuarantineNeverFallsBackToLessIsolation(t *testing.T) {
	h := newHost(t, Options{})
	for _, c := range []struct {
		name      string
		last, now Isolation
		want      error
	}{
		{"clean after shared", Shared, Clean, policy.ErrQuarantined},
		{"fresh after clean", Clean, Fresh, policy.ErrQuarantined},
		{"shared after clean", Clean, Shared, nil},
		{"clean after clean", Clean, Clean, nil},
	} {
		load(t, h, Spec{Name: c.name, Module: trapping("v1"), Isolation: c.last})
		v2 := load(t, h, Spec{Name: c.name, Module: trapping("v2"), Isolation: c.now})
		trap(t, v2, 3)
		_, err := v2.Request(good, nil)
		require.ErrorIs(t, err, c.want, c.name)
	}
}

// Clients decide how large a request is: with large ones, none of them may switch a policy off for the others.
func TestNoRoomForAViewIsNoTrap(t *testing.T) {
	for _, isolation := range []Isolation{Shared, Clean} {
		p := load(t, newHost(t, Options{}), Spec{Module: guest{caps: abi.CapBody}.bytes(), Isolation: isolation})
		for range 2 * trapsAllowed {
			_, err := p.Request(&abi.Request{Body: make([]byte, 1<<20)}, nil)
			require.ErrorIs(t, err, errNoRoom)
			require.ErrorIs(t, err, policy.ErrTrapped)
		}
		_, err := p.Request(good, nil)
		require.NoError(t, err)
	}
}

func TestAnExceptionalTimeoutBringsNoQuarantine(t *testing.T) {
	g := guest{list: target("eu")}
	g.request = w.Code(unless(w.Forever()), g.listed())
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes(), Time: 20 * time.Millisecond})
	in, err := p.take(time.Second)
	require.NoError(t, err)
	call := func(r *abi.Request) error { // always of the same instance
		_, err := in.run(requestView{r}, policy.Call{Kind: policy.OnRequest, Hooks: policy.Route}, nil)
		in.rest()
		p.giveBack(in, err)
		require.True(t, in.state.CompareAndSwap(idle, taken))
		return err
	}
	for range 5 {
		for range exceptional {
			require.NoError(t, call(good))
		}
		require.ErrorIs(t, call(evil), policy.ErrDeadline)
	}
	assert.Nil(t, p.Status().Quarantined)
	for range 3 {
		require.ErrorIs(t, call(evil), policy.ErrDeadline)
	}
	assert.NotNil(t, p.Status().Quarantined)
	p.pool.put(in)
}
