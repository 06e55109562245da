package meter_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/wedge-proxy/wedge/policy/wasmhost/meter"
)

// slice is the fuel that a tick of the tests' host grants.
const slice = 200_000

// host is an engine with a tick that grants slices until its deadline.
type host struct {
	wazero.Runtime
	ticks    int
	deadline time.Time
}

// errDeadline is what tick traps with.
const errDeadline = "past the deadline"

func newHost(tb testing.TB) *host {
	ctx := context.Background()
	h := &host{Runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler()), deadline: time.Now().Add(time.Hour)}
	tb.Cleanup(func() { _ = h.Close(ctx) })
	tick := api.GoModuleFunc(func(_ context.Context, mod api.Module, _ []uint64) {
		h.ticks++
		if time.Now().After(h.deadline) {
			panic(errDeadline)
		}
		mod.ExportedGlobal(meter.FuelName).(api.MutableGlobal).Set(slice)
	})
	_, err := h.NewHostModuleBuilder(meter.TickModule).NewFunctionBuilder().
		WithGoModuleFunction(tick, nil, nil).Export(meter.TickName).Instantiate(ctx)
	require.NoError(tb, err)
	return h
}

// instance returns module metered and instantiated.
func (h *host) instance(tb testing.TB, module []byte) api.Module {
	re, err := meter.Rewrite(module, meter.Limits{})
	require.NoError(tb, err)
	mod, err := h.InstantiateWithConfig(context.Background(), re.Module, wazero.NewModuleConfig().WithName(""))
	require.NoError(tb, err)
	tb.Cleanup(func() { _ = mod.Close(context.Background()) })
	return mod
}
