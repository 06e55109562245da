package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/cases"
	"github.com/wedge-proxy/wedge/policy/wasmhost"
	"github.com/wedge-proxy/wedge/wire"
)

// policyTrial is where an origin tries policies before nodes get them: as a node loads them, each module compiled in a
// process of its own.
type policyTrial struct {
	bench *workbench
}

func newPolicyTrial() (*policyTrial, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot find the program's own file, which compiles policies: %w", err)
	}
	w, err := newWorkbenchWith([]string{self, "compile-policy"})
	if err != nil {
		return nil, err
	}
	return &policyTrial{w}, nil
}

func (t *policyTrial) close() { t.bench.close() }

var hookNames = map[string]policy.Hook{
	"route": policy.Route, "prompt": policy.Prompt, "response": policy.Response, "chunk": policy.Chunk, "done": policy.Done,
}

// trialTime is how long a call of a case may take: an origin has other work, too.
const trialTime = time.Second

// check tells why a node would not load the module, or which of its cases fails. packed are the cases as wire.PackCases
// has them, or nil.
func (t *policyTrial) check(ctx context.Context, p *wire.Policy, module, packed []byte) error {
	var hooks policy.Hook
	for _, name := range p.Hooks {
		hooks |= hookNames[name]
	}
	faults := t.bench.host.Check(ctx, wasmhost.Spec{
		Name: p.Name, Module: module, Config: p.Config, Hooks: hooks, Isolation: isolations[p.Isolation], Memory: p.Memory, Time: p.Time,
	})
	if len(faults) > 0 {
		return &wasmhost.LoadError{Policy: p.Name, Faults: faults}
	}
	if packed == nil {
		return nil
	}
	files, err := wire.UnpackCases(packed)
	if err != nil {
		return err
	}
	m := newModule(p.Name, module, p.Memory)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c, err := cases.Parse(strings.TrimSuffix(name, ".json"), files[name])
		if err != nil {
			return err
		}
		if r := t.bench.testCase(ctx, m, c, trialTime); !r.OK {
			return fmt.Errorf("the case %s fails:\n%s", c.Name, strings.TrimRight(r.Problem, "\n"))
		}
	}
	return nil
}
