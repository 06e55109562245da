package wasmhost

import (
	"bytes"
	"runtime"
	"strings"
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

// remembering keeps the first 8 bytes of each request's tenant in a global and in memory, and answers with what it kept
// of the request before: as a cache salt of 16 bytes.
func remembering() guest {
	g := guest{list: abi.AppendCacheSalt(nil, make([]byte, 16))}
	g.funcs = func(m *w.Module) { m.Global(w.I64, true, w.I64Const(0)) }
	const salt = listAt + 8
	g.request = w.Code(
		w.I32Const(salt), w.GlobalGet(0), w.Load(w.OpI64Store, 0),
		w.I32Const(salt+8), w.I32Const(heapAt), w.Load(loadI64, 0), w.Load(w.OpI64Store, 0),
		w.I32Const(bufferAt), w.Load(w.OpI32Load, 80), w.Load(loadI64, bufferAt), w.GlobalSet(0),
		w.I32Const(heapAt), w.GlobalGet(0), w.Load(w.OpI64Store, 0),
		g.listed())
	return g
}

func salt(t *testing.T, list []byte) string {
	t.Helper()
	a, rest, err := abi.Next(list)
	require.NoError(t, err)
	require.Empty(t, rest)
	require.Equal(t, abi.TagCacheSalt, a.Tag)
	return string(a.Text())
}

func ofTenant(name string) *abi.Request { return &abi.Request{Tenant: []byte(name)} }

func TestIsolation(t *testing.T) {
	fresh := strings.Repeat("\x00", 16)
	for isolation, want := range map[Isolation]string{Shared: "tenantAAtenantAA", Clean: fresh, Fresh: fresh} {
		t.Run(isolation.String(), func(t *testing.T) {
			p := load(t, newHost(t, Options{}), Spec{Module: remembering().bytes(), Isolation: isolation})
			in := alone(t, p)
			first, err := p.Request(ofTenant("tenantAA"), nil)
			require.NoError(t, err)
			assert.Equal(t, fresh, salt(t, first))
			second, err := p.Request(ofTenant("tenantBB"), nil)
			require.NoError(t, err)
			assert.Equal(t, want, salt(t, second))
			if in != nil {
				assert.NotContains(t, string(in.input), "tenant", "the input buffer")
				assert.Equal(t, isolation == Shared, bytes.Contains(in.all(), []byte("tenant")))
			}
		})
	}
}

// alone takes every instance but one out of the pool, so that all calls meet the one it returns.
func alone(t *testing.T, p *Program) *instance {
	t.Helper()
	var rest []*instance
	for {
		in := p.pool.find()
		if in == nil {
			break
		}
		rest = append(rest, in)
	}
	if rest == nil {
		return nil
	}
	p.pool.put(rest[0])
	t.Cleanup(func() {
		for _, in := range rest[1:] {
			p.pool.put(in)
		}
	})
	return rest[0]
}

func TestInputIsClearedWhateverTheCallDoes(t *testing.T) {
	g := guest{caps: abi.CapJSON}
	g.request = w.I64Const(abi.ErrInternal)
	g.alloc = w.Code(w.LocalGet(0), w.I32Const(firstBuffer), w.Op(opI32GtU), w.If(w.Op(w.OpUnreachable)), w.I32Const(bufferAt))
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes()})
	in := alone(t, p)
	_, err := p.Request(ofTenant("secret"), nil)
	require.ErrorIs(t, err, policy.ErrRefused)
	assert.NotContains(t, string(in.all()), "secret")
	_, err = p.Request(&abi.Request{Tenant: []byte(strings.Repeat("secret", 1000))}, nil)
	require.ErrorIs(t, err, policy.ErrTrapped, "its buffer does not grow so far")
	assert.NotContains(t, string(in.all()), "secret")
}

// growing gives out a buffer behind the first page for every larger view, and grows its memory by so many pages for it.
func growing(by int32) guest {
	g := guest{list: target("eu"), caps: abi.CapBody, pages: 1, maxPages: w.NoMax}
	g.alloc = w.Code(w.LocalGet(0), w.I32Const(8<<10), w.Op(opI32GtU), // > u
		w.Op(0x04, w.I32), w.I32Const(by), w.MemoryGrow(), w.I32Const(pageSize), w.Op(w.OpI32Mul),
		w.Op(w.OpElse), w.I32Const(bufferAt), w.Op(w.OpEnd))
	return g
}

func TestALargerViewGetsALargerBuffer(t *testing.T) {
	for _, isolation := range []Isolation{Shared, Clean, Fresh} {
		t.Run(isolation.String(), func(t *testing.T) {
			p := load(t, newHost(t, Options{}), Spec{Module: growing(4).bytes(), Isolation: isolation, Time: time.Second})
			in := alone(t, p)
			for range 3 {
				got, err := p.Request(&abi.Request{Body: bytes.Repeat([]byte("secret"), 20_000)}, nil)
				require.NoError(t, err)
				assert.Equal(t, target("eu"), got)
			}
			if in != nil {
				assert.Equal(t, 128<<10, len(in.input), "the buffer is kept")
				assert.Equal(t, uint32(5*pageSize), in.memory.Size(), "it was asked for once")
				assert.NotContains(t, string(in.all()), "secret")
			}
		})
	}
}

