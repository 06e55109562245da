package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// Program is one version of a policy, loaded and ready. It implements policy.Program.
//
// Host.Load counts who uses it; each Release gives one use back, and the last one ends it: the calls under way finish,
// later ones fail with policy.ErrBusy, and its memory goes back to the system.
type Program struct {
	host   *Host
	spec   Spec
	key    programKey
	digest string
	log    policyLog
	kv     *keyValues

	runtime    wazero.Runtime
	files      wazero.CompilationCache // nil: compiled in memory
	compiled   wazero.CompiledModule
	fuel       string
	globals    []string
	memory     uint64 // most bytes of one instance's memory
	bound      [policy.OnDone + 1]bool
	restorable bool // its instances can be put back to their snapshots
	isolation  Isolation
	regions    regions
	caps       abi.Caps
	snap       atomic.Pointer[snapshot] // the first instance's
	pool       *pool
	fresh      chan struct{} // with Fresh: a token per instance there may be

	uses     int                     // guarded by Host.mu
	previous atomic.Pointer[Program] // takes the calls while this one is in quarantine; it is one of previous's uses
	health   health
	counts   counts
	end      sync.Once
}

var _ policy.Program = (*Program)(nil)

// view is what a hook is called with.
type view interface {
	size(caps abi.Caps) int
	put(dst []byte, caps abi.Caps)
	appendJSON(dst []byte, caps abi.Caps) []byte
}

type (
	requestView  struct{ *abi.Request }
	responseView struct{ *abi.Response }
	chunkView    struct{ *abi.Chunk }
	doneView     struct{ *abi.Done }
)

func (v requestView) size(caps abi.Caps) int                       { return v.Size(caps) }
func (v requestView) put(dst []byte, caps abi.Caps)                { v.Put(dst, caps) }
func (v requestView) appendJSON(dst []byte, caps abi.Caps) []byte  { return v.AppendJSON(dst, caps) }
func (v responseView) size(abi.Caps) int                           { return v.Size() }
func (v responseView) put(dst []byte, _ abi.Caps)                  { v.Put(dst) }
func (v responseView) appendJSON(dst []byte, caps abi.Caps) []byte { return v.AppendJSON(dst) }
func (v chunkView) size(abi.Caps) int                              { return v.Size() }
func (v chunkView) put(dst []byte, _ abi.Caps)                     { v.Put(dst) }
func (v chunkView) appendJSON(dst []byte, caps abi.Caps) []byte    { return v.AppendJSON(dst) }
func (v doneView) size(abi.Caps) int                               { return v.Size() }
func (v doneView) put(dst []byte, _ abi.Caps)                      { v.Put(dst) }
func (v doneView) appendJSON(dst []byte, caps abi.Caps) []byte     { return v.AppendJSON(dst) }

// Caps are the guest's, and those of the version that stands in for it in quarantine.
func (p *Program) Caps() abi.Caps {
	if q := p.previous.Load(); q != nil {
		return p.caps | q.caps
	}
	return p.caps
}

// Request implements policy.Program.
func (p *Program) Request(in *abi.Request, dst []byte) ([]byte, error) {
	return p.invoke(requestView{in}, policy.Call{Kind: policy.OnRequest, Hooks: p.spec.Hooks,
		BodyLen: len(in.Body), Messages: int(in.Messages)}, dst)
}

// Response implements policy.Program.
func (p *Program) Response(in *abi.Response, dst []byte) ([]byte, error) {
	return p.invoke(responseView{in}, policy.Call{Kind: policy.OnResponse, Hooks: p.spec.Hooks, BodyLen: len(in.Text)}, dst)
}

// Chunk implements policy.Program.
func (p *Program) Chunk(in *abi.Chunk, dst []byte) ([]byte, error) {
	return p.invoke(chunkView{in}, policy.Call{Kind: policy.OnChunk, Hooks: p.spec.Hooks, BodyLen: len(in.Text)}, dst)
}

// Done implements policy.Program.
func (p *Program) Done(in *abi.Done, dst []byte) ([]byte, error) {
	return p.invoke(doneView{in}, policy.Call{Kind: policy.OnDone, Hooks: p.spec.Hooks}, dst)
}

