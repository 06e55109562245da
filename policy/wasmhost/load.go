package wasmhost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// build takes a module through every stage. A fault is the module's, an error is the node's.
func (h *Host) build(ctx context.Context, spec Spec, kv *keyValues) (*Program, []Fault, error) {
	metered, err := meter.Rewrite(spec.Module, meter.Limits{ModuleBytes: maxModule, MemoryBytes: uint64(spec.Memory)})
	if err != nil {
		return nil, faultf(StageModule, "%v", err), nil
	}
	faults := append(checkImports(metered.Imports), checkExports(metered.Exports, spec.Hooks)...)
	if faults != nil {
		return nil, faults, nil
	}
	p := h.newProgram(spec, &metered, kv)
	if err := p.compile(ctx, metered.Module); err != nil {
		p.shut()
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("cannot load policy %q: %w", spec.Name, ctx.Err())
		}
		return nil, faultf(StageCompile, "%v", err), nil
	}
	if err := provide(ctx, p.runtime, metered.Imports); err != nil {
		p.shut()
		return nil, nil, err
	}
	if faults := p.start(ctx); faults != nil {
		p.shut()
		return nil, faults, nil
	}
	return p, nil, nil
}

func (h *Host) newProgram(spec Spec, metered *meter.Rewritten, kv *keyValues) *Program {
	spec.Module = nil
	p := &Program{
		host: h, spec: spec, kv: kv,
		log:  policyLog{policy: spec.Name, write: h.options.Log, now: h.now},
		fuel: metered.Fuel, globals: metered.Globals, memory: metered.Memory.Max,
		restorable: len(metered.Residue) == 0, isolation: spec.Isolation,
	}
	if p.isolation == Clean && !p.restorable {
		p.isolation = Fresh
		p.log.host(abi.LogInfo, "a new instance is made for every call: %s", metered.Residue[0])
	}
	exported := map[string]bool{}
	for _, e := range metered.Exports {
		exported[e.Name] = true
	}
	for kind, e := range hookExports {
		p.bound[kind] = spec.Hooks&e.hooks != 0 && exported[e.name]
	}
	p.pool = newPool(p)
	if p.isolation == Fresh {
		p.fresh = make(chan struct{}, len(p.pool.slots))
		for range cap(p.fresh) {
			p.fresh <- struct{}{}
		}
	}
	return p
}

// compile fills p.compiled, by way of the cache if there is one. An entry that wazero cannot read back is made again.
func (p *Program) compile(ctx context.Context, module []byte) error {
	pages := uint32(p.spec.Memory / pageSize)
	c := p.host.cache
	if c == nil {
		return p.open(ctx, module, pages, "")
	}
	for again := false; ; again = true {
		dir, err := c.entry(ctx, module, pages)
		if err != nil {
			return err
		}
		if err = p.open(ctx, module, pages, dir); err == nil || again {
			return err
		}
		p.closeEngine()
		if err := c.discard(dir); err != nil {
			return err
		}
	}
}

// open reads the compiled module from dir; without dir it compiles here. Each program has an engine of its own, so that
// closing it frees all it had.
func (p *Program) open(ctx context.Context, module []byte, pages uint32, dir string) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the engine failed on it: %v", r)
		}
	}()
	config := runtimeConfig(pages)
	if dir != "" {
		if p.files, err = wazero.NewCompilationCacheWithDir(dir); err != nil {
			return err
		}
		config = config.WithCompilationCache(p.files)
	}
	p.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	p.compiled, err = p.runtime.CompileModule(ctx, module)
	return err
}

// start makes the first instances.
func (p *Program) start(ctx context.Context) []Fault {
	for i := range warm() {
		began := time.Now()
		in, faults := p.newInstance(ctx, loadTime)
		if faults != nil {
			return faults
		}
		in.rest()
		p.pool.started = time.Since(began)
		if i == 0 {
			p.caps = in.caps
		}
		if p.isolation == Fresh {
			in.close()
			return nil
		}
		p.pool.add(in)
		p.pool.put(in)
	}
	return nil
}

// shut waits for the calls under way and frees everything.
func (p *Program) shut() {
	p.end.Do(func() {
		for range cap(p.fresh) {
			<-p.fresh
		}
		if p.fresh != nil {
			close(p.fresh)
		}
		p.pool.close()
		p.closeEngine()
		p.regions.close()
	})
}

func (p *Program) closeEngine() {
	ctx := context.Background()
	var err error
	if p.runtime != nil {
		err = p.runtime.Close(ctx)
	}
	if p.files != nil {
		err = errors.Join(err, p.files.Close(ctx))
	}
	if err != nil {
		p.log.host(abi.LogWarn, "closing it failed: %v", err)
	}
	p.runtime, p.files, p.compiled = nil, nil, nil
}
