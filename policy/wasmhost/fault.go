package wasmhost

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// Stages of a load, in their order.
const (
	StageModule  = "module"  // its format and what it asks for
	StageImports = "imports" // what it wants from the node
	StageExports = "exports" // what it offers to the node
	StageCompile = "compile"
	StageStart   = "start" // its start function, _initialize, and a first look at it
	StageInit    = "init"  // wedge1_init
)

// Fault is one reason why a module cannot run, in words for its author.
type Fault struct {
	Stage string `json:"stage"`
	Text  string `json:"text"`
}

// LoadError says why a policy was not loaded.
type LoadError struct {
	Policy string
	Faults []Fault
}

// Error joins the faults.
func (e *LoadError) Error() string {
	texts := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		texts[i] = f.Text
	}
	return fmt.Sprintf("cannot load policy %q: %s", e.Policy, strings.Join(texts, "; "))
}

func faultf(stage, format string, args ...any) []Fault {
	return []Fault{{Stage: stage, Text: fmt.Sprintf(format, args...)}}
}

// required are the exports of every policy, with their types.
var required = []struct{ name, typ string }{
	{abi.ExportCaps, "() -> i32"},
	{abi.ExportAlloc, "(i32) -> i32"},
	{abi.ExportInit, "(i32) -> i32"},
}

const hookType = "(i32) -> i64"

// hookExports are the optional exports, by policy.Kind, and what asks for them.
var hookExports = [...]struct {
	name  string
	hooks policy.Hook
	words string
	cap   abi.Caps
}{
	policy.OnRequest:  {abi.ExportRequest, policy.Route | policy.Prompt, "route or prompt", 0},
	policy.OnResponse: {abi.ExportResponse, policy.Response, "response", abi.CapResponse},
	policy.OnChunk:    {abi.ExportChunk, policy.Chunk, "chunk", abi.CapChunk},
	policy.OnDone:     {abi.ExportDone, policy.Done, "done", abi.CapDone},
}

func checkImports(imports []meter.Import) (faults []Fault) {
	for _, i := range imports {
		f, known := hostFunctions[i.Module][i.Name]
		switch {
		case !known && hostFunctions[i.Module] == nil:
			faults = append(faults, faultf(StageImports, "it imports %s.%s, and a policy may import functions of %s only: build it without what needs this import",
				i.Module, i.Name, names(hostFunctions))...)
		case !known:
			faults = append(faults, faultf(StageImports, "it imports %s.%s, which does not exist: %s has %s",
				i.Module, i.Name, i.Module, names(hostFunctions[i.Module]))...)
		case f.typ != i.Type:
			faults = append(faults, faultf(StageImports, "it imports %s.%s as %s, and the node's is %s", i.Module, i.Name, i.Type, f.typ)...)
		}
	}
	return faults
}

func names[V any](m map[string]V) string {
	var all []string
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func checkExports(exports []meter.Export, hooks policy.Hook) (faults []Fault) {
	have := map[string]meter.Export{}
	for _, e := range exports {
		have[e.Name] = e
	}
	if have[abi.ExportMemory].Kind != "memory" {
		faults = append(faults, faultf(StageExports, "it does not export its memory under the name %q", abi.ExportMemory)...)
	}
	for _, r := range required {
		faults = append(faults, checkExport(have, r.name, r.typ, "every policy must")...)
	}
	for _, h := range hookExports {
		if hooks&h.hooks != 0 {
			faults = append(faults, checkExport(have, h.name, hookType, "the hook "+h.words+" needs it")...)
		} else if e, there := have[h.name]; there && (e.Kind != "func" || e.Type != hookType) {
			faults = append(faults, checkExport(have, h.name, hookType, "")...)
		}
	}
	return faults
}

func checkExport(have map[string]meter.Export, name, typ, why string) []Fault {
	switch e, there := have[name]; {
	case !there:
		return faultf(StageExports, "it does not export %s %s, and %s", name, typ, why)
	case e.Kind != "func":
		return faultf(StageExports, "it exports %s as a %s, want a function %s", name, e.Kind, typ)
	case e.Type != typ:
		return faultf(StageExports, "it exports %s as %s, want %s", name, e.Type, typ)
	}
	return nil
}

// checkCaps compares what the guest says it does with what it is bound to.
func checkCaps(caps abi.Caps, hooks policy.Hook) (faults []Fault) {
	for _, h := range hookExports {
		if hooks&h.hooks != 0 && caps&h.cap != h.cap {
			faults = append(faults, faultf(StageStart, "the hook %s needs bit %d of what %s returns, which is %d",
				h.words, h.cap, abi.ExportCaps, caps)...)
		}
	}
	return faults
}
