//go:build !race

package fleet

import (
	"fmt"
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

// A thousand nodes come at once, get changes with and without waves, leave, and come again with nothing.
func TestThousandNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand nodes take a while")
	}
	for name, noWaves := range map[string]bool{"at once": true, "waves": false} {
		t.Run(name, func(t *testing.T) {
			thousand(t, func(o *Options) { o.NoWaves, o.CanaryWait = noWaves, 20*time.Second })
		})
	}
}

func thousand(t *testing.T, set setting) {
	c := newCrowd(t, 1000, set)
	before := memory()
	c.connectAll()
	c.all(c.put("a", "1"))
	each := (memory() - before) / 1000
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
			p50.Round(time.Millisecond), p99.Round(time.Millisecond), c.nodes[0].received()-frames, (c.sent.Load()-wire)/1000)
		assert.Less(t, p99, 3*time.Second)
		c.settled()
	}
	for _, n := range c.nodes {
		n.stop()
		n.set(n.forget)
	}
	began := time.Now()
	c.connectAll()
	c.all(c.put("last", "1"))
	t.Logf("1000 nodes came again with nothing and got 100 KB each within %s", time.Since(began).Round(time.Millisecond))
	assert.Less(t, time.Since(began), 15*time.Second)
}
