package downstream

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func BenchmarkWatcherAddRemove(b *testing.B) {
	l, _ := newListener(b)
	_, c := pair(b, l)
	var w Watcher
	var x Watch
	var g gone
	b.ReportAllocs()
	for b.Loop() {
		w.Add(&x, c, &g)
		w.Remove(&x)
	}
}

// A burst of four 4 KB chunks, each in the three pieces that the server writes it in.
func burstOf(b *testing.B, cork bool) {
	l, _ := newListener(b)
	client, c := pair(b, l)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(io.Discard, client) }()
	chunk := make([]byte, 4090)
	b.ReportAllocs()
	for b.Loop() {
		if cork {
			c.Cork()
		}
		for range 4 {
			for _, p := range [][]byte{chunk[:4], chunk, chunk[:2]} {
				if _, err := c.Write(p); err != nil {
					b.Fatal(err)
				}
			}
		}
		if err := c.Uncork(); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, c.Close())
	<-done
}

func BenchmarkBurstCorked(b *testing.B)   { burstOf(b, true) }
func BenchmarkBurstUncorked(b *testing.B) { burstOf(b, false) }
