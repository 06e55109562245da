//go:build !race

package downstream

import (
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestNoAllocations(t *testing.T) {
	l, _ := newListener(t)
	client, c := pair(t, l)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, client) }()
	piece := make([]byte, 1000)
	assert.Zero(t, testing.AllocsPerRun(200, func() {
		c.Cork()
		for range 10 {
			_, _ = c.Write(piece)
		}
		_ = c.Uncork()
		_, _ = c.Write(piece)
	}), "cork, write, uncork")

	var w Watcher
	var x, y Watch
	var g gone
	assert.Zero(t, testing.AllocsPerRun(200, func() {
		w.Add(&x, c, &g)
		w.Add(&y, c, &g)
		w.sweep()
		w.Remove(&x)
		w.Remove(&y)
	}), "add, sweep, remove")
	assert.Zero(t, testing.AllocsPerRun(200, func() { c.clientLeft() }), "probe")
	_ = c.Close()
	<-done
}
