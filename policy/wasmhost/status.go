package wasmhost

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/wedge-proxy/wedge/policy"
)

const (
	flushEvery  = 64 // calls of one instance before they are added to the program's
	sampleEvery = 32 // of the calls of one instance has its fuel looked at
)

// kinds are the errors of a call, in the order that Status tells them.
var kinds = [...]struct {
	err  error
	name string
}{
	{policy.ErrTrapped, "trapped"}, {policy.ErrDeadline, "deadline"}, {policy.ErrBusy, "busy"},
	{policy.ErrRefused, "refused"}, {policy.ErrActions, "actions"}, {policy.ErrQuarantined, "quarantined"},
}

// counts are what a program has done.
type counts struct {
	calls   atomic.Uint64
	fuel    atomic.Uint64 // of the sampled calls
	sampled atomic.Uint64
	ignored atomic.Uint64
	errors  [len(kinds)]atomic.Uint64
}

func (c *counts) add(err error) {
	for i := range kinds {
		if errors.Is(err, kinds[i].err) {
			c.errors[i].Add(1)
			return
		}
	}
}

// flush adds what an instance has counted. Only its owner may call this.
func (c *counts) flush(in *instance) {
	c.calls.Add(in.calls)
	in.calls = 0
}

// sample counts the fuel of one call.
func (c *counts) sample(fuel uint64) {
	c.fuel.Add(fuel)
	c.sampled.Add(1)
}

// Status is what the node tells of one program.
type Status struct {
	Name        string            `json:"name"`
	Digest      string            `json:"digest"`  // of the module as it came, as in sha256:…
	Calls       uint64            `json:"calls"`   // up to 63 too few for each instance that is in use
	Errors      map[string]uint64 `json:"errors"`  // by kind: trapped, deadline, busy, refused, actions, quarantined
	Ignored     uint64            `json:"ignored"` // actions left out of lists
	Fuel        uint64            `json:"fuel"`    // units, by all calls; one is roughly an instruction
	Instances   int               `json:"instances"`
	Memory      uint64            `json:"memory"`    // bytes of the idle instances' memories and snapshots
	KeyValues   int               `json:"kv_bytes"`  // shared by all versions of the name
	Isolation   string            `json:"isolation"` // as it is run
	Quarantined *time.Time        `json:"quarantined_until,omitempty"`
	Fallback    string            `json:"fallback,omitempty"` // digest of the version that takes the calls in quarantine
}

// Status tells what the program has done and what it holds.
func (p *Program) Status() Status {
	s := Status{Name: p.spec.Name, Digest: p.digest, Isolation: p.isolation.String(), KeyValues: p.kv.bytes(), Errors: map[string]uint64{}}
	snapshots := map[*snapshot]bool{}
	s.Instances = p.pool.each(func(in *instance) {
		p.counts.flush(in)
		s.Memory += uint64(in.memory.Size())
		if in.snap != nil && !snapshots[in.snap] {
			snapshots[in.snap] = true
			s.Memory += uint64(in.snap.bytes())
		}
	})
	s.Calls, s.Ignored = p.counts.calls.Load(), p.counts.ignored.Load()
	s.Fuel = p.counts.fuel.Load() / max(1, p.counts.sampled.Load())
	for i, k := range kinds {
		if n := p.counts.errors[i].Load(); n > 0 {
			s.Errors[k.name] = n
		}
	}
	if until := time.Unix(0, p.health.until.Load()); until.After(p.host.now()) {
		s.Quarantined = &until
	}
	if q := p.previous.Load(); q != nil {
		s.Fallback = q.digest
	}
	return s
}
