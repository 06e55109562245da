//go:build !race

package fleet

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// memory is what the process holds, in bytes.
func memory() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// Nodes come at once, a thousand of them in make soak, get changes with and without waves, leave, and come again with nothing.
func TestThousandNodes(t *testing.T) {
	count := 150
	if os.Getenv("WEDGE_SOAK") == "1" {
		count = 1000
	}
	for name, noWaves := range map[string]bool{"at once": true, "waves": false} {
		t.Run(name, func(t *testing.T) {
			crowded(t, count, func(o *Options) { o.NoWaves, o.CanaryWait = noWaves, 20*time.Second })
		})
	}
}

func crowded(t *testing.T, count int, set setting) {
	c := newCrowd(t, count, set)
	before := memory()
	c.connectAll()
	c.all(c.put("a", "1"))
	each := (memory() - before) / uint64(count)
	t.Logf("memory for each connection, both ends of it: %d KB", each>>10)
	assert.Less(t, each, uint64(300<<10))
	var catalog []string
	for i := range 100 { // 100 KB
		catalog = append(catalog, fmt.Sprint("m", i), strings.Repeat("x", 1000))
	}
	c.all(c.put(catalog...))
	c.settled()
	for range 5 {
		time.Sleep(200 * time.Millisecond)
		frames, wire := c.nodes[0].received(), c.sent.Load()
		c.all(c.change("m1", strings.Repeat("y", 1000-len(`{"name":"m1","text":""}`)+24)))
		p50, p99 := c.spread()
		t.Logf("from commit to use: p50 %s, p99 %s; %d bytes of frames, %d bytes on the wire for each node",
			p50.Round(time.Millisecond), p99.Round(time.Millisecond), c.nodes[0].received()-frames, (c.sent.Load()-wire)/int64(count))
		if count == 1000 {
			assert.Less(t, p99, 3*time.Second)
		}
		c.settled()
	}
	for _, n := range c.nodes {
		n.stop()
		n.set(n.forget)
	}
	began := time.Now()
	c.connectAll()
	c.all(c.put("last", "1"))
	t.Logf("%d nodes came again with nothing and got 100 KB each within %s", count, time.Since(began).Round(time.Millisecond))
	assert.Less(t, time.Since(began), 15*time.Second)
}
