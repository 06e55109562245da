package wasmhost

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// generation is the n-th version of a policy, which answers with its number.
func generation(n int) []byte {
	g := guest{list: abi.AppendMaxTokens(nil, uint32(n)+1), pages: 4, maxPages: 4}
	return g.bytes()
}

// held is a program with those who call it: what a snapshot of the node's catalog is to its requests.
type held struct {
	*Program
	users sync.WaitGroup
}

// TestSwaps replaces a policy 300 times under load.
func TestSwaps(t *testing.T) {
	h := newHost(t, Options{CacheDir: filepath.Join(t.TempDir(), "wasm")})
	var mu sync.RWMutex
	current := &held{Program: load(t, h, Spec{Module: generation(0)})}
	acquire := func() *held {
		mu.RLock()
		defer mu.RUnlock()
		current.users.Add(1)
		return current
	}
	var stop atomic.Bool
	var calls, newest atomic.Int64
	var callers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		callers.Go(func() {
			for !stop.Load() {
				p := acquire()
				list, err := p.Request(good, nil)
				p.users.Done()
				if !assert.NoError(t, err) || !assert.Len(t, list, 12) {
					return
				}
				newest.Store(max(newest.Load(), int64(binary.LittleEndian.Uint32(list[8:]))))
				calls.Add(1)
				runtime.Gosched()
			}
		})
	}
	swap := func(n int) {
		next := &held{Program: load(t, h, Spec{Module: generation(n)})}
		mu.Lock()
		old := current
		current = next
		mu.Unlock()
		old.users.Wait()
		old.Release()
	}
	for n := range 50 {
		swap(n + 1)
	}
	goroutines, heap, resident := footprint()
	for n := 50; n < 350; n++ {
		swap(n + 1)
	}
	moreGoroutines, moreHeap, moreResident := footprint()
	stop.Store(true)
	callers.Wait()

	assert.Equal(t, int64(351), newest.Load())
	assert.Greater(t, calls.Load(), int64(1000))
	assert.LessOrEqual(t, moreGoroutines, goroutines+2)
	assert.Less(t, moreHeap, heap+2<<20)
	assert.Less(t, moreResident, resident+16<<20, "300 versions had more than 100 MiB")
	t.Logf("heap %d -> %d KiB, resident %d -> %d KiB, %d calls", heap>>10, moreHeap>>10, resident>>10, moreResident>>10, calls.Load())
	assert.Len(t, h.Status(), 2, "the last version and its fallback")
	current.Release()
	assert.Empty(t, h.Status())
}

// footprint is how many goroutines there are, and how many bytes of heap and, on Linux, of memory at all.
func footprint() (goroutines int, heap, resident uint64) {
	for range 3 { // finalizers free machine code
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size uint64
		_, _ = fmt.Sscan(string(text), &size, &resident)
	}
	return runtime.NumGoroutine(), m.HeapAlloc, resident * uint64(os.Getpagesize())
}

func TestTheSameSpecIsTheSameProgram(t *testing.T) {
	h := newHost(t, Options{})
	spec := Spec{Module: generation(1)}
	first := load(t, h, spec)
	second := load(t, h, spec)
	assert.Same(t, first, second)
	for name, other := range map[string]Spec{
		"module":    {Module: generation(2)},
		"config":    {Module: generation(1), Config: []byte(`{"a":1}`)},
		"hooks":     {Module: generation(1), Hooks: policy.Route | policy.Prompt},
		"isolation": {Module: generation(1), Isolation: Clean},
		"memory":    {Module: generation(1), Memory: 1 << 20},
		"time":      {Module: generation(1), Time: time.Second},
		"name":      {Name: "other", Module: generation(1)},
	} {
		p := load(t, h, other)
		assert.NotSame(t, first, p, name)
		p.Release()
	}
	first.Release()
	_, err := second.Request(good, nil)
	require.NoError(t, err, "it is still in use")
	second.Release()
	_, err = second.Request(good, nil)
	require.ErrorIs(t, err, policy.ErrBusy)
}

