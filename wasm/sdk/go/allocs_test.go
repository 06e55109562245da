//go:build !race

package wedge1

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/policy/abi"
)

// TestWarmCallsAllocateNothing looks at all of a view and writes actions, as guests do for every request.
func TestWarmCallsAllocateNothing(t *testing.T) {
	in := abi.Request{Model: []byte("support-bot"), Tenant: []byte("acme"), LastUser: []byte("hello"),
		Headers: []abi.Pair{{Name: []byte("X-Plan"), Value: []byte("free")}},
		Targets: []abi.Target{{Name: []byte("eu"), Flags: abi.TargetHealthy}}}
	const caps = abi.CapUser | abi.CapHeaders | abi.CapTargets
	r := Request{view{make([]byte, in.Size(caps))}}
	in.Put(r.b, caps)
	a := Actions{list: make([]byte, 0, 256)}
	testkit.Allocs(t, 0, func() {
		a.reset()
		if string(r.Headers().Get("x-plan")) == "free" && r.Targets().At(0).Healthy() {
			a.TargetBytes(r.Targets().At(0).Name())
		}
		a.Metric("plan", "free")
		a.MaxTokens(r.PromptTokens() + 64)
		a.State(r.LastUser())
	})
	want := abi.AppendMetric(abi.AppendTarget(nil, "eu"), "plan", "free")
	require.Equal(t, abi.AppendState(abi.AppendMaxTokens(want, 64), "hello"), a.list)
}