func TestAnInstanceThatGrewFarIsReplaced(t *testing.T) {
	g := guest{list: target("eu")}
	g.request = w.Code(unless(w.I32Const(100), w.MemoryGrow(), w.Op(w.OpDrop), w.Op(w.OpUnreachable)), g.listed())
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes(), Time: time.Second})
	in := alone(t, p)
	_, err := p.Request(evil, nil)
	require.ErrorIs(t, err, policy.ErrTrapped)
	assert.Equal(t, gone, in.state.Load())
	require.Eventually(t, func() bool { _, err := p.Request(good, nil); return err == nil }, time.Second, time.Millisecond)
	assert.Less(t, p.Status().Memory, uint64(10*pageSize))
}

// A large request leaves nothing behind that every later call would have to put back.
func TestALargeViewIsNotKept(t *testing.T) {
	p := load(t, newHost(t, Options{}), Spec{Module: growing(64).bytes(), Isolation: Clean, Time: time.Second})
	in := alone(t, p)
	got, err := p.Request(&abi.Request{Body: make([]byte, 2*keptGrowth)}, nil)
	require.NoError(t, err)
	assert.Equal(t, target("eu"), got)
	assert.Equal(t, gone, in.state.Load())
	require.Eventually(t, func() bool { _, err := p.Request(good, nil); return err == nil }, time.Second, time.Millisecond)
	assert.Less(t, p.Status().Memory, uint64(keptGrowth))
}

// tableSetter changes a table when it is called: its snapshot would not bring that back.
func tableSetter() guest {
	g := guest{list: target("eu"), funcs: func(m *w.Module) { m.Table(w.FuncRef, 4, 4) }}
	g.request = w.Code(w.I32Const(0), w.RefNull(w.FuncRef), w.TableSet(0), unless(w.Op(w.OpUnreachable)), g.listed())
	return g
}

func TestStateOutsideSnapshots(t *testing.T) {
	h := newHost(t, Options{})
	clean := load(t, h, Spec{Module: tableSetter().bytes(), Isolation: Clean})
	assert.Equal(t, "fresh", clean.Status().Isolation)
	got, err := clean.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, target("eu"), got)

	shared := load(t, h, Spec{Module: tableSetter().bytes()})
	in := alone(t, shared)
	_, err = shared.Request(evil, nil)
	require.ErrorIs(t, err, policy.ErrTrapped)
	assert.Equal(t, gone, in.state.Load(), "it is replaced after a trap")
}

func TestBusy(t *testing.T) {
	p := load(t, newHost(t, Options{}), Spec{Module: guest{list: target("eu")}.bytes()})
	var all []*instance
	require.Eventually(t, func() bool { // more are made while callers wait
		if in, err := p.pool.take(); err == nil {
			all = append(all, in)
		}
		return len(all) == len(p.pool.slots)
	}, 5*time.Second, time.Millisecond)
	_, err := p.Request(good, nil)
	require.ErrorIs(t, err, policy.ErrBusy)
	assert.Equal(t, map[string]uint64{"busy": 1}, p.Status().Errors)

	for _, in := range all {
		p.pool.put(in)
	}
	_, err = p.Request(good, nil)
	require.NoError(t, err)
	assert.Equal(t, len(all), p.Status().Instances)
}

func TestAWaiterGetsWhatIsGivenBack(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p := load(t, newHost(t, Options{}), Spec{Module: guest{list: target("eu")}.bytes()})
	p.pool.started = time.Hour // none is made
	in, err := p.pool.take()
	require.NoError(t, err)
	got := make(chan error)
	go func() {
		_, err := p.Request(good, nil)
		got <- err
	}()
	require.Eventually(t, func() bool { return p.pool.waiting.Load() > 0 }, time.Second, time.Microsecond)
	p.pool.put(in)
	require.NoError(t, <-got)
	assert.Zero(t, p.pool.waiting.Load())
	assert.Equal(t, idle, in.state.Load())
}

func TestManyCallers(t *testing.T) {
	p := load(t, newHost(t, Options{}), Spec{Module: guest{list: target("eu")}.bytes()})
	var wg sync.WaitGroup
	var busy atomic.Int32
	const callers, calls = 64, 500
	for range callers {
		wg.Go(func() {
			for range calls {
				if _, err := p.Request(good, nil); err != nil {
					assert.ErrorIs(t, err, policy.ErrBusy)
					busy.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.Less(t, busy.Load(), int32(callers*calls/2), "callers that do nothing else may meet owners without a processor")
	assert.Zero(t, p.pool.waiting.Load())
}
