package wasmhost

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/wedge-proxy/wedge/policy"
)

const (
	maxModule = 8 << 20     // bytes
	maxMemory = 1 << 30     // bytes of one instance
	pageSize  = 64 << 10    // of WebAssembly
	loadTime  = time.Second // for the start function, _initialize and wedge1_init together
)

// Isolation says what of one request the next one of the same instance may find in the guest's memory.
type Isolation uint8

// The isolations. Shared keeps the guest's memory, for policies with one tenant. Clean puts it back to what it was
// before the first request. Fresh makes an instance for every call; Clean becomes Fresh for a module whose state a
// snapshot of memory and globals does not cover.
const (
	Shared Isolation = iota
	Clean
	Fresh
)

// String is the isolation's name in the catalog.
func (i Isolation) String() string { return [...]string{"shared", "clean", "fresh"}[i] }

// Options say what a Host may use. The zero value compiles in process and in memory, and logs nothing: for tests.
type Options struct {
	// CacheDir keeps compiled modules: machine code that the node runs. It is made with mode 0700, and refused if
	// another user owns it or may write to it. Empty: nothing is kept.
	CacheDir string

	// Compile is the argv of a process whose body is CompileChild, and needs CacheDir. Nil compiles in this process,
	// where a hostile module may take hundreds of megabytes: only tools and tests, whose author is the module's, do so.
	Compile []string

	// Log gets what guests write, at most 10 lines a second and policy, and what the host has to say of them, with a
	// level such as abi.LogInfo. It must not block.
	Log func(level uint32, policy, text string)

	Now func() time.Time // nil: time.Now
}

// Spec says what to load and how to run it.
type Spec struct {
	Name      string      // of the policy; its key-values and its last good version go by it
	Module    []byte      // kept by nobody
	Config    []byte      // JSON; nil: {}
	Hooks     policy.Hook // at least one
	Isolation Isolation
	Memory    int64         // bytes of an instance's memory, rounded down to 64 KiB; 0: 16 MiB
	Time      time.Duration // for a call; 0: 2 ms
	ChunkTime time.Duration // for a call of the chunk hook; 0: a tenth of Time
}

// programKey is what makes two loads the same.
type programKey struct {
	name           string
	module, config [sha256.Size]byte
	hooks          policy.Hook
	isolation      Isolation
	memory         int64
	time, chunk    time.Duration
}

func (s Spec) normal() (Spec, error) {
	if s.Hooks == 0 {
		return s, fmt.Errorf("cannot load policy %q: it is bound to no hook", s.Name)
	}
	if s.Config == nil {
		s.Config = []byte("{}")
	}
	s.Memory = cmp.Or(s.Memory, 16<<20) / pageSize * pageSize
	s.Time = cmp.Or(s.Time, 2*time.Millisecond)
	s.ChunkTime = cmp.Or(s.ChunkTime, s.Time/10)
	if s.Memory <= 0 || s.Memory > maxMemory {
		return s, fmt.Errorf("cannot load policy %q: its memory limit must lie between 64 KiB and %d MiB", s.Name, maxMemory>>20)
	}
	return s, nil
}

func (s *Spec) key() programKey {
	return programKey{s.Name, sha256.Sum256(s.Module), sha256.Sum256(s.Config), s.Hooks, s.Isolation, s.Memory, s.Time, s.ChunkTime}
}

// Host loads policies and keeps what they share. Its methods may be called by many goroutines.
type Host struct {
	options Options
	cache   *cache // nil: nothing is kept
	now     func() time.Time

	loading sync.Mutex // one load at a time: compiling takes memory

	mu       sync.Mutex
	programs map[programKey]*Program
	current  map[string]*Program // by name: the version loaded last
	kv       map[string]*keyValues
}

// New opens the cache and refuses one that is not private.
func New(o Options) (*Host, error) {
	if len(o.Compile) > 0 && o.CacheDir == "" {
		return nil, errors.New("cannot compile policies in a process of their own: it needs a cache directory")
	}
	h := &Host{options: o, now: o.Now, programs: map[programKey]*Program{}, current: map[string]*Program{}, kv: map[string]*keyValues{}}
	if h.now == nil {
		h.now = time.Now
	}
	if h.options.Log == nil {
		h.options.Log = func(uint32, string, string) {}
	}
	if o.CacheDir == "" {
		return h, nil
	}
	var err error
	h.cache, err = openCache(o.CacheDir, o.Compile)
	return h, err
}

