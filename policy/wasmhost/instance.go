package wasmhost

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

const (
	fuelSlice   = 20_000  // of fuel between two looks at the clock: some microseconds
	firstBuffer = 4 << 10 // bytes of the input buffer that every instance starts with
	keptGrowth  = 1 << 20 // bytes that a memory may have grown by, or to twice its size, before a trapped instance is replaced
)

// How long a caller waits, beyond a call's limit, for a guest that the system keeps from running: nine times the limit
// within these bounds.
const (
	leastPatience = int64(100 * time.Millisecond)
	mostPatience  = int64(time.Second)
)

// How much of the time between two looks at the clock one call of the host takes, in 64ths.
const (
	workSmall = 1
	workKV    = 4
	workLog   = 32
	workLook  = 64
)

var epoch = time.Now()

// nanotime is a steady clock.
func nanotime() int64 { return int64(time.Since(epoch)) }

// States of an instance. Who moves it from idle to taken owns it.
const (
	idle int32 = iota
	taken
	gone
)

// instance is one guest with its own memory. It is also the context of its calls, so that host functions find it
// without a lookup.
type instance struct {
	context.Context
	state   atomic.Int32
	program *Program
	slot    int // in the pool

	module  api.Module
	memory  api.Memory
	region  *region
	fuel    api.MutableGlobal
	globals []api.MutableGlobal
	hooks   [policy.OnDone + 1]function
	caps    abi.Caps
	buffer  buffer
	input   []byte    // the buffer, in a memory that never moves nor shrinks
	snap    *snapshot // nil: it cannot be put back
	stack   [2]uint64 // parameters and results

	// The call under way.
	limit    time.Duration
	deadline int64 // by nanotime; 0 until the first look at the clock, so that short calls need none
	patience int64 // by nanotime: when the caller has waited enough, whoever had the processor
	spent    int64 // by threadTime, when the clock started; its thread is the caller's alone from then on
	starved  bool  // it is late, but for want of a processor
	fn       *function
	ticks    int
	worked   int
	cause    error // why the host trapped it

	seen   int    // bytes of the view of the call under way
	calls  uint64 // not yet added to the program's
	inTime int    // calls since the last one that was late
}

// newInstance starts a guest and makes it ready for requests. The caller owns it, and calls rest.
func (p *Program) newInstance(ctx context.Context, limit time.Duration) (*instance, []Fault) {
	in := &instance{program: p}
	in.state.Store(taken)
	in.begin(limit)
	if err := in.instantiate(ctx); err != nil {
		in.rest()
		return nil, faultf(StageStart, "its start function or its segments: %v", err)
	}
	in.Context = context.Background()
	faults := in.prepare()
	if faults != nil {
		in.rest()
		in.close()
		return nil, faults
	}
	return in, nil
}

// instantiate also runs the start function, which finds in as its context.
func (in *instance) instantiate(ctx context.Context) (err error) {
	in.Context = experimental.WithMemoryAllocator(ctx, experimental.MemoryAllocatorFunc(
		func(_, max uint64) experimental.LinearMemory {
			in.region = in.program.regions.allocate(max, in.late)
			return in.region
		}))
	defer func() {
		if r := recover(); r != nil { // what wazero does when the memory cannot be had
			err = fmt.Errorf("no memory of %d bytes is to be had: %v", in.program.memory, r)
		}
		if err != nil && in.region != nil {
			in.region.Free()
		}
	}()
	config := wazero.NewModuleConfig().WithName("").WithStartFunctions()
	mod, err := in.program.runtime.InstantiateModule(in, in.program.compiled, config)
	if err != nil {
		return in.reason(err)
	}
	in.bind(mod)
	return nil
}

// bind finds what the host uses of a module.
func (in *instance) bind(mod api.Module) {
	in.module, in.memory = mod, mod.Memory()
	in.fuel = mod.ExportedGlobal(in.program.fuel).(api.MutableGlobal)
	for _, name := range in.program.globals {
		in.globals = append(in.globals, mod.ExportedGlobal(name).(api.MutableGlobal))
	}
}

// bindHooks makes new call stacks: a deep call leaves a large one behind.
func (in *instance) bindHooks() {
	for kind, h := range hookExports {
		if in.program.has(policy.Kind(kind)) {
			in.hooks[kind] = newFunction(in.module.ExportedFunction(h.name))
		}
	}
}

// prepare runs what comes before the first request.
func (in *instance) prepare() []Fault {
	for _, name := range []string{"_initialize", "_start"} {
		fn := in.module.ExportedFunction(name)
		if fn == nil {
			continue
		}
		if d := fn.Definition(); len(d.ParamTypes())+len(d.ResultTypes()) > 0 {
			return faultf(StageStart, "it exports %s with parameters or results, want () -> ()", name)
		}
		if _, err := in.callExport(name, 0); err != nil {
			return faultf(StageStart, "%s: %v", name, err)
		}
		break
	}
	caps, err := in.callExport(abi.ExportCaps, 0)
	if err != nil {
		return faultf(StageStart, "%s: %v", abi.ExportCaps, err)
	}
	in.caps = abi.Caps(u32(caps))
	if faults := checkCaps(in.caps, in.program.spec.Hooks); faults != nil {
		return faults
	}
	return in.init()
}

