//go:build !race

package wasmhost

import (
	"testing"

	"github.com/wedge-proxy/wedge/internal/testkit"
	"github.com/wedge-proxy/wedge/policy"
	"github.com/wedge-proxy/wedge/policy/abi"
)

func TestCallsAllocateNothing(t *testing.T) {
	h := newHost(t, Options{})
	dst := make([]byte, 0, 256)
	for _, isolation := range []Isolation{Shared, Clean} {
		p := load(t, h, Spec{Module: deciding().bytes(), Isolation: isolation})
		in := sampleRequest()
		testkit.Allocs(t, 0, func() {
			if out, err := p.Request(in, dst); err != nil || len(out) == 0 {
				t.Error(out, err)
			}
		})
	}
	chunks := load(t, h, Spec{Module: scanning().bytes(), Hooks: policy.Chunk})
	chunk := &abi.Chunk{Text: make([]byte, 180)}
	testkit.Allocs(t, 0, func() {
		if _, err := chunks.Chunk(chunk, dst); err != nil {
			t.Error(err)
		}
	})
	kv := load(t, h, Spec{Name: "kv", Module: importing("wedge1", "kv_get", consts(heapAt, 3, heapAt, 99)...).bytes()})
	kv.kv.put(make([]byte, 3), make([]byte, 50), 0, 0)
	testkit.Allocs(t, 0, func() {
		if _, err := kv.Request(good, dst); err != nil {
			t.Error(err)
		}
	})
}