// Load returns the program of the spec, and counts one more use of it, which Release gives back. The error of a
// module that cannot run is a *LoadError.
func (h *Host) Load(ctx context.Context, spec Spec) (*Program, error) {
	spec, err := spec.normal()
	if err != nil {
		return nil, err
	}
	key := spec.key()
	h.loading.Lock()
	defer h.loading.Unlock()
	if p := h.reuse(key); p != nil {
		return p, nil
	}
	p, faults, err := h.build(ctx, spec, h.keyValues(spec.Name))
	if err == nil && faults != nil {
		err = &LoadError{spec.Name, faults}
	}
	if err != nil {
		h.mu.Lock()
		h.dropKeyValues(spec.Name)
		h.mu.Unlock()
		return nil, err
	}
	p.key, p.digest = key, "sha256:"+hex.EncodeToString(key.module[:])
	h.publish(p)
	return p, nil
}

// Check says everything that keeps the spec from being loaded, as far as one fault does not hide the next.
func (h *Host) Check(ctx context.Context, spec Spec) []Fault {
	spec, err := spec.normal()
	if err != nil {
		return []Fault{{StageModule, err.Error()}}
	}
	h.loading.Lock()
	defer h.loading.Unlock()
	p, faults, err := h.build(ctx, spec, newKeyValues())
	if err != nil {
		return []Fault{{StageCompile, err.Error()}}
	}
	if p != nil {
		p.shut()
	}
	return faults
}

func (h *Host) reuse(key programKey) *Program {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.programs[key]
	if p != nil {
		p.uses++
		if h.current[key.name] != p { // an older version is back
			h.current[key.name] = p
		}
	}
	return p
}

// publish makes p the current version of its name. The one before becomes p's fallback and lets go of its own; if it is
// in quarantine itself, p shares its fallback. So the fallbacks of a name are never more than two.
func (h *Host) publish(p *Program) {
	h.mu.Lock()
	p.uses = 1
	h.programs[p.key] = p
	last := h.current[p.spec.Name]
	h.current[p.spec.Name] = p
	var ended []*Program
	switch {
	case last == nil:
	case last.health.well(h.now):
		p.fallBackTo(last)
		if q := last.previous.Swap(nil); q != nil {
			ended = h.giveUp(q, ended)
		}
	default:
		p.fallBackTo(last.previous.Load())
	}
	h.mu.Unlock()
	shutAll(ended)
}

// fallBackTo makes q, which may be nil, the version that takes p's calls in quarantine. One that is less isolated is
// none: what several tenants use now may have been one tenant's when it was loaded. The caller holds h.mu.
func (p *Program) fallBackTo(q *Program) {
	if q != nil && q.spec.Isolation >= p.spec.Isolation {
		q.uses++
		p.previous.Store(q)
	}
}

// giveUp takes back one use of p, and appends the programs that nobody uses any more. The caller holds h.mu.
func (h *Host) giveUp(p *Program, ended []*Program) []*Program {
	if p.uses--; p.uses > 0 {
		return ended
	}
	delete(h.programs, p.key)
	if h.current[p.spec.Name] == p {
		delete(h.current, p.spec.Name)
	}
	h.dropKeyValues(p.spec.Name)
	ended = append(ended, p)
	if q := p.previous.Swap(nil); q != nil {
		return h.giveUp(q, ended)
	}
	return ended
}

// Release gives back one use that Load counted. The last one waits for the calls under way, which the policy's time
// limits, and returns when the memory is free.
func (p *Program) Release() {
	h := p.host
	h.mu.Lock()
	ended := h.giveUp(p, nil)
	h.mu.Unlock()
	shutAll(ended)
}

func shutAll(programs []*Program) {
	for _, p := range programs {
		p.shut()
	}
}

// Status tells of every program that is loaded, by name.
func (h *Host) Status() []Status {
	h.mu.Lock()
	var all []*Program
	for _, p := range h.programs {
		all = append(all, p)
	}
	h.mu.Unlock()
	out := make([]Status, len(all))
	for i, p := range all {
		out[i] = p.Status()
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest)) })
	return out
}

// Close ends every program, whoever uses it. Nothing may be loaded afterwards.
func (h *Host) Close() {
	h.loading.Lock()
	defer h.loading.Unlock()
	h.mu.Lock()
	var all []*Program
	for _, p := range h.programs {
		all = append(all, p)
	}
	clear(h.programs)
	clear(h.current)
	h.mu.Unlock()
	shutAll(all)
}

func (h *Host) keyValues(name string) *keyValues {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.kv[name] == nil {
		h.kv[name] = newKeyValues()
	}
	return h.kv[name]
}

// dropKeyValues forgets the pairs of a policy of which no version is loaded. The caller holds h.mu.
func (h *Host) dropKeyValues(name string) {
	for key := range h.programs {
		if key.name == name {
			return
		}
	}
	delete(h.kv, name)
}

// warm is how many instances wait for a program's first requests.
func warm() int { return runtime.GOMAXPROCS(0) }
