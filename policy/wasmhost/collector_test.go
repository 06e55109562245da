//go:build !race

package wasmhost

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	w "github.com/wedge-proxy/wedge/policy/wasmhost/wasmtest"
)

// A collection has to stop every goroutine, and compiled code cannot be stopped from outside: without giving way, a
// guest that runs for a second holds up the node for a second.
func TestGuestsHoldUpNoCollection(t *testing.T) {
	const runs = time.Second
	g := guest{list: target("eu")}
	g.request = w.Code(w.Forever(), w.I64Const(0))
	p := load(t, newHost(t, Options{}), Spec{Module: g.bytes(), Time: runs})
	done := make(chan struct{})
	began := time.Now()
	go func() {
		defer close(done)
		_, _ = p.Request(good, nil)
	}()
	time.Sleep(50 * time.Millisecond) // the guest runs now
	var took []time.Duration
	for range 9 {
		at := time.Now()
		runtime.GC()
		took = append(took, time.Since(at))
	}
	within := time.Since(began)
	<-done
	slices.Sort(took)
	assert.Less(t, within, runs, "the collections ended while the guest ran: %v", took)
	assert.Less(t, took[len(took)/2], runs/10, "%v", took)
}
