package meter_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// corpusPages is the memory that modules of the corpus may have, in pages of 64 KiB.
const corpusPages = 1 << 10

// corpusLimits lets through what is large but valid, so that little is refused by rule.
var corpusLimits = meter.Limits{MemoryBytes: corpusPages << 16, TableEntries: 1 << 20, Params: 1 << 10}

// corpus returns the modules that the engine is tested with, by path.
func corpus(tb testing.TB) map[string][]byte {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	require.NoError(tb, err)
	root := strings.TrimSpace(string(dir))
	modules := map[string][]byte{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".wasm" || strings.Contains(path, "spectest/v1/") {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if info, err := entry.Info(); err != nil || info.Size() > 1<<20 {
			return err
		}
		modules[name], err = os.ReadFile(path)
		return err
	})
	require.NoError(tb, err)
	return modules
}

// engines are one that runs modules as they come and one that runs them metered.
type engines struct {
	plain   wazero.Runtime
	metered *host
}

func newEngines(tb testing.TB) *engines {
	plain := wazero.NewRuntimeWithConfig(context.Background(),
		wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(true).WithMemoryLimitPages(corpusPages))
	tb.Cleanup(func() { _ = plain.Close(context.Background()) })
	return &engines{plain, newHost(tb)}
}

// compiles tells whether rt takes module. An engine that panics does not.
func compiles(rt wazero.Runtime, module []byte) (ok bool) {
	defer func() { ok = recover() == nil && ok }()
	compiled, err := rt.CompileModule(context.Background(), module)
	if err == nil {
		_ = compiled.Close(context.Background())
	}
	return err == nil
}

// compare holds the metered module against the original, and says what became of it.
func (e *engines) compare(t *testing.T, module []byte) string {
	asItCame := compiles(e.plain, module)
	re, err := meter.Rewrite(module, corpusLimits)
	var fault *meter.Fault
	switch {
	case err != nil:
		require.ErrorAs(t, err, &fault)
		if asItCame {
			assert.NotContains(t, []meter.Code{meter.Format, meter.Index}, fault.Code, fault.Error())
			return "refused: " + string(fault.Code)
		}
		return "invalid, refused by meter"
	case !asItCame && !compiles(e.plain, withoutCustom(module)):
		assert.False(t, compiles(e.metered, re.Module), "an invalid module was made valid")
		return "invalid, refused by the engine"
	}
	require.True(t, compiles(e.metered, re.Module), "a valid module was made invalid")
	if len(re.Imports) > 0 {
		return "compiled"
	}
	ctx, stop := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer stop()
	e.metered.deadline = time.Now().Add(300 * time.Millisecond)
	want, got := trace(ctx, e.plain, module, re.Memory.Max), trace(context.Background(), e.metered, re.Module, re.Memory.Max)
	if strings.Contains(want, errContext) || strings.Contains(got, errDeadline) {
		return "stopped"
	}
	assert.Equal(t, want, got)
	return "run"
}

// errContext is what the plain engine fails with past its deadline.
const errContext = "context deadline exceeded"

// trace runs module, which may have memory, and returns all that can be seen of it, a line for each step.
func trace(ctx context.Context, rt wazero.Runtime, module []byte, memory uint64) string {
	var out strings.Builder
	mod, err := rt.InstantiateWithConfig(ctx, module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	if err != nil {
		return firstLine(err)
	}
	defer mod.Close(context.Background())
	names := make([]string, 0, len(mod.ExportedFunctionDefinitions()))
	for name := range mod.ExportedFunctionDefinitions() {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fn := mod.ExportedFunction(name)
		for seed := range uint64(3) {
			results, err := fn.Call(ctx, arguments(fn.Definition(), seed)...)
			fmt.Fprintln(&out, name, seed, visible(fn.Definition(), results), firstLine(err))
		}
	}
	if memory > 0 {
		mem := mod.Memory()
		data, _ := mem.Read(0, mem.Size())
		hash := fnv.New64a()
		_, _ = hash.Write(data)
		fmt.Fprintln(&out, "memory", len(data), hash.Sum64())
	}
	return out.String()
}

// firstLine returns why err came about, without the index of a start function: metered, there is one function more.
func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	if _, why, found := strings.Cut(line, "] failed: "); found {
		return why
	}
	return line
}

// arguments returns fixed arguments, other ones for each seed.
func arguments(def api.FunctionDefinition, seed uint64) (args []uint64) {
	for i, typ := range def.ParamTypes() {
		v := seed*7 + uint64(i)
		switch typ {
		case api.ValueTypeF32:
			args = append(args, api.EncodeF32(float32(v)+0.5))
		case api.ValueTypeF64:
			args = append(args, math.Float64bits(float64(v)+0.5))
		case api.ValueTypeI32, api.ValueTypeI64:
			args = append(args, v)
		case 0x7b: // v128
			args = append(args, v, ^v)
		default:
			args = append(args, 0)
		}
	}
	return args
}

// visible returns results without addresses: of a reference, only whether it is null.
func visible(def api.FunctionDefinition, results []uint64) (out []uint64) {
	i := 0
	for _, typ := range def.ResultTypes() {
		switch {
		case i >= len(results):
		case typ == 0x7b:
			out = append(out, results[i], results[i+1])
			i += 2
			continue
		case typ == 0x70 || typ == api.ValueTypeExternref:
			out = append(out, min(results[i], 1))
		case typ == api.ValueTypeI32 || typ == api.ValueTypeF32:
			out = append(out, uint64(uint32(results[i])))
		default:
			out = append(out, results[i])
		}
		i++
	}
	return out
}

// withoutCustom returns module without custom sections: one that is malformed is no reason to refuse it.
func withoutCustom(module []byte) []byte {
	if len(module) < 8 {
		return module
	}
	out := append([]byte(nil), module[:8]...)
	for rest := module[8:]; len(rest) > 0; {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return module
		}
		section := rest[:1+n+int(size)]
		if section[0] != 0 {
			out = append(out, section...)
		}
		rest = rest[len(section):]
	}
	return out
}

func TestTheEnginesOwnModulesRunTheSame(t *testing.T) {
	e := newEngines(t)
	seen := map[string]int{}
	modules := corpus(t)
	paths := slices.Sorted(maps.Keys(modules))
	for i := 0; i < len(paths); i += sampled {
		path, module := paths[i], modules[paths[i]]
		t.Run(path, func(t *testing.T) { seen[e.compare(t, module)]++ })
	}
	t.Log(seen)
	assert.Greater(t, seen["run"], 1000/sampled)
	assert.Greater(t, seen["invalid, refused by the engine"], 500/sampled)
	assert.Less(t, seen["stopped"], 30)
}
