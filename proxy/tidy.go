package proxy

import (
	"context"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

const (
	// tidyFirst is when what the start left behind is given back.
	tidyFirst = time.Second
	tidyEvery = 5 * time.Second
	// tidyLeast is how many bytes must have been allocated since the last time: what a burst has left behind looks like
	// what is in use, until somebody collects.
	tidyLeast = 8 << 20
	// tidyQuiet is how many bytes are allocated within tidyEvery, at most, when it is quiet.
	tidyQuiet = 1 << 20
)

// tidy gives memory back to the system after the start, and when a burst is over. The collector would come when as much
// again has been allocated, which after ten thousand streams have begun, and say nothing, takes minutes.
func tidy(ctx context.Context) {
	samples := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	next := time.NewTimer(tidyFirst)
	defer next.Stop()
	var seen, tidied uint64
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(tidyEvery)
		}
		runtimemetrics.Read(samples)
		allocated := samples[0].Value.Uint64()
		if first || allocated-seen < tidyQuiet && allocated-tidied > tidyLeast {
			runtime.GC() // pools let go of what they hold the second time
			debug.FreeOSMemory()
			giveProgramBack()
			tidied = allocated
		}
		seen = allocated
	}
}