func TestReleaseWaitsForCalls(t *testing.T) {
	g := guest{list: target("eu"), request: w.Code(unless(w.Forever()), (&guest{list: target("eu")}).listed())}
	for _, isolation := range []Isolation{Shared, Fresh} {
		h := newHost(t, Options{})
		p := load(t, h, Spec{Module: g.bytes(), Time: 30 * time.Millisecond, Isolation: isolation})
		ended := make(chan time.Time, 1)
		go func() {
			_, err := p.Request(evil, nil)
			assert.ErrorIs(t, err, policy.ErrDeadline)
			ended <- time.Now()
		}()
		require.Eventually(t, func() bool { return running(p) }, time.Second, time.Microsecond)
		p.Release()
		released := time.Now()
		assert.WithinRange(t, <-ended, released.Add(-time.Second), released.Add(5*time.Millisecond))
	}
}

// running tells whether a call is under way.
func running(p *Program) bool {
	if p.fresh != nil {
		return len(p.fresh) < cap(p.fresh)
	}
	for i := range p.pool.slots {
		if in := p.pool.slots[i].Load(); in != nil && in.state.Load() == taken {
			return true
		}
	}
	return false
}

func TestHooksAndExports(t *testing.T) {
	h := newHost(t, Options{})
	for name, c := range map[string]struct {
		g     guest
		hooks policy.Hook
		want  []string
	}{
		"no chunk hook":       {guest{}, policy.Chunk, []string{"does not export wedge1_chunk (i32) -> i64, and the hook chunk needs it"}},
		"no bit":              {guest{done: w.I64Const(0)}, policy.Done, []string{"the hook done needs bit 256"}},
		"two hooks":           {guest{}, policy.Response | policy.Done, []string{"wedge1_response", "wedge1_done"}},
		"nothing but imports": {guest{before: func(m *w.Module) { m.ImportFunc("a", "b", none, none) }}, policy.Chunk, []string{"a.b", "wedge1_chunk"}},
	} {
		faults := h.Check(context.Background(), Spec{Name: name, Module: c.g.bytes(), Hooks: c.hooks})
		if assert.Len(t, faults, len(c.want), name) {
			for i, want := range c.want {
				assert.Contains(t, faults[i].Text, want, name)
			}
		}
	}
	empty := &w.Module{}
	faults := h.Check(context.Background(), Spec{Module: empty.Bytes(), Hooks: policy.Route})
	assert.Len(t, faults, 5, "memory, caps, alloc, init, request: %v", faults)
	_, err := h.Load(context.Background(), Spec{Name: "idle", Module: guest{}.bytes()})
	assert.ErrorContains(t, err, "it is bound to no hook")
}

func TestEveryHook(t *testing.T) {
	g := guest{caps: abi.CapChunk | abi.CapResponse | abi.CapDone, list: abi.AppendText(nil, "new")}
	g.response, g.chunk, g.done = g.listed(), g.listed(), w.Code(g.listed())
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes(), Hooks: policy.Route | policy.Response | policy.Chunk | policy.Done})
	assert.Equal(t, g.caps, p.Caps())
	text := abi.AppendText(nil, "new")
	got, err := p.Response(&abi.Response{Text: []byte("old")}, nil)
	require.NoError(t, err)
	assert.Equal(t, text, got)
	got, err = p.Chunk(&abi.Chunk{Text: []byte("old")}, nil)
	require.NoError(t, err)
	assert.Equal(t, text, got)
	for range 2 {
		got, err = p.Done(&abi.Done{}, nil)
		require.NoError(t, err)
		assert.Empty(t, got, "there is no text to replace any more")
	}
	got, err = p.Request(good, nil)
	require.NoError(t, err)
	assert.Empty(t, got)
	assert.Equal(t, uint64(3), p.Status().Ignored)
	assert.Equal(t, uint64(5), p.Status().Calls)
}

// A fault of the node's own in the middle of a call costs the instance, and Release does not wait for it.
func TestReleaseAfterAPanic(t *testing.T) {
	for _, isolation := range []Isolation{Shared, Clean, Fresh} {
		h := newHost(t, Options{Log: func(uint32, string, string) { panic("a fault of the node's own") }})
		list := abi.AppendLog(nil, abi.LogInfo, "x")
		p := load(t, h, Spec{Module: guest{list: list, request: result(listAt, len(list))}.bytes(), Isolation: isolation})
		assert.Panics(t, func() { _, _ = p.Request(good, nil) })
		released := make(chan struct{})
		go func() { p.Release(); close(released) }()
		select {
		case <-released:
		case <-time.After(5 * time.Second):
			t.Fatal("Release waits for a call that has ended")
		}
	}
}
