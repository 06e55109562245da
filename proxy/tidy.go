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
	// tidyLeast is how many bytes must be there to be given back; and a quarter of what is in use.
	tidyLeast = 16 << 20
)

// tidy gives memory back to the system after the start, and when a burst is over. The collector would come when as much
// again has been allocated, which after ten thousand streams have begun, and say nothing, takes minutes.
func tidy(ctx context.Context) {
	samples := []runtimemetrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	next := time.NewTimer(tidyFirst)
	defer next.Stop()
	var seen uint64
	for first := true; ; first = false {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(tidyEvery)
		}
		runtimemetrics.Read(samples)
		cycles, live := samples[0].Value.Uint64(), samples[1].Value.Uint64()
		there := samples[2].Value.Uint64() + samples[3].Value.Uint64() + samples[4].Value.Uint64()
		if first || cycles == seen && there > live+max(tidyLeast, live/4) { // nobody collects: it is quiet
			runtime.GC() // pools let go of what they hold the second time
			debug.FreeOSMemory()
			giveProgramBack()
			cycles += 2
		}
		seen = cycles
	}
}