// has tells whether calls of a kind reach the guest.
func (p *Program) has(kind policy.Kind) bool { return p.bound[kind] }

func (p *Program) invoke(v view, c policy.Call, dst []byte) ([]byte, error) {
	if !p.health.well(p.host.now) {
		q := p.previous.Load()
		if q == nil || !q.health.well(p.host.now) {
			p.counts.add(policy.ErrQuarantined)
			return dst, policy.ErrQuarantined
		}
		p = q // never a third: the last good version has none that matters
	}
	if !p.has(c.Kind) {
		return dst, nil
	}
	in, err := p.take(p.limit(c.Kind))
	if err != nil {
		p.counts.add(err)
		return dst, err
	}
	back := false
	defer func() {
		if !back { // the host panics: nobody knows what the instance is in the middle of
			in.rest()
			p.lose(in)
		}
	}()
	out, err := in.run(v, c, dst)
	back = true
	in.rest()
	p.giveBack(in, err)
	return out, err
}

// lose gives up an instance whose call did not come to an end.
func (p *Program) lose(in *instance) {
	if p.isolation == Fresh {
		in.close()
		p.fresh <- struct{}{}
		return
	}
	p.pool.drop(in)
}

// limit is how long a call may take. With Fresh isolation that covers the start of its instance.
func (p *Program) limit(kind policy.Kind) time.Duration {
	if kind == policy.OnChunk {
		return p.spec.ChunkTime
	}
	return p.spec.Time
}

func (p *Program) take(limit time.Duration) (*instance, error) {
	if p.isolation != Fresh {
		return p.pool.take()
	}
	select {
	case _, open := <-p.fresh:
		if !open {
			return nil, policy.ErrBusy
		}
	default:
		return nil, policy.ErrBusy
	}
	in, faults := p.newInstance(context.Background(), limit)
	if faults != nil {
		p.fresh <- struct{}{}
		err := fmt.Errorf("%w: %s", policy.ErrTrapped, faults[0].Text)
		p.ail(err)
		return nil, err
	}
	return in, nil
}

// giveBack decides what becomes of an instance after a call.
func (p *Program) giveBack(in *instance, err error) {
	trapped := err != nil && p.trapped(in, err)
	if in.inTime++; errors.Is(err, policy.ErrDeadline) {
		in.inTime = 0
	}
	if in.calls >= flushEvery || p.isolation == Fresh {
		p.counts.flush(in)
	}
	switch {
	case p.isolation == Fresh:
		in.close()
		p.fresh <- struct{}{}
	case (trapped || p.isolation == Clean) && !in.restore():
		p.counts.flush(in)
		p.pool.drop(in)
	default:
		if in.ticks > 0 && in.fn.stackSize() > keptStack {
			in.bindHooks()
		}
		p.pool.put(in)
	}
}

// errNoRoom marks the failure of a call whose view the guest could not take in. How large a request is, clients decide:
// with large ones, one of them could bring a policy into quarantine, and so switch it off for all others.
var errNoRoom = errors.New("the policy has no room for a view")

// trapped counts an error, and tells whether it was the guest's fault so that its memory is not to be trusted.
func (p *Program) trapped(in *instance, err error) bool {
	p.counts.add(err)
	if errors.Is(err, policy.ErrRefused) {
		return false
	}
	if !errors.Is(err, errNoRoom) && !(errors.Is(err, policy.ErrDeadline) && in.excused()) {
		p.ail(err)
	}
	return true
}

// excused tells whether a call was late for a reason that is not the guest's, or as an exception.
func (in *instance) excused() bool {
	return in.starved || in.seen > largeView || in.inTime >= exceptional
}

// exceptional is after how many calls in time one of the same instance that is late is an exception: of what a hypervisor
// gives to others nobody tells, and one request in many that takes long costs less than a policy that is switched off.
const exceptional = 20

// largeView is how many bytes a guest may be given before it is the client's doing that its time is not enough. Such
// calls fail, but bring on no quarantine.
const largeView = 64 << 10

// ail counts what may bring on a quarantine.
func (p *Program) ail(err error) {
	if pause := p.health.trap(p.host.now()); pause > 0 {
		p.log.host(abi.LogError, "it is in quarantine for %v: %v", pause, err)
	}
}