// init hands over the config, and takes the snapshot behind it.
func (in *instance) init() []Fault {
	config := in.program.spec.Config
	if err := in.allocate(max(firstBuffer, len(config))); err != nil {
		return faultf(StageInit, "%v", err)
	}
	copy(in.input, config)
	result, err := in.callExport(abi.ExportInit, uint64(len(config)))
	if err != nil {
		return faultf(StageInit, "%s: %v", abi.ExportInit, err)
	}
	if code := int32(u32(result)); code < 0 {
		return faultf(StageInit, "%s refused its config of %d bytes with %s", abi.ExportInit, len(config), resultName(int64(code)))
	}
	clear(in.input[:len(config)])
	in.bindHooks()
	if in.program.restorable {
		in.snap = in.program.shareSnapshot(takeSnapshot(in.all(), in.globals, in.buffer))
	}
	return nil
}

// all is the whole memory.
func (in *instance) all() []byte {
	b, _ := in.memory.Read(0, in.memory.Size())
	return b
}

// begin starts a call or several that share one limit; rest ends them, in the same goroutine.
func (in *instance) begin(limit time.Duration) {
	in.limit, in.deadline, in.starved, in.ticks, in.worked, in.cause = limit, 0, false, 0, 0, nil
}

func (in *instance) rest() {
	if in.deadline != 0 {
		in.deadline = 0
		runtime.UnlockOSThread()
	}
}

// callExport calls what is needed too rarely to keep a call stack for.
func (in *instance) callExport(name string, arg uint64) (uint64, error) {
	fn := newFunction(in.module.ExportedFunction(name))
	return in.callFunction(&fn, arg)
}

func (in *instance) callFunction(fn *function, arg uint64) (uint64, error) {
	in.fuel.Set(fuelSlice)
	in.stack[0], in.fn = arg, fn
	if err := fn.CallWithStack(in, in.stack[:]); err != nil {
		return 0, in.reason(err)
	}
	return in.stack[0], nil
}

// reason turns what wazero says of a trap into one of the policy package's errors.
func (in *instance) reason(err error) error {
	if in.cause != nil {
		return in.cause
	}
	text, _, _ := strings.Cut(err.Error(), "\nwasm stack trace:")
	return fmt.Errorf("%w: %s", policy.ErrTrapped, strings.TrimPrefix(text, "wasm error: "))
}

// tick is called by the guest when its fuel is spent. To call the host is also what lets the collector stop the guest.
func (in *instance) tick() {
	in.ticks++
	if in.fn != nil && in.fn.stackSize() > maxStack {
		in.trap("its calls are nested too deeply")
	}
	in.look()
	in.fuel.Set(fuelSlice)
}

// look traps the guest if it is late.
func (in *instance) look() {
	if in.late() {
		in.cause = fmt.Errorf("%w: more than %v", policy.ErrDeadline, in.limit)
		if in.starved {
			in.cause = fmt.Errorf("%w, and much of that without a processor", in.cause)
		}
		panic(in.cause)
	}
}

// late tells whether the guest has had its time. The clock starts with the first question. What the system gives to
// others in the meantime is not the guest's, or a node with much to do would quarantine its policies.
func (in *instance) late() bool {
	now, limit := nanotime(), int64(in.limit)
	if in.deadline == 0 {
		runtime.LockOSThread() // until rest
		in.deadline, in.spent = now+limit, threadTime()
		in.patience = in.deadline + min(max(9*limit, leastPatience), mostPatience)
		return false
	}
	if now <= in.deadline {
		return false
	}
	left := limit - (threadTime() - in.spent)
	in.deadline = now + left
	in.starved = left > 0 && now >= in.patience
	return left <= 0 || in.starved
}

// work counts what the host does for the guest, which burns no fuel.
func (in *instance) work(n int) {
	if in.worked += n; in.worked >= workLook {
		in.worked = 0
		in.look()
	}
}

// trap ends the guest's call from within a host function.
func (in *instance) trap(why string) {
	in.cause = fmt.Errorf("%w: %s", policy.ErrTrapped, why)
	panic(in.cause)
}

func (in *instance) nowMS() int64 { return in.program.host.now().UnixMilli() }

// allocate asks the guest for an input buffer of at least size bytes.
func (in *instance) allocate(size int) error {
	ptr, err := in.callExport(abi.ExportAlloc, uint64(size))
	if err != nil {
		return fmt.Errorf("%s(%d): %w", abi.ExportAlloc, size, err)
	}
	at := u32(ptr)
	input, ok := in.memory.Read(at, uint32(size))
	if !ok || at == 0 {
		return fmt.Errorf("%w: %s(%d) returned %d, which is no place for so many bytes in a memory of %d",
			policy.ErrTrapped, abi.ExportAlloc, size, at, in.memory.Size())
	}
	in.buffer, in.input = buffer{at, uint32(size)}, input
	return nil
}

// restore brings the instance back to its snapshot. Without one, or when its memory has grown far, it cannot.
func (in *instance) restore() bool {
	if in.snap == nil {
		return false
	}
	memory := in.all()
	if grown := len(memory) - int(in.snap.size); grown > keptGrowth && grown > int(in.snap.size) {
		return false
	}
	in.snap.restore(memory, in.globals)
	in.buffer = in.snap.buffer
	in.input = memory[in.buffer.at:][:in.buffer.size]
	return true
}

func (in *instance) close() {
	in.state.Store(gone)
	in.module.Close(context.Background())
}

func resultName(code int64) string {
	switch code {
	case abi.ErrInternal:
		return "-1 (internal error)"
	case abi.ErrBadInput:
		return "-2 (bad input)"
	case abi.ErrUnsupported:
		return "-3 (unsupported)"
	case abi.ErrConfig:
		return "-4 (wrong config)"
	case abi.ErrExhausted:
		return "-5 (exhausted)"
	}
	return fmt.Sprint(code)
}
