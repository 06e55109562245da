package meter_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// maxGrowth bounds how much longer a module gets for each of its bytes: a loop of three bytes gains a charge.
const maxGrowth = 12

// Whatever the bytes: no panic, an output that is linear in the input, and what the engine thinks of the module, it
// thinks of the metered one.
func FuzzRewrite(f *testing.F) {
	for path, module := range corpus(f) {
		if len(module) < 400 && len(module)%16 == 0 || path == "testdata/fac.wasm" {
			f.Add(module)
		}
	}
	for _, module := range bombs() {
		f.Add(module[:min(len(module), 400)])
	}
	f.Add(work())
	e := newEngines(f)
	f.Fuzz(func(t *testing.T, module []byte) {
		re, err := meter.Rewrite(module, meter.Limits{ModuleBytes: 64 << 10, Locals: 100})
		if err != nil {
			var fault *meter.Fault
			require.ErrorAs(t, err, &fault)
			require.NotEmpty(t, fault.Text)
			return
		}
		require.Less(t, len(re.Module), 1<<10+maxGrowth*len(module))
		metered := compiles(e.metered, re.Module)
		if compiles(e.plain, module) {
			require.True(t, metered, "a valid module was made invalid")
		} else if metered {
			require.True(t, compiles(e.plain, withoutCustom(module)), "an invalid module was made valid")
		}
	})
}

// sameRun holds what a program does metered against what it does as it came.
func sameRun(tb testing.TB, e *engines, choices []byte) {
	module := (&program{choices: choices}).module()
	require.True(tb, compiles(e.plain, module), "the generator makes valid programs")
	re, err := meter.Rewrite(module, corpusLimits)
	require.NoError(tb, err)
	e.metered.deadline = time.Now().Add(time.Minute)
	ctx := context.Background()
	assert.Equal(tb, trace(ctx, e.plain, module, re.Memory.Max), trace(ctx, e.metered, re.Module, re.Memory.Max))
}

func FuzzProgramsRunTheSame(f *testing.F) {
	f.Add([]byte("a program"))
	e := newEngines(f)
	f.Fuzz(func(t *testing.T, choices []byte) { sameRun(t, e, choices) })
}

func TestProgramsRunTheSame(t *testing.T) {
	e := newEngines(t)
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		choices := make([]byte, 400)
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		sameRun(t, e, choices)
	}
	assert.Greater(t, e.metered.ticks, 200, "the programs have used fuel")
}