// run makes one call of an instance.
func (in *instance) run(v view, c policy.Call, dst []byte) ([]byte, error) {
	p := in.program
	in.calls++
	if p.isolation != Fresh {
		in.begin(p.limit(c.Kind))
	}
	n, err := in.write(v)
	if err != nil {
		return dst, err
	}
	in.seen = n
	result, err := in.callFunction(&in.hooks[c.Kind], uint64(n))
	if err != nil {
		return dst, err
	}
	if in.calls%sampleEvery == 1 {
		in.program.counts.sample(uint64(in.ticks)*fuelSlice + fuelSlice - in.fuel.Get())
	}
	out, err := in.read(int64(result), c, dst)
	clear(in.input[:n])
	return out, err
}

// write puts the view into the guest's input buffer and returns its length.
func (in *instance) write(v view) (int, error) {
	caps := in.program.caps
	if caps&abi.CapJSON != 0 {
		return in.writeJSON(v, caps)
	}
	n := v.size(caps)
	if n > len(in.input) {
		if err := in.enlarge(n); err != nil {
			return 0, err
		}
	}
	v.put(in.input, caps)
	return n, nil
}

func (in *instance) writeJSON(v view, caps abi.Caps) (int, error) {
	text := v.appendJSON(in.input[:0:len(in.input)], caps)
	if len(text) <= len(in.input) {
		return len(text), nil
	}
	clear(in.input)
	if err := in.enlarge(len(text)); err != nil {
		return 0, err
	}
	return copy(in.input, text), nil
}

// enlarge asks for an input buffer of at least n bytes, with room to spare. An instance that is put back after every
// call keeps the larger buffer in a snapshot of its own, for at this moment nothing has happened to it; but no very
// large one, or one large request would make every later call put back as much.
func (in *instance) enlarge(n int) error {
	if err := in.allocate(roundUp(n)); err != nil {
		return fmt.Errorf("%w of %d bytes: %w", errNoRoom, n, err)
	}
	if in.program.isolation == Clean && n <= keptGrowth {
		in.snap = takeSnapshot(in.all(), in.globals, in.buffer)
	}
	return nil
}

// read checks what the guest decided, and carries out what is the host's to do.
func (in *instance) read(result int64, c policy.Call, dst []byte) ([]byte, error) {
	if result == 0 {
		return dst, nil
	}
	if result < 0 {
		return dst, fmt.Errorf("%w: %s", policy.ErrRefused, resultName(result))
	}
	at, n := uint32(result>>32), uint32(result)
	list, ok := in.memory.Read(at, n)
	if !ok {
		return dst, fmt.Errorf("%w: %d bytes at %d are not in its memory of %d", policy.ErrActions, n, at, in.memory.Size())
	}
	out, stats, err := policy.Check(dst, list, c)
	if err != nil {
		return dst, err
	}
	if stats.Ignored > 0 {
		in.program.counts.ignored.Add(uint64(stats.Ignored))
	}
	if stats.Hosted > 0 {
		in.carryOut(out[len(dst):])
		out = out[:len(dst)+len(policy.WithoutHosted(out[len(dst):]))]
	}
	return out, nil
}

// carryOut does the logs and key-values of a checked list.
func (in *instance) carryOut(list []byte) {
	p, now := in.program, in.nowMS()
	for len(list) > 0 {
		a, rest, err := abi.Next(list)
		if err != nil {
			return
		}
		switch a.Tag {
		case abi.TagLog:
			p.log.guest(a.Log())
		case abi.TagKVPut:
			ttl, key, value := a.KVPut()
			p.kv.put(key, value, ttl, now)
		case abi.TagKVAdd:
			delta, ttl, key := a.KVAdd()
			p.kv.add(key, delta, ttl, now)
		}
		list = rest
	}
}

// shareSnapshot returns the first instance's snapshot if s is the same.
func (p *Program) shareSnapshot(s *snapshot) *snapshot {
	if p.snap.CompareAndSwap(nil, s) {
		return s
	}
	if first := p.snap.Load(); first.equal(s) {
		return first
	}
	return s
}

// roundUp is the next power of two.
func roundUp(n int) int {
	size := firstBuffer
	for size < n {
		size *= 2
	}
	return size
}
